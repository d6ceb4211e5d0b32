"""The notifier in a running Airflow: a run that fails is told by the Connection that is there, with all that waits."""

from __future__ import annotations

import json

CONNECTIONS = "/api/v2/connections"
NAME = "posguard_alerts_webhook"


def test_a_failed_run_and_what_waits_arrive_by_the_connection(site, webhook_apart):
    token = site.token("admin")

    def ask(path, **words):
        return site.call(path, token=token, **words)

    made = {
        "connection_id": NAME,
        "conn_type": "http",
        "host": webhook_apart.url,
        "password": "hunter2",
        "extra": json.dumps({"severities": ["critical", "warning"]}),
    }
    assert ask(CONNECTIONS, method="POST", body=made)[0] == 201
    try:
        run = {"logical_date": None, "conf": {"confirm": "2222-2222"}}  # refused: there is no such plan
        assert ask("/api/v2/dags/posguard_cleanup/dagRuns", method="POST", body=run)[0] == 200
        told = {}
        while "dag_run_failed" not in told:  # a run of another DAG may end first, and takes what waits along
            assert webhook_apart.heard.wait(120)
            webhook_apart.heard.clear()
            told = {alert["kind"]: alert for body in list(webhook_apart.bodies) for alert in body["alerts"]}
    finally:
        ask(f"{CONNECTIONS}/{NAME}", method="DELETE")
    assert "posguard_cleanup failed" in told["dag_run_failed"]["text"]
    # the demo's first reconciliation found what is planted, and no route was set then
    assert {"duplicate_position", "orphaned_db", "unprotected_position"} <= set(told)
    for headers, body in webhook_apart.got:
        assert headers["Authorization"] == "Bearer hunter2"
        assert headers["Idempotency-Key"] == body["key"]
    assert len(set(webhook_apart.keys)) == len(webhook_apart.keys)
