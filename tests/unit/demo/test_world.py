"""The made-up world: the same for the same (now, seed), legal, healthy where it says so, and with every kind of problem in it."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from posguard.demo.events import EVENT_TYPES
from posguard.demo.markets import markets, price_at
from posguard.demo.venues import book_document, demo_venues
from posguard.demo.world import make_world
from posguard.model.finding import RECONCILED_KINDS, Kind, Proof, Severity
from posguard.model.position import TERMINAL, Status, is_open
from posguard.model.symbol import canonical_symbol

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_011, tzinfo=UTC)
SEEDS = (0, 1, 7, 23)


@pytest.fixture(scope="module", params=SEEDS)
def world(request):
    return make_world(NOW, request.param)


def row(world, row_id):
    return next(r for r in world.positions if r.id == row_id)


def test_the_same_now_and_seed_give_the_same_world_and_another_seed_another():
    assert make_world(NOW, 7) == make_world(NOW, 7)
    assert book_document(make_world(NOW, 7)) == book_document(make_world(NOW, 7))
    assert make_world(NOW, 7).positions != make_world(NOW, 8).positions


def test_a_time_in_another_zone_is_the_same_time():
    there = NOW.astimezone(timezone(timedelta(hours=3)))
    assert make_world(there) == make_world(NOW)
    with pytest.raises(ValueError, match="zone"):
        make_world(NOW.replace(tzinfo=None))


def test_about_seven_hundred_positions_of_the_last_eight_hours_on_both_venues(world):
    assert 650 <= len(world.positions) <= 750
    assert all(timedelta(0) < NOW - r.created_at <= timedelta(hours=8) for r in world.positions)
    by_exchange = Counter(r.exchange for r in world.positions)
    assert min(by_exchange.values()) > 250
    per_hour = Counter((NOW - r.created_at) // timedelta(hours=1) for r in world.positions)
    assert len(per_hour) == 8
    assert min(per_hour.values()) > 40
    for table, rows in world.rows.tables().items():
        assert rows, table


def test_ids_are_unique_and_grow_with_time(world):
    assert len({r.id for r in world.positions}) == len(world.positions)
    by_id = sorted(world.positions, key=lambda r: r.id)
    assert [r.created_at for r in by_id] == sorted(r.created_at for r in by_id)


def test_incident_one_stands_with_its_ids_quantities_and_gap(world):
    signal, sync = row(world, 2548), row(world, 2549)
    assert (signal.symbol, signal.exchange) == (sync.symbol, sync.exchange) == ("APTUSDT", "binance")
    assert (signal.status, signal.quantity, signal.exchange_order_id) == (
        "rolled_back",
        Decimal("61.8"),
        "53190368",
    )
    assert (sync.status, sync.quantity, sync.exchange_order_id) == ("active", Decimal("61.0"), None)
    assert abs(sync.created_at - signal.created_at - timedelta(seconds=3.756)) <= timedelta(milliseconds=1)
    violation = next(e for e in world.rows.events if e.stack_trace and e.position_id == 2548)
    assert "UniqueViolationError" in violation.stack_trace
    assert 'constraint "idx_unique_active_position"' in violation.error_message
    assert "Key (symbol, exchange)=(APTUSDT, binance) already exists." in violation.error_message
    assert sync.created_at < violation.created_at < signal.closed_at
    fills = [f for f in world.venue.executions if (f.exchange, f.symbol) == ("binance", "APTUSDT")]
    assert [(f.buys, f.quantity) for f in fills] == [(True, Decimal("61.0")), (False, Decimal("61.0"))]
    assert fills[0].at < sync.created_at < fills[1].at


def test_incident_two_stands_with_its_ids_and_gap(world):
    first, second = row(world, 275), row(world, 276)
    assert first.symbol == second.symbol == "KASUSDT"
    gap = second.created_at - first.created_at
    assert abs(gap - timedelta(milliseconds=34)) <= timedelta(milliseconds=1)
    assert first.exchange_order_id is None
    assert second.exchange_order_id is None
    assert is_open(first.status)
    assert is_open(second.status)
    held = [h for h in world.venue.holdings if (h.exchange, h.symbol) == (first.exchange, "KASUSDT")]
    assert [h.amount for h in held] == [first.quantity]
    neighbours = [r.symbol for r in world.positions if r.id in {274, 277}]
    assert neighbours == ["AKEUSDT", "BIDUSDT"]


def test_the_bots_unique_index_holds(world):
    active = Counter((r.symbol, r.exchange) for r in world.positions if r.status == "active")
    assert set(active.values()) == {1}


def test_thirty_four_are_open_healthy_young_and_protected_on_the_venue(world):
    assert len(world.healthy_rows) == world.truth.healthy == 34
    stops = {(s.exchange, s.symbol): s for s in world.venue.stops}
    held = {(h.exchange, h.symbol): h for h in world.venue.holdings}
    for r in (row(world, row_id) for row_id in world.healthy_rows):
        key = r.exchange, r.symbol
        assert key not in world.reserved
        assert r.status == "active"
        assert r.has_stop_loss
        assert NOW - r.opened_at < timedelta(hours=1, minutes=45)
        sign = 1 if r.side == "long" else -1
        assert held[key].amount == r.quantity * sign
        stop = stops[key]
        assert (stop.quantity, stop.trigger, stop.buys) == (r.quantity, r.stop_loss_price, r.side == "short")
        assert (stop.trigger - r.current_price) * sign < -r.current_price * Decimal("0.02")
    assert {s.whole for s in world.venue.stops if s.exchange == "bybit"} == {True, False}
    assert not any(s.whole for s in world.venue.stops if s.exchange == "binance")
    twins = {("binance", "1000SHIBUSDT"), ("bybit", "SHIB1000USDT")}
    assert twins <= {(row(world, i).exchange, row(world, i).symbol) for i in world.healthy_rows}


def test_everything_open_is_either_healthy_or_planted(world):
    opened = {r.id for r in world.positions if is_open(r.status)}
    assert opened == world.healthy_rows | {i for i in world.planted_rows if is_open(row(world, i).status)}
    assert not world.healthy_rows & world.planted_rows


def test_ordinary_lives_are_legal(world):
    """One after the other on each market, times in order, terminal where they ended."""
    lives = defaultdict(list)
    for r in world.positions:
        if r.id in world.planted_rows:
            continue
        assert r.status in set(Status)
        assert r.quantity > 0
        assert r.entry_price > 0
        assert r.symbol == canonical_symbol(r.symbol)
        assert (r.closed_at is not None) == (r.status in TERMINAL)
        assert r.created_at <= r.opened_at <= (r.closed_at or NOW) <= r.updated_at + timedelta(seconds=20)
        assert r.updated_at <= NOW
        lives[r.exchange, r.symbol].append(r)
    for mine in lives.values():
        for earlier, later in itertools.pairwise(mine):
            assert earlier.closed_at < later.created_at


def test_every_market_is_traded_in_whole_steps_at_prices_on_the_tick(world):
    for r in world.positions:
        market = markets().get((r.exchange, canonical_symbol(r.symbol)))
        if market is None:
            assert r.symbol == "FTTUSDT"
            continue
        assert r.quantity % market.step == 0
        assert r.entry_price % market.tick == 0
        if r.stop_loss_price:
            assert r.stop_loss_price % market.tick == 0
    assert all(len(r.symbol) <= 20 for r in world.positions)


def test_every_type_of_event_occurs_in_order_and_not_in_the_future(world):
    events = world.rows.events
    assert {e.event_type for e in events} == {*EVENT_TYPES, "position_reopened"}
    assert [e.created_at for e in events] == sorted(e.created_at for e in events)
    assert events[-1].created_at <= NOW
    assert NOW - events[-1].created_at < timedelta(minutes=5)
    for event in events:
        json.loads(event.event_data)


def test_every_closed_position_has_its_fills_and_the_venues_ids_are_unique(world):
    fills = world.venue.executions
    assert len({(f.exchange, f.trade_id) for f in fills}) == len(fills)
    orders = [(f.exchange, f.order_id) for f in fills]
    stops = [(s.exchange, s.order_id) for s in world.venue.stops]
    assert len(set(orders + stops)) == len(orders) + len(stops)
    entries = {(f.exchange, f.order_id) for f in fills if not f.closes}
    for r in world.positions:
        if r.exchange_order_id and r.id not in world.planted_rows:
            assert (r.exchange, r.exchange_order_id) in entries
    assert all(f.at <= NOW for f in fills)
    for venue in ("binance",):
        mine = sorted((f for f in fills if f.exchange == venue), key=lambda f: f.at)
        numbers = [int(f.trade_id) for f in mine]
        assert numbers == sorted(numbers)
        assert max(numbers) < 800_000_000  # where the simulator's own begin
        assert max(int(s.order_id) for s in world.venue.stops if s.exchange == venue) < 2_000_000_000


def test_every_kind_is_planted(world):
    kinds = {planted.kind for planted in world.truth.at(NOW)}
    assert kinds == RECONCILED_KINDS
    severities = defaultdict(set)
    for planted in world.truth.at(NOW):
        severities[planted.kind].add(planted.severity)
    assert severities[Kind.INCOMPLETE_POSITION] == {Severity.WARNING, Severity.CRITICAL}
    assert severities[Kind.STOP_NOT_RECORDED] == {Severity.INFO, Severity.CRITICAL}
    for kind in (Kind.ORPHANED_DB, Kind.ZOMBIE_ORDER):
        assert {p.proof for p in world.truth.findings if p.kind is kind} == set(Proof)


def test_planted_problems_name_rows_and_orders_that_exist(world):
    ids = {r.id for r in world.positions}
    orders = {s.order_id for s in world.venue.stops}
    keys = {(r.exchange, canonical_symbol(r.symbol)) for r in world.positions}
    for planted in world.truth.findings:
        assert set(planted.row_ids) <= ids
        if planted.kind is Kind.ZOMBIE_ORDER:
            assert planted.subject in orders
        elif planted.kind is not Kind.EXTERNAL_POSITION:
            assert (planted.exchange, planted.symbol) in keys or planted.kind is Kind.UNPROTECTED_POSITION
        assert (planted.exchange, planted.symbol) in world.reserved or planted.symbol == "FTTUSDT"


def test_only_ages_change_with_time_and_no_planted_problem_ever_goes_away(world):
    """For a day: fingerprints only join, and a severity only rises from warning to critical."""
    before = {p.fingerprint: p for p in world.truth.at(NOW)}
    for minutes in range(0, 24 * 60, 7):
        at = NOW + timedelta(minutes=minutes)
        true = {p.fingerprint: p for p in world.truth.at(at)}
        assert len(true) == len(world.truth.at(at))
        assert before.keys() <= true.keys()
        assert {true[key].kind for key in true.keys() - before.keys()} <= {Kind.AGED_POSITION}
        changed = {(before[k].severity, true[k].severity) for k in before if before[k] != true[k]}
        assert changed <= {(Severity.WARNING, Severity.CRITICAL)}
        before = true


def test_prices_stay_so_near_their_middle_that_no_stop_is_reached():
    assert len(markets()) == 124
    for market in markets().values():
        for minutes in range(0, 24 * 60, 37):
            price = price_at(market, NOW + timedelta(minutes=minutes), 7)
            assert price % market.tick == 0
            assert abs(price - market.price) <= market.price * Decimal("0.0135") + market.tick


def test_the_simulators_keys_open_the_venues_for_reading():
    venues = demo_venues("http://127.0.0.1:1")
    assert [v.exchange for v in venues] == ["binance", "bybit"]
    assert all(v.world == "simulator" and v.base_url == "http://127.0.0.1:1" for v in venues)
    keys = {k["key"]: k for k in book_document(make_world(NOW))["keys"]}
    assert all(not keys[v.api_key.get_secret_value()]["trade"] for v in venues)
