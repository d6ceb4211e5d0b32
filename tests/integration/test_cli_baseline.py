"""`posguard baseline` as a person types it, and the report that measures success against one; on a real server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.conftest import run_script
from tests.integration.test_statistics import ROWS

pytestmark = pytest.mark.postgres

LATELY = """
INSERT INTO monitoring.positions (id, symbol, exchange, side, quantity, entry_price, status, created_at)
VALUES (90, 'APTUSDT', 'binance', 'long', 1, 1, 'closed', now() - interval '1 h');
INSERT INTO monitoring.events (event_type, position_id, symbol, exchange, severity, created_at) VALUES
    ('stop_loss_placed', 90, 'APTUSDT', 'binance', 'INFO', now() - interval '1 h' + interval '6 s')
"""


async def test_a_period_is_kept_under_a_name_and_measured_against(bot_dsn, typist):
    run_script(bot_dsn.get_secret_value(), ROWS)
    run_script(bot_dsn.get_secret_value(), LATELY)
    typist.has({"POSGUARD_DSN": bot_dsn.get_secret_value()})
    await typist.types("posguard baseline save october --days 7 --to 2025-10-22T21:50 --by ann --json")
    (kept,) = typist.json["baselines"]
    assert (kept["name"], kept["days"], kept["created_by"]) == ("october", 7, "ann")
    assert datetime.fromisoformat(kept["period_to"]) == datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
    assert kept["measures"]["open_latency"]["p50"] == 3
    await typist.types("posguard baseline list")
    assert [line.split()[0] for line in typist.out.splitlines()[1:]] == ["october", "before-correction"]

    # No exchange is configured: nothing can be judged, and the statistics are told all the same.
    await typist.types("posguard diagnose --mode report --baseline october --hours 6", 3)
    assert "Errors per hour, the last 6 h" in typist.out
    assert "october (7 d to 2025-10-22)" in typist.out
    lines = {line.split("  ")[0]: line.split()[-4:] for line in typist.out.splitlines()}
    assert lines["rolled back, share (goal under 0.05)"] == ["0", "0", "0", "0.2"]
    assert lines["duplicate-key errors, a day"][-1] == "0.2857"
    assert lines["time to the stop, P50 s"] == ["6", "6", "6", "3"]

    for line, words in (
        ("baseline save october", ("never changes its meaning", "Nothing was changed")),
        ("diagnose --baseline november", ("No baseline of the name november", "baseline list")),
        ("baseline save October", ("cannot be a baseline's name",)),
        ("baseline save before-correction", ("cannot be a baseline's name",)),
        ("baseline save later --to 2999-01-01", ("has yet to come",)),
        ("baseline save empty --to 2001-01-01", ("nothing to measure",)),
    ):
        await typist.fails(f"posguard {line}", 2, *words)
