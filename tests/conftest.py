"""Fixtures shared by all tiers: a PostgreSQL server (embedded, or the one of POSGUARD_TEST_DSN) and databases on it."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.queries import script

pytest_plugins = [
    "tests.fixtures.simulator",
    "tests.fixtures.gateways",
    "tests.fixtures.core",
    "tests.fixtures.races",
    "tests.fixtures.cleanup",
]


def _on(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def run_script(dsn: str, text: str) -> None:
    """Runs a whole SQL script in autocommit."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text)


@pytest.fixture(scope="session")
def server_dsn():
    """The address of a server on which databases may be made."""
    named = os.environ.get("POSGUARD_TEST_DSN")
    if named:
        yield named
        return
    folder = Path(mkdtemp(prefix="posguard-test-"))
    server = EmbeddedServer.start(folder, options={"fsync": "off", "full_page_writes": "off"})
    try:
        yield server.dsn("postgres")
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_dsn(server_dsn):
    """A fresh, empty database, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    run_script(server_dsn, f'CREATE DATABASE "{name}"')
    yield SecretStr(_on(server_dsn, name))
    run_script(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def bot_template(server_dsn):
    """A database with the bot's tables and posguard's schema, to copy from."""
    name = f"tpl_{uuid.uuid4().hex[:12]}"
    run_script(server_dsn, f'CREATE DATABASE "{name}"')
    run_script(_on(server_dsn, name), script("bot_schema"))
    migrate.upgrade(SecretStr(_on(server_dsn, name)))
    yield name
    run_script(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def bot_dsn(server_dsn, bot_template):
    """A fresh database with the bot's tables and posguard's schema."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    run_script(server_dsn, f'CREATE DATABASE "{name}" TEMPLATE "{bot_template}"')
    yield SecretStr(_on(server_dsn, name))
    run_script(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')
