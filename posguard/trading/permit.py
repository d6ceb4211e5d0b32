"""The last gate before a request is signed: the lease still holds and nobody has engaged the kill switch.

`before_send` is for `open_trading_gateway(..., before_send=before_send)`. What the core is about to send carries its permit
in the task's context; whatever is sent without one is held back.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEASE_OVER = "the lease on the row is over"


@dataclass(frozen=True, slots=True)
class Permit:
    """Until when (seconds of `now`) something may be sent, and what holds it back: a sentence, empty where nothing does."""

    until: float
    now: Callable[[], float]
    held: Callable[[], str]

    def refusal(self) -> str:
        """Why nothing may be sent; empty where it may."""
        if self.now() >= self.until:
            return LEASE_OVER
        return self.held()


_permit: ContextVar[Permit | None] = ContextVar("posguard_permit", default=None)


@contextmanager
def permitted(permit: Permit) -> Iterator[None]:
    """What is sent inside carries the permit."""
    token = _permit.set(permit)
    try:
        yield
    finally:
        _permit.reset(token)


async def before_send() -> str:
    """Awaited immediately before each request is signed: a text it returns holds the request back."""
    permit = _permit.get()
    return "the trading core did not ask for it" if permit is None else permit.refusal()
