"""The first screen: what was planted, what the run through Airflow found, where to look, what to try next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from posguard.demo.record import TRUTH
from posguard.demo.truth import TruthReport, compare, read_truth
from posguard.errors import PosguardError
from posguard.model.finding import FindingState, Severity
from posguard.postgres import findings, results, runs
from posguard.postgres.pool import Database

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from posguard.demo.stack import Stack
    from posguard.model.finding import StoredFinding
    from posguard.model.run import StoredRun

REPORT = "report.html"
PAGE = "/plugin/posguard"
_STYLE = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the run left in the database, beside what was planted."""

    run: StoredRun
    findings: tuple[StoredFinding, ...]
    truth: TruthReport


def first_screen(stack: Stack, out: Console, *, save: bool) -> bool:
    """Prints the first screen, saves the report where asked; returns whether found = planted and the run was complete."""
    known = asyncio.run(_read(stack))
    as_planted = known.truth.exact and stack.run_state == "success" and known.run.conclusive
    out.print()
    for line in _headline(known, as_planted=as_planted):
        out.print(line)
    out.print(_table(known.findings))
    for sentence in (*known.truth.missed, *known.truth.unexpected, *known.truth.differing):
        out.print(f"  not as planted: {sentence}", style="bold red", markup=False)
    if save:
        path = asyncio.run(_save(stack))
        out.print(f"\nThe report: {path}", soft_wrap=True)
    else:
        _where_next(stack, out)
    return as_planted


async def _read(stack: Stack) -> Known:
    truth = read_truth((stack.folder / TRUTH).read_text(encoding="utf-8"))
    async with (
        await Database.open(stack.dsn, application="posguard demo", read_only=True) as database,
        database.snapshot() as connection,
    ):
        run = await runs.run_by_external_id(connection, stack.run_id)
        if run is None:
            raise PosguardError(
                f"The DAG run {stack.run_id} ended as {stack.run_state} and stored nothing.",
                hint=f"Its logs are in {stack.folder / 'airflow' / 'logs'}.",
            )
        seen = await findings.unresolved(connection)
        judged = await results.results_of(connection, run.id)
    at: datetime = run.finished_at or run.started_at
    open_now = tuple(f for f in seen if f.state is not FindingState.DISMISSED)
    return Known(run, open_now, compare(truth, [f.finding for f in open_now], judged, at=at))


def _headline(known: Known, *, as_planted: bool) -> list[Text]:
    truth, run = known.truth, known.run
    style = "bold green" if as_planted else "bold red"
    lines = [
        Text.assemble(
            ("DEMO DATA", "bold reverse"), "  a made-up bot on made-up exchanges; nothing here is real"
        ),
        Text.assemble(
            (f"planted {truth.planted}, found {truth.found}, unexpected {len(truth.unexpected)}", style),
            f"; suite violations planted {truth.violations_planted}, found {truth.violations_found}",
        ),
    ]
    skipped = "; ".join(f"{len(s.row_ids)} {s.reason}" for s in run.skipped) or "none"
    lines.append(Text(f"{run.rows_compared} of {run.rows_read} open rows compared; skipped: {skipped}"))
    when = f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC" if run.finished_at else "never"
    verdicts = ", ".join(f"{v.venue} {v.verdict} ({v.world})" for v in run.venues)
    lines.append(Text(f"complete at {when}: {verdicts}"))
    return lines


def _table(found: tuple[StoredFinding, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=None)
    for name in ("severity", "finding", "position", "proof", "what to type"):
        table.add_column(name, overflow="fold", no_wrap=name != "what to type")
    for stored in sorted(found, key=lambda f: (f.finding.severity.rank, f.finding.kind, f.finding.symbol)):
        finding = stored.finding
        repair = finding.repair or f"docs/runbook.md#{finding.runbook}"
        mark = "" if finding.repair_built or not finding.repair else "  (not built yet)"
        table.add_row(
            Text(finding.severity, style=_STYLE[finding.severity]),
            finding.kind,
            f"{finding.symbol} {finding.exchange}",
            finding.proof,
            Text.assemble(repair, (mark, "dim")),
        )
    return table


def _where_next(stack: Stack, out: Console) -> None:
    assert stack.address is not None
    url, user, password = stack.address.url, stack.address.user, stack.address.password.get_secret_value()
    out.print(f"\n[bold]The page[/bold]   {url}{PAGE}", soft_wrap=True)
    out.print(f"[bold]The run[/bold]    {url}/dags/posguard_reconcile/runs/{stack.run_id}", soft_wrap=True)
    out.print(
        f"[bold]Login[/bold]      {user} / {password}   (may look, not touch: viewer / {stack.viewer_password})",
        highlight=False,
    )
    out.print("\n[bold]Try next[/bold], in a second terminal:")
    for command in (
        "posguard diagnose --demo --mode report",
        "posguard findings list --demo",
        "posguard check --demo",
    ):
        out.print(f"  .venv/bin/{command}", highlight=False)


async def _save(stack: Stack) -> Path:
    from posguard.report.save import save_report

    path = (stack.folder / REPORT).resolve()
    async with await Database.open(stack.dsn, application="posguard demo", read_only=True) as database:
        await save_report(database, path)
    return path
