"""Rows, and what is known of them, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from posguard.model.managed import ManagedRow, Rival, client_id
from posguard.model.order import Lookup, OrderReply, OrderState, SeenOrder, Sight, Why
from posguard.model.position import PositionSide, Side, Status
from posguard.model.transitions import Origin
from posguard.model.venue import (
    Fill,
    FillHistory,
    FillKind,
    MarketRule,
    OrderKind,
    VenueId,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
    World,
)
from posguard.trading import CoreSettings
from posguard.trading.facts import Facts

AT = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)


ONE = Decimal(1)


BOTH = PositionSide.BOTH


VENUE = VenueId("binance")


RULE = MarketRule("APTUSDT", "APTUSDT", Decimal("0.1"), Decimal("0.001"), Decimal("0.1"), Decimal(5))


KEY = "signal-1"


def row(status, **values):
    return ManagedRow(
        **{
            "id": 7,
            "exchange": "binance",
            "account": "main",
            "symbol": "APTUSDT",
            "position_side": BOTH,
            "side": Side.LONG,
            "quantity": ONE,
            "entry_price": Decimal(3),
            "status": status,
            "version": 3,
            "fencing": 1,
            "request_key": KEY,
            "attempt": 1,
            "entry_client_id": client_id(KEY, "e", 1),
            "stop_client_id": None,
            "exchange_order_id": None,
            "stop_loss_order_id": None,
            "stop_loss_price": None,
            "stop_percent": Decimal(5),
            "needs_attention": False,
            "attention_reason": None,
            "exit_reason": None,
            "origin": Origin.SIGNAL,
            "unprotected_since": None,
            "inserted_at": AT,
            "lease_owner": "me",
            **values,
        }
    )


def facts(**values):
    return Facts(**{"rule": RULE, "settings": CoreSettings(), **values})


def seen(state, filled="0", *, stop=False, order_id="9"):
    return SeenOrder(
        order_id, "x", "APTUSDT", BOTH, not stop, OrderKind.STOP if stop else OrderKind.MARKET, state, ONE,
        Decimal(filled), Decimal(3), Decimal("2.85") if stop else None, stop, AT,
    )  # fmt: skip


def found(state, filled="0", **values):
    return Lookup(Sight.FOUND, seen(state, filled, **values))


def look(*positions, orders=(), complete=True):
    return VenueSnapshot(
        VENUE,
        World.SIMULATOR,
        AT,
        AT,
        complete,
        () if complete else ("broken",),
        positions,
        orders,
        {"APTUSDT": RULE},
    )


def held(quantity="1", side=Side.LONG):
    return VenuePosition("APTUSDT", BOTH, side, Decimal(quantity), Decimal(3), Decimal(3))


def stop_order(quantity="1", order_id="9", name=None):
    return VenueOrder(
        order_id, name, "APTUSDT", BOTH, False, OrderKind.STOP, Decimal(quantity), None, Decimal("2.85"), True, False, AT
    )  # fmt: skip


def fills(*quantities, complete=True, name=None, first=AT):
    """One fill a second from `first` on; their orders are 0, 1, 2 …"""
    made = tuple(
        Fill(
            str(n),
            str(n),
            name,
            "APTUSDT",
            BOTH,
            Decimal(q) > 0,
            abs(Decimal(q)),
            Decimal(3),
            FillKind.TRADE,
            first + timedelta(seconds=n),
        )
        for n, q in enumerate(quantities)
    )
    return FillHistory(VENUE, AT, frozenset({"APTUSDT"}), made, complete, () if complete else ("broken",))


def reply(outcome, why=Why.NONE, **values):
    return OrderReply(outcome, "x", why=why, reason="said so", **values)


ABSENT, UNKNOWN = Lookup(Sight.ABSENT), Lookup(Sight.UNKNOWN, reason="no answer")


LIVE = found(OrderState.LIVE, stop=True)


RIVAL = Rival(5, "active", Side.LONG, ONE, core_managed=True)


S = Status
