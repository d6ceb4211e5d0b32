"""`posguard audit`: what happened in a window of time, written down as a report with issues and an action plan."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.logs_sources import Zone
from posguard.cli.options import AsJson, OnDemo
from posguard.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from posguard.audit.build import Audit
    from posguard.audit.facts import Facts
    from posguard.audit.logread import LogFiles
    from posguard.audit.notes import Notes
    from posguard.cli.connect import Connections
    from posguard.model.audit import Window
    from posguard.model.quality import ExpectationResult

NOTES = "notes.md"

Since = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Where the window begins (UTC), or how long it is: 8h.")
]
UpTo = Annotated[str, typer.Option("--to", metavar="TIME", help="Where it ends; now by default.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the report goes; audit-FROM-TO here by default."),
]
Logs = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="PATH",
        help="The bot's log: a file, folder or glob, more than once if need be; else what is loaded or declared.",
    ),
]
NotesFile = Annotated[
    Path | None,
    typer.Option(
        "--notes", metavar="FILE", help="Your notes by the hour; notes.md beside the report by default."
    ),
]

AsSql = Annotated[
    bool,
    typer.Option("--sql", help="Print the queries of the analysis as one script for psql, and read nothing."),
]


def audit(
    *,
    since: Since = "",
    until: UpTo = "",
    out: Out = None,
    log: Logs = None,
    zone: Zone = "",
    notes: NotesFile = None,
    sql: AsSql = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Audit a window of time, the last eight hours by default: a report of fifteen sections in Markdown and HTML.

    Reads only. Findings and suites are those that were recorded in the window; where none were and the window reaches the
    present, it looks for itself. Your notes are kept in a file that is only ever added to, and taken into the report.

    Exit code 0 without a critical issue, 1 with one, 3 where no complete look at the exchanges lies in the window.

    \b
    Examples:
      posguard audit
      posguard audit --from 2025-10-22T16:00 --to 2025-10-23 --out audits/22-october
      posguard audit --log /var/log/bot/bot.log --tz Europe/Berlin
      posguard audit --demo --json
      posguard audit --from 12h --sql | psql "$POSGUARD_DSN"
    """
    from posguard.audit.build import build
    from posguard.audit.windows import window_of
    from posguard.cli import output
    from posguard.cli.connect import connections

    output.structured_log_to_stderr()
    now = datetime.now(UTC)
    window = window_of(since, until, now)
    if sql:
        _print_sql(window)
        return
    to = connections(demo=demo)
    files = _log_files(log or [], zone, to)
    output.load_drivers()
    with output.progress("reading the window …"):
        facts = asyncio.run(_facts(to, window, files, now))
    written = out or (None if as_json else Path(_folder(window)))
    noted = _notes(facts, notes or (written / NOTES if written else None))
    made = build(facts, noted)
    saved = _saved(made, written) if written else ()
    code = exit_code(made)
    if as_json:
        from posguard.cli.audit_shapes import AuditReport

        output.emit(AuditReport.of(made, exit_code=code, files=saved))
    else:
        from posguard.cli import audit_text

        audit_text.audit(made, saved)
    raise typer.Exit(code)


def _print_sql(window: Window) -> None:
    from posguard.postgres.analysis_script import psql_script
    from posguard.settings import load_settings

    print(psql_script(window.start, window.end, aged=load_settings().aged_after), end="")


def exit_code(made: Audit) -> ExitCode:
    """3 where nobody knows how the exchanges stood, which beats 1, a critical issue; else 0."""
    if not made.facts.conclusive:
        return ExitCode.INCONCLUSIVE
    return ExitCode.CRITICAL if made.counts["critical"] else ExitCode.FINE


def _folder(window: Window) -> str:
    return f"audit-{window.start:%Y%m%dT%H%M}-{window.end:%Y%m%dT%H%M}"


def _log_files(paths: list[str], zone: str, to: Connections) -> LogFiles:
    from posguard.audit.logread import LogFiles, declared_files
    from posguard.cli.logs_sources import readings

    patterns = to.settings.log_patterns
    if paths:
        found = readings(paths, zone)
        return LogFiles(tuple((one.source, one.paths) for one in found), asked=True, patterns=patterns)
    if zone:
        raise UsageError("--tz goes with --log; the declared sources have their own. Nothing was read.")
    return declared_files(to.settings)


async def _facts(to: Connections, window: Window, files: LogFiles, now: datetime) -> Facts:
    from posguard.audit.read import Asked, read_facts
    from posguard.cli.look import look
    from posguard.model.scope import Scope
    from posguard.postgres.pool import Database

    async with await Database.open(to.dsn, application="posguard audit", read_only=True, size=3) as db:

        def judge() -> tuple[ExpectationResult, ...]:
            from posguard.quality.run import run_suites

            return run_suites(to.dsn, settings=to.settings)

        asked = Asked(
            window=window,
            at=now,
            demo=to.settings.demo,
            log=files,
            aged=to.settings.aged_after,
            look=(lambda: look(db, to, Scope(), lambda _: None)) if to.venues else None,
            judge=judge,
        )
        return await read_facts(db, asked)


def _notes(facts: Facts, path: Path | None) -> Notes:
    from posguard.audit.notes import Notes, keep_notes

    if path is None:
        return Notes()
    try:
        return keep_notes(path, facts.window, facts.rows.hours)
    except OSError as error:
        raise UsageError(f"The notes {path} cannot be used: {error.strerror}. Nothing was written.") from None


def _saved(made: Audit, folder: Path) -> tuple[str, ...]:
    from posguard.audit.build import document
    from posguard.audit.save import save

    try:
        saved = save(document(made), folder)
    except OSError as error:
        raise UsageError(f"The report cannot be written to {folder}: {error.strerror}.") from None
    return str(saved.html), str(saved.markdown)
