"""What the synchroniser suspects: never what a row owns, what moves, or what is traded by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from posguard.model.managed import OwnedRow, client_id
from posguard.model.position import PositionSide, Side
from posguard.trading.comparing import compare, still_orphans
from tests.unit.trading.telling import KEY, held, look, stop_order

MINE = client_id(KEY, "s", 2)


def owned(**values):
    return OwnedRow(
        **{
            "id": 7,
            "symbol": "APTUSDT",
            "position_side": "both",
            "side": Side.LONG,
            "quantity": Decimal(1),
            "status": "active",
            "request_key": KEY,
            "stop_loss_order_id": "9",
            "core_managed": True,
            "leased": False,
            **values,
        }
    )


def twice(rows, seen, ignored=()):
    return compare(rows, seen, seen, ignored)


SOUND = look(held(), orders=(stop_order(name=MINE),))


def test_what_is_as_it_should_be_is_not_suspected():
    found = twice([owned()], SOUND)
    assert (found.external, found.amiss, found.orphaned_stops) == ((), (), ())


def test_a_position_without_a_row_is_external():
    assert twice([], look(held())).external == (held(),)


@pytest.mark.parametrize("status", ["pending_entry", "entry_placed", "unresolved", "new", None])
@pytest.mark.parametrize("core_managed", [True, False])
def test_an_open_row_of_any_kind_owns_its_position(status, core_managed):
    found = twice([owned(status=status, core_managed=core_managed, quantity=None)], look(held()))
    assert (found.external, found.amiss) == ((), ())


def test_a_row_of_the_old_code_owns_every_leg_of_its_market():
    leg = replace(held(), position_side=PositionSide.LONG)
    assert twice([owned(core_managed=False)], look(leg)).external == ()
    assert twice([owned(position_side="short")], look(leg)).external == (leg,)


def test_what_is_traded_by_hand_or_moves_is_left():
    assert twice([], look(held()), {"APTUSDT"}).external == ()
    assert compare([], look(held()), look(held("2")), ()).external == ()
    assert compare([], look(), look(held()), ()).external == ()


@pytest.mark.parametrize(
    "seen",
    [
        look(),
        look(held()),
        look(held("2"), orders=(stop_order(name=MINE),)),
        look(held(), orders=(stop_order("0.2", name=MINE),)),
        look(held(), orders=(stop_order(order_id="10"),)),
        look(held(side=Side.SHORT)),
        look(held(), orders=(stop_order(name=MINE), stop_order(order_id="10", name=client_id(KEY, "s", 3)))),
    ],
)
def test_an_active_row_beside_something_else_is_amiss(seen):
    assert twice([owned()], seen).amiss == (7,)
    assert twice([owned(leased=True)], seen).amiss == (), "somebody works on it"
    assert twice([owned(core_managed=False)], seen).amiss == (), "it is the old code's"


def test_a_stop_of_ours_that_nothing_needs_is_an_orphan():
    stop = stop_order(name=MINE)
    assert twice([], look(orders=(stop,))).orphaned_stops == (stop,)
    assert twice([owned()], look(orders=(stop,))).orphaned_stops == (), "its row is open"
    assert still_orphans([stop], [owned()]) == [], "its row is open by now"
    assert twice([], look(orders=(stop_order(name="by-hand"),))).orphaned_stops == ()
    assert twice([], look(held(), orders=(stop,))).orphaned_stops == (), (
        "it is all that protects the position"
    )
    other = stop_order(order_id="10", name="by-hand")
    assert twice([], look(held(), orders=(stop, other))).orphaned_stops == (stop,)
    assert compare([], look(), look(orders=(stop,)), ()).orphaned_stops == (), "seen once only"


def test_of_several_orphans_one_goes_at_a_time():
    """Two that each cover the position: the second one protects it once the first is gone."""
    both = (stop_order(name=MINE), stop_order(order_id="10", name=client_id("other", "s", 2)))
    assert len(twice([], look(held(), orders=both)).orphaned_stops) == 1
