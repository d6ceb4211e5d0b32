"""Airflow for the tests of the DAGs: a home of its own, set before anything imports Airflow; PostgreSQL and a simulator."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(mkdtemp(prefix="posguard-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

AIRFLOW = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}
assert "airflow" not in sys.modules, "Airflow was imported before its home was set"
os.environ.update(AIRFLOW)
sys.path.append(str(ROOT / "plugins"))  # as Airflow does it for its own components


@pytest.fixture
def connect(monkeypatch):
    """Sets Connections by their environment variables, the way the demo and docker-compose do."""
    for name in ("DB", "BINANCE", "BYBIT"):
        monkeypatch.delenv(f"AIRFLOW_CONN_POSGUARD_{name}", raising=False)

    def setting(**connections):
        for name, value in connections.items():
            text = value if isinstance(value, str) else json.dumps({"conn_type": "generic"} | value)
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", text)

    return setting


def of_dsn(dsn, **extra):
    """A Postgres Connection to the same database."""
    parts = urlsplit(dsn.get_secret_value())
    return {
        "conn_type": "postgres",
        "host": parts.hostname,
        "port": parts.port,
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "schema": parts.path.lstrip("/"),
        "extra": extra,
    }


@pytest.fixture(scope="session")
def dag_bag():
    """Every DAG of the repository, as the DAG processor reads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags")


@pytest.fixture(scope="session")
def airflow_database():
    """Airflow's own database, made anew."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="module")
def simulator_url():
    """A simulator in a process of its own: DAG tasks run loops of their own and may block this one."""
    command = [sys.executable, "-m", "posguard.simulator", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def demo_world(empty_dsn, simulator_url, monkeypatch):
    """A database and a simulator that hold the demo world, posguard's schema included.

    Its venues have no limits, so that no test waits for the minute of the one before; the budget has tests of its own.
    """
    from datetime import UTC, datetime

    from posguard.exchange.budget import Budget

    def unlimited(_table, _address, _share, ledger):
        assert ledger is not None, "a task's gateway does not share the request budget of all processes"
        return Budget.unlimited()

    monkeypatch.setattr("posguard.exchange.client._budget", unlimited)

    from posguard.demo.seed import seed
    from posguard.demo.world import make_world
    from posguard.postgres import migrate
    from posguard.simulator.client import SimulatorControl

    world = make_world(datetime.now(UTC), 7)

    async def fill():
        async with SimulatorControl(simulator_url) as control:
            await control.reset()
            await seed(empty_dsn, control, world)

    asyncio.run(fill())
    migrate.upgrade(empty_dsn)
    return world


@pytest.fixture(scope="module")
def application(airflow_database):
    from airflow.api_fastapi.app import create_app

    return create_app(apps="core")


@pytest.fixture
def ask(application):
    """Asks for a path of the page as a user of a role; None is a user without one, '' nobody at all."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    def asked(path, role="viewer", root="", **more):
        headers = {}
        if role != "":
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="u", role=role))
            headers = {"Authorization": f"Bearer {token}"}
        client = TestClient(application, root_path=root, follow_redirects=False)
        return client.get(f"{root}/posguard{path}", headers=headers, **more)

    return asked
