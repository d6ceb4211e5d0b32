"""`posguard db`: posguard's own schema up and down, where it stands, and the SQL of the database roles."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, OfTarget, OnDemo, Target
from posguard.errors import RefusedError, SchemaError, UsageError

if TYPE_CHECKING:
    from posguard.cli.db_bot import Asked
    from posguard.cli.shapes import SchemaChange

app = typer.Typer(
    help="Posguard's schema in the bot's database, the bot's own tables, and the roles.", no_args_is_help=True
)
Confirm = Annotated[str, typer.Option("--confirm", metavar="DATABASE", help="The database's name: do it.")]
Wait = Annotated[
    str, typer.Option("--wait", metavar="DURATION", help="With bot: how long one step waits for others.")
]
PATIENCE = "60s"


class RoleName(StrEnum):
    """The roles `db roles` prints."""

    MIGRATION = "migration"
    READER = "reader"
    CORE = "core"
    CLEANUP = "cleanup"
    MONITOR = "monitor"


@app.command()
def upgrade(
    *,
    target: OfTarget = Target.POSGUARD,
    account: Annotated[
        str,
        typer.Option("--account", metavar="NAME", help="With bot: whose rows these are; main by default."),
    ] = "",
    drop_old_index: Annotated[
        bool,
        typer.Option(
            "--drop-old-index", help="With bot: for hedge mode or several accounts on one exchange."
        ),
    ] = False,
    confirm: Confirm = "",
    wait: Wait = PATIENCE,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Bring posguard's schema in the bot's database to the newest version; nothing of the bot's is touched.

    One transaction: interrupted, it leaves what was there. Running it again changes nothing.

    With --target bot: add to the bot's own tables what the trading core needs, while the bot goes on writing to them.
    Without --confirm it says what it would do and what stands in its way. docs/upgrade.md has the order of things.

    \b
    Examples:
      posguard db upgrade
      POSGUARD_DSN=postgresql://posguard_migration:…@host:5432/bot posguard db upgrade
      posguard db upgrade --target bot                       says what it would do
      posguard db upgrade --target bot --confirm tradingbot  does it
    """
    if target is Target.BOT:
        from posguard.cli import db_bot

        db_bot.upgrade(_asked(confirm, wait, demo, as_json, account=account, drop_old_index=drop_old_index))
        return
    _only_of_bot(account=account, drop_old_index=drop_old_index, confirm=confirm, wait=wait != PATIENCE)
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaChange

    dsn = database(demo=demo)
    from posguard.postgres import migrate

    before = migrate.upgrade(dsn)
    change = SchemaChange(target=target, before=before.current, after=before.newest)
    _tell(change, as_json=as_json)


@app.command()
def downgrade(
    *,
    target: OfTarget = Target.POSGUARD,
    confirm: Confirm = "",
    wait: Wait = PATIENCE,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Take posguard's schema away, with every run and finding in it. Without --confirm: say what would be lost.

    Refused while the bot's tables carry posguard's upgrade. The bot's tables stay as they are.

    With --target bot: take back what the upgrade added to the bot's tables. Refused while the core manages an open row.

    \b
    Examples:
      posguard db downgrade                                    says what would be lost
      posguard db downgrade --confirm tradingbot               does it
      posguard db downgrade --target bot --confirm tradingbot  takes the bot's tables back first
    """
    if target is Target.BOT:
        from posguard.cli import db_bot

        db_bot.downgrade(_asked(confirm, wait, demo, as_json))
        return
    _only_of_bot(wait=wait != PATIENCE)
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaChange

    dsn = database(demo=demo)
    from posguard.postgres import migrate

    loss = migrate.would_be_lost(dsn)
    if confirm and confirm != loss.database:
        raise RefusedError(
            f"This database is {loss.database}, not {confirm}. Nothing was changed.",
            hint=f"To take posguard's schema out of it: posguard db downgrade --confirm {loss.database}",
        )
    wanted = bool(confirm) and loss.state.current is not None
    if wanted:
        migrate.downgrade(dsn)
    change = SchemaChange(
        target=target,
        before=loss.state.current,
        after=None if wanted else loss.state.current,
        database=loss.database,
        rows=loss.rows,
        confirm=None if confirm else loss.database,
    )
    _tell(change, as_json=as_json)


@app.command("check")
def check_schema(target: OfTarget = Target.POSGUARD, demo: OnDemo = False, as_json: AsJson = False) -> None:
    """Say which version of posguard's schema the database holds; reads only. Exit code 3 where it is not the newest.

    With --target bot: whether the bot's tables carry the whole upgrade.

    \b
    Examples:
      posguard db check
      posguard db check --json
    """
    from posguard.cli import output
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaStanding

    dsn = database(demo=demo)
    if target is Target.BOT:
        from posguard.cli import db_bot

        db_bot.check(dsn, as_json=as_json)
        return
    from posguard.postgres import migrate

    state = migrate.schema_state(dsn)
    if as_json:
        output.emit(
            SchemaStanding(
                target=target, current=state.current, newest=state.newest, up_to_date=state.up_to_date
            )
        )
    if not state.up_to_date:
        stands = "is absent" if state.current is None else f"stands at {state.current}"
        raise SchemaError(
            f"posguard's schema {stands}; the newest is {state.newest}. Nothing was changed.",
            hint="Run `posguard db upgrade`.",
        )
    if not as_json:
        print(f"posguard's schema is up to date ({state.newest}).")


@app.command()
def roles(
    role: Annotated[list[RoleName] | None, typer.Option("--role", help="Only this one; repeatable.")] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Names the roles PREFIX_reader and so on.")
    ] = "posguard",
) -> None:
    """Print the SQL of the database roles posguard works under: migration, reader, core, cleanup,
    monitor. Connects to nothing.

    Read it, run it as the database's owner, then give each role a password (\\password in psql). No password is in it,
    and running it again is fine.

    \b
    Examples:
      posguard db roles                          read it first
      posguard db roles | psql "$OWNER_DSN"      run it
      posguard db roles --role reader            one of them
    """
    from posguard.postgres.roles import roles_sql

    print(roles_sql(*(name.value for name in role or ()), prefix=prefix))


def _asked(
    confirm: str, wait: str, demo: bool, as_json: bool, *, account: str = "", drop_old_index: bool = False
) -> Asked:
    from posguard.cli.connect import database
    from posguard.cli.db_bot import Asked, venues

    return Asked(
        dsn=database(demo=demo),
        confirm=confirm,
        wait=wait,
        as_json=as_json,
        account=account or None,
        drop_old_index=drop_old_index,
        venues=venues(demo=demo),
    )


def _only_of_bot(**given: object) -> None:
    """Raises UsageError where an option was given that target posguard does not have."""
    wrong = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)}: only with --target bot. Nothing was done.")


def _tell(change: SchemaChange, *, as_json: bool) -> None:
    from posguard.cli import output

    if as_json:
        output.emit(change)
        return
    if change.rows and change.before is not None:
        output.table(
            ("table", "rows"),
            [(f"posguard.{name}", str(held)) for name, held in change.rows.items()],
            title=f"What posguard recorded in {change.database}:",
        )
    print(_sentence(change))


def _sentence(change: SchemaChange) -> str:
    if change.confirm and change.before is not None:
        return f"\nAll of it would be lost. Nothing was changed. To do it: posguard db downgrade --confirm {change.confirm}"
    if change.before == change.after:
        stands = "is not there" if change.after is None else f"is at {change.after} already"
        return f"posguard's schema {stands}; nothing was changed."
    return f"posguard's schema: {change.before or 'none'} -> {change.after or 'none'}."
