"""What target `bot` wants of the bot's tables, and what it found there; values only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.postgres.pool import not_the_bots
from posguard.postgres.queries import queries
from posguard.postgres.schema import require_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Counts the shapes that target `bot` gave the tables.
BOT_VERSION = "1"
GUARD = "posguard_one_open_position"
STOP_ORDER = "stop_loss_order_id"
TRIGGERS = ("posguard_guard", "posguard_transition", "posguard_transition_update")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of monitoring.positions: type as format_type spells it, `standard` (its default) as pg_get_expr does."""

    name: str
    type: str
    required: bool = False
    standard: str | None = None


ACCOUNT = Column("account", "text", required=True)
COLUMNS: tuple[Column, ...] = (
    ACCOUNT,
    Column("position_side", "text", required=True, standard="'both'::text"),
    Column("core_managed", "boolean", required=True, standard="false"),
    Column("version", "bigint", required=True, standard="0"),
    Column("request_key", "text"),
    Column("entry_client_id", "text"),
    Column("stop_client_id", "text"),
    Column("attempt", "integer"),
    Column("lease_owner", "text"),
    Column("lease_until", "timestamp with time zone"),
    Column("fencing", "bigint", required=True, standard="0"),
    Column("needs_attention", "boolean", required=True, standard="false"),
    Column("attention_reason", "text"),
    Column("origin", "text"),
    Column("backend_pid", "integer", standard="pg_backend_pid()"),
    Column("app_name", "text", standard="current_setting('application_name'::text)"),
    Column("inserted_at", "timestamp with time zone", standard="clock_timestamp()"),
    Column("unprotected_since", "timestamp with time zone"),
    Column(STOP_ORDER, "character varying(100)"),
)
# What such a column holds where nothing was ever written to it; the others hold NULL.
UNTOUCHED: Mapping[str, Any] = {
    "position_side": "both",
    "core_managed": False,
    "version": 0,
    "fencing": 0,
    "needs_attention": False,
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index that target `bot` builds. A `guard` enforces a rule; any other is left out where the bot has one like it."""

    name: str
    table: str
    columns: tuple[str, ...]
    guard: bool = False


INDEXES: tuple[Index, ...] = (
    Index(GUARD, "positions", ("exchange", "symbol", "status"), guard=True),
    Index("posguard_one_request", "positions", ("request_key",), guard=True),
    Index("posguard_positions_by_status", "positions", ("status",)),
    Index("posguard_positions_by_creation", "positions", ("created_at",)),
    Index("posguard_positions_by_closing", "positions", ("closed_at",)),
    Index("posguard_events_by_time", "events", ("created_at",)),
    Index("posguard_events_by_type", "events", ("event_type", "created_at")),
)


@dataclass(frozen=True, slots=True)
class IndexFact:
    """An index as the catalogue has it; `columns` holds None for an expression, `sound` means valid, ready and live."""

    name: str
    table: str
    sound: bool
    unique: bool
    constraint: bool
    predicate: str | None
    definition: str
    columns: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class OpenRow:
    """An open row with the key it will claim; times are aware UTC."""

    id: int
    status: str | None
    exchange: str
    symbol: str
    account: str
    position_side: str
    raw_symbol: str | None
    quantity: str | None
    core_managed: bool
    since: datetime | None
    now: datetime

    def __str__(self) -> str:
        return f"#{self.id} ({self.raw_symbol} on {self.exchange}, {self.status or 'no status'}, {self.quantity})"


@dataclass(frozen=True, slots=True)
class Standing:
    """Server, role, and what of the upgrade stands beside columns and indexes."""

    database: str
    login: str
    version: int
    standby: bool
    plain: bool
    owner: str
    owns: bool
    may_record: bool
    check_valid: bool | None
    triggers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A line of posguard.bot_upgrade_steps."""

    digest: str
    detail: Mapping[str, Any]
    finished: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a plan is made from. `columns` is by table and name."""

    standing: Standing
    columns: Mapping[tuple[str, str], Column]
    indexes: tuple[IndexFact, ...]
    rows: tuple[OpenRow, ...]
    steps: Mapping[str, StepRecord]
    twice_active: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    in_the_way: tuple[str, ...] = ()

    @property
    def positions(self) -> Mapping[str, Column]:
        """The columns of monitoring.positions by name."""
        return {name: column for (table, name), column in self.columns.items() if table == "positions"}

    def index(self, name: str) -> IndexFact | None:
        """An index by name."""
        return next((index for index in self.indexes if index.name == name), None)


async def read_facts(connection: Any, *, account: str) -> Facts:
    """What stands in the database; reads only. `account` stands for the column of that name where it is not there yet.

    Raises SchemaError where the database is not the bot's, or posguard's own schema is missing or old.
    """
    named = queries("botupgrade")
    if not await named.is_the_bots(connection):
        raise not_the_bots()
    await require_schema(connection)
    standing = await named.standing(connection)
    columns = {
        (c["table_name"], c["name"]): Column(c["name"], c["type"], c["required"], c["standard"])
        async for c in named.columns(connection)
    }
    steps = {
        s["step"]: StepRecord(s["digest"], json.loads(s["detail"]), s["finished_at"] is not None)
        async for s in named.steps(connection)
    }
    twice = [(t["symbol"], t["exchange"], tuple(t["ids"])) async for t in named.twice_active(connection)]
    return Facts(
        standing=Standing(**{**standing, "triggers": tuple(standing["triggers"])}),
        columns=columns,
        indexes=tuple([_index(record) async for record in named.indexes(connection)]),
        rows=tuple([OpenRow(**record) async for record in named.open_rows(connection, account=account)]),
        steps=steps,
        twice_active=tuple(twice),
    )


def _index(record: Any) -> IndexFact:
    return IndexFact(
        name=record["name"],
        table=record["table_name"],
        sound=record["sound"],
        unique=record["is_unique"],
        constraint=record["is_constraint"],
        predicate=record["predicate"],
        definition=record["definition"],
        columns=tuple(record["columns"]),
    )
