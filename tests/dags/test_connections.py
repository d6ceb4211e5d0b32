"""Airflow's Connections as posguard's settings: nothing lost on the way, nothing secret in what is said."""

from __future__ import annotations

import json

import asyncpg
import pytest
from pydantic import SecretStr

from posguard.errors import (
    CredentialsError,
    DatabaseUnavailableError,
    PosguardBugError,
    PosguardError,
    SettingsError,
)
from posguard.model.venue import World
from posguard.postgres.embedded import free_port
from posguard.postgres.pool import Database
from tests.dags.conftest import of_dsn

pytestmark = pytest.mark.airflow

CANARY = "canary-s3cret/@:?"
SIMULATOR = {
    "host": "http://127.0.0.1:8787",
    "login": "key",
    "password": CANARY,
    "extra": {"world": "simulator"},
}


@pytest.fixture
def glue():
    import posguard_airflow

    return posguard_airflow


def postgres(**fields):
    from airflow.sdk import Connection

    values = {"conn_id": "posguard_db", "conn_type": "postgres", "host": "db.example", "schema": "bot"}
    return Connection(**(values | fields))


def test_every_field_of_the_database_connection_reaches_the_address(glue):
    extra = json.dumps({"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem", "cursor": "dictcursor"})
    whole = postgres(port=6432, login="bo t", password=CANARY, schema="bot/db", extra=extra)
    assert glue.database_address(whole).get_secret_value() == (
        "postgresql://bo%20t:canary-s3cret%2F%40%3A%3F@db.example:6432/bot%2Fdb"
        "?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"
    )
    bare = glue.database_address(postgres()).get_secret_value()
    assert bare == "postgresql://db.example:5432/bot"
    assert glue.database_address(postgres(host="::1")).get_secret_value() == "postgresql://[::1]:5432/bot"


@pytest.mark.parametrize("text", ["postgresql://bot:pw@db.example/bot?sslmode=require", None])
def test_sslmode_survives_from_both_forms_of_a_connection(glue, connect, text):
    value = text or {"host": "db.example", "schema": "bot", "extra": {"sslmode": "require"}}
    connect(posguard_db=value)
    dsn = glue.read_connections(venues=False).dsn.get_secret_value()
    assert dsn.startswith("postgresql://")
    assert dsn.endswith("/bot?sslmode=require")


async def test_sslmode_decides_how_the_server_is_spoken_to(glue, connect, bot_dsn):
    """The test server speaks no TLS: `require` is refused by the client, `disable` goes through."""
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    async with await Database.open(glue.read_connections(venues=False).dsn) as db, db.connection() as one:
        if await one.fetchval("SHOW ssl") == "on":
            pytest.skip("the server of POSGUARD_TEST_DSN speaks TLS")
        assert await one.fetchval("SELECT 1") == 1
    connect(posguard_db=of_dsn(bot_dsn, sslmode="require"))
    with pytest.raises(PosguardError) as raised:
        await Database.open(glue.read_connections(venues=False).dsn)
    assert "SSL" in str(raised.value)


