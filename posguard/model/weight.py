"""Request weight that a process has booked of what a venue allows an address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Booking:
    """An answer of the ledger that all processes share. Seconds from the moment of the answer.

    `id` is None where nothing was booked; `delay` passes until the weight may be spent. `paused` and `barred` are how long
    the venue wants no reading request and no request at all, with the reason; zero where nothing stands in the way.
    """

    id: int | None
    delay: float
    paused: tuple[float, str] = (0.0, "")
    barred: tuple[float, str] = (0.0, "")
