"""Gateway and simulator agree on what is held, whatever is done in whatever order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posguard.model.position import PositionSide, Side
from posguard.simulator import Simulator, actions, documents
from tests.fixtures.gateways import VENUES
from tests.fixtures.traders import ONE, ORDERS, strike, trader

# -- agreement, by property


LEGS = {False: ["both"], True: ["long", "short"]}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "enter",
                "enter",
                "part",
                "rest",
                "stop",
                "close",
                "cancel",
                "manual",
                "price",
                "limit",
                "fill",
                "lost",
            ]
        ),
        st.integers(min_value=1, max_value=40),
        st.booleans(),
        st.integers(min_value=0, max_value=1),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(exchange=st.sampled_from(VENUES), hedge=st.booleans(), steps=STEPS)
def test_gateway_and_simulator_agree_on_the_net_position(exchange, hedge, steps):
    """After any sequence of fills, partial fills, cancels, stops and manual trades, told or not told."""
    asyncio.run(_agree(exchange, hedge, steps))


async def _agree(exchange, hedge, steps):
    since = datetime.now(UTC) - timedelta(minutes=1)
    async with Simulator(seed=1) as sim:
        documents.load(sim.book, {"accounts": [{"venue": exchange, "name": "main", "hedged": hedge}]})
        async with trader(exchange, sim.base_url, seconds=2, hedge=hedge) as venue:
            for number, step in enumerate(steps):
                await _step(sim, exchange, venue, hedge, number, step)
            look = await venue.snapshot()
            history = await venue.fills(["BTCUSDT"], since)
        account = sim.book.account(exchange)
        assert look.complete, look.reasons
        assert history.complete, history.reasons
        booked = {leg.side: leg.amount for leg in account.positions.values() if leg.amount}
        seen = {
            p.position_side.value: p.quantity if p.side is Side.LONG else -p.quantity for p in look.positions
        }
        assert seen == booked
        for leg in LEGS[hedge]:
            traded = [f for f in history.fills if f.position_side.value == leg]
            net = sum((f.quantity if f.buys else -f.quantity for f in traded), Decimal(0))
            assert net == booked.get(leg, 0), f"fills of {leg}"
        assert {o.order_id for o in look.orders} == set(account.open_orders)


async def _step(sim, exchange, venue, hedge, number, step):
    what, size, flag, which = step
    quantity = ONE * size
    leg = LEGS[hedge][which % len(LEGS[hedge])]
    side = Side(leg) if hedge else (Side.LONG if flag else Side.SHORT)
    named = {"client_order_id": f"pg-{number}", "position_side": PositionSide(leg)}
    place = {"venue": exchange, "symbol": "BTCUSDT"}
    match what:
        case "enter" | "part" | "lost":
            if what == "part":
                strike(sim, exchange, ORDERS[exchange], kind="partial_fill", ratio="0.5", method="POST")
            if what == "lost":
                strike(
                    sim,
                    exchange,
                    ORDERS[exchange],
                    kind="reset",
                    method="POST",
                    when="after" if flag else "before",
                )
            await venue.place_entry("BTCUSDT", side, quantity, **named)
            sim.plan.clear()
        case "stop":
            trigger = Decimal(58000) if side is Side.LONG else Decimal(62000)
            await venue.place_stop("BTCUSDT", side, quantity, trigger, **named)
        case "close":
            await venue.close_reduce_only("BTCUSDT", side, quantity, **named)
        case "cancel":
            for order in list(sim.book.account(exchange).open_orders.values())[:1]:
                await venue.cancel("BTCUSDT", conditional=order.conditional, order_id=order.id)
        case _:
            _world(sim, what, place, leg, quantity, size, flag=flag)


def _world(sim, what, place, leg, quantity, size, *, flag):
    """What happens past the gateway: trades by hand, prices, resting orders that fill."""
    signed = quantity if flag else -quantity
    if leg != "both":
        room = sim.book.leg(sim.book.account(place["venue"]), "BTCUSDT", leg).amount
        signed = (
            quantity * (1 if leg == "long" else -1)
            if flag or abs(room) < quantity
            else quantity * (-1 if leg == "long" else 1)
        )
    if what == "manual":
        actions.act(sim.book, {"do": "trade", **place, "side": leg, "delta": str(signed)})
    elif what == "price":
        actions.act(sim.book, {"do": "price", **place, "last": str(60000 + (size - 20) * 200)})
    elif what == "limit":
        buys = (leg == "long") if leg != "both" else flag
        order = {
            "side": "buy" if buys else "sell",
            "position_side": leg,
            "kind": "limit",
            "qty": str(quantity),
        }
        price = "30000" if buys else "90000"
        documents.load(
            sim.book, {"orders": [{**place, **order, "price": price, "client_id": f"by-hand-{size}"}]}
        )
    elif what in {"fill", "rest"}:
        live = [o for o in sim.book.account(place["venue"]).open_orders.values() if not o.conditional]
        for order in live[:1]:
            part = order.remaining if what == "fill" else ONE
            actions.act(
                sim.book,
                {"do": "fill", **place, "order_id": order.id, "qty": str(min(part, order.remaining))},
            )
