"""Several processes over the parts of a log; what they find comes back in file order, and no more of it waits than a part each."""

from __future__ import annotations

import fcntl
import marshal
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from posguard.errors import LogError, PosguardError
from posguard.logs.parts import Part, PartEnd, read_part
from posguard.logs.scan import Batch, Want
from posguard.logs.zones import Edge, Span

_BATCH, _END, _ERROR = range(3)
# The form of marshal that looks for no repeated objects.
_PLAIN = 2
_PIPE = 1 << 20


def possible() -> bool:
    """Whether this process may start others: an Airflow worker, say, may not."""
    return not multiprocessing.current_process().daemon


def read(parts: Sequence[Part], want: Want, processes: int) -> Iterator[tuple[Part, Batch | PartEnd]]:
    """The batches and ends of all parts, in order; this process reads its share itself.

    Raises LogError where a part cannot be read or a process dies.
    """
    # A fork is a hundred times quicker, and safe while this process has one thread.
    method = (
        "fork"
        if threading.active_count() == 1 and "fork" in multiprocessing.get_all_start_methods()
        else "spawn"
    )
    context = multiprocessing.get_context(method)
    number = min(processes, len(parts))
    workers: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for share in range(1, number):
            mine, theirs = context.Pipe(duplex=False)
            _widen(mine)
            # A forked process holds this one's ends too; with them open it would not notice that this one is gone.
            others = [*pipes, mine] if method == "fork" else []
            worker: BaseProcess = context.Process(  # type: ignore[attr-defined]  # every context has it
                target=_work, args=(theirs, parts[share::number], want, others), daemon=True
            )
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(mine)
        for place, part in enumerate(parts):
            share = place % number
            yield from (
                ((part, item) for item in read_part(part, want))
                if share == 0
                else _of(part, pipes[share - 1])
            )
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
        for pipe in pipes:
            pipe.close()


def _widen(pipe: Connection) -> None:
    """Lets a process go ahead while this one reads its own share: a part's events fit in."""
    with suppress(OSError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def _of(part: Part, pipe: Connection) -> Iterator[tuple[Part, Batch | PartEnd]]:
    while True:
        try:
            told = marshal.loads(pipe.recv_bytes())  # noqa: S302 - of a process of ours
        except EOFError:
            raise LogError(
                f"The process that read {part.path} ended before it was done (out of memory, perhaps). What was read is not whole.",
                hint="Run it again, or with one process.",
            ) from None
        what, values = told
        if what == _ERROR:
            raise LogError(values[0], hint=values[1])
        if what == _END:
            yield part, PartEnd(*values)
            return
        first, last, edges, *rest = values
        yield part, Batch(rest[0], Span(first, last, [Edge(*edge) for edge in edges]), *rest[1:])


def _work(pipe: Connection, parts: Sequence[Part], want: Want, others: Sequence[Connection]) -> None:
    for other in others:
        other.close()
    try:
        for part in parts:
            for item in read_part(part, want):
                pipe.send_bytes(_packed(item))
    except PosguardError as error:
        pipe.send_bytes(marshal.dumps((_ERROR, (error.message, error.hint)), _PLAIN))
    except (BrokenPipeError, KeyboardInterrupt):
        # Whoever asked is gone, or says so itself.
        pass
    finally:
        pipe.close()


def _packed(item: Batch | PartEnd) -> bytes:
    """Plain values only, in a form that costs a fifth of pickle's."""
    if isinstance(item, PartEnd):
        return marshal.dumps((_END, astuple(item)), _PLAIN)
    span = item.span
    edges = [(edge.offset, edge.at, edge.before) for edge in span.edges]
    values = (
        span.first,
        span.last,
        edges,
        item.events,
        item.start,
        item.lines,
        item.records,
        item.nul,
        item.torn,
        item.levels,
    )
    return marshal.dumps((_BATCH, values), _PLAIN)
