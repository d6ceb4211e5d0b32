"""The legal changes of status of a row that the core manages, as data; the bot's tables hold the same ones in their trigger.

    pending_entry -> submitting -> entry_placed -> pending_sl -> active -> closing -> closed

Invariants. A terminal status is never left. Nothing but `pending_entry` goes to `submitting`, so that an order whose outcome
is unknown is never sent again. `failed` says that no position came to be, so nothing that was protected once becomes failed.
`rolled_back` says that what was opened is closed again or that another row owns it.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from posguard.model.position import TERMINAL, Status

if TYPE_CHECKING:
    from collections.abc import Mapping


class Origin(StrEnum):
    """Who made or changed a row; rows of the bot's old code have none."""

    SIGNAL = "signal"
    SYNC = "sync"
    RECOVERY = "recovery"
    MANUAL = "manual"


# What a row may be born as: a signal's row before anything is sent, or a position found on the venue.
BIRTHS = frozenset({Status.PENDING_ENTRY, Status.PENDING_SL, Status.ACTIVE})

EDGES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PENDING_ENTRY: frozenset(
            {Status.SUBMITTING, Status.FAILED, Status.ROLLED_BACK, Status.CANCELED}
        ),
        Status.SUBMITTING: frozenset(
            {Status.ENTRY_PLACED, Status.UNRESOLVED, Status.FAILED, Status.ROLLED_BACK}
        ),
        Status.ENTRY_PLACED: frozenset(
            {
                Status.PENDING_SL,
                Status.CLOSING,
                Status.UNRESOLVED,
                Status.CLOSED,
                Status.FAILED,
                Status.ROLLED_BACK,
            }
        ),
        Status.PENDING_SL: frozenset(
            {Status.ACTIVE, Status.CLOSING, Status.UNRESOLVED, Status.CLOSED, Status.ROLLED_BACK}
        ),
        Status.ACTIVE: frozenset({Status.PENDING_SL, Status.CLOSING, Status.UNRESOLVED, Status.CLOSED}),
        Status.CLOSING: frozenset(
            {Status.PENDING_SL, Status.ACTIVE, Status.UNRESOLVED, Status.CLOSED, Status.ROLLED_BACK}
        ),
        Status.UNRESOLVED: frozenset(
            {
                Status.ENTRY_PLACED,
                Status.PENDING_SL,
                Status.ACTIVE,
                Status.CLOSING,
                Status.CLOSED,
                Status.FAILED,
                Status.ROLLED_BACK,
            }
        ),
        **{status: frozenset() for status in TERMINAL},
    }
)

# A way through these would say that an order was sent, or that its outcome is unknown.
_LEAVES_NOTHING = frozenset({Status.SUBMITTING, Status.UNRESOLVED})


def may_become(before: Status | None, after: Status) -> bool:
    """Whether a row that the core manages may change from one status to another; before None asks for its birth.

    Staying what it is always may.
    """
    if before is None:
        return after in BIRTHS
    return before == after or after in EDGES[before]


def path(before: str, after: str) -> tuple[str, ...]:
    """The statuses of the shortest legal way from one status to another, the last one included; `after` alone where there is none."""
    try:
        start, end = Status(before), Status(after)
    except ValueError:
        return (after,)
    ways: dict[Status, tuple[Status, ...]] = {start: ()}
    front = [start]
    while front and end not in ways:
        nearer = []
        for status in front:
            for step in sorted(EDGES[status]):
                if step not in ways and (step not in _LEAVES_NOTHING or step is end):
                    ways[step] = (*ways[status], step)
                    nearer.append(step)
        front = nearer
    return tuple(step.value for step in ways.get(end, ())) or (after,)
