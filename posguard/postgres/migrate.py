"""Alembic running plain SQL: posguard's own schema, with its own version table, touching nothing of the bot's.

One transaction holds a whole upgrade or downgrade, so an interrupted one leaves what was there before. Migrators take
turns by a transaction-level advisory lock.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy.exc import ArgumentError, DBAPIError

from posguard.errors import (
    RefusedError,
    SchemaError,
    SettingsError,
)
from posguard.postgres.drivers import mapped_driver_error
from posguard.postgres.pool import NO_DSN, NO_DSN_HINT, not_the_bots
from posguard.postgres.queries import MIGRATIONS, migration, script

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION_TABLE = "schema_version"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where posguard's schema stands: the version in the database (None: not there) and the newest known here."""

    current: str | None
    newest: str

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to upgrade."""
        return self.current == self.newest


def upgrade(dsn: SecretStr | None) -> SchemaState:
    """Brings posguard's schema to the newest version; again is fine. Returns the state before.

    Raises SchemaError where the database is not the bot's (no monitoring.positions), and PosguardError's others where it
    cannot be reached; then nothing was changed.
    """
    with _connected(dsn) as connection:
        if not connection.exec_driver_sql("SELECT to_regclass('monitoring.positions') IS NOT NULL").scalar():
            raise not_the_bots()
        connection.exec_driver_sql(script("take_turns"))
        before = _state(connection)
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS posguard")
        command.upgrade(_config(connection), "posguard@head")
    return before


def downgrade(dsn: SecretStr | None, *, to: str = "base") -> SchemaState:
    """Takes posguard's schema, and all it recorded, back to a version. Returns the state before.

    Raises RefusedError while the bot's tables carry posguard's upgrade; then nothing was changed.
    """
    with _connected(dsn) as connection:
        connection.exec_driver_sql(script("take_turns"))
        before = _state(connection)
        if before.current is None:
            return before
        if not connection.exec_driver_sql(script("bot_turn")).scalar():
            raise RefusedError(
                "The bot's tables are being upgraded at this moment. Nothing was changed.",
                hint="Wait for that, then take it back: `posguard db downgrade --target bot`.",
            )
        _refuse_while_carried(connection)
        command.downgrade(_config(connection), "posguard@base" if to == "base" else to)
        if to == "base":
            connection.exec_driver_sql(f"DROP TABLE posguard.{VERSION_TABLE}")
            connection.exec_driver_sql("DROP SCHEMA posguard")
    return before


@dataclass(frozen=True, slots=True)
class Loss:
    """What a downgrade would take away: rows by table of the schema posguard, in the named database."""

    database: str
    rows: dict[str, int]
    state: SchemaState


def would_be_lost(dsn: SecretStr | None) -> Loss:
    """What `downgrade` would take away; reads only. Raises RefusedError where `downgrade` would."""
    with _connected(dsn) as connection:
        _refuse_while_carried(connection)
        names = connection.exec_driver_sql(script("posguard_tables")).scalars().all()
        held = {
            name: connection.scalar(
                sqlalchemy.select(sqlalchemy.func.count()).select_from(
                    sqlalchemy.table(name, schema="posguard")
                )
            )
            for name in names
        }
        database = connection.scalar(sqlalchemy.select(sqlalchemy.func.current_database()))
        return Loss(database, held, _state(connection))


def schema_state(dsn: SecretStr | None) -> SchemaState:
    """Where posguard's schema stands; reads only."""
    with _connected(dsn) as connection:
        return _state(connection)


def _refuse_while_carried(connection: Any) -> None:
    carried = connection.exec_driver_sql(script("bot_upgrade_traces")).scalars().all()
    if carried:
        raise RefusedError(
            f"The bot's tables carry posguard's upgrade ({', '.join(carried)}), which writes into this schema. Nothing was changed.",
            hint="Run `posguard db downgrade --target bot` first.",
        )


def run_sql(name: str) -> None:
    """Runs migrations/sql/<name>.sql inside the migration's transaction."""
    op.get_bind().exec_driver_sql(migration(name))


def _config(connection: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _state(connection: Any) -> SchemaState:
    newest = ScriptDirectory(str(MIGRATIONS)).get_revision("posguard@head")
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": "posguard"}
    )
    heads = context.get_current_heads()
    return SchemaState(heads[0] if heads else None, newest.revision)


def _address(dsn: SecretStr) -> sqlalchemy.URL:
    url = sqlalchemy.make_url(dsn.get_secret_value())
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise ArgumentError("another kind of database")
    return url.set(drivername="postgresql+psycopg")


@contextmanager
def _connected(dsn: SecretStr | None) -> Iterator[Any]:
    """One connection in one transaction, committed at the end."""
    if not dsn:
        raise SettingsError(NO_DSN, hint=NO_DSN_HINT)
    try:
        engine = sqlalchemy.create_engine(
            _address(dsn),
            poolclass=sqlalchemy.NullPool,
            connect_args={"connect_timeout": 10, "application_name": "posguard migrate"},
        )
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise mapped_driver_error(error.orig, dsn) from None
    except CommandError as error:
        raise SchemaError(
            f"posguard's schema stands at a version this program does not know ({error}). Nothing was changed.",
            hint="Upgrade posguard to the version that made it.",
        ) from None
    except (ArgumentError, ValueError):
        raise SettingsError(
            "The database address cannot be read. Nothing was done.",
            hint="It reads postgresql://user:password@host:5432/database.",
        ) from None
