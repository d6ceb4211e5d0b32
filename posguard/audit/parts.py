"""Small things that the sections of the report share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.report.document import Chart, Grid, Series, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from posguard.audit.build import Audit
    from posguard.model.audit import Area, Hour
    from posguard.report.document import Block

UNKNOWN_NUMBER = "–"


def number(value: float | None, digits: int = 0) -> str:
    """A number as shown; a dash where nobody knows it."""
    return UNKNOWN_NUMBER if value is None else f"{value:,.{digits}f}"


def moment(at: datetime | None) -> str:
    """A time to the second, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else UNKNOWN_NUMBER


def total(hours: Sequence[Hour], name: str) -> float | None:
    """The sum over the hours; None where no hour knows it. An event that no hour names did not happen, if events are known at all."""
    known = [value for hour in hours if (value := hour.get(name)) is not None]
    if known:
        return sum(known)
    events_known = any(hour.get("events") is not None for hour in hours)
    return 0 if name.startswith("event ") and events_known else None


def about(audit: Audit, *areas: Area) -> Block:
    """Which issues a section is about."""
    found = [one for one in audit.issues if one.area in areas]
    if not found:
        return Text("No issue is about this.", "dim")
    rows = tuple((str(one.number), str(one.severity), one.title) for one in found)
    return Grid(("Issue", "Severity", "What"), rows, title="Issues about this")


def hourly(
    audit: Audit,
    title: str,
    lines: Iterable[tuple[str, str, Callable[[Hour], float | None]]],
    *,
    line: bool = False,
) -> Block:
    """A chart over the hours of the window; a sentence instead where nobody knows any value of it."""
    hours = audit.facts.rows.hours
    series = tuple(
        Series(name, tone, tuple(_float(value(hour)) for hour in hours)) for name, tone, value in lines
    )
    if all(value is None for one in series for value in one.values):
        return Text(f"{title}: no source.", "dim")
    return Chart(title, tuple(f"{hour.start:%H:%M}" for hour in hours), series, lines=line)


def of(name: str) -> Callable[[Hour], float | None]:
    """The hour's count of a name."""
    return lambda hour: hour.get(name)


def of_event(*kinds: str) -> Callable[[Hour], float | None]:
    """How many events of some kinds an hour has; None where its events are not known."""

    def count(hour: Hour) -> float | None:
        if hour.get("events") is None:
            return None
        return sum(hour.get(f"event {kind}") or 0 for kind in kinds)

    return count


def grid_or(rows: Sequence[Sequence[str]], columns: Sequence[str], empty: str, **more: object) -> Block:
    """A table, or a sentence where it has no row."""
    if not rows:
        return Text(empty, "dim")
    return Grid(tuple(columns), tuple(tuple(row) for row in rows), **more)  # type: ignore[arg-type]  # title, numeric


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
