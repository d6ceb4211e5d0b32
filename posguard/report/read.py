"""Reads what the page shows, through the stores, each page inside one snapshot so that its parts agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model.finding import RACE_KINDS
from posguard.model.race import race_from_plain
from posguard.postgres import alerts, findings, lograces, planlists, plans, results, runs
from posguard.report.view import Known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from posguard.model.finding import FindingEvent, StoredFinding
    from posguard.model.plan import StoredPlan
    from posguard.model.quality import ExpectationResult, Outcome
    from posguard.model.race import Race
    from posguard.model.run import StoredRun
    from posguard.postgres.planlists import PlanSummary
    from posguard.postgres.pool import Database

RUNS_SHOWN = 72
STRIP = 24
PLANS_OF_FINDING = 10


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """One finding with its life, oldest event first, the newest plans about it, and its race where it is one."""

    stored: StoredFinding
    events: tuple[FindingEvent, ...]
    plans: tuple[PlanSummary, ...] = ()
    race: Race | None = None


@dataclass(frozen=True, slots=True)
class KnownRun:
    """One run with what it changed and its suite results."""

    run: StoredRun
    changes: tuple[tuple[FindingEvent, StoredFinding], ...]
    results: tuple[ExpectationResult, ...]


@dataclass(frozen=True)
class KnownPlan:
    """One plan with every step of its record, oldest first, and the findings of its lines by fingerprint."""

    stored: StoredPlan
    actions: tuple[Mapping[str, Any], ...]
    findings: Mapping[str, int]


async def read_known(db: Database, *, at: datetime, demo: bool = False) -> Known:
    """Everything the first screen and the overview need. Raises posguard's errors where it cannot be read."""
    async with db.snapshot() as connection:
        marks = await runs.landmarks(connection)
        recent = {run.id: run for run in await runs.recent_runs(connection, RUNS_SHOWN)}
        unresolved = await findings.unresolved(connection)
        judged_by = await results.latest_run_with_results(connection)
        judged = await results.results_of(connection, judged_by) if judged_by else ()
        told = await alerts.totals(connection)
        return Known(
            at=at,
            runs=tuple(recent.values()),
            run=await _run(connection, recent, marks.ended),
            complete=await _run(connection, recent, marks.complete),
            findings=tuple(f for f in unresolved if f.counts),
            dismissed=sum(not f.counts for f in unresolved),
            results=judged,
            results_of=judged_by,
            strips=await _strips(connection, judged),
            demo=demo,
            unsent=told.failing,
            unsent_since=told.oldest_failing,
        )


async def read_finding(db: Database, finding_id: int) -> KnownFinding | None:
    """One finding with its life, or None."""
    async with db.snapshot() as connection:
        stored = await findings.by_id(connection, finding_id)
        if stored is None:
            return None
        events = await findings.events_of(connection, finding_id)
        about = await planlists.summaries(
            connection, PLANS_OF_FINDING, fingerprint=stored.finding.fingerprint
        )
        told = None
        if stored.finding.kind in RACE_KINDS:
            told = await lograces.race_of_finding(connection, finding_id)
        race = race_from_plain(told) if told is not None else None
        return KnownFinding(stored, tuple(events), tuple(about), race)


async def read_races(db: Database, limit: int) -> list[tuple[int, Race]]:
    """The newest races that the bot's logs tell of, each with the id of its finding."""
    async with db.snapshot() as connection:
        told = await lograces.recent_races(connection, limit)
        return [(finding_id, race_from_plain(race)) for finding_id, race in told]


async def read_plan(db: Database, plan_id: int) -> KnownPlan | None:
    """One plan with its record and the findings that its lines are about, or None."""
    async with db.snapshot() as connection:
        stored = await plans.by_id(connection, plan_id)
        if stored is None:
            return None
        actions = await plans.actions_of(connection, plan_id)
        about = await planlists.findings_of(connection, {one.line.fingerprint for one in stored.lines})
        return KnownPlan(stored, tuple(actions), about)


async def read_run(db: Database, run_id: int) -> KnownRun | None:
    """One run with what it changed and its suite results, or None."""
    async with db.snapshot() as connection:
        run = await runs.run_by_id(connection, run_id)
        if run is None:
            return None
        events = await findings.events_of_run(connection, run_id)
        known = await findings.by_ids(connection, {event.finding_id for event in events})
        return KnownRun(
            run=run,
            changes=tuple((event, known[event.finding_id]) for event in events),
            results=await results.results_of(connection, run_id),
        )


async def _run(connection: Any, recent: dict[int, StoredRun], run_id: int | None) -> StoredRun | None:
    if run_id is None or run_id in recent:
        return recent.get(run_id or 0)
    return await runs.run_by_id(connection, run_id)


async def _strips(
    connection: Any, judged: tuple[ExpectationResult, ...]
) -> dict[tuple[str, str], tuple[Outcome, ...]]:
    strips: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    if judged:
        for one in await results.history(connection, {r.expectation for r in judged}, runs=STRIP):
            strips[one.suite, one.expectation].append(one.result)
    return {name: tuple(past) for name, past in strips.items()}
