"""Answers that cannot be trusted, and the plain sentence that says why and what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

import aiohttp

from posguard.errors import CredentialsError, PosguardError, VenueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Trouble(Enum):
    """Why an answer cannot be used."""

    UNREACHED = "unreached"  # no connection: nothing was sent
    SILENT = "silent"  # sent, and no answer came
    SHAPE = "shape"  # an answer that is not what the venue documents
    KEY = "key"
    CLOCK = "clock"
    RATE = "rate"
    REFUSED = "refused"  # any other code of the venue


class AnswerError(Exception):
    """One question to a venue that got no usable answer. Its text is a sentence without secrets."""

    def __init__(
        self,
        trouble: Trouble,
        sentence: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.trouble = trouble
        self.sentence = sentence
        self.code = code
        self.status = status
        self.retry_after = retry_after

    def as_error(self) -> PosguardError:
        """The same in posguard's tree of errors."""
        if self.trouble is Trouble.KEY:
            return CredentialsError(f"{self.sentence}. Nothing was changed.")
        return VenueUnavailableError(f"{self.sentence}. Nothing was changed.", hint="Try again.")


@dataclass(slots=True)
class Heard:
    """What came over the wire for one call: the last HTTP status, headers (lower-case names) and body."""

    status: int | None = None
    # A venue may echo a key: what it wrote stays out of the repr, which tracebacks with locals print.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    requests: int = 0
    bodies: list[str] | None = field(default=None, repr=False)  # all of them, for who wants to look at each

    def hear(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """Note one HTTP response; of several, a bad one is not hidden by those after it."""
        self.requests += 1
        if self.bodies is not None:
            self.bodies.append(body)
        if self.status in (None, 200):
            self.status = status
            self.headers = {name.lower(): value for name, value in headers.items()}
            self.body = body

    @property
    def code(self) -> str | None:
        """The venue's own code in the body: Binance's `code`, Bybit's `retCode`; None where there is none."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return None
        if not isinstance(body, dict):
            return None
        code = body.get("retCode", body.get("code"))
        return None if code is None or isinstance(code, (dict, list, bool)) else str(code)

    @property
    def message(self) -> str:
        """The venue's own words, at most 120 characters of them."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return ""
        text = body.get("retMsg") or body.get("msg") if isinstance(body, dict) else ""
        return str(text or "")[:120]

    def retry_after(self, now: datetime) -> float | None:
        """The seconds that the venue asks to wait for; None where it does not say."""
        raw = self.headers.get("retry-after")
        if raw is None:
            return None
        try:
            return max(0.0, float(raw))
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(raw) - now).total_seconds())
        except (ValueError, TypeError):
            return None


def shape_words(body: str) -> str:
    """What a body is, in a word or two."""
    text = body.lstrip()
    if not text:
        return "an empty body"
    if text.startswith("<"):
        return "HTML"
    try:
        parsed = json.loads(text)
    except ValueError:
        return "cut JSON" if text[0] in "{[" else "plain text"
    if parsed is None:
        return "null"
    if isinstance(parsed, dict):
        return "an object" if parsed else "an empty object"
    return "a list" if isinstance(parsed, list) else "a single value"


def never_sent(error: BaseException) -> bool:
    """Whether the error, or what caused it, happened before a connection stood: then nothing was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError):
            return True
        cause = cause.__cause__
    return False
