"""The investigation of one incident: what the log and the database say, side by side in UTC, and what becomes of each explanation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.logs import hypotheses as by_log
from posguard.logs import hypotheses_database as by_database
from posguard.logs.case import Case, exchange_of, is_process, line, nearest_row, row
from posguard.logs.correlate import FAILURES, PositionEvent, correlate
from posguard.logs.creates import creates
from posguard.logs.repeats import told_once
from posguard.model.incident import DatabaseFacts, Evidence, Hypothesis
from posguard.model.log_event import LogEvent, LogKind
from posguard.model.race import Actor, Create
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order in which they are told.
EXPLANATIONS = (
    by_log.second_process,
    by_log.parallel_signals,
    by_log.wave_twice,
    by_log.synchroniser,
    by_database.trigger,
    by_log.retry,
    by_log.create_called_twice,
    by_log.inserted_twice,
    by_log.two_tasks,
    by_log.stream_handler,
    by_database.lock_key,
    by_database.index,
    by_database.symbol_bytes,
)
_FAILED = FAILURES | {LogKind.API_ERROR, LogKind.DUPLICATE_ERROR}
_KEPT = frozenset({LogKind.WAVE, LogKind.SIGNAL})


@dataclass(frozen=True, slots=True)
class Investigation:
    """What came of it. `side_by_side` is in order of time; `skew` is how much the log's clock is ahead of the database's,
    by the rows that both name, None where there is none.
    """

    case: Case
    side_by_side: tuple[Evidence, ...]
    hypotheses: tuple[Hypothesis, ...]
    skew: timedelta | None
    still_open: tuple[int, ...]


def make_case(
    events: Sequence[LogEvent], facts: DatabaseFacts, scope: Scope, at: datetime, around: timedelta
) -> Case:
    """The case of the scope's symbol at a time, of what was read of the log (in the order of its lines) and of the database."""
    told = correlate(events)
    # several files or sources may hold one line, and how often a line was written is evidence
    events = list(told_once(events))
    since, until = at - around, at + around
    nearest = nearest_row(facts, at)
    exchange = scope.exchange or (exchange_of(nearest) if nearest else "")
    mine = [e for e in told if e.symbol == scope.symbol and _fits(exchange, e)]
    made = creates(told)
    return Case(
        symbol=scope.symbol,
        exchange=exchange,
        at=at,
        since=since,
        until=until,
        first=min((e.at for e in events), default=None),
        last=max((e.at for e in events), default=None),
        lines=tuple(e for e in mine if since <= e.at <= until),
        creates=tuple(
            c for c in made if c.symbol == scope.symbol and _fits(exchange, c) and since <= c.at <= until
        ),
        passes=tuple(e for e in told if e.actor is Actor.SYNC and e.symbol is None),
        waves=tuple(e for e in events if e.kind in _KEPT),
        processes=tuple(e for e in events if is_process(e)),
        failures=tuple(
            e
            for e in events
            if e.kind in _FAILED and since <= e.at <= until and e.symbol in {None, scope.symbol}
        ),
        sources=frozenset(e.source for e in events),
        database=facts,
    )


def investigate(case: Case) -> Investigation:
    """What becomes of each explanation of a case."""
    return Investigation(
        case=case,
        side_by_side=side_by_side(case),
        hypotheses=tuple(explain(case) for explain in EXPLANATIONS),
        skew=_skew(case),
        still_open=by_database.still_open(case),
    )


def side_by_side(case: Case) -> tuple[Evidence, ...]:
    """The log's lines about the symbol and the synchroniser, the rows, the bot's events and the recorded changes, by time."""
    start, end = case.span
    near = [e for e in case.passes if start - timedelta(seconds=30) <= e.at <= end + timedelta(seconds=30)]
    told = [line(e) for e in (*case.lines, *near)]
    rows = [row(r) for r in case.rows]
    events = [
        Evidence("monitoring.events", f"{e.event_type} #{e.position_id or '–'} {e.text}"[:300], e.at)
        for e in case.database.events or ()
    ]
    changes = [
        Evidence(
            "posguard.transitions",
            f"#{t.position_id} {t.operation} {t.from_status or '–'} → {t.to_status or '–'} by server process {t.backend_pid} {t.app}".rstrip(),
            t.at,
        )
        for t in case.database.transitions or ()
        if case.since <= t.at <= case.until
    ]
    return tuple(sorted((*told, *rows, *events, *changes), key=lambda e: e.at or case.at))


def _skew(case: Case) -> timedelta | None:
    """The middle one of the differences between a created line and its row, which the database stamps as the insert begins."""
    stamped = {r.id: r.created_at for r in case.database.rows}
    apart = sorted(
        e.at - stamped[e.position_id]
        for e in case.lines
        if e.kind == LogKind.CREATED and e.position_id is not None and e.position_id in stamped
    )
    return apart[len(apart) // 2] if apart else None


def _fits(exchange: str, told: PositionEvent | Create) -> bool:
    """Whether a line may be about a position on an exchange. What neighbours lend excludes nothing: evidence would be lost."""
    outright = None if "exchange" in told.inferred else told.exchange
    return not exchange or outright is None or outright == exchange
