"""Times as people type them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from posguard.errors import UsageError
from posguard.model.duration import parse_duration

_LOG_YEARS = 1980, 2200


def moment(text: str, now: datetime) -> datetime:
    """The future moment that `8h`, `2d`, `2026-12-01` or `2026-12-01T18:00+02:00` names; without an offset it is UTC.

    Raises UsageError for anything else and for what is past.
    """
    try:
        at = now + parse_duration(text)
    except (ValueError, OverflowError):
        at = _date(text)
    if at <= now:
        raise UsageError(f"--until {text} is past ({at:%Y-%m-%d %H:%M} UTC). Nothing was changed.")
    return at


def past(option: str, text: str, now: datetime) -> datetime:
    """The past moment that `2025-10-22` or `2025-10-22T18:00+02:00` names to an option; without an offset it is UTC.

    Raises UsageError for anything else and for what has yet to come.
    """
    try:
        at = _read(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is no date. Nothing was done.",
            hint=f"Write {option} 2025-10-22 or 2025-10-22T18:00+02:00.",
        ) from None
    if at > now:
        raise UsageError(f"{option} {text} has yet to come ({at:%Y-%m-%d %H:%M} UTC). Nothing was done.")
    return at


def _date(text: str) -> datetime:
    try:
        return _read(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is neither a duration nor a date. Nothing was changed.",
            hint="Write --until 8h, 2d, 2026-12-01 or 2026-12-01T18:00+02:00.",
        ) from None


def _read(text: str) -> datetime:
    at = datetime.fromisoformat(text.strip())
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def log_moment(text: str) -> datetime:
    """A time of the bot's log, `2025-10-22` or `2025-10-22T18:00+02:00`, in UTC; without an offset it is UTC.

    Raises ValueError for anything else, and for years of which there is no log.
    """
    at = datetime.fromisoformat(text.strip())
    if not _LOG_YEARS[0] <= at.year <= _LOG_YEARS[1]:
        message = f"{text} is in no year of a log"
        raise ValueError(message)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def spell(at: datetime | None) -> str:
    """A time in UTC to the second, or a dash."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else "–"
