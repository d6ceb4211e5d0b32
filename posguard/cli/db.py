"""`posguard db`: posguard's own schema up and down, where it stands, and the SQL of the database roles."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, OfTarget, OnDemo, Target
from posguard.errors import NotBuiltError, RefusedError, SchemaError

if TYPE_CHECKING:
    from posguard.cli.shapes import SchemaChange

app = typer.Typer(help="Posguard's schema in the bot's database, and its roles.", no_args_is_help=True)


class RoleName(StrEnum):
    """The roles `db roles` prints."""

    MIGRATION = "migration"
    READER = "reader"
    CLEANUP = "cleanup"


@app.command()
def upgrade(target: OfTarget = Target.POSGUARD, demo: OnDemo = False, as_json: AsJson = False) -> None:
    """Bring posguard's schema in the bot's database to the newest version; nothing of the bot's is touched.

    One transaction: interrupted, it leaves what was there. Running it again changes nothing.

    \b
    Examples:
      posguard db upgrade
      POSGUARD_DSN=postgresql://posguard_migration:…@host:5432/bot posguard db upgrade
    """
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaChange

    _only_posguard(target)
    dsn = database(demo=demo)
    from posguard.postgres import migrate

    before = migrate.upgrade(dsn)
    change = SchemaChange(target=target, before=before.current, after=before.newest)
    _tell(change, as_json=as_json)


@app.command()
def downgrade(
    target: OfTarget = Target.POSGUARD,
    confirm: Annotated[
        str, typer.Option("--confirm", metavar="DATABASE", help="The database's name: do it.")
    ] = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Take posguard's schema away, with every run and finding in it. Without --confirm: say what would be lost.

    Refused while the bot's tables carry posguard's upgrade. The bot's tables stay as they are.

    \b
    Examples:
      posguard db downgrade                      says what would be lost
      posguard db downgrade --confirm tradingbot does it
    """
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaChange

    _only_posguard(target)
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

    \b
    Examples:
      posguard db check
      posguard db check --json
    """
    from posguard.cli import output
    from posguard.cli.connect import database
    from posguard.cli.shapes import SchemaStanding

    _only_posguard(target)
    dsn = database(demo=demo)
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
    """Print the SQL of the database roles posguard works under: migration, reader, cleanup. Connects to nothing.

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


def _only_posguard(target: Target) -> None:
    if target is Target.BOT:
        raise NotBuiltError(
            "The correction of the bot's own tables is not built yet. Nothing was done.",
            hint="`--target posguard` is all there is so far; diagnosis and the page work with that alone.",
        )


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
