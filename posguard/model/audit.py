"""What an audit of a window of time says: issues with their evidence, what was missing, what the operator noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from posguard.model.finding import Severity
from posguard.model.incident import Evidence


@dataclass(frozen=True, slots=True)
class Window:
    """The time that an audit is about, its end left out; both aware UTC, the start before the end (ValueError otherwise)."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("the window's times need their zones")
        if self.start >= self.end:
            raise ValueError("the window's start does not lie before its end")

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start

    def holds(self, at: datetime) -> bool:
        """Whether a time lies in it."""
        return self.start <= at < self.end

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"


class Area(StrEnum):
    """What an issue is about."""

    POSITIONS = "positions"
    PROTECTION = "protection"
    RACES = "races"
    ERRORS = "errors"
    DATA = "data integrity"
    PERFORMANCE = "performance"
    TRAILING = "trailing stops"
    LIFECYCLE = "lifecycle"
    AGE = "aged and zombies"


class Priority(StrEnum):
    """When somebody has to see to it."""

    NOW = "P1"
    TODAY = "P2"
    SOON = "P3"
    LATER = "P4"

    @property
    def meaning(self) -> str:
        """In words."""
        return {"P1": "now", "P2": "today", "P3": "this week", "P4": "when convenient"}[self.value]


UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem that an audit found.

    `key` names it in the next audit too. `evidence` are rows, log lines and findings, `left_out` how many more there are;
    `row_ids` are rows of monitoring.positions. `cause` is what the evidence itself tells, else `unknown`; `location` is the
    place in the bot's code that a log or a stack trace names, else empty. `repair` are commands, `advice` is what to do where
    there is none, `caution` what to know before. `retest` says how to see that it is gone.
    """

    key: str
    area: Area
    title: str
    severity: Severity
    priority: Priority
    count: int
    evidence: tuple[Evidence, ...]
    retest: str
    left_out: int = 0
    row_ids: tuple[int, ...] = ()
    cause: str = UNKNOWN
    location: str = ""
    repair: tuple[str, ...] = ()
    advice: str = ""
    caution: str = ""
    runbook: str = ""
    resolved: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not there to look at, and what nobody can say for it; `hint` is how to have it next time.

    of_log tells whether it is a part of the bot's log: where one is missing, no race seen is not no race.
    """

    what: str
    loses: str
    hint: str = ""
    of_log: bool = False


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one wording. `source` is `events` or the name of a log; `places` are row ids of monitoring.events, or file and byte.

    `sample` is the first one's text; `location` is the place in the code that it names, else empty.
    """

    source: str
    sample: str
    count: int
    first: datetime
    last: datetime
    worst: str = "ERROR"
    kind: str = ""
    places: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    location: str = ""


@dataclass(frozen=True, slots=True)
class BrokenLife:
    """A row whose state and whose events contradict each other; `what` is a sentence."""

    position_id: int
    symbol: str
    exchange: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Openings that broke off with one status for one reason, as their rows say; `ids` are the first ones' rows."""

    status: str
    reason: str
    count: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EventCount:
    """How often the bot wrote one kind of event in the window; `ids` are the first ones' rows of monitoring.events."""

    event_type: str
    count: int
    first: datetime
    last: datetime
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the window, the first and the last cut to it. `counts` holds what has a source; what has none is not in it."""

    start: datetime
    end: datetime
    counts: Mapping[str, float] = field(default_factory=dict)

    def get(self, name: str) -> float | None:
        """A count, or None where nobody knows it."""
        return self.counts.get(name)
