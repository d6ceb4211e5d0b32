"""The demo's Airflow: api-server, scheduler, dag-processor and triggerer with LocalExecutor, on loopback and PostgreSQL.

The settings are those that were tried and hold (docs/decisions/0003-demo-airflow.md).
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posguard.demo.record import AirflowAddress
from posguard.errors import VenueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from posguard.settings import VenueSettings

COMPONENTS = ("api-server", "dag-processor", "triggerer", "scheduler")
DAG = "posguard_reconcile"


def program() -> list[str]:
    """The airflow command of this environment."""
    return [str(Path(sys.executable).with_name("airflow"))]


def environment(
    home: Path,
    repository: Path,
    *,
    port: int,
    metadata: str,
    passwords: Mapping[str, str],
) -> dict[str, str]:
    """The environment of every Airflow process: nothing of the caller's AIRFLOW__ settings, nothing outside `home`.

    `passwords` maps user to password (admin, viewer).
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / "passwords.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(dict(passwords)))
    base = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "POSGUARD_", "PYTHONPATH"))}
    url = f"http://127.0.0.1:{port}"
    sections = {
        "CORE__DAGS_FOLDER": str(repository / "dags"),
        "CORE__PLUGINS_FOLDER": str(repository / "plugins"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__FERNET_KEY": "",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file),
        "DATABASE__SQL_ALCHEMY_CONN": _alchemy(metadata),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": secrets.token_hex(16),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return (
        base
        | {"AIRFLOW_HOME": str(home), "GX_ANALYTICS_ENABLED": "false"}
        | {f"AIRFLOW__{name}": value for name, value in sections.items()}
    )


def with_connections(
    env: Mapping[str, str], connections: Mapping[str, Any], *, metadata: str
) -> dict[str, str]:
    """The environment with these connections, on this metadata database."""
    named = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    return dict(env) | named | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _alchemy(metadata)}


def _alchemy(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg2://", 1)


def connection_of_database(dsn_parts: Mapping[str, Any]) -> dict[str, Any]:
    """posguard_db in Airflow's JSON form, from host, port, login, password, schema and sslmode."""
    extra = {"sslmode": dsn_parts["sslmode"]}
    return {"conn_type": "postgres", **{k: v for k, v in dsn_parts.items() if k != "sslmode"}, "extra": extra}


def connection_of_venue(venue: VenueSettings) -> dict[str, Any]:
    """posguard_binance or posguard_bybit in Airflow's JSON form."""
    return {
        "conn_type": "http",
        "host": venue.base_url or "",
        "login": venue.api_key.get_secret_value(),
        "password": venue.api_secret.get_secret_value(),
        "extra": {"world": venue.world.value, "account": venue.account, "hedge": venue.hedge},
    }


def connection_that_trades() -> dict[str, Any]:
    """posguard_binance_trade or posguard_bybit_trade: the simulator's key that may trade, which everybody knows."""
    from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET

    return {"conn_type": "http", "login": TRADE_KEY, "password": TRADE_SECRET}


@dataclass
class AirflowClient:
    """Airflow's REST API as the demo uses it."""

    address: AirflowAddress
    check: Callable[[], None] = field(default=lambda: None)
    _token: str = ""

    def wait_until_listening(self, timeout: float) -> None:
        """Returns when the API answers. Raises VenueUnavailableError after `timeout` seconds."""
        for _ in self._until(timeout, "Airflow's API did not answer"):
            if self._try("GET", "/api/v2/monitor/health"):
                return

    def wait_until_ready(self, timeout: float) -> None:
        """Returns when all four components are healthy. Raises VenueUnavailableError after `timeout` seconds."""
        for _ in self._until(timeout, "Airflow did not become ready"):
            health = self._try("GET", "/api/v2/monitor/health")
            parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            if health and all((health.get(part) or {}).get("status") == "healthy" for part in parts):
                return

    def first_run(self, dag: str, timeout: float) -> str:
        """The id of the run that the scheduler makes for the last whole hour; one is triggered where it makes none."""
        parsed_at: float | None = None
        for _ in self._until(timeout, f"Airflow did not load the DAG {dag}"):
            runs = self._try("GET", f"/api/v2/dags/{dag}/dagRuns?limit=1&order_by=-id")
            if runs is None:
                continue
            if runs["dag_runs"]:
                return str(runs["dag_runs"][0]["dag_run_id"])
            parsed_at = parsed_at or time.monotonic()
            if time.monotonic() - parsed_at > 10:
                made = self._try("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": {}})
                if made:
                    return str(made["dag_run_id"])
        raise AssertionError("unreachable")

    def wait_for_run(self, dag: str, run: str, timeout: float, progress: Callable[[str], None]) -> str:
        """The final state of a run: success or failed. `progress` hears of each task that ends."""
        seen: set[str] = set()
        for _ in self._until(timeout, f"The run {run} did not end"):
            tasks = self._try("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances") or {
                "task_instances": []
            }
            for task in tasks["task_instances"]:
                mark = f"{task['task_id']}: {task['state']}"
                if task["state"] in {"success", "failed", "upstream_failed", "skipped"} and mark not in seen:
                    seen.add(mark)
                    progress(mark)
            state = self._try("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")
            if state and state["state"] in {"success", "failed"}:
                return str(state["state"])
        raise AssertionError("unreachable")

    def _until(self, timeout: float, complaint: str) -> Iterator[None]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            yield
            time.sleep(0.3)
        raise VenueUnavailableError(
            f"{complaint} within {timeout:.0f} s.",
            hint="Its logs are in .posguard/logs and .posguard/airflow/logs.",
        )

    def _try(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer as JSON; None while there is none (starting up, not found yet, token expired)."""
        if not self._token and path != "/api/v2/monitor/health":
            login = {"username": self.address.user, "password": self.address.password.get_secret_value()}
            self._token = (self._call("POST", "/auth/token", login) or {}).get("access_token", "")
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address.url + path, data=data, headers=headers, method=method)  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._token = ""
            return None
        except (OSError, ValueError):
            return None
