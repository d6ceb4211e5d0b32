"""`posguard cleanup`: prints and stores a plan with its code, and carries out the plan of a code."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from posguard.cli.options import AsJson, By, OnDemo, OneExchange, OneSymbol
from posguard.errors import UsageError
from posguard.model.duration import parse_duration


class ModeName(StrEnum):
    """The modes, as they are typed."""

    DUPLICATES = "duplicates"
    INCOMPLETE = "incomplete"
    ORPHANED_DB = "orphaned-db"
    ORPHANED_EX = "orphaned-ex"
    UNPROTECTED = "unprotected"
    MISMATCH = "mismatch"
    ZOMBIES = "zombies"
    ALL = "all"


class ActionName(StrEnum):
    """What becomes of external positions."""

    CLOSE = "close"
    ADOPT = "adopt"


AMode = Annotated[
    ModeName | None, typer.Argument(metavar="[MODE]", help=f"{', '.join(ModeName)}.", show_default=False)
]
Age = Annotated[
    str,
    typer.Option(
        "--age",
        metavar="AGE",
        help="incomplete: leave out rows that are younger: 15m, 2h; a bare number is hours.",
    ),
]
AnAction = Annotated[
    ActionName | None,
    typer.Option("--action", help="orphaned-ex: close the position, or adopt it into the database."),
]
Accept = Annotated[
    bool,
    typer.Option(
        "--accept-absence",
        help="orphaned-db: also rows whose absence is not proven; looks three times over ten minutes.",
    ),
]


Confirm = Annotated[
    str, typer.Option("--confirm", metavar="CODE", help="Carry out the plan of this code, and nothing else.")
]
Rows = Annotated[
    int | None,
    typer.Option("--rows", metavar="N", help="With --confirm: how many rows --accept-absence closes."),
]
Production = Annotated[
    str,
    typer.Option(
        "--production", metavar="FINGERPRINT", help="With --confirm: yes, production, on this database."
    ),
]
BackupFile = Annotated[
    str, typer.Option("--backup", metavar="FILE", help="With --confirm: where to keep the backup.")
]
NoBackup = Annotated[
    bool, typer.Option("--no-backup", help="With --confirm: keep none. Nothing can be restored then.")
]
Interactive = Annotated[
    bool, typer.Option("--interactive", help="Ask for each line, then for the code, and carry it out.")
]


def cleanup(
    mode: AMode = None,
    *,
    confirm: Confirm = "",
    symbol: OneSymbol = None,
    exchange: OneExchange = None,
    age: Age = "1h",
    action: AnAction = None,
    accept_absence: Accept = False,
    interactive: Interactive = False,
    rows: Rows = None,
    production: Production = "",
    backup: BackupFile = "",
    no_backup: NoBackup = False,
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Plan a cleanup, or with --confirm carry out the plan of a code.

    With a MODE: every row with what would happen to it and why, every order, what cannot be undone. Nothing is changed: the plan
    is stored under a code that names it. Only what is proven enters a plan; a venue that cannot be judged gets none (exit code 3
    where nothing else is planned).

    With --confirm: a backup first; then each line is decided once more on what is there now, done, recorded, and looked at again.
    What changed meanwhile is skipped and said. Interrupted, the same command finishes it. Exit code 4 where the code is wrong,
    used or expired, 5 where some lines were skipped or failed.

    \b
    Examples:
      posguard cleanup duplicates
      posguard cleanup incomplete --age 15m --exchange binance --symbol BTCUSDT
      posguard cleanup orphaned-ex --symbol SEIUSDT --exchange binance --action adopt
      posguard cleanup all --json
      posguard cleanup --confirm ABCD-EFGH
    """
    from posguard.cli import output
    from posguard.cli.cleanup_run import Applied, Planned, apply, plan

    if (mode is None) == (not confirm):
        raise UsageError("Name either a MODE or --confirm CODE. Nothing was done.", hint="See --help.")
    output.structured_log_to_stderr()
    if mode is None:
        if symbol or exchange or action or accept_absence or interactive:
            raise UsageError(
                "--confirm carries out what the plan says; filters and actions belong to planning. Nothing was done."
            )
        apply(Applied(confirm, rows, production, backup, no_backup, by, demo, as_json))
        return
    if (rows is not None or production or backup or no_backup) and not interactive:
        raise UsageError(
            "--rows, --production, --backup and --no-backup belong to --confirm. Nothing was done."
        )
    _check(mode, action=action, accept_absence=accept_absence)
    asked = Planned(
        mode=mode,
        scope=(exchange or "", symbol or ""),
        min_age=_age(age),
        action=action,
        accept_absence=accept_absence,
        by=by,
        demo=demo,
    )
    plan(asked, Applied("", rows, production, backup, no_backup, by, demo, as_json), interactive=interactive)


def _age(text: str) -> timedelta:
    """The age that --age names. Raises UsageError for anything that is none."""
    try:
        return parse_duration(text, bare="h")
    except (ValueError, OverflowError):
        raise UsageError(
            f"--age '{text}' is no age. Nothing was done.", hint="Write --age 15m, 2h or a number of hours."
        ) from None


def _check(mode: ModeName, *, action: ActionName | None, accept_absence: bool) -> None:
    """Raises UsageError for options of another mode."""
    if action is not None and mode not in {ModeName.ORPHANED_EX, ModeName.ALL}:
        raise UsageError("--action belongs to orphaned-ex and all. Nothing was done.")
    if accept_absence and mode is not ModeName.ORPHANED_DB:
        raise UsageError("--accept-absence belongs to orphaned-db. Nothing was done.")
