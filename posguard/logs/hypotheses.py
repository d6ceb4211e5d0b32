"""The explanations of an incident that the log decides: each a pure function from the case to what becomes of it.

Held means that lines speak for it, refuted that lines exclude it; what is merely not in the log stays open, since a line that was
never printed proves nothing, and says which evidence would decide it.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from posguard.logs.case import line, lines, row
from posguard.model.incident import Evidence, Hypothesis, Standing
from posguard.model.log_event import LogEvent, LogKind
from posguard.model.race import Actor

if TYPE_CHECKING:
    from posguard.logs.case import Case
    from posguard.logs.correlate import PositionEvent

HELD, REFUTED, OPEN = Standing.HELD, Standing.REFUTED, Standing.OPEN
_STARTS = (
    "the bot's start-up lines (process started with its pid, process lock acquired) of each source, from before the inserts: "
    "read the logs from the bot's last start"
)
_EXCHANGES = "the exchange in the line of each open: the bot's log at level DEBUG"
_PASSES = "the synchroniser's lines of that pass, at log level DEBUG"
_TWO_WRITERS = "Two writers made the two rows: one is the synchroniser's."
_MORE_LOG = "the log from before the inserts to after them: name its files, or widen POSGUARD_LOG_SOURCES"
_CALLS = "create_called"
# The repository's own lines about its INSERT are written before the transaction commits, so they acknowledge nothing.
_IN_TRANSACTION = "insert_completed"
_REPOSITORY = ("repositor", "database")
_ROWS = (
    "both rows, or the log of their inserts: a row may have been deleted since; look in a backup of that time"
)
# A pass that says nothing for longer than this has ended without saying so.
_PASS_LASTS = timedelta(minutes=5)
# A check for a row is not older than this when its insert begins.
_CHECK = timedelta(seconds=1)
_CALL_LINES = (
    "lines `create_position() called for SYMBOL` for each insert: run the bot's repository at log level DEBUG"
)


def second_process(case: Case) -> Hypothesis:
    """Two processes of the bot ran at once."""
    ask = ("second process", "Did a second process of the bot insert a row?")
    _, end = case.span
    ran = [_ran(case, source, end) for source in sorted({e.source for e in case.processes})]
    alive = {pid for one in ran for pid in one.alive}
    said = lines(e for e in case.processes if e.at <= end and _pid(e) in alive)
    if len(alive) > 1 and case.covered:
        return Hypothesis(
            *ask, HELD, f"Processes {', '.join(sorted(alive))} had started and none had stopped.", said
        )
    inserts = {create.source for create in case.creates}
    if len(inserts) > 1:
        why = f"The inserts stand in the logs of {len(inserts)} sources, of two processes or of one that writes both."
        return Hypothesis(*ask, OPEN, why, (*_created(case), *said), (_STARTS,))
    # each source has to say it: one without start-up lines may be the log of another process
    locked = len(ran) == len(case.sources) and all(one.lock in one.alive for one in ran)
    if len(alive) == 1 and locked and case.covered:
        (pid,) = alive
        return Hypothesis(*ask, REFUTED, f"One process ran, pid {pid}, and it held the process lock.", said)
    return Hypothesis(*ask, OPEN, "No line says which processes ran.", said, (_STARTS,))


class _Ran(NamedTuple):
    """The pids of one source's log that had started and not stopped, and the one that held the lock."""

    alive: set[str]
    lock: str


def _ran(case: Case, source: str, at: datetime) -> _Ran:
    """What one source's log says of the processes by a time; a lock is one host's, and so is what it says of the others."""
    alive: set[str] = set()
    lock = ""
    for event in case.processes:
        pid = _pid(event)
        if event.source != source:
            continue
        if event.at > at:
            break
        if event.kind == LogKind.PROCESS_STARTED and pid:
            alive.add(pid)
        elif event.kind == LogKind.PROCESS_STOPPED:
            alive = alive - {pid} if pid else set()
            lock = "" if lock == pid or not pid else lock
        elif event.fields.get("lock", "acquired") == "acquired":
            # a lock that one process gets, all before it have lost: they ended without a line
            alive, lock = alive & {pid} or alive, pid
        elif event.fields.get("lock") == "refused":
            alive -= {pid}
    return _Ran(alive, lock)


