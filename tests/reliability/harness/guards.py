"""One check for each rule that the database itself keeps: what it finds is a list of sentences, empty where the rule is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
from pydantic import SecretStr

from posguard.model.managed import Birth, client_id
from posguard.model.position import PositionKey, Side, Status
from posguard.model.transitions import Origin
from posguard.postgres import managed
from posguard.postgres.pool import Database
from posguard.trading import Result, TradingCore
from tests.reliability.harness.checks import unless
from tests.reliability.harness.lab import SYMBOL, Lab
from tests.reliability.harness.scene import ONE, request

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROW = """
    INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)
    VALUES (%s, %s, 'long', 61.8, 1, %s)"""
_SPELLINGS = (("TEST/USDT:USDT", "binance"), ("test-usdt", " Binance"), ("Test_USDT", "BINANCE"))
_OPEN = (
    "pending_entry",
    "submitting",
    "entry_placed",
    "pending_sl",
    "active",
    "closing",
    "unresolved",
    "added later",
    None,
)
GUARD = "CREATE UNIQUE INDEX posguard_one_open_position ON monitoring.positions ({columns}) WHERE {predicate}"
COLUMNS = (
    'lower(btrim(exchange) COLLATE "C"), account,'
    " upper(translate(split_part(symbol, ':', 1), E'/_- \\t\\n\\r\\f\\x0B', '') COLLATE \"C\"), position_side"
)
NOT_TERMINAL = "coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')"


def _refused(lab: Lab, statement: str, *values: Any) -> bool:
    """Whether the database refuses it for what it holds already."""
    try:
        lab.do(statement, *values)
    except psycopg.errors.IntegrityError:
        return True
    return False


# -- DB-1: the guard


async def any_spelling(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.do(_ROW, SYMBOL, "binance", "active")
    return [
        f"beside an active row of {SYMBOL} another one was made as '{symbol}' at '{exchange}'"
        for symbol, exchange in _SPELLINGS
        if not _refused(lab, _ROW, symbol, exchange, "entry_placed")
    ]


def _beside(lab: Lab, status: str | None) -> Iterator[str]:
    lab.scene.forget()
    lab.do(_ROW, SYMBOL, "binance", status)
    if not _refused(lab, _ROW, SYMBOL, "binance", "entry_placed"):
        yield f"beside a row in status {status} another one was made"


async def any_open_status(lab: Lab, _monkeypatch: Any) -> list[str]:
    found = [text for status in _OPEN for text in _beside(lab, status)]
    lab.scene.forget()
    for status in ("closed", "failed", "rolled_back", "canceled", "active"):
        found += unless(not _refused(lab, _ROW, SYMBOL, "binance", status), f"{status} rows hold their key")
    return found


async def nameless_leg(lab: Lab, _monkeypatch: Any) -> list[str]:
    """NULL differs from NULL in an index: a row without account or leg would escape it."""
    return [
        f"two rows without {column} are open"
        for column in ("account", "position_side")
        if not any(
            _refused(
                lab,
                f"INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, {column})"
                " VALUES (%s, 'binance', 'long', 61.8, 1, 'entry_placed', NULL)",
                SYMBOL,
            )
            for _ in range(2)
        )
    ]


# -- DB-2: the sixth execution


def _birth(number: int) -> Birth:
    key = f"tenth-{number}"
    return Birth(
        key=PositionKey("binance", "main", f"T{number}USDT"),
        side=Side.LONG,
        quantity=ONE,
        entry_price=ONE,
        status=Status.PENDING_ENTRY,
        request_key=key,
        origin=Origin.SIGNAL,
        reason="a test",
        entry_client_id=client_id(key, "e", 1),
    )


async def tenth_execution(lab: Lab, _monkeypatch: Any) -> list[str]:
    """On one connection that keeps its statements: from the sixth time on the server may plan without looking at the values."""
    link = await asyncpg.connect(lab.scene.dsn)
    try:
        for number in range(10):
            made = await managed.give_birth(
                link, _birth(number), actor="a test", lease=lab.settings.lease, lease_owner="a test"
            )
            if made is None:
                return [f"execution {number + 1} made no row"]
    except asyncpg.PostgresError as error:
        return [f"execution {number + 1}: {error}"]
    finally:
        await link.close()
    return []


# -- DB-7: isolation, and what a pooler does to a session


def _without_options(real: Any) -> Any:
    """A pool behind a pooler that hands no option of a session on."""

    async def create(*arguments: Any, **named: Any) -> Any:
        named["server_settings"] = {"application_name": "a test"}
        return await real(*arguments, **named)

    return create


async def read_committed(lab: Lab, monkeypatch: Any) -> list[str]:
    """The database's own default is serializable, and nobody hands posguard's option on."""
    name = lab.scene.rows("SELECT current_database() AS name")[0]["name"]
    default = f'ALTER DATABASE "{name}" {{}} default_transaction_isolation'
    lab.alter(default.format("SET") + " = 'serializable'", default.format("RESET"))
    monkeypatch.setattr(asyncpg, "create_pool", _without_options(asyncpg.create_pool))
    async with await Database.open(SecretStr(lab.scene.dsn), size=2) as database:
        async with database.connection() as connection:
            alone = await connection.fetchval("SHOW transaction_isolation")
        async with database.transaction() as connection:
            together = await connection.fetchval("SHOW transaction_isolation")
        opened = await TradingCore(database, [lab.venue], lab.settings).open(request(SYMBOL))
    return [
        *unless(alone == "read committed", f"a statement by itself is {alone}"),
        *unless(together == "read committed", f"a transaction is {together}"),
        *unless(opened.result is Result.ACTIVE, f"{opened}"),
    ]


async def no_statement_stays(lab: Lab, _monkeypatch: Any) -> list[str]:
    """What a session keeps is on another server connection at the next transaction."""
    async with await Database.open(SecretStr(lab.scene.dsn), size=1) as database:
        await TradingCore(database, [lab.venue], lab.settings).open(request(SYMBOL))
        async with database.connection() as connection:
            kept = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
    return unless(not kept, f"{kept} prepared statements outlive their transactions")


# -- DB-8: when and by whom


async def second_writer_is_told(lab: Lab, _monkeypatch: Any) -> list[str]:
    """Two rows of one transaction, of a program that has a name."""
    with psycopg.connect(lab.scene.dsn, application_name="a second writer") as link:
        pid = link.info.backend_pid
        link.execute(_ROW, ("T1USDT", "binance", "active"))
        link.execute("SELECT pg_sleep(0.02)")
        link.execute(_ROW, ("T2USDT", "binance", "active"))
    await lab.core().open(request(SYMBOL))
    first, second, ours = lab.scene.rows("SELECT * FROM monitoring.positions ORDER BY id")
    told, later = lab.scene.rows(
        "SELECT at, backend_pid, app FROM posguard.transitions WHERE position_id = ANY(%s) ORDER BY id",
        [first["id"], second["id"]],
    )
    apart = (second["inserted_at"] - first["inserted_at"]).total_seconds()
    recorded = (later["at"] - told["at"]).total_seconds()
    return [
        *unless(apart >= 0.02, f"rows that were inserted 20 ms apart say {apart * 1000:.0f} ms"),
        *unless(recorded >= 0.02, f"records that were made 20 ms apart say {recorded * 1000:.0f} ms"),
        *unless(first["backend_pid"] == told["backend_pid"] == pid, "the writer's process is not told"),
        *unless(first["app_name"] == told["app"] == "a second writer", "the writer's name is not told"),
        *unless(ours["origin"] == Origin.SIGNAL, f"where a row came from is {ours['origin']}"),
    ]
