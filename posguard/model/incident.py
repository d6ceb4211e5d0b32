"""What the database knows of one symbol around one time, and what becomes of each explanation of an incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class RowFact:
    """A row of monitoring.positions as it stands now. The bytes are those of its UTF-8 texts, in hexadecimal digits."""

    id: int
    raw_symbol: str
    symbol_bytes: str
    exchange: str
    exchange_bytes: str
    side: str | None
    quantity: Decimal | None
    status: str | None
    exchange_order_id: str | None
    created_at: datetime
    updated_at: datetime | None
    exit_reason: str | None


@dataclass(frozen=True, slots=True)
class EventFact:
    """A row of monitoring.events."""

    id: int
    at: datetime
    event_type: str
    position_id: int | None
    symbol: str | None
    exchange: str | None
    text: str


@dataclass(frozen=True, slots=True)
class TransitionFact:
    """A change of a position that posguard's trigger recorded, with the server process and the program that made it."""

    id: int
    at: datetime
    position_id: int
    operation: str
    from_status: str | None
    to_status: str | None
    backend_pid: int
    app: str


@dataclass(frozen=True, slots=True)
class TriggerFact:
    """A trigger of monitoring.positions; `calls` is the function, with its schema."""

    name: str
    enabled: bool
    calls: str
    definition: str


@dataclass(frozen=True, slots=True)
class UniqueIndexFact:
    """A unique index of monitoring.positions; one that is not valid holds nothing apart."""

    name: str
    valid: bool
    definition: str


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the database knows. Indexes, triggers and rows are as they are at `read_at`, not as they were at the incident.

    `events` and `transitions` are None where the table is missing or may not be read.
    """

    read_at: datetime
    rows: tuple[RowFact, ...]
    events: tuple[EventFact, ...] | None
    transitions: tuple[TransitionFact, ...] | None
    indexes: tuple[UniqueIndexFact, ...]
    triggers: tuple[TriggerFact, ...]


class Standing(StrEnum):
    """What the evidence makes of a hypothesis. Held: it speaks for it, and nothing against it."""

    HELD = "held"
    REFUTED = "refuted"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of a log, or one row of the database, that speaks for or against a hypothesis; `at` is UTC."""

    where: str
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One explanation, what becomes of it and why, and what evidence would decide it and how to get that."""

    name: str
    question: str
    standing: Standing
    why: str
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
