"""Airflow for the tests of the DAGs: a home of its own, set before anything imports Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(mkdtemp(prefix="posguard-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

AIRFLOW = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}
assert "airflow" not in sys.modules, "Airflow was imported before its home was set"
os.environ.update(AIRFLOW)
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_POSGUARD")]:
    del os.environ[name]


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
