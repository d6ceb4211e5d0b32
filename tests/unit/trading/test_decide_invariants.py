"""What holds of every decision, over facts of any kind."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.model.managed import client_id
from posguard.model.order import OrderState, Outcome, Why
from posguard.model.position import TERMINAL, Side, Status
from posguard.model.transitions import Origin, may_become
from posguard.trading.decide import decide
from posguard.trading.facts import Cancel, Move, Order, Send, Wish
from tests.unit.trading.telling import (
    ABSENT,
    KEY,
    LIVE,
    ONE,
    RIVAL,
    UNKNOWN,
    S,
    facts,
    fills,
    found,
    held,
    look,
    reply,
    row,
    stop_order,
)

# -- invariants, over facts of any kind


LOOKUPS = st.sampled_from(
    [
        None, ABSENT, UNKNOWN, LIVE, *(found(state, filled, stop=stop) for state in OrderState for filled in ("0", "0.4", "1")
         for stop in (False, True)),
    ]
)  # fmt: skip


LOOKS = st.lists(
    st.sampled_from(
        [look(), look(held()), look(held("2")), look(held("0.5")), look(held(side=Side.SHORT)), look(complete=False),
         look(held(), orders=(stop_order(),)), look(held(), orders=(stop_order("0.2"),)), look(orders=(stop_order(),))]
    ),
    max_size=2,
).map(tuple)  # fmt: skip


REPLIES = st.one_of(st.none(), st.builds(reply, st.sampled_from(Outcome), st.sampled_from(Why)))


ROWS = st.builds(
    row,
    st.sampled_from([status for status in Status if status not in TERMINAL]),
    stop_client_id=st.sampled_from([None, client_id(KEY, "s", 2)]),
    stop_loss_order_id=st.sampled_from([None, "8", "9"]),
    exit_reason=st.sampled_from([None, "rolled back: x", "target"]),
    needs_attention=st.booleans(),
    attempt=st.integers(0, 4),
    origin=st.sampled_from([Origin.SIGNAL, Origin.SYNC]),
    side=st.sampled_from(Side),
).filter(lambda r: r.status is S.UNRESOLVED or (r.status is S.CLOSING) is (r.exit_reason is not None))


FACTS = st.builds(
    facts,
    newborn=st.booleans(),
    unsent=st.booleans(),
    engaged=st.booleans(),
    conclusive=st.booleans(),
    patient=st.booleans(),
    overdue=st.booleans(),
    canceled=st.booleans(),
    tries=st.integers(0, 5),
    rest=st.sampled_from([None, ONE, Decimal("0.6")]),
    wish=st.sampled_from(
        [None, Wish("target"), Wish("rolled back: y"), Wish(trigger=Decimal(2)), Wish(verify=True)]
    ),
    reply=REPLIES,
    entry=LOOKUPS,
    stop=LOOKUPS,
    closes=st.one_of(
        st.none(),
        st.lists(LOOKUPS.filter(lambda known: known is not None), min_size=1, max_size=2).map(tuple),
    ),
    snapshots=LOOKS,
    fills=st.sampled_from([None, fills(), fills("1"), fills("1", "-1"), fills(complete=False)]),
    rivals=st.sampled_from([None, (), (RIVAL,)]),
)


@settings(max_examples=1500, deadline=None)
@given(before=ROWS, known=FACTS)
def test_invariants(before, known):
    step = decide(before, known)
    if isinstance(step, Send):
        assert known.unsent, "only what this owner has just written down is sent"
        assert not known.engaged
        wanted = {
            Order.ENTRY: {S.SUBMITTING},
            Order.STOP: {S.PENDING_SL, S.ACTIVE},
            Order.CLOSE: {S.CLOSING},
        }
        assert before.status in wanted[step.order]
        assert 0 < step.quantity <= max(before.quantity, known.rest or 0)
    if isinstance(step, Cancel) and step.conditional and before.exit_reason:
        flat = all(not look.positions for look in known.snapshots[-1:] if look.complete)
        covered = any(o.order_id != "" for look in known.snapshots[-1:] for o in look.orders)
        assert known.snapshots
        assert flat or covered or any(p.side is not before.side for p in known.snapshots[-1].positions)
    if isinstance(step, Move):
        _assert_move(before, known, step)


def _assert_move(before, known, step):
    after = step.row
    assert may_become(before.status, after.status), f"{before.status} -> {after.status}"
    assert step.reason
    if after.status is S.FAILED:
        assert before.status in {S.PENDING_ENTRY, S.SUBMITTING, S.UNRESOLVED}
        assert before.exit_reason is None
        filled = known.entry is not None and known.entry.order is not None and known.entry.order.filled
        refused = known.reply is not None and known.reply.outcome is Outcome.REJECTED
        assert not filled or known.unsent or refused or known.newborn
    if after.status in {S.CLOSED, S.ROLLED_BACK}:
        assert known.snapshots, "flat is not told without a look"
        assert known.snapshots[-1].complete
    if after.status is S.UNRESOLVED and before.status is not S.UNRESOLVED:
        assert step.alert is not None
        assert step.alert.severity == "critical"
    if after.needs_attention and not before.needs_attention:
        assert step.alert is not None
    if step.unsent and after.status in {S.PENDING_SL, S.CLOSING}:
        assert after.attempt > before.attempt, "each order has a client id of its own"
