"""Asking a venue: within the request budget, and with answers that are either usable or an AnswerError."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import stamina

from posguard.exchange.answers import AnswerError, Heard, Trouble, shape_words
from posguard.exchange.budget import LONGEST_WAIT, UNSHARED, Budget, shared_budget
from posguard.exchange.judging import Asked, judge
from posguard.exchange.ledger import Ledger, LedgerBudget
from posguard.exchange.wire import address_of, build, listening

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from posguard.exchange.table import VenueTable
    from posguard.settings import Settings, VenueSettings

_BAN = 600.0  # seconds, where a venue that bans this address does not say for how long


class VenueClient:
    """The only user of a ccxt client. Secrets are in no text, repr, log or chained exception that leaves it."""

    def __init__(
        self,
        venue: VenueSettings,
        settings: Settings,
        table: VenueTable,
        *,
        budget: Budget | None = None,
        ledger: Ledger | None = None,
        session: aiohttp.ClientSession | None = None,
        throttled: bool = True,
    ) -> None:
        self.venue = venue
        self.table = table
        self._timeout = settings.venue_timeout.total_seconds()
        self._exchange = build(venue, settings, table, session)
        self.address = address_of(self._exchange)
        self.budget = budget or _budget(table, self.address, settings.used_weight_share, ledger)
        self._exchange.enableRateLimit = throttled and self.budget.paces
        self.requests = 0
        self.hedge = venue.hedge  # or seen to be so since

    def __repr__(self) -> str:
        return f"<VenueClient {self.venue.id} {self.venue.world}>"

    @property
    def markets_by_id(self) -> Mapping[str, Any]:
        """The loaded markets in ccxt's form by the venue's id; empty before load_markets."""
        return self._exchange.markets_by_id or {}

    async def load_markets(self) -> None:
        """Load the venue's markets anew. Raises AnswerError."""
        heard = Heard(bodies=[])
        await self._ask("load_markets", {"reload": True}, what="markets", weight=2, heard=heard)
        # ccxt takes an answer without a list for one with an empty list.
        for body in heard.bodies or ():
            if not isinstance(_within(body, self.table.market_list), list):
                raise AnswerError(Trouble.SHAPE, f"markets: HTTP 200 with {shape_words(body)} without a list")

    async def get(self, method: str, params: Mapping[str, Any], *, what: str) -> Any:
        """The JSON body of a GET, numbers with a fraction as text. `what` names it in messages. Raises AnswerError.

        Asked again, once and with a log line, only where nothing was sent or the venue said when to come back.
        """
        weight = self.table.weight(method, params)
        arguments = {"params": dict(params)}
        async for attempt in stamina.retry_context(on=_again, attempts=2, timeout=None):
            with attempt:
                return await self._ask(method, arguments, what=what, weight=weight, heard=Heard())
        raise AssertionError("unreachable")  # pragma: no cover

    async def send(self, method: str, params: Mapping[str, Any]) -> tuple[Heard, Any, Exception | None]:
        """Send a request that changes something, exactly once: what was heard, the body, what the client raised.

        Counts in the budget and does not wait for it: a stop-loss does not stand in a queue behind reading. The exception
        may hold the signed address: it must not leave this package.
        """
        self.budget.spend(self.table.weight(method, params))
        heard = Heard()
        body, failure = await self._exchange_call(method, {"params": dict(params)}, heard)
        trouble = judge(self._asked("order"), heard, failure)
        self._heed(heard, trouble)
        return heard, body, failure

    def clean(self, foreign: str) -> str:
        """A foreign text without this client's secrets."""
        return self._asked("").clean(foreign)

    async def close(self) -> None:
        """Release the connections. Safe to call twice."""
        await self._exchange.close()
        await self.budget.close()

    async def _ask(
        self, method: str, arguments: Mapping[str, Any], *, what: str, weight: int, heard: Heard
    ) -> Any:
        self._refuse_while_paused(what)
        await self.budget.take(weight)
        self._refuse_while_paused(what)  # another process may have been told since
        body, failure = await self._exchange_call(method, arguments, heard)
        # Raised outside the handler: the foreign exception, whose text holds the signed address, is not chained.
        trouble = judge(self._asked(what), heard, failure)
        failure = None
        self._heed(heard, trouble)
        if trouble is not None:
            raise trouble
        return body

    def _refuse_while_paused(self, what: str) -> None:
        blocked, why = self.budget.blocked()
        if blocked > LONGEST_WAIT:
            raise AnswerError(Trouble.RATE, f"{what}: not asked, for {why}: look again in {blocked:.0f} s")

    async def _exchange_call(
        self, method: str, arguments: Mapping[str, Any], heard: Heard
    ) -> tuple[Any, Exception | None]:
        token = listening.set(heard)
        try:
            return await getattr(self._exchange, method)(**arguments), None
        except Exception as error:  # noqa: BLE001  ccxt raises KeyError and TypeError too on rubbish
            return None, error
        finally:
            listening.reset(token)
            self.requests += max(1, heard.requests)

    def _asked(self, what: str) -> Asked:
        return Asked(self.venue, self.table, self.address, self._timeout, what)

    def _heed(self, heard: Heard, trouble: AnswerError | None) -> None:
        if trouble is not None and trouble.trouble is Trouble.RATE:
            unsaid = _BAN if trouble.status in {403, 418} else 1.0
            wait = unsaid if trouble.retry_after is None else trouble.retry_after
            self.budget.block(wait, "the venue asked for a pause")
        elif (pause := self.table.pause(heard.headers, now_ms())) is not None:
            self.budget.block(*pause, only_reading=True)


def _budget(table: VenueTable, address: str, share: float, ledger: Ledger | None) -> Budget | LedgerBudget:
    if ledger is not None:
        return LedgerBudget(ledger, table, address, share=share)
    return shared_budget(
        table.exchange, address, limit=table.limit, window=table.window, share=share * UNSHARED
    )


def _within(text: str, path: Sequence[str]) -> Any:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _again(error: Exception) -> bool | float:
    """Whether a read is asked once more: True, or the seconds to wait first."""
    if not isinstance(error, AnswerError):
        return False
    if error.trouble is Trouble.RATE and error.status != 418:  # a ban is no matter of seconds
        wait = error.retry_after
        return wait if wait is not None and 0 < wait <= LONGEST_WAIT else False
    return error.trouble is Trouble.UNREACHED


def now_ms() -> int:
    """The clock of this machine in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
