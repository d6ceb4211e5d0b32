"""What snapshots and fills prove of a position that is not there (REC-2). Pure.

Absence is not flat. Invariants: nothing is proven from one snapshot, from an incomplete fill history, or against a
history that still holds an open quantity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.position import PositionSide, Side
from posguard.model.venue import FillKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.position import PositionKey, PositionRow
    from posguard.model.venue import Fill, FillHistory, VenueOrder

# An opening fill may carry a time somewhat before the row's: clocks differ, and the row may have been written after it.
BEFORE_OPENING = timedelta(minutes=5)
_ONE_LOOK = "missing: a second complete snapshot"
_FORCED = {
    FillKind.STOP: "a stop fired",
    FillKind.LIQUIDATION: "the venue liquidated it",
    FillKind.DELEVERAGING: "the venue deleveraged it",
}


@dataclass(frozen=True, slots=True)
class Absence:
    """Whether absence is proven, the sentences that say why or what is missing, and when the last closing fill was."""

    proven: bool
    sentences: tuple[str, ...]
    closed_at: datetime | None = None


def row_absence(
    row: PositionRow, history: FillHistory | None, *, snapshots: int, lot_step: Decimal, now: datetime
) -> Absence:
    """What is known of an open row whose key the venue does not hold in `snapshots` consecutive complete snapshots."""
    seen = _seen(snapshots)
    if missing := _too_little(row, snapshots, now):
        return Absence(proven=False, sentences=(seen, missing))
    assert row.since is not None
    if missing := _gap(history, row.since - BEFORE_OPENING):
        return Absence(proven=False, sentences=(seen, missing))
    assert history is not None
    fills = [f for f in _of_key(history, row.key) if f.at >= row.since - BEFORE_OPENING]
    closing = [f for f in fills if f.buys is (row.side is Side.SHORT) and f.at >= row.since]
    if not closing and all(f.buys is (row.side is Side.SHORT) for f in fills):
        complete = f"the complete fill history since {_time(row.since)} holds no opening fill"
        return Absence(proven=True, sentences=(seen, complete))
    left = _left(row, fills, closing)
    if closing and left < lot_step:
        return Absence(proven=True, sentences=(seen, _told(closing[-1])), closed_at=closing[-1].at)
    missing = f"missing: by its fills since {_time(row.since)} the venue should hold {plain(left)}; no fill closes it"
    return Absence(proven=False, sentences=(seen, missing))


def order_absence(order: VenueOrder, history: FillHistory | None, *, snapshots: int) -> Absence:
    """What is known of the missing position behind a live order that can only close one."""
    seen = _seen(snapshots)
    if snapshots < 2:
        return Absence(proven=False, sentences=(seen, _ONE_LOOK))
    if order.created_at is None:
        return Absence(proven=False, sentences=(seen, "missing: the order shows no time of its own"))
    if missing := _gap(history, order.created_at):
        return Absence(proven=False, sentences=(seen, missing))
    assert history is not None
    since = _time(order.created_at)
    fills = sorted(
        (
            f
            for f in history.fills
            if f.symbol == order.symbol and f.at >= order.created_at and _same_leg(f, order.position_side)
        ),
        key=_by_time,
    )
    closing = [f for f in fills if f.buys is order.buys]
    net = sum((f.quantity for f in fills if f.buys is not order.buys), Decimal(0)) - sum(
        (f.quantity for f in closing), Decimal(0)
    )
    if net > 0:
        missing = f"missing: by its fills since {since} the venue should hold {plain(net)}; no fill closes it"
        return Absence(proven=False, sentences=(seen, missing))
    if not closing:
        return Absence(
            proven=True, sentences=(seen, f"the complete fill history since {since} holds no opening fill")
        )
    return Absence(proven=True, sentences=(seen, _told(closing[-1])), closed_at=closing[-1].at)


def _too_little(row: PositionRow, snapshots: int, now: datetime) -> str:
    if snapshots < 2:
        return _ONE_LOOK
    if row.since is None:
        return "missing: the row holds no time from which to read fills"
    if row.since - BEFORE_OPENING > now:
        return "missing: the row's own time has yet to come, and no fill can be after it"
    if row.side is None:
        return "missing: the row's side cannot be read"
    return ""


def _left(row: PositionRow, fills: Sequence[Fill], closing: Sequence[Fill]) -> Decimal:
    """What the venue should still hold of the row's position by its fills, oldest first.

    A close that comes before the open cannot undo it, so that the count never falls below zero on the way. Where the row's
    own opening is not among the fills (an adopted position), the closing ones have to undo what the row says it holds.
    """
    assert row.since is not None
    opens = row.side is Side.LONG
    held = Decimal(0)
    for fill in fills:
        held = held + fill.quantity if fill.buys is opens else max(Decimal(0), held - fill.quantity)
    own = any(f.buys is opens and f.at <= row.since + BEFORE_OPENING for f in fills)
    if own:
        return held
    closed = sum((f.quantity for f in closing), Decimal(0))
    return max(held, (row.quantity or Decimal(0)) - closed)


def _told(fill: Fill) -> str:
    verb = "bought" if fill.buys else "sold"
    why = f"{_FORCED[fill.kind]}; " if fill.kind in _FORCED else ""
    return (
        f"{why}the last closing fill: order {fill.order_id} {verb} {plain(fill.quantity)} at {plain(fill.price)}"
        f" on {_time(fill.at)} (trade {fill.trade_id})"
    )


def _seen(snapshots: int) -> str:
    if snapshots < 2:
        return "absent in one complete snapshot"
    return f"absent in {snapshots} consecutive complete snapshots"


def _gap(history: FillHistory | None, since: datetime) -> str:
    if history is None:
        return "missing: its fill history was not read"
    if not history.complete:
        why = "; ".join(history.reasons) or "no reason given"
        return f"missing: a complete fill history ({why})"
    if history.since > since:
        return f"missing: the fills before {_time(history.since)}"
    return ""


def _of_key(history: FillHistory, key: PositionKey) -> list[Fill]:
    """The fills of a key, by time."""
    mine = [f for f in history.fills if f.symbol == key.symbol and _same_leg(f, key.position_side)]
    return sorted(mine, key=_by_time)


def _by_time(fill: Fill) -> tuple[datetime, str]:
    return fill.at, fill.trade_id


def _same_leg(fill: Fill, leg: PositionSide) -> bool:
    return fill.position_side is leg or PositionSide.BOTH in {fill.position_side, leg}


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
