"""Issues from errors of one wording, as the bot's events and its log tell of them together. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.audit.issues_analysis import unexplained_duplicates
from posguard.audit.log import code_place, wording
from posguard.model.audit import UNKNOWN, Area, Issue, Priority
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.model.symbol import canonical_symbol
from posguard.report.words import times
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from posguard.audit.facts import Facts
    from posguard.model.audit import ErrorGroup

_PLACES = 5
RARE = 2  # times at most
_CRITICAL = re.compile(
    r"without (a )?(stop|sl\b)|not found after|rollback failed|may exist on exchange|liquidat"
)
# What a message itself says of its cause, and what that asks for.
_KNOWN: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"margin is insufficient|insufficient (balance|funds|margin)"),
        "the exchange refused the order because the account's free margin does not cover it",
        "Open fewer or smaller positions at once, or add margin.",
    ),
    (
        re.compile(r"recvwindow|timestamp for this request"),
        "the request reached the exchange outside of its time window; whether the clock or the way there was late is not told",
        "`posguard check` measures the clocks; keep the host's clock in step.",
    ),
    (
        re.compile(r"rate limit|too many (requests|visits)|error -1003|retcode=10006"),
        "more requests than the exchange allows",
        "Send fewer requests, or share the budget out; docs/exchanges.md has each exchange's.",
    ),
)
_DUPLICATE = "duplicate key"


def error_issues(facts: Facts) -> Iterable[Issue]:
    """One issue for each wording; duplicate-key errors only where no race of the window explains them."""
    groups: dict[str, list[ErrorGroup]] = defaultdict(list)
    for one in (*facts.rows.errors, *(facts.log.errors if facts.log else ())):
        groups[wording(one.sample)].append(one)
    unexplained = unexplained_duplicates(facts)
    explained = {known.race.symbol for known in facts.races if known.race.surfaced}
    for said, found in groups.items():
        symbols = {canonical_symbol(symbol) for one in found for symbol in one.symbols}
        of_races = not unexplained if unexplained is not None else explained and symbols <= explained
        if _DUPLICATE in said and of_races:
            continue
        yield _issue(said, found, facts.log.arguments if facts.log else "")


def _issue(said: str, found: Sequence[ErrorGroup], arguments: str) -> Issue:
    most = max(one.count for one in found)
    first = found[0]
    severity = _severity(said, found, most)
    cause, advice = next(((c, a) for pattern, c, a in _KNOWN if pattern.search(said)), (UNKNOWN, ""))
    since, until = min(one.first for one in found), max(one.last for one in found)
    return Issue(
        key=f"error:{said}",
        area=Area.RACES if _DUPLICATE in said else Area.ERRORS,
        title=f"{'Rare error: ' if most <= RARE else ''}“{redact(first.sample[:160])}”, {times(most)}",
        severity=severity,
        priority={Severity.CRITICAL: Priority.TODAY, Severity.WARNING: Priority.SOON}.get(
            severity, Priority.LATER
        ),
        count=most,
        evidence=tuple(_evidence(one) for one in found),
        cause=cause,
        location=_location(found),
        repair=_commands(found, since, until, arguments) if cause is UNKNOWN else (),
        advice=advice or "Read the lines around it for what led to it.",
        retest="The audit of the next window no longer counts it.",
    )


def _commands(
    found: Sequence[ErrorGroup], since: datetime, until: datetime, arguments: str
) -> tuple[str, ...]:
    """What shows the lines around; nothing where no log has them."""
    if all(one.source == "events" for one in found):
        return ()
    end = until + timedelta(minutes=1)
    return (
        f"posguard logs analyze {arguments}--from {since:%Y-%m-%dT%H:%M} --to {end:%Y-%m-%dT%H:%M} --verbose",
    )


def _severity(said: str, found: Sequence[ErrorGroup], most: int) -> Severity:
    if _CRITICAL.search(said) or _DUPLICATE in said or any(one.worst == "CRITICAL" for one in found):
        return Severity.CRITICAL
    return Severity.INFO if most <= RARE else Severity.WARNING


def _evidence(one: ErrorGroup) -> Evidence:
    about = [*one.exchanges, *(one.symbols[:8])]
    of = f", about {', '.join(about)}" if about else ""
    last = f", the last at {one.last:%H:%M:%S}" if one.count > 1 else ""
    if one.source == "events":
        ids = ", ".join(f"#{place}" for place in one.places[:_PLACES])
        where = f"monitoring.events {ids}"
        what = f"{times(one.count)} as {one.kind or 'an event without a type'}{of}{last}"
    else:
        where = one.places[0] if one.places else f"log of {one.source}"
        what = f"{times(one.count)} in the log of {one.source} as {one.kind}{of}{last}"
    return Evidence(where, what, one.first)


def _location(found: Sequence[ErrorGroup]) -> str:
    """A frame of a stack trace before a module's name."""
    for one in found:
        if one.source == "events" and (frame := code_place(one.location)):
            return frame
    return next((one.location for one in found if one.source != "events" and one.location), "")
