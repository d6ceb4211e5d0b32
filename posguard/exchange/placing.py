"""The orders of a trading gateway, put together from two calls that each gateway has of its own: to place one, and to cancel one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from posguard.exchange.intents import OrderIntent
from posguard.model.order import MoveReply, Outcome
from posguard.model.position import PositionSide, Side

if TYPE_CHECKING:
    from decimal import Decimal

    from posguard.model.order import OrderReply


class Placing(ABC):
    """See `posguard.exchange.gateway.TradingGateway`. One request for each order, and nothing is asked twice."""

    @abstractmethod
    async def _place(self, symbol: str, intent: OrderIntent) -> OrderReply:
        """Sends the order once."""

    @abstractmethod
    async def cancel(
        self, symbol: str, *, conditional: bool, order_id: str = "", client_order_id: str = ""
    ) -> OrderReply:
        """Cancel one live order."""

    async def place_entry(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A market order that opens or adds."""
        buys = side is Side.LONG
        return await self._place(symbol, OrderIntent(buys, quantity, client_order_id, position_side))

    async def close_reduce_only(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A market order that can only reduce a position of `side`."""
        buys = side is Side.SHORT
        intent = OrderIntent(buys, quantity, client_order_id, position_side, reduce_only=True)
        return await self._place(symbol, intent)

    async def place_stop(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        trigger: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A reduce-only stop-market order behind a position of `side`."""
        buys = side is Side.SHORT
        intent = OrderIntent(
            buys, quantity, client_order_id, position_side, reduce_only=True, trigger=trigger
        )
        return await self._place(symbol, intent)

    async def move_stop(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        trigger: Decimal,
        *,
        client_order_id: str,
        old_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> MoveReply:
        """A new stop, and only where it was accepted the old one's cancelling: no unprotected instant."""
        placed = await self.place_stop(
            symbol, side, quantity, trigger, client_order_id=client_order_id, position_side=position_side
        )
        if placed.outcome is not Outcome.ACCEPTED:
            return MoveReply(placed, None)
        return MoveReply(placed, await self.cancel(symbol, order_id=old_order_id, conditional=True))
