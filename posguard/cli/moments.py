"""Times as people type them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from posguard.errors import UsageError
from posguard.model.duration import parse_duration


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


def _date(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is neither a duration nor a date. Nothing was changed.",
            hint="Write --until 8h, 2d, 2026-12-01 or 2026-12-01T18:00+02:00.",
        ) from None


def spell(at: datetime | None) -> str:
    """A time in UTC to the second, or a dash."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else "–"
