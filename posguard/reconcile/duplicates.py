"""Several open rows of one key: which of them stands for what the venue holds (D2, CLN-1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.finding import Kind, Severity
from posguard.model.money import differs, plain
from posguard.reconcile.found import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.model.finding import Finding
    from posguard.model.position import PositionRow
    from posguard.reconcile.facts import KeyCase


def duplicates(case: KeyCase) -> Iterator[Finding]:
    """One finding where two or more open rows claim a key."""
    if len(case.rows) < 2:
        return
    numbers = ", ".join(f"#{row.id}" for row in case.rows)
    differing = [
        name for name in ("raw_side", "quantity") if len({getattr(row, name) for row in case.rows}) > 1
    ]
    yield finding(
        case,
        Kind.DUPLICATE_POSITION,
        Severity.CRITICAL,
        f"{case.key}: {len(case.rows)} open rows claim one position ({numbers})",
        differing=[name.removeprefix("raw_") for name in differing],
        evidence=("both reads of the database hold these rows", *_about_the_venue(case)),
    )


def matches(case: KeyCase, row: PositionRow) -> bool:
    """Whether a row has the side and, within one lot step, the quantity that the venue holds."""
    position, market = case.position, case.market
    if position is None or market is None or row.side is not position.side or row.quantity is None:
        return False
    return not differs(row.quantity, position.quantity, step=market.lot_step)


def _about_the_venue(case: KeyCase) -> list[str]:
    if not case.judged:
        return [f"no survivor can be named: {case.why_not}"]
    if case.position is None:
        return ["the venue holds no position, so that none of them survives by matching it"]
    held = f"the venue holds {case.position.side} {plain(case.position.quantity)}"
    said = [held]
    if not any(matches(case, row) for row in case.rows):
        said.append("none of the rows has that side and quantity")
    survivor, why = suggested_survivor(case)
    said.append(f"suggested survivor: #{survivor.id}, {why}")
    return said


def suggested_survivor(case: KeyCase) -> tuple[PositionRow, str]:
    """The row to keep and why: what matches the venue's quantity, order ids and stop; the oldest only where that does not decide."""
    tests = (
        ("it alone has the side and quantity that the venue holds", matches),
        ("its order ids are the ones that the venue knows", _orders_known),
        ("its stop is the one that lives on the venue", _stop_lives),
    )
    left = list(case.rows)
    for why, test in tests[:1] if case.unsure else tests:
        kept = [row for row in left if test(case, row)]
        if len(kept) == 1:
            return kept[0], why
        left = kept or left
    if case.unsure:
        return left[0], "the oldest, as the quantity does not decide and its orders differ between snapshots"
    return left[0], "the oldest, as neither quantity nor order ids nor stop decide"


def _orders_known(case: KeyCase, row: PositionRow) -> bool:
    known = {order.order_id for order in case.orders}
    if case.fills is not None:
        known |= {fill.order_id for fill in case.fills.fills}
    return bool({row.exchange_order_id, row.stop_loss_order_id} & known)


def _stop_lives(case: KeyCase, row: PositionRow) -> bool:
    triggers = {order.trigger_price for order in case.orders if order.conditional}
    if case.position is not None:
        triggers.add(case.position.stop_loss)
    return row.stop_loss_price is not None and row.stop_loss_price in triggers
