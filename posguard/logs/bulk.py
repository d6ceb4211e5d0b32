"""How Python shares its time while rows are made and sent by the ten thousand."""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many objects more than were given back are made before the next search for dead cycles; each goes through all that live.
_MANY = 200_000
# Seconds after which a thread that makes rows lets the one go on that sends them.
_SHORT = 0.0005
_lock = threading.Lock()
_within = 0
_collects, _switches = gc.get_threshold(), sys.getswitchinterval()


@contextmanager
def many_rows() -> Iterator[None]:
    """While it lasts, anywhere in the process, dead cycles are searched for every 200 000 objects, and threads take turns after
    half a millisecond.

    Rows hold no cycles, and looking for some takes a third of the time of making them. Sending goes a socket's buffer at a time, and
    the usual five milliseconds of waiting for each would leave the server idle.
    """
    global _within, _collects, _switches  # noqa: PLW0603 - both are the process's
    with _lock:
        if not _within:
            _collects, _switches = gc.get_threshold(), sys.getswitchinterval()
            if _collects[0]:
                gc.set_threshold(_MANY, *_collects[1:])
            sys.setswitchinterval(min(_SHORT, _switches))
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                gc.set_threshold(*_collects)
                sys.setswitchinterval(_switches)