def _pid(event: LogEvent) -> str:
    return event.fields.get("pid") or ""


def parallel_signals(case: Case) -> Hypothesis:
    """Two signals for the symbol ran at once."""
    ask = ("parallel signals", "Did two signals open the symbol at once?")
    opened = case.of_kind(LogKind.OPENING)
    if len({e.exchange for e in opened} - {None}) > 1:
        why = "Opens of it began on two exchanges, as far as neighbouring lines tell."
        return Hypothesis(*ask, OPEN, why, lines(opened), (_EXCHANGES,))
    if len(opened) > 1:
        return Hypothesis(
            *ask, HELD, f"{len(opened)} opens of it began within the half minute before.", lines(opened)
        )
    if len(opened) == 1 and case.covered:
        others = [
            e
            for e in case.waves
            if e.kind == LogKind.SIGNAL and abs(e.at - opened[0].at) <= timedelta(seconds=10)
        ]
        told = lines([*opened, *others])
        return Hypothesis(*ask, REFUTED, "One open of it began, and no second one.", told)
    return Hypothesis(*ask, OPEN, "No line says that it was opened.", (), (_MORE_LOG,))


def wave_twice(case: Case) -> Hypothesis:
    """One wave of signals was run twice."""
    ask = ("wave run twice", "Was one wave of signals processed twice?")
    start, _ = case.span
    waves = [
        e
        for e in case.waves
        if e.kind == LogKind.WAVE and timedelta() <= start - e.at <= timedelta(minutes=30)
    ]
    stamps = Counter(e.fields.get("wave", "").strip() for e in waves)
    twice = [stamp for stamp, number in stamps.items() if stamp and number > 1]
    if twice:
        again = [e for e in waves if e.fields.get("wave", "").strip() in twice]
        return Hypothesis(
            *ask, HELD, f"The wave {twice[0]} was announced {stamps[twice[0]]} times.", lines(again)
        )
    ran = [
        e
        for e in case.waves
        if e.kind == LogKind.SIGNAL and e.symbol and timedelta() <= start - e.at <= timedelta(minutes=5)
    ]
    mine = [e for e in ran if e.symbol == case.symbol]
    if waves and len(mine) <= 1 and case.covered:
        return Hypothesis(
            *ask, REFUTED, "Each wave of the half hour before was announced once.", lines([*waves, *mine])
        )
    return Hypothesis(*ask, OPEN, "No line announces the wave it belonged to.", (), (_MORE_LOG,))


def synchroniser(case: Case) -> Hypothesis:
    """The synchroniser inserted a row."""
    ask = ("synchroniser", "Did the synchroniser insert a row?")
    made = case.by_synchroniser
    ids = {None, *(r.id for r in case.rows)}
    told = [
        e
        for e in case.database.events or ()
        if e.event_type == "missing_position_added" and e.position_id in ids
    ]
    if made or told:
        rows = tuple(
            Evidence("monitoring.events", f"{e.event_type} #{e.position_id} {e.text}", e.at) for e in told
        )
        added = [e for e in case.lines if e.kind == LogKind.SYNC_ADDED]
        return Hypothesis(*ask, HELD, "It says that it added the position.", (*lines(added), *rows))
    start, end = case.span
    near = [e for e in case.passes if start - timedelta(seconds=30) <= e.at <= end + timedelta(seconds=1)]
    before = [e for e in case.passes if e.at < start]
    after = [e for e in case.passes if e.at > end]
    if before and after and _goes_on(before[-1], start):
        why = "A pass of it had begun before, and no line says that it had ended."
        return Hypothesis(*ask, OPEN, why, (line(before[-1]), line(after[0])), (_PASSES,))
    if not near and before and after:
        away = min(start - before[-1].at, after[0].at - end)
        why = f"Its passes before and after lie {away.total_seconds():.0f} s and more away."
        return Hypothesis(*ask, REFUTED, why, (line(before[-1]), line(after[0])))
    if near:
        why = "A pass of it ran at the time, and no line says that it added the position."
        return Hypothesis(*ask, OPEN, why, lines(near), (_PASSES,))
    why = "The log does not show its passes on both sides of the inserts."
    return Hypothesis(*ask, OPEN, why, (), (_MORE_LOG,))


