"""Seeding: the whole world in PostgreSQL and on a simulator over HTTP, within its time, and never over somebody's data."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from pydantic import SecretStr

from posguard.demo.seed import seed, world_of_mark
from posguard.demo.world import make_world
from posguard.errors import RefusedError
from posguard.postgres import migrate
from posguard.postgres.botworld import demo_mark
from posguard.postgres.pool import Database
from posguard.simulator.client import SimulatorControl, SimulatorError
from tests.conftest import run_script

pytestmark = pytest.mark.postgres


def ask(dsn: SecretStr, statement: str) -> list[tuple]:
    with psycopg.connect(dsn.get_secret_value()) as connection:
        return connection.execute(statement).fetchall()


async def seeded(dsn, simulator, *, now=None, number=7):
    world = make_world(now or datetime.now(UTC), number)
    async with SimulatorControl(simulator.base_url) as control:
        await seed(dsn, control, world)
    return world


async def test_an_empty_database_gets_the_world(empty_dsn, simulator):
    world = await seeded(empty_dsn, simulator)
    assert ask(empty_dsn, "SELECT id FROM monitoring.positions ORDER BY id") == [
        (row.id,) for row in world.positions
    ]
    for table, rows in world.rows.tables().items():
        assert ask(empty_dsn, f"SELECT count(*) FROM monitoring.{table}") == [(len(rows),)]
    stored = ask(
        empty_dsn, "SELECT event_data ->> 'quantity' FROM monitoring.events WHERE position_id = 2549"
    )
    assert ("61.0",) in stored


async def test_serials_number_orders_events_and_trailing_stops_as_the_truth_does(empty_dsn, simulator):
    world = await seeded(empty_dsn, simulator)
    orders = ask(empty_dsn, "SELECT id, order_id FROM monitoring.orders ORDER BY id")
    assert orders == [(n, row.order_id) for n, row in enumerate(world.rows.orders, 1)]
    events = ask(empty_dsn, "SELECT id, event_type FROM monitoring.events ORDER BY id")
    assert events == [(n, row.event_type) for n, row in enumerate(world.rows.events, 1)]
    fresh = "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price) VALUES ('X', 'bybit', 'long', 1, 1) RETURNING id"
    assert ask(empty_dsn, fresh)[0][0] == world.positions[-1].id + 1


async def test_the_books_hold_the_world_and_their_numbers_add_up(empty_dsn, simulator):
    world = await seeded(empty_dsn, simulator)
    book = simulator.book
    held = {(a.venue, p.symbol): p.amount for a in book.accounts.values() for p in book.open_positions(a)}
    assert held == {(h.exchange, h.symbol): h.amount for h in world.venue.holdings}
    live = {o.id for a in book.accounts.values() for o in a.open_orders.values()}
    assert live == {stop.order_id for stop in world.venue.stops}
    # what vanished without a closing fill is planted; everywhere else the fills explain the position
    vanished = {("binance", "ARBUSDT"), ("bybit", "UNIUSDT")}
    for (venue, _), account in book.accounts.items():
        for symbol in {fill.symbol for fill in account.fills}:
            if (venue, symbol) not in vanished:
                assert book.traded(account, symbol) == held.get((venue, symbol), Decimal(0)), (venue, symbol)


async def test_no_stop_fires_and_nobody_is_liquidated_when_prices_settle(empty_dsn, simulator):
    world = await seeded(empty_dsn, simulator)
    before = simulator.digests()["book"]
    async with SimulatorControl(simulator.base_url) as control:
        for (venue, symbol), market in list(simulator.book.markets.items()):
            if any((venue, symbol) == (h.exchange, h.symbol) for h in world.venue.holdings):
                assert await control.price(venue, symbol, market.last) == []
    assert simulator.digests()["book"] == before


async def test_seeding_again_forgets_the_earlier_demo_and_what_posguard_recorded_of_it(empty_dsn, simulator):
    await seeded(empty_dsn, simulator, number=1)
    migrate.upgrade(empty_dsn)
    run_script(
        empty_dsn.get_secret_value(),
        "INSERT INTO posguard.runs (started_at, source, world, database_fingerprint) VALUES (now(), 'cli', 'simulator', 'x')",
    )
    world = await seeded(empty_dsn, simulator, number=2)
    assert ask(empty_dsn, "SELECT count(*) FROM posguard.runs") == [(0,)]
    assert migrate.schema_state(empty_dsn).up_to_date
    assert ask(empty_dsn, "SELECT count(*) FROM monitoring.positions") == [(len(world.positions),)]
    assert ask(empty_dsn, "SELECT min(id) FROM monitoring.events") == [(1,)]
    async with await Database.open(empty_dsn) as database, database.connection() as connection:
        mark = await demo_mark(connection)
    assert world_of_mark(mark) == (world.now, 2)


async def test_empty_tables_of_the_bot_are_taken(bot_dsn, simulator):
    world = await seeded(bot_dsn, simulator)
    assert ask(bot_dsn, "SELECT count(*) FROM monitoring.positions") == [(len(world.positions),)]


@pytest.mark.parametrize(
    "foreign",
    [
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price) VALUES ('BTCUSDT', 'bybit', 'long', 1, 1)",
        "INSERT INTO monitoring.events (event_type) VALUES ('bot_started')",
        "CREATE TABLE monitoring.trades (id integer)",
        "DROP TABLE monitoring.orders",
        "COMMENT ON SCHEMA monitoring IS 'ours'; INSERT INTO monitoring.orders (order_id) VALUES ('1')",
    ],
)
async def test_somebody_elses_monitoring_data_are_refused_and_left_alone(bot_dsn, simulator, foreign):
    run_script(bot_dsn.get_secret_value(), foreign)
    outline = "SELECT (SELECT count(*) FROM monitoring.positions), obj_description(to_regnamespace('monitoring'), 'pg_namespace')"
    before, book = ask(bot_dsn, outline), simulator.digests()["book"]
    with pytest.raises(RefusedError, match="no demo made"):
        await seeded(bot_dsn, simulator)
    assert ask(bot_dsn, outline) == before
    assert simulator.digests()["book"] == book


async def test_a_simulator_that_is_down_says_so_and_the_call_may_be_made_again(empty_dsn, simulator):
    world = make_world(datetime.now(UTC))
    async with SimulatorControl("http://127.0.0.1:9") as nobody:
        with pytest.raises(SimulatorError, match="gave no answer"):
            await seed(empty_dsn, nobody, world)
    async with SimulatorControl(simulator.base_url) as control:
        await seed(empty_dsn, control, world)
    assert ask(empty_dsn, "SELECT count(*) FROM monitoring.positions") == [(len(world.positions),)]
