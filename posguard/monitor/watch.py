"""A run of the monitor: one snapshot at each multiple of the interval, none lost, none twice, whatever ends the process.

A snapshot, its alerts with their rows of the outbox, and the counters of all time are one transaction; then its line goes to
the file. What was due while nobody watched, or while the database did not answer, is recorded as missed, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from posguard.errors import RetryableError
from posguard.model.metrics import GAUGES, TEN_MINUTES, Measure, Window
from posguard.model.monitor_alerts import Changes, MonitorAlert, Silences, Thresholds, change, judge
from posguard.model.monitoring import MonitorRun, Reading, Snapshot
from posguard.monitor.ending import gather, mean, save
from posguard.monitor.lines import Lines
from posguard.monitor.logwatch import LogWatch, log_to_follow, no_log
from posguard.monitor.report import Told, build
from posguard.postgres import monitor, monitorcounts
from posguard.postgres import monitorruns as store
from posguard.postgres.schema import require_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from posguard.model.monitor_counters import Counter, Part
    from posguard.monitor.clock import Clock
    from posguard.postgres.pool import Database
    from posguard.settings import LogSource

NOBODY = "no monitor was running"
_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True)
class Plan:
    """How to watch: how long, how often, what counts as too much, which log, and where the files go.

    fresh: begin a new run although an earlier one of the same kind has not ended. keep: how long ended runs are kept.
    """

    duration: timedelta
    interval: timedelta
    limits: monitor.Limits
    thresholds: Thresholds
    out: Path
    log: LogSource | None = None
    paths: Sequence[str] = ()
    fresh: bool = False
    keep: timedelta = timedelta(days=90)


class Screen(Protocol):
    """Whoever is told what happens."""

    def began(self, run: MonitorRun, *, again: bool, slow: Sequence[str]) -> None:
        """A run begins, or goes on; slow names the indexes that the database lacks."""
        ...

    def counting(self, done: int, total: int) -> None:
        """The rows of earlier times are being counted."""
        ...

    def took(
        self, run: MonitorRun, snapshot: Snapshot, changes: Changes, standing: Sequence[MonitorAlert]
    ) -> None:
        """A snapshot was kept, or recorded as missed."""
        ...

    def trouble(self, text: str) -> None:
        """Something did not go as it should; the monitor goes on."""
        ...


@dataclass
class _State:
    """What a run goes on from: kept in the database, and read again where it is not sure what was written."""

    last: int
    standing: tuple[MonitorAlert, ...]
    counters: dict[Part, Counter]
    recent: deque[Snapshot]


class Monitor:
    """The watch over one database. `run` is its whole life."""

    def __init__(self, db: Database, plan: Plan, clock: Clock, screen: Screen) -> None:
        self._db, self._plan, self._clock, self._screen = db, plan, clock, screen
        self._owner = f"{os.getpid()}:{secrets.token_hex(6)}"
        self._sources = monitor.Sources()
        self._log: LogWatch | None = None
        self._heard: datetime | None = None
        self._pending: list[Snapshot] = []

    async def run(self, stop: asyncio.Event) -> dict[str, Any]:
        """Watches until the run ends or `stop` is set, and returns its report. Raises posguard's errors where it cannot begin."""
        if self._plan.log is not None:
            await asyncio.to_thread(log_to_follow, self._plan.paths)
        async with self._db.snapshot() as connection:
            await require_schema(connection)
            self._sources = await monitor.find_sources(connection)
            slow = await monitor.missing_indexes(connection)
            self._clock.agree(await monitor.server_time(connection))
        while True:
            run, again = await self._pick()
            wanted = self._continues(run)
            self._screen.began(run, again=again, slow=slow)
            over = self._clock.now() >= run.ends_at + self._plan.interval
            ending = stop
            if not wanted:
                ending = asyncio.Event()
                ending.set()
            report = await self._watch(run, ending)
            if (wanted and not over) or stop.is_set():
                return report

    def _continues(self, run: MonitorRun) -> bool:
        same = run.interval == self._plan.interval.total_seconds()
        return same and run.ends_at - run.started_at == self._plan.duration and not self._plan.fresh

    async def _pick(self) -> tuple[MonitorRun, bool]:
        """The run to go on with, or a new one. One that has no end yet is ended first, even where it is not wanted."""
        now = self._clock.now()
        async with self._db.transaction() as connection:
            latest = await store.latest_run(connection)
            if latest is not None:
                whole = await store.last_number(connection, latest.id) >= latest.expected
                stopped = latest.finished_at is not None
                goes_on = self._continues(latest) and now < latest.ends_at and not whole
                if not stopped or goes_on:
                    taken = await store.take_over(connection, latest.id, owner=self._owner)
                    assert taken is not None
                    return taken, True
                self._restore_report(latest, await store.report_of(connection, latest.id))
            self._plan = replace(self._plan, fresh=False)
            await store.forget(connection, now - self._plan.keep)
            return await store.begin(connection, self._new_run(now), owner=self._owner), False

    def _restore_report(self, run: MonitorRun, report: Mapping[str, Any] | None) -> None:
        """A process that died between the database and the file has left a run's files without their report."""
        path = self._path(run, "json")
        if report is not None and self._path(run, "jsonl").exists() and not path.exists():
            with contextlib.suppress(OSError):
                save(path, report)

    def _new_run(self, now: datetime) -> MonitorRun:
        log = self._plan.log.name if self._plan.log else ""
        return MonitorRun(0, now, now + self._plan.duration, self._plan.interval.total_seconds(), log)

    async def _watch(self, run: MonitorRun, stop: asyncio.Event) -> dict[str, Any]:
        lines = Lines(self._path(run, "jsonl"))
        try:
            await self._listen(run)
            state = await self._state(run)
            self._repair(lines, await self._stored(run))
            if run.due(state.last + 1) + self._plan.interval > self._clock.now():
                await self._catch_up(run, state)
            await self._slots(run, state, lines, stop)
            return await self._end(run, state, lines)
        finally:
            lines.close()
            if self._log is not None:
                self._log.close()
                self._log = None

    async def _slots(self, run: MonitorRun, state: _State, lines: Lines, stop: asyncio.Event) -> None:
        interval = timedelta(seconds=run.interval)
        number, why = state.last + 1, NOBODY
        while number <= run.expected:
            due = run.due(number)
            if due > self._clock.now():
                why = "the monitor was held up"
            await self._clock.until(due, stop)
            if self._clock.now() < due:
                return
            if self._clock.now() >= due + interval:
                self._miss(run, state, Snapshot(number, due, missed=why))
            else:
                await self._take(run, number, state, lines, stop)
            number += 1

    def _miss(self, run: MonitorRun, state: _State, snapshot: Snapshot) -> None:
        """It is written with the next snapshot that goes through, and shown at once."""
        self._pending.append(snapshot)
        changes = self._judged(run, snapshot, state.standing)
        self._screen.took(run, snapshot, changes, changes.standing)

    async def _take(
        self, run: MonitorRun, number: int, state: _State, lines: Lines, stop: asyncio.Event
    ) -> None:
        due = run.due(number)
        ends = due + timedelta(seconds=run.interval)
        while True:
            try:
                await self._try(run, number, state, lines)
            except RetryableError as error:
                why = str(error)
                self._screen.trouble(why)
            else:
                return
            await self._clock.until(min(self._clock.now() + _AGAIN, ends), stop)
            if self._clock.now() >= ends or stop.is_set():
                self._miss(run, state, Snapshot(number, due, missed=why))
                return

    async def _try(self, run: MonitorRun, number: int, state: _State, lines: Lines) -> None:
        due = run.due(number)
        if self._log is not None:
            await asyncio.to_thread(self._log.poll, self._clock.now())
        begun = monotonic()
        async with self._db.snapshot() as connection:
            seen = await monitor.look(connection, due, self._plan.limits, self._sources, state.counters)
        self._clock.agree(seen.now, timedelta(seconds=monotonic() - begun))
        self._heard = max(filter(None, (self._heard, seen.heard)), default=None)
        snapshot = self._whole(number, due, seen, state)
        await self._write(run, snapshot, seen.counters, state, lines)

    def _whole(self, number: int, due: datetime, seen: monitor.Seen, state: _State) -> Snapshot:
        """What the database and the log say, as one snapshot."""
        readings = {window: dict(told) for window, told in seen.readings.items()}
        log = self._log
        for window, length in ((Window.MINUTE, timedelta(minutes=1)), (Window.TEN_MINUTES, TEN_MINUTES)):
            readings[window] |= self._log_says(log.counts.window(due, length) if log else {})
        readings[Window.ALL_TIME] |= self._log_says(log.counts.all_time() if log else {})
        recent = [one for one in state.recent if one.at > due - TEN_MINUTES and not one.missed]
        now = readings[Window.NOW]
        readings[Window.TEN_MINUTES] |= {
            measure: mean([*(one.reading(measure, Window.NOW) for one in recent), now[measure]])
            for measure in GAUGES
        }
        return Snapshot(number, due, seen.now, readings, seen.unprotected)

    def _log_says(self, told: dict[Measure, Reading]) -> dict[Measure, Reading]:
        if self._log is None:
            return no_log()
        return no_log(self._log.broken) if self._log.broken else told

    async def _write(
        self,
        run: MonitorRun,
        snapshot: Snapshot | None,
        counters: Mapping[Part, Counter],
        state: _State,
        lines: Lines,
    ) -> None:
        snapshots = [*self._pending, *([snapshot] if snapshot else [])]
        standing = state.standing
        told: list[tuple[Snapshot, Changes]] = []
        async with self._db.transaction() as connection:
            await store.hold(connection, run.id, self._owner)
            known = await store.last_number(connection, run.id) == state.last
            for one in snapshots if known else ():
                changes = self._judged(run, one, standing)
                standing = changes.standing
                await store.add_snapshot(connection, run.id, one)
                await store.change_alerts(connection, run.id, changes)
                told.append((one, changes))
            for counter in counters.values() if known else ():
                if counter != state.counters.get(counter.part):
                    await store.keep_counter(connection, counter)
        if known:
            state.standing, state.counters = standing, {**state.counters, **counters}
            state.last = snapshots[-1].number if snapshots else state.last
        else:
            # an earlier try was committed although its answer never came
            fresh = await self._state(run)
            state.last, state.standing, state.counters = fresh.last, fresh.standing, fresh.counters
        self._pending = [one for one in self._pending if one.number > state.last]
        state.recent.extend(one for one, _ in told)
        self._to_file(lines, await self._stored(run, lines.last))
        if told and snapshot is not None:
            self._screen.took(run, *told[-1], state.standing)

    def _judged(self, run: MonitorRun, snapshot: Snapshot, standing: Sequence[MonitorAlert]) -> Changes:
        prices = dict(self._log.counts.prices) if self._log else {}
        heard = self._heard if self._heard is not None and self._heard <= snapshot.at else None
        silences = Silences(run.started_at, prices, heard)
        return change(standing, judge(snapshot, self._plan.thresholds, silences), snapshot.at)

    def _repair(self, lines: Lines, stored: Sequence[Mapping[str, Any]]) -> None:
        try:
            lines.repair(stored)
        except OSError as error:
            self._unwritten(lines, error)

    def _to_file(self, lines: Lines, behind: Sequence[Mapping[str, Any]]) -> None:
        try:
            for one in behind:
                lines.append(one)
        except OSError as error:
            self._unwritten(lines, error)

    def _unwritten(self, lines: Lines, error: OSError) -> None:
        self._screen.trouble(
            f"{lines.path} cannot be written: {error.strerror}. The database has all snapshots; the file gets them later."
        )

    async def _listen(self, run: MonitorRun) -> None:
        if self._plan.log is None:
            return
        self._log = LogWatch(self._plan.log, self._plan.paths, run.started_at)
        await asyncio.to_thread(self._log.begin)

    async def _state(self, run: MonitorRun) -> _State:
        async with self._db.snapshot() as connection:
            last = await store.last_number(connection, run.id)
            recent = await store.snapshots_behind(
                connection, run.id, last - int(TEN_MINUTES.total_seconds() / run.interval) - 1
            )
            return _State(
                last,
                await store.standing_alerts(connection),
                await store.counters(connection),
                deque((Snapshot.read(one) for one in recent), maxlen=1000),
            )

    async def _stored(self, run: MonitorRun, after: int = 0) -> list[Mapping[str, Any]]:
        async with self._db.snapshot() as connection:
            return await store.snapshots_behind(connection, run.id, after)

    async def _catch_up(self, run: MonitorRun, state: _State) -> None:
        async def keep(counter: Counter) -> None:
            async with self._db.transaction() as connection:
                await store.hold(connection, run.id, self._owner)
                await store.keep_counter(connection, counter)
            state.counters[counter.part] = counter

        await monitorcounts.catch_up(
            self._db,
            state.counters,
            self._plan.limits.aged_after,
            keep,
            at=self._clock.now(),
            events=self._sources.events,
            tell=self._screen.counting,
        )

    async def _end(self, run: MonitorRun, state: _State, lines: Lines) -> dict[str, Any]:
        """Ends the run with its report, in the database and as a file; where the database does not answer, the file says so."""
        ended_at = max(min(self._clock.now(), run.ends_at), run.started_at)
        try:
            if self._pending:
                await self._write(run, None, {}, state, lines)
            report = build(run, ended_at, await self._told(run, ended_at))
            async with self._db.transaction() as connection:
                await store.hold(connection, run.id, self._owner)
                await store.finish(connection, run.id, ended_at, report)
        except RetryableError as error:
            self._screen.trouble(str(error))
            why = f"the database did not answer at the end: {error.message}"
            snapshots = [*lines.read(), *(one.as_json() for one in self._pending)]
            report = build(run, ended_at, Told(snapshots, missing=dict.fromkeys(Measure, why)))
            report["incomplete"] = why
        try:
            save(self._path(run, "json"), report)
        except OSError as error:
            report["incomplete"] = f"its file cannot be written: {error.strerror}"
        return {**report, "files": {"snapshots": str(lines.path), "report": str(self._path(run, "json"))}}

    async def _told(self, run: MonitorRun, ended_at: datetime) -> Told:
        if self._log is not None:
            await asyncio.to_thread(self._log.poll, self._clock.now())
        return await gather(
            self._db, run, ended_at, self._sources, self._log, aged_after=self._plan.limits.aged_after
        )

    def _path(self, run: MonitorRun, kind: str) -> Path:
        return self._plan.out / f"monitor-{run.started_at:%Y%m%dT%H%M%SZ}-{run.id}.{kind}"
