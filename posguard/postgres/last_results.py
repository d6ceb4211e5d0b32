"""Reads what posguard last found; a handful of short reads by index, for a scrape every few seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from posguard.model.finding import Proof, Severity
from posguard.model.last_results import FindingCount, LastResults, LastRun, SuiteCount, VenueThen, Watched
from posguard.model.monitoring import Snapshot
from posguard.model.quality import Outcome
from posguard.model.run import RunOutcome
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping


async def last_results(connection: Any) -> LastResults:
    """What the newest run, its venues, the findings, the suites, the outbox and the core say; call it in a snapshot."""
    ask = queries("last_results")
    newest = await ask.newest_run(connection)
    core = await ask.core(connection)
    return LastResults(
        run=_run(newest) if newest else None,
        complete_at=await ask.complete_at(connection),
        venues=await _venues(connection, newest["id"]) if newest else (),
        findings=tuple([_finding(line) async for line in ask.unresolved_findings(connection)]),
        suites=tuple([_suite(line) async for line in ask.suites(connection)]),
        unsent={
            Severity(line["severity"]): (line["alerts"], line["oldest"])
            async for line in ask.unsent_alerts(connection)
        },
        kill_switch=bool(core["kill_switch"]),
        open_gaps=core["open_gaps"],
        oldest_gap=core["oldest_gap"],
        watched=await _watched(connection),
    )


async def _watched(connection: Any) -> Watched | None:
    newest = await queries("last_results").newest_snapshot(connection)
    if newest is None:
        return None
    alerts = queries("last_results").monitor_alerts(connection)
    return Watched(
        snapshot=Snapshot.read(newest["snapshot"]),
        age=newest["now"] - newest["at"],
        interval=timedelta(seconds=newest["interval_seconds"]),
        running=newest["running"],
        alerts={(line["kind"], Severity(line["severity"])): line["alerts"] async for line in alerts},
    )


async def _venues(connection: Any, run_id: int) -> tuple[VenueThen, ...]:
    found = queries("last_results").venues_of(connection, run_id=run_id)
    return tuple([VenueThen(**dict(line)) async for line in found])


def _run(line: Mapping[str, Any]) -> LastRun:
    counts = line["counts"]
    return LastRun(
        id=line["id"],
        started_at=line["started_at"],
        finished_at=line["finished_at"],
        outcome=RunOutcome(line["outcome"]),
        rows_compared=line["rows_compared"],
        positions=counts.get("positions"),
        protected=counts.get("protected"),
    )


def _finding(line: Mapping[str, Any]) -> FindingCount:
    values = dict(line)
    return FindingCount(
        **{**values, "severity": Severity(values["severity"]), "proof": Proof(values["proof"])}
    )


def _suite(line: Mapping[str, Any]) -> SuiteCount:
    values = dict(line)
    return SuiteCount(
        **{**values, "severity": Severity(values["severity"]), "result": Outcome(values["result"])}
    )
