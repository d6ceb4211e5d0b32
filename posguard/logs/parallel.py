"""Several processes over the parts of a log; what they find comes back in file order, and little of it waits.

Each process has a part to begin with, and takes the next when it has done one, so that none waits for a slower one. What a process finds ahead of its turn
waits in its pipe, and a process whose pipe is full waits with it.
"""

from __future__ import annotations

import fcntl
import marshal
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, cast

from posguard.errors import LogError, PosguardBugError, PosguardError
from posguard.logs.parts import Part, PartEnd, read_part
from posguard.logs.scan import Batch, Want
from posguard.logs.zones import Edge, Span

# What a process says: a stretch begins, what a block of it held, a part's end, what went wrong, and that nothing is left.
_STRETCH, _BATCH, _END, _ERROR, _OVER = range(5)
# The form of marshal that looks for no repeated objects.
_PLAIN = 2
_PIPE = 1 << 20
# The tickets for all stretches fit into a pipe at once: a stretch is a part, or several of a log of a hundred gigabytes.
_TICKETS = 8000
_TICKET = 4

Stretch = Sequence[Part]


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
    each = -(-len(parts) // _TICKETS)
    stretches = [parts[start : start + each] for start in range(0, len(parts), each)]
    number = min(processes, len(stretches))
    tickets = _tickets(context, range(number, len(stretches)))
    workers: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for first in range(1, number):
            mine, theirs = context.Pipe(duplex=False)
            _widen(mine)
            # A forked process holds this one's ends too; with them open it would not notice that this one is gone.
            others = [*pipes, mine] if method == "fork" else []
            worker: BaseProcess = context.Process(  # type: ignore[attr-defined]  # every context has it
                target=_work,
                args=(theirs, tickets, stretches, want),
                kwargs={"first": first, "others": others},
                daemon=True,
            )
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(mine)
        yield from _in_order(stretches, want, tickets, _Others(stretches, pipes))
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
        for pipe in (*pipes, tickets):
            pipe.close()


def _tickets(context: BaseContext, numbers: Iterable[int]) -> Connection:
    """A pipe that holds the numbers of stretches; whoever reads one has that stretch to do."""
    taken, given = context.Pipe(duplex=False)
    os.write(given.fileno(), b"".join(n.to_bytes(_TICKET, "big") for n in numbers))
    given.close()
    return taken


def _take(tickets: Connection) -> int | None:
    ticket = os.read(tickets.fileno(), _TICKET)
    return int.from_bytes(ticket, "big") if ticket else None


def _in_order(
    stretches: Sequence[Stretch], want: Want, tickets: Connection, others: _Others
) -> Iterator[tuple[Part, Batch | PartEnd]]:
    spare = bytearray(2 * want.block)
    mine: int | None = 0
    done = 0
    while mine is not None:
        for number in range(done, mine):
            yield from others.of(number)
        for part in stretches[mine]:
            yield from ((part, item) for item in read_part(part, want, spare=spare))
        done, mine = mine + 1, _take(tickets)
    for number in range(done, len(stretches)):
        yield from others.of(number)


class _Others:
    """What the other processes find, stretch by stretch."""

    def __init__(self, stretches: Sequence[Stretch], pipes: Sequence[Connection]) -> None:
        self._stretches = stretches
        # What each process is at, as far as it was asked. The first stretches are given out beforehand.
        self._at: dict[Connection, int | None] = {pipe: first for first, pipe in enumerate(pipes, 1)}

    def of(self, number: int) -> Iterator[tuple[Part, Batch | PartEnd]]:
        """What is found in a stretch that another process took. Raises LogError where that fails, or ends before."""
        stretch = self._stretches[number]
        pipe = self._who(number, stretch[0])
        for part in stretch:
            what, values = _told(pipe, part)
            while what == _BATCH:
                first, last, edges, *rest = values
                yield part, Batch(rest[0], Span(first, last, [Edge(*edge) for edge in edges]), *rest[1:])
                what, values = _told(pipe, part)
            yield part, PartEnd(*values)
        self._at[pipe] = None

    def _who(self, number: int, part: Part) -> Connection:
        """The process that took a stretch. What a process took before is told already, so it says next what it is at."""
        while number not in self._at.values():
            ready = wait([pipe for pipe, at in self._at.items() if at is None])
            if not ready:
                raise PosguardBugError("A part of a log was given to a process that did not take it.")
            for pipe in cast("list[Connection]", ready):
                what, at = _told(pipe, part)
                if what == _OVER:
                    del self._at[pipe]
                else:
                    self._at[pipe] = at
        return next(pipe for pipe, at in self._at.items() if at == number)


def _told(pipe: Connection, part: Part) -> tuple[int, Any]:
    try:
        what, values = marshal.loads(pipe.recv_bytes())  # noqa: S302 - of a process of ours
    except EOFError:
        raise LogError(
            f"The process that read {part.path} ended before it was done (out of memory, perhaps). What was read is not whole.",
            hint="Run it again, or with one process.",
        ) from None
    if what == _ERROR:
        raise LogError(values[0], hint=values[1])
    return what, values


def _widen(pipe: Connection) -> None:
    """Lets a process go ahead while this one reads its own share: a part's events fit in."""
    with suppress(OSError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def _work(
    pipe: Connection,
    tickets: Connection,
    stretches: Sequence[Stretch],
    want: Want,
    *,
    first: int,
    others: Sequence[Connection],
) -> None:
    for other in others:
        other.close()
    spare = bytearray(2 * want.block)
    number: int | None = first
    try:
        while number is not None:
            for part in stretches[number]:
                for item in read_part(part, want, spare=spare):
                    pipe.send_bytes(_packed(item))
            number = _take(tickets)
            said = (_OVER, None) if number is None else (_STRETCH, number)
            pipe.send_bytes(marshal.dumps(said, _PLAIN))
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
