"""Ctrl+C on work that has to be taken back: the work is cancelled once, and its cleaning up is not disturbed again."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine; SIGINT, SIGTERM and SIGHUP cancel it once and are ignored until it has cleaned up.

    Raises KeyboardInterrupt where it was cancelled so.
    """
    return asyncio.run(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, _T]) -> _T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    asked = False

    def ask() -> None:
        nonlocal asked
        if not asked:
            asked = True
            # connections that are cut in the middle of a statement leave futures that nobody asks any more
            loop.set_exception_handler(lambda _loop, _context: None)
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, ask)
    try:
        return await task
    except asyncio.CancelledError:
        if asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
