"""What is to be done on a venue, before it is put into that venue's words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model.money import plain
from posguard.model.position import PositionSide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from posguard.model.venue import MarketRule

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")  # what both venues take


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """A market order, or a stop-market order where it has a trigger. quantity in base units."""

    buys: bool
    quantity: Decimal
    client_order_id: str
    position_side: PositionSide = PositionSide.BOTH
    reduce_only: bool = False
    trigger: Decimal | None = None

    @property
    def opens(self) -> bool:
        """Whether it opens a position or adds to one, at once."""
        return self.trigger is None and not self.reduce_only


@dataclass(frozen=True, slots=True)
class CancelIntent:
    """One order to cancel, by the venue's id or else by the client's."""

    conditional: bool
    client_order_id: str = ""
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A ccxt endpoint method and its parameters."""

    method: str
    params: Mapping[str, Any]


def digits(number: Decimal) -> str:
    """A Decimal as venues read it: no exponent, no trailing zeros."""
    return plain(number)


def slip(rule: MarketRule, intent: OrderIntent) -> str:
    """What is wrong with an intent before anything is sent; empty where nothing is.

    A quantity or price off the venue's steps is a slip of the caller: rounding it here would trade something else than
    the row in the database says.
    """
    if not _CLIENT_ID.fullmatch(intent.client_order_id):
        return f"the client order id {intent.client_order_id!r} is not 1 to 36 letters, digits, - or _"
    if intent.quantity <= 0 or intent.quantity % rule.lot_step:
        return f"the quantity {plain(intent.quantity)} is no multiple of {plain(rule.lot_step)} above zero"
    if intent.trigger is not None and (intent.trigger <= 0 or intent.trigger % rule.tick_size):
        return f"the price {plain(intent.trigger)} is no multiple of {plain(rule.tick_size)} above zero"
    return ""
