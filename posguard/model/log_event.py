"""One thing that the bot's log says happened: what every part that reads logs hands to the next."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Self


class Category(StrEnum):
    """What part of the bot an event speaks of."""

    POSITIONS = "positions"
    STOP_LOSS = "stop_loss"
    TRAILING_STOP = "trailing_stop"
    ERRORS = "errors"
    WEBSOCKET = "websocket"
    API = "api"
    PERFORMANCE = "performance"
    LIFECYCLE = "lifecycle"


class LogKind(StrEnum):
    """The kinds that posguard's own patterns name and its analysis understands; a user's pattern may name others."""

    SIGNAL = "signal"
    SIGNAL_DUPLICATE = "signal_duplicate"
    WAVE = "wave"
    OPENING = "opening"
    INSERTING = "inserting"
    CREATED = "created"
    SAVED = "saved"
    ALREADY_EXISTS = "already_exists"
    UPDATED = "updated"
    ACTIVATED = "activated"
    CLOSED = "closed"
    ENTRY_PLACING = "entry_placing"
    ENTRY_PLACED = "entry_placed"
    ORDER_FILLED = "order_filled"
    STOP_PLACING = "stop_placing"
    STOP_PLACED = "stop_placed"
    STOP_UPDATED = "stop_updated"
    STOP_TRIGGERED = "stop_triggered"
    STOP_FAILED = "stop_failed"
    UNPROTECTED = "unprotected"
    TRAILING_ACTIVATED = "trailing_activated"
    TRAILING_UPDATED = "trailing_updated"
    TRAILING_RESTORED = "trailing_restored"
    SYNC_STARTED = "sync_started"
    SYNC_FOUND = "sync_found"
    SYNC_ADDED = "sync_added"
    SYNC_COMPLETED = "sync_completed"
    PHANTOM = "phantom"
    CREATION_FAILED = "creation_failed"
    ROLLBACK = "rollback"
    ROLLBACK_FAILED = "rollback_failed"
    NOT_FOUND = "not_found"
    EMERGENCY_CLOSE = "emergency_close"
    DUPLICATE_ERROR = "duplicate_error"
    RECOVERY = "recovery"
    AGED = "aged"
    ZOMBIE = "zombie"
    PRICE_UPDATE = "price_update"
    API_ERROR = "api_error"
    RATE_LIMIT = "rate_limit"
    WEBSOCKET_DOWN = "websocket_down"
    WEBSOCKET_UP = "websocket_up"
    LATENCY = "latency"
    PROCESS_STARTED = "process_started"
    PROCESS_LOCK = "process_lock"
    PROCESS_STOPPED = "process_stopped"
    ERROR = "error"


_NOTHING: Mapping[str, str] = MappingProxyType({})


class LogEvent(NamedTuple):
    """One record of a log that a pattern knows.

    `at` is aware and UTC, to the millisecond; `kind` is a LogKind or a user's own word. `offset` and `size` are the
    record's place in its file as it reads uncompressed, in bytes, so that its lines and neighbours can be read again.
    Quantities and prices are Decimal, `latency_ms` is in milliseconds; what the line does not say is None. `fields`
    holds the pattern's other named groups as text, and `path` is the file that `offset` counts in. It is a tuple because a log
    has millions of them, and nothing that cannot be changed is made more quickly.
    """

    at: datetime
    kind: str
    category: Category
    level: str
    module: str
    message: str
    source: str
    offset: int
    size: int
    pattern: str
    symbol: str | None = None
    exchange: str | None = None
    side: str | None = None
    status: str | None = None
    position_id: int | None = None
    order_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    latency_ms: float | None = None
    fields: Mapping[str, str] = _NOTHING
    path: str = ""


class LogColumns(NamedTuple):
    """Many events side by side: all their times, all their kinds and so on, each in the order of the events.

    What is asked of a column at once is asked in a fraction of the time that it takes event by event.
    """

    at: tuple[datetime, ...]
    kind: tuple[str, ...]
    category: tuple[Category, ...]
    level: tuple[str, ...]
    module: tuple[str, ...]
    message: tuple[str, ...]
    source: tuple[str, ...]
    offset: tuple[int, ...]
    size: tuple[int, ...]
    pattern: tuple[str, ...]
    symbol: tuple[str | None, ...]
    exchange: tuple[str | None, ...]
    side: tuple[str | None, ...]
    status: tuple[str | None, ...]
    position_id: tuple[int | None, ...]
    order_id: tuple[str | None, ...]
    quantity: tuple[Decimal | None, ...]
    price: tuple[Decimal | None, ...]
    latency_ms: tuple[float | None, ...]
    fields: tuple[Mapping[str, str], ...]
    path: tuple[str, ...]

    @classmethod
    def of(cls, events: Sequence[LogEvent]) -> Self:
        """The columns of some events; empty ones of none."""
        return cls._make(zip(*events, strict=True) if events else ((),) * len(cls._fields))

    def events(self) -> list[LogEvent]:
        """The events again."""
        return [LogEvent._make(one) for one in zip(*self, strict=True)]
