"""Python's search for cycles of dead objects, made rarer while many objects live that are in none."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many objects more than were given back are made before the next search; each search goes through all that live.
_MANY = 200_000
_lock = threading.Lock()
_within = 0
_usual = gc.get_threshold()


@contextmanager
def rarely_collected() -> Iterator[None]:
    """While it lasts, anywhere in the process, the search runs every 200 000 objects. Rows of a log hold no cycles, and there are
    tens of thousands at a time: looking for some takes a third of the time of making them.
    """
    global _within, _usual  # noqa: PLW0603 - the collector's threshold is the process's
    with _lock:
        if not _within:
            _usual = gc.get_threshold()
            if _usual[0]:
                gc.set_threshold(_MANY, *_usual[1:])
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                gc.set_threshold(*_usual)
