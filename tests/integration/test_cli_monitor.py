"""`posguard monitor --test` from the command line's words to its JSON, on a database of the tests."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from posguard.cli.app import run
from posguard.errors import ExitCode
from posguard.postgres.pool import Database

pytestmark = pytest.mark.postgres


@pytest.fixture
def own_server(bot_dsn, monkeypatch):
    """The database that --test makes for itself is one of the tests'."""
    from posguard.demo import playing

    @asynccontextmanager
    async def made_up_database(_folder):
        async with await Database.open(bot_dsn, size=2) as db:
            yield db

    monkeypatch.setattr(playing, "made_up_database", made_up_database)


@pytest.mark.usefixtures("own_server")
def test_ten_minutes_at_speed_show_each_kind_of_alert_raised_and_cleared(tmp_path, capsys):
    code = run(["monitor", "--test", "--json", "--out", str(tmp_path)])
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert code == ExitCode.FINE, "what the made-up world holds was put there"
    assert (report["snapshots_taken"], report["snapshots_missed"]) == (10, 0)
    assert report["monitoring_duration_minutes"] == 10
    cleared = {alert["kind"] for alert in report["alerts"] if alert["cleared_at"]}
    assert cleared >= {
        "monitor_no_stop_loss",
        "monitor_emergency_close",
        "monitor_error_rate",
        "monitor_no_price_updates",
    }
    assert (report["critical_alerts"], report["warning_alerts"]) == (2, 2)
    assert "10/10" in told.err
    (saved,) = tmp_path.glob("monitor-*.json")
    on_disk = json.loads(saved.read_text())
    assert {name: report[name] for name in on_disk if name in {"total_alerts", "metrics_summary"}} == {
        "total_alerts": on_disk["total_alerts"],
        "metrics_summary": on_disk["metrics_summary"],
    }
    assert set(on_disk) | {"files"} == set(report)
