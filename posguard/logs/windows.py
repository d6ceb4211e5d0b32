"""Where a log may be cut, so that what stands before is judged by itself and the memory of an analysis is bounded. Pure.

Whatever is found begins with a create or an error, and looks back from there over less than two minutes, or forward over one. So
a cut in the middle of four minutes without either changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.logs.correlate import DUPLICATE, FAILURES
from posguard.model.log_event import LogKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from posguard.model.log_event import LogEvent

CALM = timedelta(minutes=2)  # on either side of a cut
_STIRS = frozenset(
    {
        LogKind.INSERTING,
        LogKind.CREATED,
        LogKind.SYNC_ADDED,
        LogKind.ALREADY_EXISTS,
        LogKind.DUPLICATE_ERROR,
    }
)


def calm_cut(events: Sequence[LogEvent], *, forced: bool = False) -> int:
    """How many of the events, in the order of their lines, stand before the last calm; 0 where there is none.

    All of them are older than all that follow. A `forced` cut is in the longest pause where no calm is long enough.
    """
    cut = longest = 0
    pause = timedelta()
    stirred = latest = went_back = None
    for place, event in enumerate(events):
        at = event.at
        if latest is None or at > latest:
            latest = at
        elif latest - at > CALM:
            # The log goes back: what stands before may belong behind.
            cut = longest = 0
            pause, went_back = timedelta(), latest
        if not _stirs(event):
            continue
        if stirred is not None and (went_back is None or stirred > went_back):
            if at - stirred > 2 * CALM:
                cut = _after(events, place, stirred + CALM)
            elif at - stirred > pause:
                pause, longest = at - stirred, _after(events, place, stirred + (at - stirred) / 2)
        stirred = at
    return cut or (longest if forced else 0)


def _after(events: Sequence[LogEvent], place: int, at: datetime) -> int:
    """The first place before `place` from which on all events are later than `at`."""
    while place and events[place - 1].at > at:
        place -= 1
    return place


def _stirs(event: LogEvent) -> bool:
    return event.kind in _STIRS or (event.kind in FAILURES and DUPLICATE in event.message)
