"""What one answer is worth: usable, or an AnswerError with its sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.exchange.answers import AnswerError, Heard, Trouble, never_sent, shape_words
from posguard.settings import redact

if TYPE_CHECKING:
    from posguard.exchange.table import VenueTable
    from posguard.settings import VenueSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, and for what (a word or two for the sentence); timeout in seconds."""

    venue: VenueSettings
    table: VenueTable
    address: str
    timeout: float
    what: str

    def clean(self, foreign: str) -> str:
        """A foreign text without the venue's secrets."""
        return redact(foreign, self.venue.api_key, self.venue.api_secret)


def judge(asked: Asked, heard: Heard, failure: Exception | None) -> AnswerError | None:
    """Why the answer cannot be used; None where it can. `failure` is what the client raised on it."""
    if heard.status is None:
        return _unanswered(asked, failure) if failure else None
    code = heard.code
    if code in asked.table.key_codes or heard.status == 401:
        return _key(asked, heard)
    if code in asked.table.clock_codes:
        return _clock(asked, heard)
    if heard.status in {418, 429} | asked.table.outcomes.statuses.keys() or code in asked.table.rate_codes:
        return _rate(asked, heard)
    return _rest(asked, heard, failure)


def _unanswered(asked: Asked, failure: Exception) -> AnswerError:
    if never_sent(failure):
        return AnswerError(
            Trouble.UNREACHED,
            f"{asked.what}: no connection to {asked.address}: check the network and the venue's address",
        )
    # By name, so that this module need not know the client's classes.
    why = {
        "RequestTimeout": f"no answer within {asked.timeout:g} s from {asked.address}",
        "ExchangeNotAvailable": f"{asked.address} broke the connection without an answer",
    }.get(type(failure).__name__, f"no answer from {asked.address} ({type(failure).__name__})")
    return AnswerError(Trouble.SILENT, f"{asked.what}: {why}")


def _key(asked: Asked, heard: Heard) -> AnswerError:
    name, words = asked.table.exchange, asked.clean(heard.message)
    said = f"{heard.code or heard.status}{': ' if words else ''}{words}"
    return AnswerError(
        Trouble.KEY,
        f"{asked.what}: the key was refused ({said}): check POSGUARD_{name.upper()}_KEY and _SECRET (in Airflow"
        f" the connection posguard_{name}), its permissions, its IP list and its world ({asked.venue.world})",
        code=heard.code,
        status=heard.status,
    )


def _clock(asked: Asked, heard: Heard) -> AnswerError:
    return AnswerError(
        Trouble.CLOCK,
        f"{asked.what}: the venue refused the time of the request ({heard.code}): set this machine's clock by NTP",
        code=heard.code,
        status=heard.status,
    )


def _rate(asked: Asked, heard: Heard) -> AnswerError:
    wait = heard.retry_after(datetime.now(UTC))
    asks = f", come back in {wait:g} s" if wait is not None else ""
    name = {
        418: "the venue banned this address for too many requests",
        403: "the venue refuses this address, for too many requests or for the country it is in",
    }.get(heard.status or 0, "too many requests")
    mark = f"HTTP {heard.status}" if heard.status != 200 else heard.code
    return AnswerError(
        Trouble.RATE,
        f"{asked.what}: {name} ({mark}{asks})",
        code=heard.code,
        status=heard.status,
        retry_after=wait,
    )


def _rest(asked: Asked, heard: Heard, failure: Exception | None) -> AnswerError | None:
    code, said, body = heard.code, asked.clean(heard.message), shape_words(heard.body)
    if heard.status != 200:
        words = f" ({code}: {said})" if code else f" with {body}"
        trouble, sentence = Trouble.REFUSED if code else Trouble.SHAPE, f"HTTP {heard.status}{words}"
    elif failure is None:
        return None
    elif code in (None, "0"):
        trouble, sentence = Trouble.SHAPE, f"HTTP 200 with {body} that cannot be read"
    else:
        trouble, sentence = Trouble.REFUSED, f"the venue refused it ({code}: {said})"
    return AnswerError(trouble, f"{asked.what}: {sentence}", code=code, status=heard.status)
