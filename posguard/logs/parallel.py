"""Several processes over the parts of a log; what they find comes back in file order, and no more of it waits than a part each."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from posguard.errors import LogError, PosguardError
from posguard.logs.parts import Part, PartEnd, read_part
from posguard.logs.scan import Batch, Want


def possible() -> bool:
    """Whether this process may start others: an Airflow worker, say, may not."""
    return not multiprocessing.current_process().daemon


def read(parts: Sequence[Part], want: Want, processes: int) -> Iterator[tuple[Part, Batch | PartEnd]]:
    """The batches and ends of all parts, in order. Raises LogError where a part cannot be read or a process dies."""
    # A fork is a hundred times quicker, and safe while this process has one thread.
    method = (
        "fork"
        if threading.active_count() == 1 and "fork" in multiprocessing.get_all_start_methods()
        else "spawn"
    )
    context = multiprocessing.get_context(method)
    workers: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for number in range(min(processes, len(parts))):
            mine, theirs = context.Pipe(duplex=False)
            own = list(parts[number::processes])
            # A forked process holds this one's ends too; with them open it would not notice that this one is gone.
            others = [*pipes, mine] if method == "fork" else []
            worker: BaseProcess = context.Process(  # type: ignore[attr-defined]  # every context has it
                target=_work, args=(theirs, own, want, others), daemon=True
            )
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(mine)
        for number, part in enumerate(parts):
            yield from _of(part, pipes[number % len(pipes)])
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
        for pipe in pipes:
            pipe.close()


def _of(part: Part, pipe: Connection) -> Iterator[tuple[Part, Batch | PartEnd]]:
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            raise LogError(
                f"The process that read {part.path} ended before it was done (out of memory, perhaps). What was read is not whole.",
                hint="Run it again, or with one process.",
            ) from None
        if isinstance(item, PosguardError):
            raise item
        yield part, item
        if isinstance(item, PartEnd):
            return


def _work(pipe: Connection, parts: Sequence[Part], want: Want, others: Sequence[Connection]) -> None:
    for other in others:
        other.close()
    try:
        for part in parts:
            for item in read_part(part, want):
                pipe.send(item)
    except PosguardError as error:
        pipe.send(error)
    except (BrokenPipeError, KeyboardInterrupt):
        # Whoever asked is gone, or says so itself.
        pass
    finally:
        pipe.close()