def _goes_on(last: PositionEvent, at: datetime) -> bool:
    """Whether a pass whose last line this is may not have ended by a time."""
    return last.kind != LogKind.SYNC_COMPLETED and at - last.at <= _PASS_LASTS


def retry(case: Case) -> Hypothesis:
    """The insert was repeated after an exception, and the first had committed."""
    ask = ("retry", "Was an insert repeated after an exception although it had committed?")
    if case.two_writers:
        return Hypothesis(*ask, REFUTED, _TWO_WRITERS, _created(case))
    start, end = case.span
    failed: list[PositionEvent | LogEvent] = [*case.failures]
    failed += case.of_kind(LogKind.ROLLBACK, before=timedelta())
    between = [e for e in failed if start - timedelta(milliseconds=5) <= e.at <= end]
    if between and case.inserts:
        return Hypothesis(*ask, HELD, "An error stands between the inserts.", lines(between))
    acknowledged = _acknowledged(case)
    if acknowledged and case.covered:
        why = "The first insert was acknowledged by a line of its own before the second began."
        return Hypothesis(*ask, REFUTED, why, lines(acknowledged))
    why = "No error stands between the inserts, and no line says that the first was acknowledged."
    missing = (
        "tracebacks of the database driver around the inserts (log level DEBUG of asyncpg and of the repository)",
        "the server's log: connections lost at the time (log_disconnections)",
    )
    return Hypothesis(*ask, OPEN, why, _created(case), missing)


def _acknowledged(case: Case) -> list[PositionEvent]:
    """Lines that say the first row is there, before the second insert began."""
    if not case.rows or not case.inserts:
        return []
    first, last = case.rows[0], case.inserts[1]
    slack = timedelta(milliseconds=1)
    return [
        e
        for e in case.lines
        if e.kind == LogKind.CREATED
        and e.pattern != _IN_TRANSACTION
        and not any(word in e.module.lower() for word in _REPOSITORY)
        and e.position_id == first.id
        and e.at < last - slack
    ]


def create_called_twice(case: Case) -> Hypothesis:
    """The bot's create was called twice for one open."""
    ask = ("create called twice", "Did one open call create twice?")
    if case.two_writers:
        return Hypothesis(*ask, REFUTED, _TWO_WRITERS, _created(case))
    calls = [e for e in case.lines if e.pattern == _CALLS]
    opened = case.of_kind(LogKind.OPENING)
    if len(calls) > 1 and len(opened) <= 1:
        return Hypothesis(*ask, HELD, f"Create was called {len(calls)} times for one open.", lines(calls))
    if len(calls) == 1 and case.covered:
        return Hypothesis(*ask, REFUTED, "Create was called once.", lines(calls))
    return Hypothesis(
        *ask, OPEN, "The log holds no line for each call of create.", lines(opened), (_CALL_LINES,)
    )


def inserted_twice(case: Case) -> Hypothesis:
    """One call of create inserted two rows."""
    ask = ("one create inserting twice", "Did one call of create insert two rows?")
    calls = [e for e in case.lines if e.pattern == _CALLS]
    if case.inserts is None:
        return _not_two(case, ask)
    if case.two_writers:
        return Hypothesis(*ask, REFUTED, _TWO_WRITERS, _created(case))
    if len(calls) == 1 and case.covered:
        return Hypothesis(*ask, HELD, "Create was called once, and two rows are there.", lines(calls))
    if len(calls) > 1:
        return Hypothesis(*ask, REFUTED, f"Create was called {len(calls)} times for the rows.", lines(calls))
    return Hypothesis(
        *ask, OPEN, "The log holds no line for each call of create.", _created(case), (_CALL_LINES,)
    )


