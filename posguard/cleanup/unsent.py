"""Whether the entry of an unfinished row was never sent, or never filled: what its venue's history of orders says (CLN-5).

Invariants: nothing was sent only where a complete history since the row began holds no order that could have opened its position,
whatever became of that order, and the row itself names none; nothing was filled only where every such order is told as ended
with nothing filled, the one that the row names among them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.order import OrderState
from posguard.model.plan import Mode
from posguard.model.position import PositionSide, Status
from posguard.model.venue import VenueId
from posguard.reconcile.checks import absence_of
from posguard.reconcile.evidence import BEFORE_OPENING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from posguard.exchange.gateway import Gateway
    from posguard.model.order import OrderHistory, SeenOrder
    from posguard.model.plan import PlanOptions
    from posguard.model.position import PositionRow
    from posguard.reconcile.facts import KeyCase
    from posguard.reconcile.run import Observed

Histories = dict[tuple[VenueId, str], "OrderHistory"]
_ENDED_UNFILLED = frozenset({OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})
# The statuses of rows whose entry may never have come to anything.
_ENTRIES = frozenset({Status.PENDING_ENTRY, Status.ENTRY_PLACED, Status.PENDING_SL})
_MOST_SYMBOLS = 100  # whose orders one plan reads on one venue
_WORDS = {
    OrderState.LIVE: "is live",
    OrderState.FILLED: "was filled",
    OrderState.CANCELED: "was cancelled",
    OrderState.EXPIRED: "expired",
    OrderState.REJECTED: "was rejected",
    OrderState.TRIGGERED: "was triggered",
}


@dataclass(frozen=True, slots=True)
class Unsent:
    """Whether an entry came to nothing, and the sentence that says why, or why not."""

    proven: bool
    sentence: str


def began(row: PositionRow) -> datetime | None:
    """The time since when a row's order may have been sent; None where the row holds none."""
    known = [at for at in (row.created_at, row.opened_at) if at is not None]
    return min(known) - BEFORE_OPENING if known else None


def unsent(row: PositionRow, history: OrderHistory | None) -> Unsent:
    """What is known of an entry that a row says was not sent yet. Pure."""
    if row.exchange_order_id:
        return _no(
            f"the row names the order {row.exchange_order_id}: something was sent; look what became of it"
        )
    since, missing = began(row), _gap(row, history)
    if history is None or since is None or missing:
        return _no(missing)
    opening = [order for order in history.orders if _could_be_its(order, row)]
    if opening:
        return _no(f"{_told(opening[0])}: something was sent; a person has to look whose it is")
    return Unsent(proven=True, sentence=_nothing(history, since))


def unfilled(row: PositionRow, history: OrderHistory | None) -> Unsent:
    """What is known of an entry that a row says was sent, and of which no fill tells. Pure."""
    since, missing = began(row), _gap(row, history)
    if history is None or since is None or missing:
        return _no(missing)
    named = row.exchange_order_id
    opening = [order for order in history.orders if _could_be_its(order, row) or order.order_id == named]
    for order in opening:
        if order.filled or order.state not in _ENDED_UNFILLED:
            return _no(f"{_told(order)}, and no fill tells of it; a person has to look what became of it")
    its = next((order for order in opening if order.order_id == named), None)
    if its is not None:
        return Unsent(proven=True, sentence=f"{_told(its)}, with nothing filled")
    if named and history.unfilled_since <= since:
        return _no(f"the row names the order {named}, and the venue's order history does not hold it")
    if opening:
        return Unsent(proven=True, sentence=f"{_told(opening[-1])}, with nothing filled")
    return Unsent(proven=True, sentence=_nothing(history, since))


def _no(sentence: str) -> Unsent:
    return Unsent(proven=False, sentence=sentence)


def _gap(row: PositionRow, history: OrderHistory | None) -> str:
    """Why a history says nothing of a row's entry; empty where it reaches back far enough and is whole."""
    since = began(row)
    if history is None or since is None:
        return "not proven (missing: its order history was not read)"
    if not history.complete:
        why = "; ".join(history.reasons) or "no reason given"
        return f"not proven (missing: a complete order history ({why}))"
    if history.since > since:
        return f"not proven (missing: the orders before {_time(history.since)})"
    return ""


def _nothing(history: OrderHistory, since: datetime) -> str:
    sentence = f"the complete order history since {_time(since)} holds no order that could open it"
    if history.unfilled_since > since:
        sentence += f", orders that never traded since {_time(history.unfilled_since)}"
    return sentence


def _could_be_its(order: SeenOrder, row: PositionRow) -> bool:
    """Whether an order may be the row's entry: on its leg, and able to open. Which side it has is no excuse."""
    same_leg = order.position_side is row.position_side or PositionSide.BOTH in {
        order.position_side,
        row.position_side,
    }
    return same_leg and not order.only_reduces


def _told(order: SeenOrder) -> str:
    named = f"order {order.order_id}" + (f" ({order.client_order_id})" if order.client_order_id else "")
    filled = f" with {plain(order.filled)} filled" if order.filled else ""
    return f"the venue tells of {named}, which {_WORDS[order.state]}{filled}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def with_orders(
    observed: Observed,
    gateways: Iterable[Gateway],
    options: PlanOptions,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Observed:
    """The pass with the order histories that its unfinished rows need; read after its snapshots, never raises for a venue."""
    wanted = _wanted(observed, options)

    async def of_venue(gateway: Gateway) -> Histories:
        symbols = sorted(wanted[gateway.venue].items())[:_MOST_SYMBOLS]
        if symbols:
            progress(f"{gateway.venue}: orders of {len(symbols)} symbols")
        return {(gateway.venue, symbol): await gateway.orders_since(symbol, at) for symbol, at in symbols}

    found: Histories = {}
    for part in await asyncio.gather(*[of_venue(g) for g in gateways if g.venue in wanted]):
        found |= part
    return replace(observed, orders=found) if found else observed


def _wanted(observed: Observed, options: PlanOptions) -> Mapping[VenueId, dict[str, datetime]]:
    """The symbols whose orders decide something, and since when."""
    wanted: dict[VenueId, dict[str, datetime]] = defaultdict(dict)
    if options.mode not in {Mode.INCOMPLETE, Mode.ALL}:
        return wanted
    for case in observed.comparison.cases:
        for at in _times(case, options):
            symbols = wanted[VenueId(case.key.exchange, case.key.account)]
            symbols[case.key.symbol] = min(at, symbols.get(case.key.symbol, at))
    return wanted


def _times(case: KeyCase, options: PlanOptions) -> Iterator[datetime]:
    """Since when, for each row of a key that only its orders keep from failing."""
    if not case.gone:
        return
    for row in case.rows:
        at, age = began(row), row.age(case.now)
        if row.status not in _ENTRIES or at is None or age is None or age < options.min_age:
            continue
        absence = absence_of(case, row)
        if absence.proven and absence.closed_at is None:
            yield at
