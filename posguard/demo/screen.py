"""The first screen: what was planted, what the run through Airflow found, where to look, what to try next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from posguard.demo.record import TRUTH
from posguard.demo.truth import TruthReport, compare, read_truth
from posguard.errors import PosguardError
from posguard.model.finding import Severity
from posguard.postgres import runs
from posguard.postgres.pool import Database
from posguard.report import view
from posguard.report.read import read_known

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from posguard.demo.stack import Stack
    from posguard.model.finding import Finding, StoredFinding
    from posguard.model.run import StoredRun
    from posguard.report.view import FirstScreen

_NOT_BUILT = "  (*)"
REPORT = "report.html"
PAGE = "/plugin/posguard"
_STYLE = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the run left in the database, beside what was planted, and the sentences that the page shows of it."""

    run: StoredRun
    findings: tuple[StoredFinding, ...]
    truth: TruthReport
    screen: FirstScreen


def print_first_screen(stack: Stack, out: Console, *, save: bool) -> bool:
    """Prints the first screen, saves the report where asked; returns whether found = planted and the run was complete."""
    known = asyncio.run(_read(stack))
    as_planted = known.truth.exact and stack.run_state == "success" and known.run.conclusive
    out.print()
    for line in (*_headline(known, as_planted=as_planted), Text(), *_list(known.findings)):
        out.print(line, soft_wrap=True)
    for sentence in (*known.truth.missed, *known.truth.unexpected, *known.truth.differing):
        out.print(f"  not as planted: {sentence}", style="bold red", markup=False, soft_wrap=True)
    if save:
        path = asyncio.run(_save(stack))
        out.print(f"\nThe report: {path}", soft_wrap=True)
    else:
        _where_next(stack, out)
    return as_planted


async def _read(stack: Stack) -> Known:
    truth = read_truth((stack.folder / TRUTH).read_text(encoding="utf-8"))
    async with await Database.open(stack.dsn, application="posguard demo", read_only=True) as database:
        async with database.snapshot() as connection:
            run = await runs.run_by_external_id(connection, stack.run_id)
        if run is None:
            raise PosguardError(
                f"The DAG run {stack.run_id} ended as {stack.run_state} and stored nothing.",
                hint=f"Its logs are in {stack.folder / 'airflow' / 'logs'}.",
            )
        shown = await read_known(database, at=datetime.now(UTC), demo=True)
    at = run.finished_at or run.started_at
    found = compare(truth, [f.finding for f in shown.findings], shown.results, at=at)
    return Known(run, shown.findings, found, view.first_screen(shown))


def _headline(known: Known, *, as_planted: bool) -> list[Text]:
    truth = known.truth
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
    screen = known.screen
    told = (screen.headline, screen.line, screen.compared, f"{screen.complete} {screen.worlds}.")
    return [*lines, *(Text(sentence) for sentence in told)]


def _list(found: tuple[StoredFinding, ...]) -> list[Text]:
    """A line per critical and warning with its command; what only informs is gathered by kind."""
    ordered = sorted(found, key=lambda f: (f.finding.severity.rank, f.finding.kind, f.finding.symbol))
    loud = [f.finding for f in ordered if f.finding.severity is not Severity.INFO]
    quiet = [f.finding for f in ordered if f.finding.severity is Severity.INFO]
    lines = [line for finding in loud for line in _loud(finding)]
    for kind in dict.fromkeys(finding.kind for finding in quiet):
        where = [f"{f.symbol} {f.exchange}" for f in quiet if f.kind is kind]
        lines.append(
            Text.assemble(
                (f"{Severity.INFO:<9}", _STYLE[Severity.INFO]),
                f"{kind:<21}{len(where)}: {', '.join(where)}; see docs/runbook.md#{kind.replace('_', '-')}",
            )
        )
    lines += [Text(f"! {text}", style="dim") for text in dict.fromkeys(f.caution for f in loud) if text]
    if any(not f.repair_built and f.repair for f in loud):
        lines.append(Text(f"{_NOT_BUILT.strip()} this command is not built yet", style="dim"))
    return lines


def _loud(finding: Finding) -> list[Text]:
    """What is wrong beside its command; a further line for each further command to choose from."""
    what = f"{finding.kind:<21}{finding.symbol:<10}{finding.exchange:<8}{finding.proof:<10}"
    first, *more = finding.commands or (f"see docs/runbook.md#{finding.runbook}",)
    mark = "" if finding.repair_built or not finding.repair else _NOT_BUILT
    head = Text.assemble((f"{finding.severity:<9}", _STYLE[finding.severity]), what, first, mark)
    return [head, *(Text(f"{'or':>{9 + len(what) - 1}} {command}{mark}") for command in more)]


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
