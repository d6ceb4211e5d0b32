"""Binance USDⓈ-M futures: orders to send, and orders as it tells them later. Reading alone never imports this."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from posguard.exchange.answers import AnswerError
from posguard.exchange.binance import Binance, seen_order
from posguard.exchange.intents import CancelIntent, OrderIntent, Request, digits
from posguard.exchange.pages import as_answer, object_of
from posguard.exchange.rows import (
    Row,
)
from posguard.model.order import Outcome, SeenOrder, Why
from posguard.model.position import PositionSide

if TYPE_CHECKING:
    from posguard.exchange.client import VenueClient
    from posguard.exchange.symbols import Listed


class BinanceTrading(Binance):
    """What Binance is told to do, and how it is asked about one order."""

    def order_request(self, listed: Listed, intent: OrderIntent) -> Request:
        """The request for a market order, or for a stop-market order where the intent has a trigger."""
        params: dict[str, Any] = {
            "symbol": listed.venue_symbol,
            "side": "BUY" if intent.buys else "SELL",
            "quantity": digits(intent.quantity / listed.contract_size),
        }
        if intent.position_side is not PositionSide.BOTH:
            params["positionSide"] = intent.position_side.name  # reduceOnly is refused beside it
        elif intent.reduce_only:
            params["reduceOnly"] = "true"
        if intent.trigger is None:
            params |= {
                "type": "MARKET",
                "newClientOrderId": intent.client_order_id,
                "newOrderRespType": "RESULT",
            }
            return Request("fapiPrivatePostOrder", params)
        params |= {
            "algoType": "CONDITIONAL",
            "type": "STOP_MARKET",
            "triggerPrice": digits(intent.trigger),
            "clientAlgoId": intent.client_order_id,
        }
        return Request("fapiPrivatePostAlgoOrder", params)

    def cancel_request(self, listed: Listed, intent: CancelIntent) -> Request:
        """The request that cancels one order, plain or conditional."""
        params: dict[str, Any] = {"symbol": listed.venue_symbol}
        own = "algoId" if intent.conditional else "orderId"
        named = "clientAlgoId" if intent.conditional else "origClientOrderId"
        params |= {own: intent.order_id} if intent.order_id else {named: intent.client_order_id}
        method = "fapiPrivateDeleteAlgoOrder" if intent.conditional else "fapiPrivateDeleteOrder"
        return Request(method, params)

    def order_id_in(self, body: Any) -> str | None:
        """The id that an answer to a trading request names; None where it names none."""
        if not isinstance(body, dict):
            return None
        found = body.get("orderId") or body.get("algoId")
        return str(found) if isinstance(found, (int, str)) and found else None

    def seen_in(self, body: Any, listed: Listed) -> SeenOrder | None:
        """The order that an answer describes; None where it tells ids only. Raises RowError."""
        row: Row = body
        if row.get("code") is not None or not ("status" in row or "algoStatus" in row):
            return None
        return seen_order(row, listed)

    async def find(
        self, client: VenueClient, listed: Listed, client_order_id: str, *, conditional: bool
    ) -> SeenOrder | None:
        """The order of a client id, live or done; None where Binance knows none. Raises AnswerError."""
        what = f"order {client_order_id}"
        params: dict[str, Any] = {"symbol": listed.venue_symbol}
        if not conditional:
            return await _ask(client, listed, {**params, "origClientOrderId": client_order_id}, what)
        row = await _row(client, "fapiPrivateGetAlgoOrder", {**params, "clientAlgoId": client_order_id}, what)
        if row is None:
            return None
        with as_answer(what):
            seen = seen_order(row, listed)
        if seen.became is None:
            return seen
        child = await _ask(client, listed, {**params, "orderId": seen.became}, what)
        if child is None:
            return seen
        return replace(seen, filled=child.filled, average_price=child.average_price)


async def _ask(client: VenueClient, listed: Listed, params: dict[str, Any], what: str) -> SeenOrder | None:
    row = await _row(client, "fapiPrivateGetOrder", params, what)
    with as_answer(what):
        return None if row is None else seen_order(row, listed)


async def _row(client: VenueClient, method: str, params: dict[str, Any], what: str) -> Row | None:
    try:
        return object_of(await client.get(method, params, what=what), what)
    except AnswerError as error:
        rule = client.table.outcomes.codes.get(error.code or "")
        if rule is not None and (rule.outcome, rule.why) == (Outcome.REJECTED, Why.NOT_FOUND):
            return None
        raise
