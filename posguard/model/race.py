"""A race that the bot's log tells of: two creates of one position, what each actor did around them, and which kind of race it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

CONCURRENT = timedelta(seconds=5)


class Actor(StrEnum):
    """Which part of the bot did something."""

    SIGNAL = "signal"
    SYNC = "sync"
    RECOVERY = "recovery"
    CLEANUP = "cleanup"
    UNKNOWN = "unknown"


class Scenario(StrEnum):
    """Who raced with whom."""

    A = "A"  # two signals
    B = "B"  # signal and synchroniser
    C = "C"  # retry after, or within, a rollback
    D = "D"  # clean-up or recovery, and a signal
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How much of a verdict the log says outright."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Mark(StrEnum):
    """What a line of the time line means for the unique index of the bot's positions."""

    CREATE = "CREATE"
    LEAVES_INDEX = "UPDATE leaving the index"
    ENTERS_INDEX = "UPDATE into the index"
    SYNC = "SYNC"
    ROLLBACK = "ROLLBACK"
    ERROR = "DUPLICATE"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a time line. `at` is UTC; `inferred` names the fields that the line itself does not say."""

    at: datetime
    actor: Actor
    mark: Mark
    text: str
    position_id: int | None
    source: str
    path: str
    offset: int
    inferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Create:
    """One insert into the bot's positions, put together from the lines that tell of it.

    `at` is when the log says that the row is there; `started` when the first line of it was written. position_id is None where
    no line names it, as with the synchroniser's. `inferred` names the fields that come from neighbouring lines.
    """

    at: datetime
    started: datetime
    actor: Actor
    position_id: int | None
    symbol: str
    exchange: str | None
    source: str
    path: str
    offset: int
    inferred: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[str, str, int]:
        """Where its line stands."""
        return self.source, self.path, self.offset


@dataclass(frozen=True, slots=True)
class Race:
    """Two writers of one position. `at` is when the error surfaced or, where none did, when the second row was there.

    `symbol` is canonical; `exchange` is None where no line says it. `creates` and `moments` are in order of time, the moments
    those of the ten seconds before `at`, and of the creates where they lie further back. `errors` are the places (offsets) of
    all the records that the one error left. `zone` is the host's, an IANA name.
    """

    at: datetime
    symbol: str
    exchange: str | None
    source: str
    zone: str
    surfaced: bool
    scenario: Scenario
    confidence: Confidence
    reason: str
    creates: tuple[Create, ...]
    moments: tuple[Moment, ...]
    errors: tuple[int, ...] = ()

    @property
    def window(self) -> timedelta | None:
        """The time between the first create and the last; None where the log tells of fewer than two."""
        return self.creates[-1].at - self.creates[0].at if len(self.creates) > 1 else None

    @property
    def gaps(self) -> tuple[timedelta, ...]:
        """The time between each create and the one before it."""
        return tuple(b.at - a.at for a, b in zip(self.creates, self.creates[1:], strict=False))

    @property
    def concurrent(self) -> bool:
        """Whether two creates lie less than five seconds apart."""
        return any(gap < CONCURRENT for gap in self.gaps)

    @property
    def row_ids(self) -> tuple[int, ...]:
        """The ids of the rows that its creates made, as far as the log names them."""
        return tuple(sorted({c.position_id for c in self.creates if c.position_id is not None}))

    @property
    def subject(self) -> str:
        """What tells this race from another of the same symbol: the time of its first create, or of its error, to the millisecond."""
        first = self.creates[0].at if self.creates else self.at
        return f"{first:%Y-%m-%dT%H:%M:%S}.{first.microsecond // 1000:03d}Z"

    def to_plain(self) -> dict[str, Any]:
        """As plain JSON, which `race_from_plain` reads."""
        plain: dict[str, Any] = _plain(self)
        return plain


def race_from_plain(plain: Mapping[str, Any]) -> Race:
    """The race that `Race.to_plain` wrote. Raises KeyError or ValueError for anything else."""
    return _read(Race, plain)


Told = TypeVar("Told", Race, Create, Moment)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Race | Create | Moment):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    return value


def _read(kind: type[Told], plain: Mapping[str, Any]) -> Told:
    return kind(**{part.name: _READ.get(part.name, _as_it_is)(plain[part.name]) for part in fields(kind)})


def _as_it_is(value: Any) -> Any:
    return value


# How a field is read, by its name; any other is as JSON has it.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "at": datetime.fromisoformat,
    "started": datetime.fromisoformat,
    "actor": Actor,
    "mark": Mark,
    "scenario": Scenario,
    "confidence": Confidence,
    "inferred": tuple,
    "errors": tuple,
    "creates": lambda many: tuple(_read(Create, one) for one in many),
    "moments": lambda many: tuple(_read(Moment, one) for one in many),
}
