"""A large account is compared in a time that grows with its size, not with the square of it."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal

from posguard.model.finding import Kind
from posguard.model.venue import World
from posguard.reconcile.compare import compare
from posguard.reconcile.facts import Situation, VenueLook
from tests.unit.reconcile.scenario import BINANCE, LIMITS, MARKETS, NOW, look, row


def test_five_thousand_positions():
    """Measured: 0.5 s of processor time; every key against every row took 53 s."""
    symbols = [f"C{number}USDT" for number in range(5000)]
    markets = {s: replace(MARKETS["BTCUSDT"], symbol=s, venue_symbol=s) for s in symbols}
    one, _ = row("#1 active long 10 2h")
    rows = tuple(
        replace(one, id=number, raw_symbol=s, quantity=Decimal(11 if number % 5 == 0 else 10))
        for number, s in enumerate(symbols)
    )
    (snapshot,) = look("long 10; stop sell 10 @95", {}, 1).snapshots
    whole = replace(
        snapshot,
        markets=markets,
        positions=tuple(replace(snapshot.positions[0], symbol=s) for s in symbols),
        orders=tuple(replace(snapshot.orders[0], symbol=s, order_id=s) for s in symbols),
    )
    seen = VenueLook(BINANCE, World.SIMULATOR, (whole, whole, whole))
    started = time.process_time()
    found = compare(Situation(rows, rows, {BINANCE: seen}, LIMITS, NOW))
    assert time.process_time() - started < 10
    assert {f.kind for f in found.findings} == {Kind.QUANTITY_MISMATCH}
    assert len(found.findings) == 1000
