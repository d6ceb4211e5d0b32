"""Fixtures shared by all tiers: a PostgreSQL server (embedded, or the one of POSGUARD_TEST_DSN) and databases on it."""

from __future__ import annotations

import os
import secrets
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

# One seed for all processes of a run; POSGUARD_SEED repeats it. The name is none that posguard itself reads.
os.environ.setdefault("SUITE_SEED", os.environ.get("POSGUARD_SEED") or str(secrets.randbelow(10**6)))

# A running Airflow, or Airflow's own settings in the environment, is paid for once: the tests of these folders stay on one worker.
TOGETHER = ("tests/browser", "tests/dags")
# What takes longest begins first, so that no worker is left alone with it at the end.
FIRST = (
    "tests/browser",
    "tests/dags",
    "tests/integration/test_race_scenarios.py",
    "tests/docs/test_runbook_situations.py",
)

pytest_plugins = [
    "tests.fixtures.simulator",
    "tests.fixtures.gateways",
    "tests.fixtures.core",
    "tests.fixtures.races",
    "tests.fixtures.cleanup",
    "tests.fixtures.typed",
    "tests.fixtures.receivers",
]


def work_unit(nodeid: str) -> str:
    """What one worker runs as a whole: a file, or a folder that shares a start."""
    return next((folder for folder in TOGETHER if nodeid.startswith(f"{folder}/")), nodeid.split("::", 1)[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Shares the suite out by work units, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class ByWorkUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return work_unit(nodeid)

    config.option.loadscopereorder = False
    return ByWorkUnit(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Puts the long work units first; within a unit nothing changes."""
    late = len(FIRST)
    items.sort(
        key=lambda item: next((n for n, name in enumerate(FIRST) if item.nodeid.startswith(name)), late)
    )


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
