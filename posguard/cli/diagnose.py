"""`posguard diagnose` and `posguard reconcile`: one pass, told; the second one records it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, Exchange, OnDemo, OneExchange, OneSymbol
from posguard.errors import ExitCode, OperatorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.cli.connect import Connections
    from posguard.cli.reporting import Told
    from posguard.model.finding import StoredFinding
    from posguard.model.run import StoredRun
    from posguard.model.scope import Scope
    from posguard.postgres.pool import Database


class Mode(StrEnum):
    """How much is told."""

    CHECK = "check"
    REPORT = "report"


AMode = Annotated[
    Mode,
    typer.Option("--mode", help="check: counts and what is critical; report: everything, with statistics."),
]


Hours = Annotated[
    int | None,
    typer.Option(
        "--hours",
        metavar="N",
        min=1,
        max=744,
        help="Errors by the hour over the last N hours; 24 by default.",
    ),
]
ABaseline = Annotated[
    str,
    typer.Option(
        "--baseline",
        metavar="NAME",
        help="What success is measured against; `posguard baseline list` shows them.",
    ),
]


def diagnose(
    *,
    mode: AMode = Mode.CHECK,
    exchange: OneExchange = None,
    symbol: OneSymbol = None,
    hours: Hours = None,
    baseline: ABaseline = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Compare the bot's database with its exchanges, now. Reads only: nothing is stored, here or there.

    Exit code 0 without a critical problem, 1 with one, 3 where a venue could not be judged (which beats 1).

    \b
    Examples:
      posguard diagnose
      posguard diagnose --mode report --exchange binance --symbol BTCUSDT
      posguard diagnose --mode report --hours 6 --baseline before-upgrade
      posguard diagnose --demo --json
    """
    from posguard.cli import output, report_text
    from posguard.cli.connect import connections
    from posguard.cli.reporting import common_fields
    from posguard.cli.shapes import DiagnosedFinding, DiagnosisReport, FindingShape

    output.structured_log_to_stderr()
    to = _measured(connections(demo=demo), hours, baseline)
    output.load_drivers()
    with output.progress("connecting …") as say:
        told = asyncio.run(_diagnosed(to, _scope(exchange, symbol), say))
    if as_json:
        from posguard.cli.reporting import worst_first

        found = tuple(
            DiagnosedFinding(**dict(FindingShape.of(f)), dismissed=f.fingerprint in told.dismissed)
            for f in worst_first(told.result.findings)
        )
        output.emit(DiagnosisReport(**common_fields(told), findings=found))
    else:
        report_text.diagnosis(told, whole=mode is Mode.REPORT)
    _end(told)


def reconcile(
    *,
    exchange: OneExchange = None,
    symbol: OneSymbol = None,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Compare as `diagnose` does, and record the run and its findings: the hourly run without Airflow.

    With a filter, what it did not look at is left as it is. Exit codes as for `diagnose`.

    \b
    Examples:
      posguard reconcile
      posguard reconcile --exchange bybit --json
    """
    from posguard.cli import output, report_text
    from posguard.cli.connect import connections
    from posguard.cli.reporting import common_fields
    from posguard.cli.shapes import ReconcileReport, StoredFindingShape

    output.structured_log_to_stderr()
    to = connections(demo=demo)
    output.load_drivers()
    with output.progress("connecting …") as say:
        told, run, seen = asyncio.run(_recorded(to, _scope(exchange, symbol), say))
    changes = {name: run.counts.get(name, 0) for name in ("found", "changed", "reopened", "resolved")}
    if as_json:
        stored = tuple(StoredFindingShape.stored(f) for f in seen)
        fields = common_fields(told)
        output.emit(
            ReconcileReport(**fields, run_id=run.id, outcome=run.outcome, changes=changes, findings=stored)
        )
    else:
        report_text.recorded(told, run, seen)
    _end(told)


def _measured(to: Connections, hours: int | None, baseline: str) -> Connections:
    """The settings with what was asked for of the statistics."""
    asked: dict[str, object] = {"error_hours": hours} if hours else {}
    if baseline:
        asked["baseline"] = baseline
    return replace(to, settings=to.settings.model_copy(update=asked)) if asked else to


async def _require_baseline(db: Database, name: str) -> None:
    """Raises UsageError where no baseline has this name."""
    from posguard.reconcile.statistics import find_baseline

    async with db.snapshot() as connection:
        if await find_baseline(connection, name) is None:
            raise UsageError(
                f"No baseline of the name {name} is stored. Nothing was done.",
                hint="`posguard baseline list` shows them; `posguard baseline save NAME` makes one.",
            )


def _scope(exchange: Exchange | None, symbol: str | None) -> Scope:
    from posguard.model.scope import Scope

    return Scope(exchange or "", symbol or "")


async def _diagnosed(to: Connections, scope: Scope, say: Callable[[str], None]) -> Told:
    """A pass on a read-only session. The desk's dismissals are heeded where posguard's schema is there."""
    from posguard.cli.look import look
    from posguard.cli.reporting import tell
    from posguard.postgres import findings
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import NEWEST, schema_version
    from posguard.reconcile.run import outcome_of

    dismissed: frozenset[str] = frozenset()
    async with await Database.open(
        to.dsn, application="posguard diagnose", read_only=True, timeout=_seconds(to)
    ) as db:
        await _require_baseline(db, to.settings.baseline)
        result = await look(db, to, scope, say)
        async with db.snapshot() as connection:
            if await schema_version(connection) == NEWEST:
                dismissed = await findings.dismissed(connection, result)
    live = [f for f in result.findings if f.fingerprint not in dismissed]
    counts = {severity: sum(f.severity == severity for f in live) for severity in ("critical", "warning")}
    counts |= {"positions": result.positions, "protected": result.protected}
    return tell(
        result,
        dismissed=dismissed,
        outcome=outcome_of(result, counts),
        counts=counts,
        demo=to.settings.demo,
    )


async def _recorded(
    to: Connections, scope: Scope, say: Callable[[str], None]
) -> tuple[Told, StoredRun, list[StoredFinding]]:
    from posguard.alerts.heartbeat import beat
    from posguard.cli.look import look
    from posguard.cli.reporting import tell
    from posguard.postgres import findings
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema
    from posguard.reconcile.run import record_pass

    async with await Database.open(to.dsn, application="posguard reconcile", timeout=_seconds(to)) as db:
        async with db.snapshot() as connection:
            await require_schema(connection)
        result = await look(db, to, scope, say)
        run = await record_pass(db, result, source="cli")
        await beat(to.settings.heartbeat_url, run)
        async with db.snapshot() as connection:
            seen = [f for f in await findings.unresolved(connection) if f.last_run == run.id]
    dismissed = frozenset(f.finding.fingerprint for f in seen if not f.counts)
    told = tell(result, dismissed=dismissed, outcome=run.outcome, counts=run.counts, demo=to.settings.demo)
    return told, run, seen


def _seconds(to: Connections) -> float:
    return to.settings.database_timeout.total_seconds()


def _end(told: Told) -> None:
    """Ends with the pass's exit code; an inconclusive one says why in one line."""
    from posguard.cli.reporting import why_inconclusive

    if told.code is ExitCode.INCONCLUSIVE:
        raise OperatorError(f"Inconclusive: {why_inconclusive(told.result)}.", hint=_hint(told))
    if told.code is not ExitCode.FINE:
        raise typer.Exit(told.code)


def _hint(told: Told) -> str:
    if told.result.venues:
        return ""
    return "Set POSGUARD_BINANCE_KEY and POSGUARD_BINANCE_SECRET, or the same for BYBIT; docs/connect.md says how."
