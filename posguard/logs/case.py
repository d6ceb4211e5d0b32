"""One incident as a case: the log's lines and the database's rows of one symbol around one time, side by side. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.logs.correlate import PositionEvent
from posguard.model.incident import DatabaseFacts, Evidence, RowFact
from posguard.model.log_event import LogEvent, LogKind
from posguard.model.race import Actor, Create

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN_BEFORE = timedelta(seconds=30)
_PROCESS = frozenset({LogKind.PROCESS_STARTED, LogKind.PROCESS_LOCK, LogKind.PROCESS_STOPPED})


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one symbol around `at`, from `since` to `until`, all UTC.

    `lines` are the correlated events about the symbol in that time, `creates` its inserts; `passes` all lines of the
    synchroniser that were read, `waves` those that announce or execute signals, `processes` those about the bot's processes, both from the
    beginning of what was read; `failures` the errors of that time, whatever they name. `first` is the first event read. `exchange`
    is the one asked for, else that of the row nearest to the time; "" where there is neither. `sources` are those that were read.
    """

    symbol: str
    exchange: str
    at: datetime
    since: datetime
    until: datetime
    first: datetime | None
    last: datetime | None
    lines: tuple[PositionEvent, ...]
    creates: tuple[Create, ...]
    passes: tuple[PositionEvent, ...]
    waves: tuple[LogEvent, ...]
    processes: tuple[LogEvent, ...]
    failures: tuple[LogEvent, ...]
    sources: frozenset[str]
    database: DatabaseFacts

    @property
    def rows(self) -> tuple[RowFact, ...]:
        """The rows that belong together: of one exchange, made within a minute of the one nearest to the time asked for."""
        nearest = nearest_row(self.database, self.at)
        if nearest is None:
            return ()
        return tuple(
            row
            for row in self.database.rows
            if abs(row.created_at - nearest.created_at) <= timedelta(minutes=1)
            and exchange_of(row) == exchange_of(nearest)
        )

    @property
    def elsewhere(self) -> tuple[RowFact, ...]:
        """The rows of that time on other exchanges: other positions, of which the case is not."""
        return tuple(row for row in self.database.rows if exchange_of(row) != self.exchange)

    @property
    def inserts(self) -> tuple[datetime, datetime] | None:
        """When the first and the last insert happened: by the database where it has two rows, else by the log."""
        if len(self.rows) > 1:
            return self.rows[0].created_at, self.rows[-1].created_at
        if len(self.creates) > 1:
            return self.creates[0].at, self.creates[-1].at
        return None

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The time of the inserts; the time asked for where there are not two."""
        return self.inserts or (self.at, self.at)

    @property
    def by_synchroniser(self) -> tuple[Create, ...]:
        """The creates that say themselves that they are the synchroniser's; that one of its passes ran is no word of it."""
        return tuple(c for c in self.creates if c.actor is Actor.SYNC and "actor" not in c.inferred)

    @property
    def two_writers(self) -> tuple[Create, ...]:
        """The two creates, where the log tells of two and the synchroniser's is one of them; else nothing."""
        two = (len(self.creates), len(self.by_synchroniser)) == (2, 1) and len(self.rows) <= 2
        return self.creates if two else ()

    @property
    def covered(self) -> bool:
        """Whether the log was read from before the inserts to after them."""
        start, end = self.span
        return self.first is not None and self.last is not None and self.first <= start and self.last >= end

    def of_kind(self, *kinds: str, before: timedelta = OPEN_BEFORE) -> list[PositionEvent]:
        """The lines of some kinds from `before` the first insert to a second after the last."""
        start, end = self.span
        return [
            e for e in self.lines if e.kind in kinds and start - before <= e.at <= end + timedelta(seconds=1)
        ]


def nearest_row(facts: DatabaseFacts, at: datetime) -> RowFact | None:
    """The row that was made nearest to a time."""
    return min(facts.rows, key=lambda row: abs(row.created_at - at), default=None)


def exchange_of(fact: RowFact) -> str:
    """A row's exchange, however it is spelled."""
    return fact.exchange.strip().lower()


def is_process(event: LogEvent) -> bool:
    """Whether an event tells of the bot's processes."""
    return event.kind in _PROCESS


def line(event: PositionEvent | LogEvent) -> Evidence:
    """A line of the log as evidence."""
    return Evidence(f"log {event.source}", " ".join(event.message.split())[:300], event.at)


def lines(events: Iterable[PositionEvent | LogEvent], most: int = 6) -> tuple[Evidence, ...]:
    """The first few lines as evidence."""
    return tuple(line(event) for event in list(events)[:most])


def row(fact: RowFact) -> Evidence:
    """A row as evidence."""
    order = fact.exchange_order_id or "none"
    text = f"#{fact.id} {fact.raw_symbol} on {fact.exchange}, now {fact.status}, quantity {fact.quantity}, order id {order}"
    return Evidence("monitoring.positions", text, fact.created_at)
