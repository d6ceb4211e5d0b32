"""What a trading request came to, by the venue's own code and never by the client's exception class. Data and pure rules.

One rule per line; a test provokes each of them over HTTP. A code that is in no rule is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.exchange.answers import never_sent, shape_words
from posguard.model.order import Outcome, Why

if TYPE_CHECKING:
    from posguard.exchange.answers import Heard


@dataclass(frozen=True, slots=True)
class Rule:
    """What a code means for an order."""

    outcome: Outcome
    why: Why


def _rejected(why: Why) -> Rule:
    return Rule(Outcome.REJECTED, why)


def _codes(rule: Rule, *codes: int) -> dict[str, Rule]:
    return {str(code): rule for code in codes}


_UNKNOWN = Rule(Outcome.UNKNOWN, Why.VENUE)
_SILENCE = Rule(Outcome.UNKNOWN, Why.SILENCE)
_EXISTS = Rule(Outcome.EXISTS, Why.DUPLICATE)
ACCEPTED = Rule(Outcome.ACCEPTED, Why.NONE)
NEVER_SENT = _rejected(Why.NEVER_SENT)
_RATE = _rejected(Why.RATE)


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """The rules of one exchange: by its own code, and by HTTP status where no code of the table came."""

    codes: Mapping[str, Rule]
    statuses: Mapping[int, Rule]


BINANCE = OutcomeTable(
    codes={
        **_codes(_UNKNOWN, -1000, -1001, -1006, -1007, -1008),
        **_codes(_EXISTS, -4116),
        **_codes(_rejected(Why.CLOCK), -1021),
        **_codes(_RATE, -1003, -1015),
        **_codes(_rejected(Why.FUNDS), -2019),
        **_codes(_rejected(Why.REDUCE_ONLY), -2022),
        **_codes(_rejected(Why.WOULD_TRIGGER), -2021),
        **_codes(_rejected(Why.NOT_FOUND), -2011, -2013),
        **_codes(_rejected(Why.KEY), -1022, -2014, -2015),
        # Refused on sight: parameter, symbol, precision, quantity, tick, position side, least notional.
        **_codes(_rejected(Why.MALFORMED), -1102, -1106, -1111, -1121, -4003, -4005, -4014, -4061, -4164),
    },
    statuses={429: _RATE, 418: _RATE},
)

BYBIT = OutcomeTable(
    codes={
        **_codes(_UNKNOWN, 10000, 10016),
        **_codes(_EXISTS, 110072),
        **_codes(_rejected(Why.CLOCK), 10002),
        **_codes(_RATE, 10006, 10018),
        **_codes(_rejected(Why.FUNDS), 110007),
        **_codes(_rejected(Why.REDUCE_ONLY), 110017),
        **_codes(_rejected(Why.WOULD_TRIGGER), 110092, 110093),
        **_codes(_rejected(Why.NOT_FOUND), 110001),
        **_codes(_rejected(Why.KEY), 10003, 10004, 10005, 10010, 33004),
        # Refused on sight: parameters of every kind, least notional.
        **_codes(_rejected(Why.MALFORMED), 10001, 110094),
    },
    statuses={429: _RATE, 403: _RATE},
)


@dataclass(frozen=True, slots=True)
class Judged:
    """The rule that applies, what the venue called it, and the reason in words."""

    rule: Rule
    code: str | None
    words: str


def judge_send(
    table: OutcomeTable, heard: Heard, failure: BaseException | None, order_id: str | None
) -> Judged:
    """What became of a request that was to change something.

    `order_id` is the id that the answer names, None where it names none: an answer of 200 without one proves nothing. A
    server error (5xx) is unknown whatever its body says.
    """
    if heard.status is None:
        unsent = failure is not None and never_sent(failure)
        return (
            Judged(NEVER_SENT, None, "no connection: nothing was sent")
            if unsent
            else Judged(_SILENCE, None, "no answer came")
        )
    code = heard.code
    if heard.status == 200 and code in {None, "0", "200"}:
        if order_id is not None and failure is None:
            return Judged(ACCEPTED, None, "")
        return Judged(_SILENCE, None, f"HTTP 200 with {shape_words(heard.body)} without an order id")
    mark = f"HTTP {heard.status}"
    rule = table.statuses.get(heard.status, _UNKNOWN)
    if code is not None and heard.status < 500:
        rule = table.codes.get(code, rule)
    return Judged(rule, code or mark, heard.message or f"{mark} with {shape_words(heard.body)}")
