from __future__ import annotations

import pytest

from posguard.model.position import TERMINAL, Side, Status, is_open, parse_side
from posguard.model.symbol import canonical_symbol


@pytest.mark.parametrize("status", ["closed", "failed", "rolled_back", "canceled"])
def test_four_statuses_are_terminal(status):
    assert not is_open(status)


@pytest.mark.parametrize("status", [*(set(Status) - TERMINAL), "phantom", "", None, "CLOSED"])
def test_every_other_status_is_open_unknown_and_null_included(status):
    assert is_open(status)


@pytest.mark.parametrize(
    ("raw", "side"),
    [
        ("long", Side.LONG),
        ("BUY", Side.LONG),
        (" short ", Side.SHORT),
        ("sell", Side.SHORT),
        ("both", None),
        ("", None),
        (None, None),
    ],
)
def test_sides_in_all_spellings_seen(raw, side):
    assert parse_side(raw) is side


@pytest.mark.parametrize(
    "raw", ["BTCUSDT", "btcusdt", "BTC/USDT", "BTC/USDT:USDT", "BTC-USDT", "btc_usdt", " BTCUSDT "]
)
def test_one_market_has_one_canonical_symbol(raw):
    assert canonical_symbol(raw) == "BTCUSDT"


def test_multiplied_coins_keep_their_venues_name():
    assert canonical_symbol("1000SHIB/USDT:USDT") == "1000SHIBUSDT"
    assert canonical_symbol("SHIB1000USDT") == "SHIB1000USDT"
