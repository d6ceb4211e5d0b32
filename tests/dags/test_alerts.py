"""The notifier of the DAGs: Connections become routes, a run's alerts go out after it, and nothing of it fails the run."""

from __future__ import annotations

import asyncio
import json

import pytest

from posguard.errors import SettingsError
from posguard.postgres.pool import Database
from posguard.settings import load_settings
from tests.conftest import run_script
from tests.dags.conftest import of_dsn

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]


@pytest.fixture
def notifying(connect, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    import posguard_alerts

    for name in (posguard_alerts.SLACK, posguard_alerts.WEBHOOK, posguard_alerts.EMAIL):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name.upper()}", raising=False)
    return posguard_alerts


def urls(routes):
    return {route.name: route.url.get_secret_value() for route in routes}


def test_connections_become_routes_and_go_before_those_of_the_environment(notifying, connect, monkeypatch):
    monkeypatch.setenv(
        "POSGUARD_ALERT_ROUTES",
        json.dumps(
            [{"name": n, "kind": "webhook", "url": "https://env.example"} for n in ("webhook", "desk")]
        ),
    )
    connect(
        posguard_alerts_slack={"password": "T0/B0/hunter2", "extra": {"severities": ["critical"]}},
        posguard_alerts_webhook={"host": "https://h.example/in", "password": "hunter2", "extra": {"owners": ["bot"]}},
        posguard_alerts_email={
            "host": "mx.example", "login": "ann", "password": "p@ss", "port": 587,
            "extra": {"from_email": "p@h.example", "to": "a@h.example, b@h.example", "disable_ssl": True},
        },
    )  # fmt: skip
    routes = notifying.alert_routes(load_settings())
    assert urls(routes) == {
        "slack": "https://hooks.slack.com/services/T0/B0/hunter2",
        "webhook": "https://h.example/in",
        "email": "smtp://ann:p%40ss@mx.example:587",
        "desk": "https://env.example",
    }
    slack, hook, mail, _ = routes
    assert slack.severities == ("critical",)
    assert (hook.owners, hook.token.get_secret_value()) == (("bot",), "hunter2")
    assert [to.get_secret_value() for to in mail.to] == ["a@h.example", "b@h.example"]


@pytest.mark.parametrize(
    ("name", "connection", "said"),
    [
        ("slack", {"host": "ftp://h", "password": "hunter2"}, "its url"),
        (
            "webhook",
            {"host": "https://h.example", "password": "hunter2", "extra": {"who": "x"}},
            "unknown option who",
        ),
        ("email", {"host": "mx.example", "password": "hunter2"}, "sender"),
    ],
)
def test_a_wrong_connection_is_named_without_its_secret(notifying, connect, name, connection, said):
    connect(**{f"posguard_alerts_{name}": connection})
    with pytest.raises(SettingsError) as caught:
        notifying.alert_routes(load_settings())
    assert f"posguard_alerts_{name}" in str(caught.value)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def outbox(dsn):
    async def read():
        async with await Database.open(dsn) as db, db.connection() as connection:
            found = await connection.fetch(
                "SELECT kind, event, sent_at FROM posguard.alert_outbox ORDER BY id"
            )
            return [(one["kind"], one["event"], one["sent_at"] is not None) for one in found]

    return asyncio.run(read())


def test_a_failed_run_is_told_and_its_recovery_and_what_fails_is_one_line(
    notifying, connect, bot_dsn, webhook_apart, caplog
):
    from airflow.sdk import DAG

    dag = DAG("posguard_reconcile", schedule=None)

    def end(failed):
        notifying.OutboxNotifier(failed=failed)({"dag": dag, "run_id": "r1"})

    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    end(failed=False)
    assert outbox(bot_dsn) == []
    end(failed=True)
    assert outbox(bot_dsn) == [("dag_run_failed", "raised", False)]  # no route: it waits
    connect(posguard_alerts_webhook={"host": f"{webhook_apart.url}/hunter2"})
    webhook_apart.status = 500
    end(failed=True)
    assert "it answered 500" in caplog.text
    assert "hunter2" not in caplog.text
    webhook_apart.status = 200
    connect(posguard_db={"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "schema": "x"})
    end(failed=True)
    assert "The alerts were not sent: The database did not answer" in caplog.text
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    run_script(bot_dsn.get_secret_value(), "UPDATE posguard.alert_messages SET next_try = now()")
    webhook_apart.got.clear()
    end(failed=False)
    assert [one["alerts"][0]["event"] for one in webhook_apart.bodies] == ["raised", "resolved"]
    assert outbox(bot_dsn) == [("dag_run_failed", "raised", True), ("dag_run_failed", "resolved", True)]
