"""Which window an audit is about: what is asked for, else the data interval, else the hours until now. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from posguard.errors import UsageError
from posguard.model.audit import Window
from posguard.model.duration import parse_duration

LENGTH = timedelta(hours=8)
LONGEST = timedelta(days=31)


def window_of(
    since: str,
    until: str,
    now: datetime,
    *,
    interval: tuple[datetime, datetime] | None = None,
    length: timedelta = LENGTH,
) -> Window:
    """The window that two texts name: times (UTC unless they say otherwise), `since` also a duration; empty ones are filled in.

    Without any, it is the data interval, or without one the `length` until now. Raises UsageError: nothing was done.
    """
    if not since and not until and interval is not None:
        return Window(interval[0].astimezone(UTC), interval[1].astimezone(UTC))
    end = _time("to", until, now) if until else now
    try:
        start = end - (parse_duration(since) if since else length)
    except (ValueError, OverflowError):
        start = _time("from", since, now)
    if start >= end:
        raise UsageError(
            f"The window's start, {start:%Y-%m-%d %H:%M}, does not lie before its end, {end:%Y-%m-%d %H:%M} UTC. Nothing was done."
        )
    if end - start > LONGEST:
        raise UsageError(
            f"An audit is about {LONGEST.days} days at most. Nothing was done.", hint="Choose a later start."
        )
    return Window(start, end)


def _time(name: str, text: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"'{text}' is no date for '{name}'. Nothing was done.",
            hint="Write 2025-10-22 or 2025-10-22T18:00+02:00; where the window begins also a duration, such as 8h.",
        ) from None
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    if at > now:
        raise UsageError(f"{text} has yet to come ({at:%Y-%m-%d %H:%M} UTC). Nothing was done.")
    return at
