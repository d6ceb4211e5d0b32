"""Bybit v5 linear perpetuals: orders to send, and orders as it tells them later. Reading alone never imports this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.exchange.bybit import Bybit, list_of, seen_order
from posguard.exchange.intents import CancelIntent, OrderIntent, Request, digits
from posguard.exchange.pages import as_answer
from posguard.model.order import SeenOrder
from posguard.model.position import PositionSide

if TYPE_CHECKING:
    from posguard.exchange.client import VenueClient
    from posguard.exchange.symbols import Listed

_INDEX = {PositionSide.BOTH: 0, PositionSide.LONG: 1, PositionSide.SHORT: 2}
_RISES, _FALLS = 1, 2


class BybitTrading(Bybit):
    """What Bybit is told to do, and how it is asked about one order."""

    def order_request(self, listed: Listed, intent: OrderIntent) -> Request:
        """The request for a market order, or for a conditional market order where the intent has a trigger."""
        params: dict[str, Any] = {
            "category": "linear",
            "symbol": listed.venue_symbol,
            "side": "Buy" if intent.buys else "Sell",
            "orderType": "Market",
            "qty": digits(intent.quantity / listed.contract_size),
            "orderLinkId": intent.client_order_id,
            "positionIdx": _INDEX[intent.position_side],
            "reduceOnly": intent.reduce_only,
        }
        if intent.trigger is not None:
            params |= {
                "triggerPrice": digits(intent.trigger),
                # A stop trades with the move: it buys on a rise and sells on a fall.
                "triggerDirection": _RISES if intent.buys else _FALLS,
                "triggerBy": "LastPrice",
            }
        return Request("privatePostV5OrderCreate", params)

    def cancel_request(self, listed: Listed, intent: CancelIntent) -> Request:
        """The request that cancels one order of whatever kind."""
        name = {"orderId": intent.order_id} if intent.order_id else {"orderLinkId": intent.client_order_id}
        params = {"category": "linear", "symbol": listed.venue_symbol, **name}
        return Request("privatePostV5OrderCancel", params)

    def order_id_in(self, body: Any) -> str | None:
        """The id that an answer to a trading request names; None where it names none."""
        result = body.get("result") if isinstance(body, dict) else None
        found = result.get("orderId") if isinstance(result, dict) else None
        return found if isinstance(found, str) and found else None

    def seen_in(self, body: Any, listed: Listed) -> SeenOrder | None:
        """Nothing: Bybit acknowledges before it matches, and tells ids only."""
        del body, listed
        return None

    async def find(
        self, client: VenueClient, listed: Listed, client_order_id: str, *, conditional: bool
    ) -> SeenOrder | None:
        """The order of a client id, live or done; None where neither list holds it. Raises AnswerError."""
        del conditional  # both kinds stand in one list
        what = f"order {client_order_id}"
        params = {"symbol": listed.venue_symbol, "orderLinkId": client_order_id}
        for method in ("privateGetV5OrderRealtime", "privateGetV5OrderHistory"):
            sheet = await list_of(client, method, params, what)
            with as_answer(what):
                mine = [row for row in sheet.rows if row.get("orderLinkId") == client_order_id]
                if mine:
                    return seen_order(mine[0], listed)
        return None
