"""`posguard baseline` as a person types it, and the report that measures success against one; on a real server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.conftest import run_script
from tests.integration.test_statistics import ROWS
from tests.program import posguard

pytestmark = pytest.mark.postgres

LATELY = """
INSERT INTO monitoring.positions (id, symbol, exchange, side, quantity, entry_price, status, created_at)
VALUES (90, 'APTUSDT', 'binance', 'long', 1, 1, 'closed', now() - interval '1 h');
INSERT INTO monitoring.events (event_type, position_id, symbol, exchange, severity, created_at) VALUES
    ('stop_loss_placed', 90, 'APTUSDT', 'binance', 'INFO', now() - interval '1 h' + interval '6 s')
"""


@pytest.fixture
def typed(bot_dsn, tmp_path):
    run_script(bot_dsn.get_secret_value(), ROWS)
    run_script(bot_dsn.get_secret_value(), LATELY)

    def run(*words):
        return posguard(*words, folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value())

    return run


def test_a_period_is_kept_under_a_name_and_measured_against(typed):
    saved = typed(
        "baseline", "save", "october", "--days", "7", "--to", "2025-10-22T21:50", "--by", "ann", "--json"
    )
    (kept,) = saved.json["baselines"]
    assert (kept["name"], kept["days"], kept["created_by"]) == ("october", 7, "ann")
    assert datetime.fromisoformat(kept["period_to"]) == datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
    assert kept["measures"]["open_latency"]["p50"] == 3
    listed = typed("baseline", "list")
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["october", "before-correction"]

    report = typed("diagnose", "--mode", "report", "--baseline", "october", "--hours", "6")
    assert "Errors per hour, the last 6 h" in report.out, (report.out, report.err)
    assert "october (7 d to 2025-10-22)" in report.out
    lines = {line.split("  ")[0]: line.split()[-4:] for line in report.out.splitlines()}
    assert lines["rolled back, share (goal under 0.05)"] == ["0", "0", "0", "0.2"]
    assert lines["duplicate-key errors, a day"][-1] == "0.2857"
    assert lines["time to the stop, P50 s"] == ["6", "6", "6", "3"]

    typed("baseline", "save", "october").fails_with(2, "never changes its meaning", "Nothing was changed")
    typed("diagnose", "--baseline", "november").fails_with(
        2, "No baseline of the name november", "baseline list"
    )
    typed("baseline", "save", "Oct ober").fails_with(2, "cannot be a baseline's name")
    typed("baseline", "save", "before-correction").fails_with(2, "cannot be a baseline's name")
    typed("baseline", "save", "later", "--to", "2999-01-01").fails_with(2, "has yet to come")
    typed("baseline", "save", "empty", "--to", "2001-01-01").fails_with(2, "nothing to measure")