def two_tasks(case: Case) -> Hypothesis:
    """Two tasks of one process passed the existence check before either inserted."""
    ask = ("two tasks past one check", "Did two tasks pass the existence check before either had inserted?")
    backends = _backends(case)
    missing = (
        "the task in each line: add %(taskName)s to the bot's log format",
        "which connection made each insert: `posguard db upgrade --target bot` records it from then on",
    )
    told = tuple(
        Evidence("posguard.transitions", f"#{number} by server process {pid}") for number, pid in backends
    )
    if case.inserts is None:
        return _not_two(case, ask)
    if (apart := _apart(case)) is not None and apart > _CHECK:
        why = f"The first row was there {apart.total_seconds():.3f} s before the synchroniser's insert began, longer than a check takes."
        return Hypothesis(*ask, REFUTED, why, _created(case))
    if len({pid for _, pid in backends}) > 1:
        why = "The rows came over two connections: two tasks or processes, or one task that got another connection of its pool."
        return Hypothesis(*ask, HELD, why, told)
    calls = [e for e in case.lines if e.pattern == _CALLS]
    if len(calls) == 1 and case.covered:
        return Hypothesis(*ask, REFUTED, "Create, and with it the check, was called once.", lines(calls))
    start, end = case.span
    gap = (end - start) / timedelta(milliseconds=1)
    why = f"The inserts lie {gap:.0f} ms apart, and nothing says which task made which."
    return Hypothesis(*ask, OPEN, why, told or _created(case), missing)


def _apart(case: Case) -> timedelta | None:
    """How long the first row was there when the other writer's insert began; None where there are not two writers."""
    made = case.two_writers
    return made[1].started - made[0].at if made else None


def _not_two(case: Case, ask: tuple[str, str]) -> Hypothesis:
    """What takes two rows where there are not two: refuted by one row with one insert in a log that covers it."""
    rows = tuple(row(r) for r in case.rows)
    if len(rows) == 1 and len(case.creates) == 1 and case.covered:
        return Hypothesis(*ask, REFUTED, "There is one row, and the log tells of one insert.", _created(case))
    return Hypothesis(*ask, OPEN, "There are not two rows to look at.", _created(case), (_ROWS,))


def _backends(case: Case) -> list[tuple[int, int]]:
    ids = {r.id for r in case.rows}
    made = case.database.transitions or ()
    return [(t.position_id, t.backend_pid) for t in made if t.operation == "insert" and t.position_id in ids]


def stream_handler(case: Case) -> Hypothesis:
    """A handler of a stream wrote a row beside the open."""
    ask = ("stream handler as second writer", "Did a handler of a WebSocket stream insert a row?")
    start, end = case.span
    words = ("stream", "websocket", "ws_")
    near = [
        e
        for e in case.lines
        if any(w in e.module.lower() for w in words) and start - timedelta(seconds=1) <= e.at <= end
    ]
    wrote = [e for e in near if e.kind in {LogKind.INSERTING, LogKind.CREATED, LogKind.SAVED}]
    if wrote:
        return Hypothesis(*ask, HELD, "A module of the streams wrote the line of an insert.", lines(wrote))
    told = [
        e
        for e in case.lines
        if e.kind in {LogKind.INSERTING, LogKind.CREATED} and start - timedelta(seconds=1) <= e.at <= end
    ]
    owned = {r.id for r in case.rows}
    said = [e for e in told if e.actor is Actor.SIGNAL and "actor" not in e.inferred]
    if owned and owned <= {e.position_id for e in said}:
        return Hypothesis(*ask, REFUTED, "Each row has a line of the open's own module.", lines(told))
    missing = "lines of the stream handlers at log level DEBUG, and the program name in their connections (application_name)"
    return Hypothesis(*ask, OPEN, "No line says which module made each row.", lines(near), (missing,))


def _created(case: Case) -> tuple[Evidence, ...]:
    rows = tuple(row(r) for r in case.rows)
    told = [
        e
        for e in case.lines
        if e.kind in {LogKind.CREATED, LogKind.SAVED, LogKind.INSERTING, LogKind.SYNC_ADDED}
    ]
    return (*rows, *lines(told))
