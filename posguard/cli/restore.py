"""`posguard restore`: what a backup would bring back, and with its code bringing it back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, By, OnDemo

if TYPE_CHECKING:
    from posguard.cleanup.restore import Restore
    from posguard.cli.connect import Connections

ABackup = Annotated[str, typer.Argument(metavar="BACKUP", help="The file that cleanup named.")]
Confirm = Annotated[
    str, typer.Option("--confirm", metavar="CODE", help="The code of the dry run: bring it back.")
]


def restore(
    backup: ABackup,
    *,
    confirm: Confirm = "",
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Take a cleanup back: first a dry run with its code, then all of its rows in one transaction, or none.

    Rows come back whole, all columns but version and updated_at; adopted rows are retired. Orders never come back: the dry run
    names their lines. What changed since the cleanup is a conflict, and with one conflict nothing is restored (exit code 4).

    \b
    Examples:
      posguard restore backups/20261121T031500Z-duplicates-ABCD-EFGH.json
      posguard restore backups/20261121T031500Z-duplicates-ABCD-EFGH.json --confirm WXYZ-2345
    """
    from posguard.cli import output
    from posguard.cli.cleanup_shapes import RestoreReport
    from posguard.cli.connect import connections

    output.structured_log_to_stderr()
    to = connections(demo=demo)
    output.load_drivers()
    seen = asyncio.run(_run(to, backup, confirm, by))
    if as_json:
        output.emit(RestoreReport.of(seen, demo=to.settings.demo))
    else:
        _tell(seen)
    if seen.conflicts and not seen.done:
        from posguard.cleanup.restore import conflict

        raise conflict(seen.conflicts)


async def _run(to: Connections, name: str, code: str, by: str) -> Restore:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from posguard.cleanup import restore as way_back
    from posguard.cleanup.backup import named_path, read_backup
    from posguard.cli.desk import actor
    from posguard.exchange.gateway import open_gateway
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights

    kept = await asyncio.to_thread(read_backup, named_path(Path(to.settings.backup_folder), name))
    async with (
        await Database.open(to.dsn, application="posguard restore") as db,
        AsyncExitStack() as stack,
    ):
        ledger = await stack.enter_async_context(open_weights(to.dsn))
        gateways = [
            await stack.enter_async_context(open_gateway(v, to.settings, ledger=ledger)) for v in to.venues
        ]
        if not code:
            return await way_back.look(db, gateways, kept)
        return await way_back.restore(db, gateways, kept, code, actor=actor(by))


def _tell(seen: Restore) -> None:
    from posguard.cli.output import clean

    verb = "came back" if seen.done else "would come back"
    print(
        f"{seen.backup.path}: plan {seen.plan.id}, {seen.plan.code}, checksum {seen.backup.checksum[:16]} holds."
    )
    for row in seen.rows:
        before, after = row.before or {}, row.after
        print(
            clean(
                f"  #{row.row_id} {before.get('symbol')}: {verb}, {after.get('status')} → {before.get('status')}"
            )
        )
    for row in seen.retired:
        print(
            clean(f"  #{row.row_id} {row.after.get('symbol')}: {'was' if seen.done else 'would be'} retired")
        )
    if not seen.rows and not seen.retired:
        print("  nothing is left to restore")
    for sentence in seen.gone:
        print(clean(f"  CANNOT COME BACK: {sentence}"))
    for sentence in seen.conflicts:
        print(clean(f"  CONFLICT: {sentence}"))
    if not seen.done and not seen.conflicts and (seen.rows or seen.retired):
        print(
            f"\nNothing was changed. To do exactly this:\n  posguard restore {seen.backup.path} --confirm {seen.code}"
        )
