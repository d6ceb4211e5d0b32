"""Trading on a venue: each call sends one request, once, and says what is known afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from posguard.exchange.answers import AnswerError, Heard
from posguard.exchange.intents import CancelIntent, OrderIntent, Request, slip
from posguard.exchange.outcomes import NEVER_SENT, Judged, Rule, judge_send
from posguard.exchange.placing import Placing
from posguard.exchange.reading import Dialect, ReadingGateway
from posguard.exchange.rows import RowError
from posguard.model.order import Lookup, OrderReply, Outcome, Sight, Why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from posguard.exchange.client import VenueClient
    from posguard.exchange.symbols import Listed
    from posguard.model.order import SeenOrder
    from posguard.model.venue import MarketRule
    from posguard.settings import Settings

_SHORT_WAIT = 2.0  # seconds that a request stands by; beyond that it is rejected, and its sender decides
_MALFORMED = Rule(Outcome.REJECTED, Why.MALFORMED)
_RATE = Rule(Outcome.REJECTED, Why.RATE)


class TradingDialect(Dialect, Protocol):
    """A dialect that can also say what to do."""

    def order_request(self, listed: Listed, intent: OrderIntent) -> Request:
        """The request for an order."""
        ...

    def cancel_request(self, listed: Listed, intent: CancelIntent) -> Request:
        """The request that cancels an order."""
        ...

    def order_id_in(self, body: Any) -> str | None:
        """The id that an answer names; None where it names none."""
        ...

    def seen_in(self, body: Any, listed: Listed) -> SeenOrder | None:
        """The order that an answer describes; None where it tells ids only. Raises RowError."""
        ...

    async def find(
        self, client: VenueClient, listed: Listed, client_order_id: str, *, conditional: bool
    ) -> SeenOrder | None:
        """The order of a client id; None where the venue knows none. Raises AnswerError."""
        ...


class Trader(ReadingGateway, Placing):
    """See `posguard.exchange.gateway.TradingGateway`."""

    def __init__(
        self,
        dialect: TradingDialect,
        client: VenueClient,
        settings: Settings,
        *,
        before_send: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        super().__init__(dialect, client, settings)
        self._trading = dialect
        self._before_send = before_send

    async def market(self, symbol: str) -> MarketRule | None:
        """What the venue demands of orders in a market; None where it lists none. Raises VenueUnavailableError."""
        await self._or_error(self._load_markets())
        listed = self._markets.by_symbol.get(symbol)
        return None if listed is None else listed.rule

    async def cancel(
        self, symbol: str, *, conditional: bool, order_id: str = "", client_order_id: str = ""
    ) -> OrderReply:
        """Cancel one live order. Rejected with `not_found` means that it is no longer live, filled perhaps."""
        listed, problem = await self._listed(symbol)
        if listed is None:
            return _reply(client_order_id, problem)
        if not order_id and not client_order_id:
            return _reply("", Judged(_MALFORMED, None, "no order is named"))
        intent = CancelIntent(conditional, client_order_id, order_id)
        return await self._send(listed, self._trading.cancel_request(listed, intent), client_order_id)

    async def find(self, symbol: str, client_order_id: str, *, conditional: bool) -> Lookup:
        """The order of a client id, live or done."""
        listed, problem = await self._listed(symbol)
        if listed is None:
            return Lookup(Sight.UNKNOWN, reason=problem.words)
        try:
            seen = await self._trading.find(self._client, listed, client_order_id, conditional=conditional)
        except AnswerError as error:
            return Lookup(Sight.UNKNOWN, reason=error.sentence)
        return Lookup(Sight.ABSENT) if seen is None else Lookup(Sight.FOUND, seen)

    async def _place(self, symbol: str, intent: OrderIntent) -> OrderReply:
        listed, problem = await self._listed(symbol)
        if listed is None:
            return _reply(intent.client_order_id, problem)
        if wrong := slip(listed.rule, intent):
            return _reply(intent.client_order_id, Judged(_MALFORMED, None, wrong))
        request = self._trading.order_request(listed, intent)
        return await self._send(listed, request, intent.client_order_id)

    async def _listed(self, symbol: str) -> tuple[Listed | None, Judged]:
        """The market; or None, and why nothing can be sent."""
        try:
            await self._load_markets()
        except AnswerError as error:
            return None, Judged(NEVER_SENT, error.code, error.sentence)
        listed = self._markets.by_symbol.get(symbol)
        return listed, Judged(_MALFORMED, None, f"{symbol} is no market of the venue")

    async def _send(self, listed: Listed, request: Request, client_order_id: str) -> OrderReply:
        wait, why = self._client.budget.blocked(for_reading=False)
        if wait > _SHORT_WAIT:
            words = f"not sent, for {why}: come back in {wait:.0f} s"
            return _reply(client_order_id, Judged(_RATE, None, words), retry_after=wait)
        await asyncio.sleep(wait)
        if self._before_send is not None and (held := await self._before_send()):
            return _reply(client_order_id, Judged(NEVER_SENT, None, f"not sent: {held}"))
        heard, body, failure = await self._client.send(request.method, request.params)
        judged = judge_send(self._client.table.outcomes, heard, failure, self._trading.order_id_in(body))
        return self._told(listed, judged, heard, body, client_order_id)

    def _told(
        self, listed: Listed, judged: Judged, heard: Heard, body: Any, client_order_id: str
    ) -> OrderReply:
        seen = None
        if judged.rule.outcome is Outcome.ACCEPTED:
            with contextlib.suppress(RowError):  # accepted all the same; `find` tells the rest
                seen = self._trading.seen_in(body, listed)
        return _reply(
            client_order_id,
            judged,
            order_id=self._trading.order_id_in(body),
            seen=seen,
            reason=self._client.clean(judged.words),
            retry_after=heard.retry_after(datetime.now(UTC)),
        )


def _reply(
    client_order_id: str,
    judged: Judged,
    *,
    order_id: str | None = None,
    seen: SeenOrder | None = None,
    reason: str | None = None,
    retry_after: float | None = None,
) -> OrderReply:
    return OrderReply(
        outcome=judged.rule.outcome,
        client_order_id=client_order_id,
        order_id=order_id,
        seen=seen,
        why=judged.rule.why,
        code=judged.code,
        reason=judged.words if reason is None else reason,
        retry_after=retry_after,
    )
