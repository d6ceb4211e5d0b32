"""The core's decisions: a table of what follows from what, and invariants over facts of any kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from posguard.model.managed import client_id
from posguard.model.order import Lookup, OrderState, Outcome, Sight, Why
from posguard.model.position import Side, Status
from posguard.model.transitions import Origin
from posguard.model.venue import (
    FillHistory,
    OrderKind,
)
from posguard.trading.decide import decide
from posguard.trading.facts import Ask, Cancel, Leave, Move, Need, Order, Send, Wait, Wish
from tests.unit.trading.telling import (
    ABSENT,
    AT,
    KEY,
    LIVE,
    ONE,
    RIVAL,
    RULE,
    UNKNOWN,
    VENUE,
    S,
    facts,
    fills,
    found,
    held,
    look,
    reply,
    row,
    seen,
    stop_order,
)

MS = timedelta(milliseconds=1)


STOPPED = {"stop_client_id": client_id(KEY, "s", 2), "attempt": 2}


OUT = {"exit_reason": "rolled back: a test", "attempt": 3}


# name, row, facts, what follows: a step's class, a need, an order, or the status that the row moves to
TABLE = [
    ("born, goes on", row(S.PENDING_ENTRY), facts(newborn=True), S.SUBMITTING),
    ("born, not wanted any more", row(S.PENDING_ENTRY), facts(newborn=True, wish=Wish("rolled back: x")), S.FAILED),
    ("found unsent: looked up", row(S.PENDING_ENTRY), facts(), Need.ENTRY),
    ("found unsent: the venue has none", row(S.PENDING_ENTRY), facts(entry=ABSENT), S.FAILED),
    ("found unsent: the venue has it", row(S.PENDING_ENTRY), facts(entry=found(OrderState.FILLED, "1")), S.SUBMITTING),
    ("found unsent: no answer", row(S.PENDING_ENTRY), facts(entry=UNKNOWN), Wait),
    ("submitting by this owner", row(S.SUBMITTING), facts(unsent=True), Order.ENTRY),
    ("the kill switch came between", row(S.SUBMITTING), facts(unsent=True, engaged=True), S.FAILED),
    ("submitting by another owner is looked up", row(S.SUBMITTING), facts(conclusive=True), Need.ENTRY),
    ("refused", row(S.SUBMITTING), facts(reply=reply(Outcome.REJECTED, Why.FUNDS)), S.FAILED),
    ("no answer", row(S.SUBMITTING), facts(reply=reply(Outcome.UNKNOWN, Why.SILENCE)), S.UNRESOLVED),
    ("exists: looked up", row(S.SUBMITTING), facts(reply=reply(Outcome.EXISTS, Why.DUPLICATE)), Need.ENTRY),
    ("filled", row(S.SUBMITTING), facts(entry=found(OrderState.FILLED, "1")), S.ENTRY_PLACED),
    ("filled in part, then ended", row(S.SUBMITTING), facts(entry=found(OrderState.EXPIRED, "0.4")), S.ENTRY_PLACED),
    ("ended without a fill", row(S.SUBMITTING), facts(entry=found(OrderState.EXPIRED)), S.FAILED),
    ("live", row(S.SUBMITTING), facts(entry=found(OrderState.LIVE)), Wait),
    ("live for too long", row(S.SUBMITTING), facts(entry=found(OrderState.LIVE), overdue=True), Cancel),
    ("live for ever", row(S.SUBMITTING), facts(entry=found(OrderState.LIVE), patient=False), S.UNRESOLVED),
    ("absent too early to tell", row(S.UNRESOLVED), facts(entry=ABSENT), Wait),
    ("absent for T: fills are asked", row(S.UNRESOLVED), facts(entry=ABSENT, conclusive=True), Need.FILLS),
    ("and the position", row(S.UNRESOLVED), facts(entry=ABSENT, conclusive=True, fills=fills()), Need.SNAPSHOT),
    ("nothing anywhere", row(S.UNRESOLVED), facts(entry=ABSENT, conclusive=True, fills=fills(), snapshots=(look(),)), S.FAILED),
    ("fills that cannot be read", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills(complete=False), snapshots=(look(),)), Wait),
    ("a venue that cannot be read", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills(), snapshots=(look(complete=False),), patient=False), S.UNRESOLVED),
    ("a fill and a position without an order", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills("1"), snapshots=(look(held()),)), S.ENTRY_PLACED),
    ("a fill without a position", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills("1"), snapshots=(look(),)), S.UNRESOLVED),
    ("another attempt's fill is no sign of this one's", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills("1", name="pg-another-e1"), snapshots=(look(),)), S.FAILED),
    ("a nameless fill of another row's order is no sign of it either", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills("1"), others=frozenset({"0"}), snapshots=(look(),)), S.FAILED),
    ("a nameless fill of nobody known may be its own", row(S.UNRESOLVED),
     facts(entry=ABSENT, conclusive=True, fills=fills("1", "1"), others=frozenset({"0"}), snapshots=(look(),)), S.UNRESOLVED),
    ("taken by the venue, never shown", row(S.SUBMITTING),
     facts(reply=reply(Outcome.ACCEPTED), entry=ABSENT, conclusive=True), S.UNRESOLVED),
    ("given up on once is told once", row(S.UNRESOLVED, needs_attention=True), facts(entry=UNKNOWN, patient=False), Leave),
    ("filled, by this owner", row(S.ENTRY_PLACED), facts(newborn=True), S.PENDING_SL),
    ("filled, found: is it still there", row(S.ENTRY_PLACED), facts(), Need.SNAPSHOT),
    ("filled, found, still there", row(S.ENTRY_PLACED), facts(snapshots=(look(held()),)), S.PENDING_SL),
    ("filled, found, nobody can tell", row(S.ENTRY_PLACED), facts(snapshots=(look(complete=False),)), S.PENDING_SL),
    ("filled, found, gone at first sight", row(S.ENTRY_PLACED), facts(snapshots=(look(),)), Need.SNAPSHOT),
    ("filled, found, gone: why", row(S.ENTRY_PLACED), facts(snapshots=(look(), look())), Need.FILLS),
    ("closed before its own entry is no close of it", row(S.ENTRY_PLACED, exchange_order_id="1"),
     facts(snapshots=(look(), look()), fills=fills("-1", "1")), S.ENTRY_PLACED),
    ("closed after its own entry", row(S.ENTRY_PLACED, exchange_order_id="0"),
     facts(snapshots=(look(), look()), fills=fills("1", "-1")), S.CLOSED),
    ("closed by another request's order", row(S.ENTRY_PLACED),
     facts(snapshots=(look(), look()), fills=fills("-1", name="pg-another-c1")), S.ENTRY_PLACED),
    ("closed by another row's order, which the venue does not name", row(S.ENTRY_PLACED),
     facts(snapshots=(look(), look()), fills=fills("-1"), others=frozenset({"0"})), S.ENTRY_PLACED),
    ("filled, found, closed on the venue", row(S.ENTRY_PLACED), facts(snapshots=(look(), look()), fills=fills("1", "-1")), S.CLOSED),
    ("filled, found, gone and unexplained", row(S.ENTRY_PLACED),
     facts(snapshots=(look(), look()), fills=fills("1")), S.ENTRY_PLACED),
    ("filled, to be closed", row(S.ENTRY_PLACED), facts(newborn=True, wish=Wish("rolled back: x")), S.CLOSING),
    ("stop fixed", row(S.PENDING_SL, **STOPPED), facts(newborn=True, unsent=True), Order.STOP),
    ("stop held back by the kill switch", row(S.PENDING_SL, **STOPPED), facts(unsent=True, engaged=True), S.PENDING_SL),
    ("stop held back, told once", row(S.PENDING_SL, needs_attention=True, **STOPPED),
     facts(engaged=True, snapshots=(look(held()),), stop=ABSENT, conclusive=True), Leave),
    ("close held back, told once", row(S.CLOSING, needs_attention=True, **OUT),
     facts(engaged=True, rivals=(), closes=(ABSENT,), conclusive=True, snapshots=(look(held()),)), Leave),
    ("stop accepted is looked up", row(S.PENDING_SL, **STOPPED), facts(newborn=True, reply=reply(Outcome.ACCEPTED)), Need.STOP),
    ("stop stands", row(S.PENDING_SL, **STOPPED), facts(newborn=True, stop=LIVE), S.ACTIVE),
    ("stop accepted, look-up broken", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, reply=reply(Outcome.ACCEPTED, order_id="9"), stop=UNKNOWN), S.ACTIVE),
    ("stop unknown and absent too early", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, reply=reply(Outcome.UNKNOWN), stop=ABSENT), Wait),
    ("stop unknown and absent for T", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, reply=reply(Outcome.UNKNOWN), stop=ABSENT, conclusive=True), S.PENDING_SL),
    ("stop refused", row(S.PENDING_SL, **STOPPED), facts(newborn=True, reply=reply(Outcome.REJECTED, Why.WOULD_TRIGGER)), S.PENDING_SL),
    ("stop refused too often", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, tries=3, reply=reply(Outcome.REJECTED, Why.WOULD_TRIGGER)), S.CLOSING),
    ("stop of an adopted position refused too often", row(S.PENDING_SL, origin=Origin.SYNC, **STOPPED),
     facts(newborn=True, tries=3, reply=reply(Outcome.REJECTED, Why.WOULD_TRIGGER)), S.PENDING_SL),
    ("stop that cannot be sent", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, tries=3, reply=reply(Outcome.REJECTED, Why.RATE)), S.PENDING_SL),
    ("stop ended by the venue", row(S.PENDING_SL, **STOPPED), facts(newborn=True, stop=found(OrderState.EXPIRED, stop=True)), S.PENDING_SL),
    ("stop ended too often", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, tries=3, stop=found(OrderState.EXPIRED, stop=True)), S.CLOSING),
    ("stop fired at once", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, stop=found(OrderState.TRIGGERED, "1", stop=True), snapshots=(look(), look())), S.CLOSED),
    ("stop fired and the position stands", row(S.PENDING_SL, **STOPPED),
     facts(newborn=True, stop=found(OrderState.TRIGGERED, "1", stop=True), snapshots=(look(held()),)), Wait),
    ("a rival came first", row(S.PENDING_SL, **STOPPED), facts(newborn=True, stop=LIVE, rivals=(RIVAL,)), S.CLOSING),
    ("active, to be closed", row(S.ACTIVE, **STOPPED), facts(wish=Wish("x")), S.CLOSING),
    ("active, stop to be moved", row(S.ACTIVE, **STOPPED), facts(wish=Wish(trigger=Decimal("2.9"))), S.ACTIVE),
    ("active, new stop fixed", row(S.ACTIVE, stop_loss_order_id="8", **STOPPED),
     facts(unsent=True, wish=Wish(trigger=Decimal("2.9"))), Order.STOP),
    ("active, new stop stands", row(S.ACTIVE, stop_loss_order_id="8", **STOPPED), facts(stop=LIVE, reply=reply(Outcome.ACCEPTED)), Cancel),
    ("active, old stop gone", row(S.ACTIVE, stop_loss_order_id="8", **STOPPED),
     facts(stop=LIVE, reply=reply(Outcome.ACCEPTED), canceled=True), S.ACTIVE),
    ("active, new stop refused: the old one", row(S.ACTIVE, stop_loss_order_id="8", **STOPPED),
     facts(reply=reply(Outcome.REJECTED)), Need.SNAPSHOT),
    ("active, neither stop stands", row(S.ACTIVE, stop_loss_order_id="8", **STOPPED),
     facts(reply=reply(Outcome.REJECTED), snapshots=(look(held()),)), S.PENDING_SL),
    ("active, looked after: covered", row(S.ACTIVE, stop_loss_order_id="9", **STOPPED),
     facts(wish=Wish(verify=True), snapshots=(look(held(), orders=(stop_order(),)),)), Leave),
    ("active, looked after: uncovered, since when", row(S.ACTIVE, stop_loss_order_id="9", **STOPPED),
     facts(wish=Wish(verify=True), snapshots=(look(held()),)), Need.STOP),
    ("active, looked after: uncovered", row(S.ACTIVE, stop_loss_order_id="9", **STOPPED),
     facts(wish=Wish(verify=True), snapshots=(look(held()),), stop=UNKNOWN), S.PENDING_SL),
    ("active, looked after: uncovered, its stop never was its own", row(S.ACTIVE, stop_loss_order_id="9"),
     facts(wish=Wish(verify=True), snapshots=(look(held()),)), S.PENDING_SL),
    ("active, looked after: the other side", row(S.ACTIVE, stop_loss_order_id="9", **STOPPED),
     facts(wish=Wish(verify=True), snapshots=(look(held(side=Side.SHORT)),)), S.ACTIVE),
    ("active, looked after: unreadable", row(S.ACTIVE, stop_loss_order_id="9", **STOPPED),
     facts(wish=Wish(verify=True), snapshots=(look(complete=False),)), Leave),
    ("closing: who else", row(S.CLOSING, **OUT), facts(unsent=True, rest=ONE), Need.RIVALS),
    ("closing: goes out", row(S.CLOSING, **OUT), facts(unsent=True, rest=ONE, rivals=()), Order.CLOSE),
    ("closing beside a rival: what is whose", row(S.CLOSING, **OUT), facts(unsent=True, rest=ONE, rivals=(RIVAL,)), Need.SNAPSHOT),
    ("closing beside a rival: all of it is his", row(S.CLOSING, **OUT),
     facts(unsent=True, rest=ONE, rivals=(RIVAL,), snapshots=(look(held()),)), S.ROLLED_BACK),
    ("closing beside a rival: ours beside his", row(S.CLOSING, **OUT),
     facts(unsent=True, rest=ONE, rivals=(RIVAL,), snapshots=(look(held("2")),)), Order.CLOSE),
    ("closing: no answer", row(S.CLOSING, **OUT), facts(rivals=(), rest=ONE, reply=reply(Outcome.UNKNOWN)), S.UNRESOLVED),
    ("closed: is it flat", row(S.CLOSING, **OUT), facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),)), Need.SNAPSHOT),
    ("closed and flat", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),), snapshots=(look(),)), S.ROLLED_BACK),
    ("closed, not wanted as roll-back", row(S.CLOSING, exit_reason="target", attempt=3),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),), snapshots=(look(),)), S.CLOSED),
    ("closed, venue unreadable", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),), snapshots=(look(complete=False),)), Wait),
    ("closed and flat, its stop still live", row(S.CLOSING, **{**STOPPED, **OUT}),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),), stop=LIVE, snapshots=(look(),)), Cancel),
    ("closed and flat, its stop still live, the kill switch engaged", row(S.CLOSING, needs_attention=True, **{**STOPPED, **OUT}),
     facts(rivals=(), rest=ONE, engaged=True, closes=(found(OrderState.FILLED, "1"),), stop=LIVE, snapshots=(look(),)), Leave),
    ("closed, another's position unprotected: the stop stays", row(S.CLOSING, **{**STOPPED, **OUT}),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.FILLED, "1"),), stop=LIVE, snapshots=(look(held()),)), S.ROLLED_BACK),
    ("closed in part", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, closes=(found(OrderState.EXPIRED, "0.4"),), snapshots=(look(held("0.6")),)), S.CLOSING),
    ("close refused: nothing to reduce", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, reply=reply(Outcome.REJECTED, Why.REDUCE_ONLY)), Need.SNAPSHOT),
    ("close refused and twice flat", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, reply=reply(Outcome.REJECTED, Why.REDUCE_ONLY), snapshots=(look(), look())), S.ROLLED_BACK),
    ("close refused too often", row(S.CLOSING, **OUT),
     facts(rivals=(), rest=ONE, tries=4, reply=reply(Outcome.REJECTED, Why.RATE)), S.CLOSING),
    ("close unknown, found filled", row(S.UNRESOLVED, **OUT),
     facts(rivals=(), closes=(found(OrderState.FILLED, "1"),), snapshots=(look(),)), S.ROLLED_BACK),
    ("close unknown, absent for T, still there", row(S.UNRESOLVED, **OUT),
     facts(rivals=(), closes=(ABSENT,), conclusive=True, snapshots=(look(held()),)), S.CLOSING),
    ("close unknown, no answers", row(S.UNRESOLVED, **OUT), facts(rivals=(), closes=(UNKNOWN,), patient=False), S.UNRESOLVED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "known", "follows"), [case[1:] for case in TABLE], ids=[c[0] for c in TABLE]
)
def test_what_follows(before, known, follows):
    step = decide(before, known)
    if isinstance(follows, Status):
        assert isinstance(step, Move), step
        assert step.row.status is follows, step
    elif isinstance(follows, Need):
        assert step == Ask(follows)
    elif isinstance(follows, Order):
        assert isinstance(step, Send), step
        assert step.order is follows
    else:
        assert isinstance(step, follows), step


def test_the_stop_is_sized_from_the_fill():
    step = decide(row(S.SUBMITTING), facts(entry=found(OrderState.EXPIRED, "0.4")))
    assert (step.row.quantity, step.row.stop_loss_price, step.since) == (Decimal("0.4"), Decimal("2.850"), AT)
    fixed = decide(step.row, facts(newborn=True))
    assert decide(fixed.row, facts(newborn=True, unsent=True)) == Send(
        Order.STOP, Decimal("0.4"), Decimal("2.850")
    )


def named(*sides, order_ids=None, names=None, trades=None, at=None):
    """Fills of one unit each, told apart by side, order, name, trade and time; what is not told is as `fills` has it."""
    made = fills(*sides).fills
    changes = {"order_id": order_ids, "client_order_id": names, "trade_id": trades, "at": at}
    told = [{name: values[n] for name, values in changes.items() if values} for n in range(len(made))]
    return FillHistory(
        VENUE,
        AT,
        frozenset({"APTUSDT"}),
        tuple(replace(f, **t) for f, t in zip(made, told, strict=True)),
        True,
    )


OURS, ANOTHERS = client_id(KEY, "c", 3), client_id("another", "c", 1)


BOUNDARIES = [
    ("a moment before the entry", named("-1", "1", order_ids="89", at=(AT - MS, AT)), False),
    ("a moment after it", named("-1", "1", order_ids="89", at=(AT + MS, AT)), True),
    ("after it, by whoever", named("1", "-1", order_ids="98", names=(None, ANOTHERS)), True),
    ("in its millisecond, an earlier trade", named("-1", "1", order_ids="89", trades=("9", "10"), at=(AT, AT)), False),
    ("in its millisecond, a later trade", named("1", "-1", order_ids="98", trades=("9", "10"), at=(AT, AT)), True),
    ("in its millisecond, trades without numbers, of nobody known",
     named("1", "-1", order_ids="98", trades=("f", "a"), at=(AT, AT)), False),
    ("in its millisecond, trades without numbers, by the row's own order",
     named("1", "-1", order_ids="98", names=(None, OURS), trades=("f", "a"), at=(AT, AT)), True),
    ("in its millisecond, trades without numbers, by another's order",
     named("1", "-1", order_ids="98", names=(None, ANOTHERS), trades=("f", "a"), at=(AT, AT)), False),
    ("between two fills of the entry", named("1", "-1", "1", order_ids="989", at=(AT, AT + MS, AT + 2 * MS)), True),
    ("bought, not sold", named("1", "1", order_ids="98"), False),
    ("all but one step", named("1", "-0.9", order_ids="98"), False),
    ("all but less than a step", named("1", "-0.95", order_ids="98"), True),
    ("in two parts", named("1", "-0.5", "-0.5", order_ids="987"), True),
    ("in two parts, one of them before the entry", named("-0.5", "1", "-0.5", order_ids="897"), False),
]  # fmt: skip


@pytest.mark.parametrize(("known", "ends"), [case[1:] for case in BOUNDARIES], ids=[c[0] for c in BOUNDARIES])
def test_what_closed_a_row_that_is_gone(known, ends):
    step = decide(row(S.ENTRY_PLACED, exchange_order_id="9"), facts(snapshots=(look(), look()), fills=known))
    assert step.row.status is (S.CLOSED if ends else S.ENTRY_PLACED), step
    assert step.row.needs_attention is not ends


def test_a_row_of_one_lot_step_is_closed_by_evidence_too():
    """The tolerance of the lot step is the whole of it."""
    least = row(S.ENTRY_PLACED, quantity=RULE.lot_step, exchange_order_id="0")
    gone = facts(snapshots=(look(), look()), fills=fills("0.1"))
    assert decide(least, gone).row.needs_attention
    stopped = row(S.ENTRY_PLACED, quantity=RULE.lot_step, **STOPPED)
    unfired = facts(
        snapshots=(look(), look()), stop=found(OrderState.CANCELED, stop=True), fills=fills("0.1")
    )
    assert decide(stopped, unfired).row.needs_attention
    assert decide(least, gone.but(fills=fills("0.1", "-0.1"))).row.status is S.CLOSED


@pytest.mark.parametrize(
    ("size", "orders", "goes"),
    [
        ("0.1", (), False),
        ("1", (stop_order(name="theirs"),), True),
        (
            "1",
            (replace(stop_order(name="theirs"), kind=OrderKind.TAKE_PROFIT, trigger_price=Decimal(4)),),
            False,
        ),
        ("1", (stop_order("0.9", name="theirs"),), False),
    ],
    ids=["one lot step", "covered", "a take-profit is no stop", "one step short"],
)
def test_a_stop_goes_only_where_what_stands_is_covered_without_it(size, orders, goes):
    known = facts(
        rivals=(),
        rest=ONE,
        closes=(found(OrderState.FILLED, "1"),),
        stop=LIVE,
        snapshots=(look(held(size), orders=orders),),
    )
    step = decide(row(S.CLOSING, **{**STOPPED, **OUT}), known)
    assert isinstance(step, Cancel) is goes, step


def test_a_gap_begins_where_the_position_does():
    """An entry that rested and was cancelled, one that fills alone show, a stop that somebody took away."""
    rested = replace(seen(OrderState.CANCELED, "0.4"), created_at=AT - timedelta(seconds=3))
    assert decide(row(S.SUBMITTING), facts(entry=Lookup(Sight.FOUND, rested))).since == AT - timedelta(
        seconds=3
    )
    by_fills = facts(entry=ABSENT, conclusive=True, fills=fills("0.6", "0.4"), snapshots=(look(held()),))
    step = decide(row(S.UNRESOLVED), by_fills)
    assert (step.since, step.row.quantity, step.row.exchange_order_id) == (AT, ONE, None)
    one_order = named("0.6", "0.4", order_ids="33")
    assert decide(row(S.UNRESOLVED), by_fills.but(fills=one_order)).row.exchange_order_id == "3"
    taken = facts(
        wish=Wish(verify=True), snapshots=(look(held()),), stop=found(OrderState.CANCELED, stop=True)
    )
    assert decide(row(S.ACTIVE, stop_loss_order_id="9", **STOPPED), taken).since == AT


def test_a_rivals_share_is_left():
    step = decide(
        row(S.CLOSING, **OUT), facts(unsent=True, rest=ONE, rivals=(RIVAL,), snapshots=(look(held("1.4")),))
    )
    assert step == Send(Order.CLOSE, Decimal("0.4"))
