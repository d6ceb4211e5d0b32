"""The circuit breaker on automatic closings (REC-2): it limits what a schedule may close, never what is found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.finding import Kind, Proof

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from posguard.model.finding import Finding
    from posguard.model.position import PositionRow
    from posguard.model.venue import VenueId

FLOOR = 2
SHARE = 5  # one in five
_LIMIT = "that a schedule may close by itself"


def allowed_closings(open_rows: int) -> int:
    """How many rows of one venue may be closed automatically while it has `open_rows` open ones: two, or 20 % of them."""
    return max(FLOOR, open_rows // SHARE)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether the closings asked for on one venue are too many for a schedule, and what to type then."""

    venue: VenueId
    asked: int
    allowed: int

    @property
    def tripped(self) -> bool:
        """Whether nothing may be closed automatically."""
        return self.asked > self.allowed

    @property
    def next_command(self) -> str:
        """What a person types instead."""
        return f"posguard cleanup orphaned-db --exchange {self.venue.exchange}"

    @property
    def sentence(self) -> str:
        """What is said when it trips."""
        return (
            f"{self.venue}: {self.asked} open rows are proven gone from the venue, more than the {self.allowed} {_LIMIT};"
            f" look at them and type `{self.next_command}`"
        )


def tripped_in(reason: str) -> bool:
    """Whether a reason for leaving something out of a plan is the sentence of a breaker that tripped."""
    return _LIMIT in reason


def breakers(
    findings: Iterable[Finding], rows: Sequence[PositionRow], venues: Iterable[VenueId]
) -> list[Breaker]:
    """The breaker of each venue for the proven orphaned rows of one pass."""
    orphans = [f for f in findings if f.kind is Kind.ORPHANED_DB and f.proof is Proof.PROVEN]
    return [
        Breaker(
            venue,
            sum((f.exchange, f.account) == (venue.exchange, venue.account) for f in orphans),
            allowed_closings(sum(row.belongs_to(venue) for row in rows)),
        )
        for venue in sorted(venues)
    ]
