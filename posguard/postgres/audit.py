"""What an audit asks of a window of time: the bot's rows as evidence, and what posguard's own tables keep of it. Reads only.

A query whose table, column or privilege is missing, or that takes too long, is left out and named: it makes nothing zero.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.model.audit import (
    BrokenLife,
    Ending,
    ErrorGroup,
    EventCount,
    Hour,
    Window,
)
from posguard.model.race import race_from_plain
from posguard.postgres import findings, monitorruns, results, runs
from posguard.postgres.queries import queries
from posguard.postgres.statistics import EVENTS, POSITIONS, be_quick, columns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from posguard.model.finding import StoredFinding
    from posguard.model.monitor_alerts import MonitorAlert
    from posguard.model.monitoring import Snapshot
    from posguard.model.quality import ExpectationResult
    from posguard.model.race import Race
    from posguard.model.run import StoredRun

PATIENCE = timedelta(seconds=15)  # of one query
EVENT = "event "  # before the number of each hour's events of a kind, as `event order_filled`

_NEEDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "positions_by_hour": {POSITIONS: frozenset({"created_at", "closed_at", "updated_at", "status"})},
    "broken_off": {POSITIONS: frozenset({"id", "closed_at", "status", "exit_reason"})},
    "pnl_by_hour": {POSITIONS: frozenset({"closed_at", "status", "realized_pnl"})},
    "events_by_hour": {EVENTS: frozenset({"created_at", "event_type"})},
    "events_by_kind": {EVENTS: frozenset({"id", "created_at", "event_type"})},
    "error_groups": {
        EVENTS: frozenset(
            {
                "id",
                "created_at",
                "event_type",
                "severity",
                "error_message",
                "stack_trace",
                "symbol",
                "exchange",
            }
        )
    },
    "closed_and_open": {
        POSITIONS: frozenset({"id", "symbol", "exchange", "status"}),
        EVENTS: frozenset({"id", "position_id", "event_type", "created_at"}),
    },
}


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the bot's own tables tell of a window. `missing` maps what could not be asked to the reason; its part is then empty."""

    hours: tuple[Hour, ...] = ()
    events: tuple[EventCount, ...] = ()
    errors: tuple[ErrorGroup, ...] = ()
    lives: tuple[BrokenLife, ...] = ()
    endings: tuple[Ending, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What posguard's tables keep of a window: passes, findings, the newest suite results and their run, races with their findings."""

    runs: tuple[StoredRun, ...] = ()
    findings: tuple[StoredFinding, ...] = ()
    results: tuple[ExpectationResult, ...] = ()
    results_of: int | None = None
    races: tuple[tuple[int, Race], ...] = ()
    logs: tuple[LoadedLog, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    alerts: tuple[MonitorAlert, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedLog:
    """What is loaded of one log source in the window."""

    source: str
    events: int
    first: datetime
    last: datetime


async def read_rows(connection: Any, window: Window) -> RowFacts:
    """The bot's rows of a window, inside a snapshot. Never raises for what is missing or slow."""
    asked = _Asked(connection, window)
    await asked.prepare()
    hours = await _hours(asked)
    return RowFacts(
        hours=hours,
        events=tuple(
            EventCount(r["event_type"] or "", r["count"], r["first"], r["last"], tuple(r["ids"]))
            for r in await asked.rows("events_by_kind")
        ),
        errors=tuple(_error(r) for r in await asked.rows("error_groups")),
        endings=tuple(
            Ending(r["status"], r["reason"] or "", r["count"], tuple(r["ids"]))
            for r in await asked.rows("broken_off")
        ),
        lives=tuple(_life(r) for r in await asked.rows("closed_and_open")),
        missing=dict(asked.missing),
    )


async def read_kept(connection: Any, window: Window, *, watched: bool) -> Kept:
    """What posguard's tables keep of a window, the monitor's snapshots with `watched`, inside a snapshot; its schema must be there."""
    asked = queries("audit")
    when = {"start": window.start, "until": window.end}
    ids = [record["id"] async for record in asked.runs_between(connection, **when)]
    passes = [run for one in ids if (run := await runs.run_by_id(connection, one)) is not None]
    judged_by = await asked.suites_between(connection, **when)
    return Kept(
        runs=tuple(passes),
        findings=tuple(await findings.touching(connection, window.start, window.end)),
        results=await results.results_of(connection, judged_by) if judged_by else (),
        results_of=judged_by,
        races=tuple(
            [
                (record["finding_id"], race_from_plain(record["race"]))
                async for record in asked.races_between(connection, **when)
            ]
        ),
        logs=tuple([LoadedLog(**dict(record)) async for record in asked.logs_between(connection, **when)]),
        snapshots=tuple(await monitorruns.snapshots_between(connection, window.start, window.end))
        if watched
        else (),
        alerts=await monitorruns.alerts_between(connection, window.start, window.end),
    )


class _Asked:
    """One reading: which columns there are, and every query behind the same guard."""

    def __init__(self, connection: Any, window: Window) -> None:
        self._connection, self._window = connection, window
        self._have: dict[str, frozenset[str]] = {}
        self.missing: dict[str, str] = {}

    async def prepare(self) -> None:
        await be_quick(self._connection, PATIENCE)
        for table in (POSITIONS, EVENTS):
            self._have[table] = await columns(self._connection, table)

    async def rows(self, query: str, **more: Any) -> list[Any]:
        """The query's lines; none where it could not be asked, which `missing` then says."""
        if why := self._lacking(query):
            self.missing[query] = why
            return []
        try:
            async with self._connection.transaction():
                return [record async for record in self._ask(query, more)]
        except (asyncpg.QueryCanceledError, asyncpg.InsufficientPrivilegeError) as error:
            self.missing[query] = str(error).splitlines()[0]
            return []

    def _ask(self, query: str, more: Mapping[str, Any]) -> AsyncIterator[Any]:
        ask = getattr(queries("audit"), query)
        found: AsyncIterator[Any] = ask(
            self._connection, start=self._window.start, until=self._window.end, **more
        )
        return found

    def _lacking(self, query: str) -> str:
        for table, needed in _NEEDS[query].items():
            have = self._have[table]
            if not have:
                return f"{table} does not exist or may not be read"
            if lacking := sorted(needed - have):
                return f"{table} has no column {', '.join(lacking)}"
        return ""


async def _hours(asked: _Asked) -> tuple[Hour, ...]:
    hours = [
        Hour(
            r["since"],
            r["until"],
            {n: r[n] for n in ("opened", "closed", "rolled_back", "broken_off", "open_at_end")},
        )
        for r in await asked.rows("positions_by_hour")
    ] or _empty_hours(asked)
    more: dict[datetime, dict[str, float]] = defaultdict(dict)
    for record in await asked.rows("events_by_hour"):
        more[record["hour"]][EVENT + (record["event_type"] or "")] = record["count"]
    if "events_by_hour" not in asked.missing:
        for hour in hours:
            more[_whole(hour.start)]["events"] = sum(more[_whole(hour.start)].values())
    brought = {record["hour"]: record["realized"] for record in await asked.rows("pnl_by_hour")}
    if "pnl_by_hour" not in asked.missing:
        for hour in hours:
            more[_whole(hour.start)]["realized_pnl"] = float(brought.get(_whole(hour.start), 0))
    return tuple(replace(hour, counts={**hour.counts, **more[_whole(hour.start)]}) for hour in hours)


def _empty_hours(asked: _Asked) -> list[Hour]:
    return hours_of(asked._window)  # noqa: SLF001 - of this module


def hours_of(window: Window) -> list[Hour]:
    """The hours of a window, the first and the last cut to it, with no counts."""
    found, at = [], window.start
    while at < window.end:
        until = min(_whole(at) + timedelta(hours=1), window.end)
        found.append(Hour(at, until))
        at = until
    return found


def _whole(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _error(record: Any) -> ErrorGroup:
    return ErrorGroup(
        source="events",
        sample=record["sample"].splitlines()[0],
        count=record["count"],
        first=record["first"],
        last=record["last"],
        worst="CRITICAL" if record["critical"] else "ERROR",
        kind=record["kind"],
        places=tuple(str(one) for one in record["ids"]),
        symbols=tuple(record["symbols"] or ()),
        exchanges=tuple(record["exchanges"] or ()),
        location=record["trace"] or "",
    )


def _life(record: Any) -> BrokenLife:
    return BrokenLife(
        record["id"],
        record["symbol"] or "",
        record["exchange"] or "",
        record["at"],
        f"its status is {record['status'] or 'NULL'}, and the bot's last event about it, #{record['event_id']}, says that it closed",
    )