async def test_airflows_own_address_would_lose_it(connect):
    """Why the address is put together from the fields: this is what get_uri() gives."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connect(posguard_db=of_dsn(SecretStr("postgresql://bot:pw@db.example:5432/bot"), sslmode="require"))
    uri = PostgresHook("posguard_db").get_uri()
    assert "sslmode" not in uri
    with pytest.raises((ValueError, asyncpg.InterfaceError)):
        await asyncpg.connect(uri.replace("postgresql://", "postgresql+psycopg2://"))


def test_the_exchange_connections_become_venues(glue, connect):
    connect(
        posguard_db={"host": "db.example", "schema": "bot"},
        posguard_binance=SIMULATOR,
        posguard_bybit={
            "login": "k",
            "password": CANARY,
            "extra": {"world": "Testnet", "account": "second", "hedge": True},
        },
    )
    binance, bybit = glue.read_connections().venues
    assert (binance.world, binance.base_url) == (World.SIMULATOR, "http://127.0.0.1:8787")
    assert binance.api_secret.get_secret_value() == CANARY
    assert (bybit.world, bybit.account, bybit.hedge, bybit.base_url) == (World.TESTNET, "second", True, None)
    assert CANARY not in repr((binance, bybit))


def test_one_exchange_is_enough_and_the_other_is_left_out(glue, connect):
    connect(posguard_db={"host": "db.example", "schema": "bot"}, posguard_binance=SIMULATOR)
    assert [v.exchange for v in glue.read_connections().venues] == ["binance"]


DATABASE = {"host": "db.example", "schema": "bot"}
WRONG = [
    ({}, "posguard_db is not there", "AIRFLOW_CONN_POSGUARD_DB"),
    ({"posguard_db": {"schema": "bot"}}, "posguard_db has no host", "Set host"),
    ({"posguard_db": {"host": "db.example"}}, "posguard_db has no database", "Set host"),
    ({"posguard_db": DATABASE}, "posguard_binance, posguard_bybit is there", "login the key"),
    ({"posguard_db": DATABASE | {"extra": "[]"}}, "no JSON object", "like"),
    ({"posguard_binance": SIMULATOR | {"login": ""}}, "has no login", "can only read"),
    ({"posguard_binance": SIMULATOR | {"password": ""}}, "has no password", "can only read"),
    ({"posguard_binance": SIMULATOR | {"extra": {}}}, "names no world", '{"world": "testnet"}'),
    (
        {"posguard_binance": SIMULATOR | {"extra": {"world": "tesnet"}}},
        "names no world",
        "simulator, testnet",
    ),
    (
        {"posguard_binance": SIMULATOR | {"extra": {"world": "demo", "wrld": 1}}},
        "unknown option wrld",
        "account",
    ),
    (
        {"posguard_binance": SIMULATOR | {"extra": {"world": "demo", "hedge": CANARY}}},
        "wrong at hedge",
        "Correct",
    ),
    ({"posguard_binance": SIMULATOR | {"host": ""}}, "means a simulator and has no host", "address"),
]


@pytest.mark.parametrize(("connections", "says", "hint"), WRONG)
def test_a_missing_or_wrong_connection_is_one_line_that_says_what_to_do(
    glue, connect, connections, says, hint
):
    if connections and "posguard_db" not in connections:
        connections = {"posguard_db": DATABASE} | connections
    connect(**connections)
    with pytest.raises(SettingsError) as raised:
        glue.read_connections()
    text = str(raised.value)
    assert says in text
    assert hint in text
    assert "Nothing was done" in text
    assert CANARY not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SettingsError("Wrong.", hint="Mend it."), "AirflowFailException"),
        (CredentialsError("Refused."), "AirflowFailException"),
        (DatabaseUnavailableError("Gone."), "AirflowException"),
        (PosguardBugError("Bug."), "PosguardBugError"),
    ],
)
def test_what_a_retry_cures_is_retried_what_it_cannot_fails_at_once_and_a_bug_stays_one(glue, error, kind):
    with pytest.raises(Exception, match=error.message) as raised, glue.one_line():
        raise error
    assert type(raised.value).__name__ == kind
    if kind != "PosguardBugError":
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__


def test_a_retry_has_the_same_external_id_and_a_clearing_another(glue):
    import posguard_tasks

    class Run:
        run_id = "scheduled__2026-11-20T12:00:00+00:00"
        clear_number = 0

    first = posguard_tasks.external_id(Run)
    assert first == Run.run_id == posguard_tasks.external_id(Run)
    Run.clear_number = 2
    assert posguard_tasks.external_id(Run) == f"{first}#2"


async def test_a_database_that_is_away_is_retried(glue, connect):
    connect(
        posguard_db={
            "host": "127.0.0.1",
            "port": free_port(),
            "schema": "bot",
            "password": CANARY,
            "login": "b",
        }
    )
    dsn = glue.read_connections(venues=False).dsn
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException) as raised, glue.one_line():
        await Database.open(dsn)
    assert not isinstance(raised.value, AirflowFailException)
    assert CANARY not in str(raised.value)
