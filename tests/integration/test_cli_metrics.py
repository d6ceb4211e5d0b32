"""`posguard metrics` as Prometheus and a person use it, against a real server."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from posguard.errors import ExitCode
from posguard.model.finding import Finding, Kind, Pass, Proof, Severity, VenueVerdict, VerdictKind
from posguard.model.metrics import Measure, Window
from posguard.model.monitoring import Snapshot, counted, unsourced
from posguard.model.position import PositionSide
from posguard.model.run import RunOutcome
from posguard.model.venue import VenueId, World
from posguard.postgres import findings, runs
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from tests.conftest import run_script
from tests.program import PROGRAM, environment, posguard

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)


async def one_run(dsn):
    seen = Finding(
        kind=Kind.UNPROTECTED_POSITION,
        exchange="bybit",
        account="main",
        symbol="SOLUSDT",
        position_side=PositionSide.BOTH,
        severity=Severity.CRITICAL,
        proof=Proof.PROVEN,
        title="no stop",
        row_ids=(7,),
    )
    verdict = VenueVerdict(VenueId("bybit"), World.SIMULATOR, VerdictKind.CONCLUSIVE, (), 3, 4, 5, 20, NOW)
    result = Pass(NOW, NOW + timedelta(seconds=3), (seen,), (verdict,), rows_read=9, rows_compared=8)
    async with await Database.open(dsn) as db, db.transaction() as connection:
        run = await runs.start_run(connection, started_at=NOW, source="cli")
        counts = await findings.record(connection, run, result)
        counts |= {"positions": 4, "protected": 3}
        await runs.finish_run(connection, run, result, outcome=RunOutcome.PROBLEMS, counts=counts)


def values(text):
    return {
        (s.name, *(s.labels[name] for name in sorted(s.labels))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


@contextmanager
def serving(folder, dsn, *words):
    """The program on a free port: its address, and the process."""
    with subprocess.Popen(
        [PROGRAM, "metrics", "--port", "0", *words],
        cwd=folder,
        env=environment(POSGUARD_DSN=dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"ready at (http://\S+)", line)
            assert found, (line, process.stderr.read() if process.poll() is not None else "")
            yield found[1], process
        finally:
            process.kill()


def scraped(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return values(answer.read().decode())


async def test_the_newest_run_is_told_and_what_is_not_known_is_left_out(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    empty = values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=dsn).out)
    assert empty["posguard_up",] == 1
    assert not [
        key for key in empty if key[0].startswith(("posguard_run_", "posguard_venue_", "posguard_suite_"))
    ]
    await one_run(bot_dsn)
    run_script(
        dsn,
        "INSERT INTO posguard.alert_outbox (key, severity, kind, text) VALUES ('k', 'critical', 'x', 'y');"
        "INSERT INTO posguard.protection_gaps (position_id, began, reason) VALUES (7, now(), 'x')",
    )
    told = values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=dsn).out)
    assert told["posguard_run_outcome", "problems"] == 1
    assert told["posguard_run_duration_seconds",] == pytest.approx(3)
    assert (told["posguard_run_rows",], told["posguard_run_positions",]) == (8, 4)
    assert told["posguard_run_protected_positions",] == 3
    assert told["posguard_venue_orders", "main", "bybit"] == 5
    assert told["posguard_findings", "main", "bybit", "unprotected_position", "proven", "critical"] == 1
    assert (told["posguard_alerts_unsent", "critical"], told["posguard_alerts_unsent", "info"]) == (2, 0)
    assert told["posguard_protection_gaps_open",] == 1
    assert told["posguard_kill_switch_engaged",] == 0
    # a sender took them: one for a message that is not sent yet, the other for none, because no route wants it
    run_script(
        dsn,
        "UPDATE posguard.alert_outbox SET routed_at = now();"
        "INSERT INTO posguard.alert_messages (key, route, subject, severity, alerts) VALUES ('m', 'desk', 's', 'critical', 1);"
        "INSERT INTO posguard.alert_message_items (message_id, alert_id)"
        " SELECT m.id, o.id FROM posguard.alert_messages AS m, posguard.alert_outbox AS o WHERE o.key = 'k'",
    )
    told = values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=dsn).out)
    assert told["posguard_alerts_unsent", "critical"] == 1
    run_script(dsn, "UPDATE posguard.alert_messages SET sent_at = now()")
    told = values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=dsn).out)
    assert told["posguard_alerts_unsent", "critical"] == 0
    assert ("posguard_alerts_oldest_unsent_timestamp_seconds",) not in told


SNAPSHOT = Snapshot(
    3,
    NOW,
    NOW,
    {
        Window.NOW: {Measure.POSITIONS_ACTIVE: counted({"bybit": 4})},
        Window.ALL_TIME: {
            Measure.POSITIONS_OPENED: counted({"bybit": 90}),
            Measure.API_ERRORS: unsourced("no log"),
        },
    },
)


def watched(dsn, at, finished):
    """A run of the monitor whose third snapshot was due at `at`, with one alert raised."""
    import psycopg
    from psycopg.types.json import Json

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM posguard.monitor_runs")
        (run,) = connection.execute(
            "INSERT INTO posguard.monitor_runs (started_at, ends_at, interval_seconds, owner, finished_at, report)"
            " VALUES (%s, %s, 60, 'x', %s, %s) RETURNING id",
            [at, at + timedelta(hours=8), finished, Json({}) if finished else None],
        ).fetchone()
        connection.execute(
            "INSERT INTO posguard.monitor_snapshots (run_id, number, at, taken_at, snapshot) VALUES (%s, 3, %s, %s, %s)",
            [run, at, at, Json(SNAPSHOT.as_json())],
        )
        connection.execute(
            "INSERT INTO posguard.monitor_snapshots (run_id, number, at, missed, snapshot) VALUES (%s, 4, %s, 'x', '{}')",
            [run, at + timedelta(minutes=1)],
        )
        connection.execute(
            "INSERT INTO posguard.monitor_alerts (run_id, kind, subject, severity, text, raised_at)"
            " VALUES (%s, 'position_unprotected', '7', 'critical', 'x', %s)",
            [run, at],
        )


def test_the_monitors_newest_snapshot_is_told_while_it_says_how_things_stand(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()

    def told():
        return values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=dsn).out)

    watched(dsn, datetime.now(UTC) - timedelta(seconds=90), None)
    now = told()
    assert now["posguard_positions_active", "bybit"] == 4
    assert now["posguard_positions_opened_total", "bybit"] == 90
    assert now["posguard_monitor_alerts", "position_unprotected", "critical"] == 1
    assert now["posguard_monitor_source", "api_errors", "log"] == 0
    assert "posguard_api_errors_total" not in {key[0] for key in now}
    watched(dsn, datetime.now(UTC) - timedelta(minutes=10), None)  # the monitor died
    old = {key[0] for key in told()}
    assert "posguard_monitor_snapshot_timestamp_seconds" in old
    assert not old & {
        "posguard_positions_active",
        "posguard_positions_opened_total",
        "posguard_monitor_source",
    }
    watched(dsn, datetime.now(UTC) - timedelta(seconds=90), datetime.now(UTC))  # it has ended
    assert not [key for key in told() if key[0].startswith(("posguard_monitor_", "posguard_positions_"))]


async def test_a_scrape_tells_what_is_true_now_and_says_when_the_database_is_gone(
    bot_dsn, server_dsn, tmp_path
):
    dsn = bot_dsn.get_secret_value()
    database = dsn.rsplit("/", 1)[1].split("?")[0]
    with serving(tmp_path, dsn) as (address, process):
        assert ("posguard_run_rows",) not in scraped(address)
        await one_run(bot_dsn)
        assert scraped(address)["posguard_run_rows",] == 8
        run_script(
            server_dsn,
            f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS false;'
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
        )
        assert scraped(address) == {("posguard_up",): 0}
        assert scraped(address) == {("posguard_up",): 0}
        run_script(server_dsn, f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS true')
        assert scraped(address)["posguard_run_rows",] == 8
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        trouble = process.stderr.read().splitlines()
    assert 2 <= len(trouble) <= 3, (
        trouble
    )  # when it went, perhaps cut off before refused, and when it came back
    assert "answers again" in trouble[-1]
    assert "Traceback" not in "".join(trouble)


def test_ctrl_c_ends_it_though_a_client_hangs(bot_dsn, tmp_path):
    with serving(tmp_path, bot_dsn.get_secret_value()) as (address, process):
        host, port = address.split("/")[2].split(":")
        with socket.create_connection((host, int(port))):  # says nothing
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def test_rubbish_is_refused_in_one_line(bot_dsn, empty_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = posguard("metrics", "--port", port, folder=tmp_path, POSGUARD_DSN=dsn)
    refused.fails_with(ExitCode.USAGE, port, "Nothing was started", "--port")
    no_schema = posguard("metrics", folder=tmp_path, POSGUARD_DSN=empty_dsn.get_secret_value())
    no_schema.fails_with(ExitCode.INCONCLUSIVE, "posguard db upgrade")
    posguard("metrics", folder=tmp_path).fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_DSN")


async def test_the_monitors_role_may_read_it_all(bot_dsn, server_dsn, tmp_path):
    await one_run(bot_dsn)
    prefix, dsn = f"r{uuid.uuid4().hex[:8]}", bot_dsn.get_secret_value()
    run_script(dsn, roles_sql("monitor", prefix=prefix))
    run_script(server_dsn, f"ALTER ROLE {prefix}_monitor PASSWORD 'pw'")
    try:
        as_monitor = re.sub(r"//[^@/]*@", f"//{prefix}_monitor:pw@", dsn)
        told = values(posguard("metrics", folder=tmp_path, POSGUARD_DSN=as_monitor).out)
        assert told["posguard_run_rows",] == 8
    finally:
        run_script(dsn, f"DROP OWNED BY {prefix}_monitor")
        run_script(server_dsn, f"DROP ROLE {prefix}_monitor")
