"""The issues of an audit: what the facts prove, each with its evidence, and nothing that they do not. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from posguard.audit.issues_analysis import analysis_issues
from posguard.audit.issues_errors import error_issues
from posguard.audit.issues_events import event_issues
from posguard.audit.issues_findings import finding_issues, suite_issues
from posguard.audit.issues_health import health_issues
from posguard.audit.issues_races import race_issues
from posguard.audit.watched import watch_issues
from posguard.model.finding import Kind
from posguard.report.view import DANGER

if TYPE_CHECKING:
    from posguard.audit.facts import Facts
    from posguard.model.audit import Issue


def find_issues(facts: Facts) -> tuple[Issue, ...]:
    """All issues, numbered from 1: what is urgent first, then the worst; the same facts give the same numbers."""
    found = [
        *finding_issues(facts),
        *suite_issues(facts),
        *race_issues(facts),
        *error_issues(facts),
        *event_issues(facts),
        *analysis_issues(facts),
        *health_issues(facts),
        *watch_issues(facts),
    ]
    found.sort(key=_order)
    return tuple(replace(one, number=number) for number, one in enumerate(found, 1))


def _order(one: Issue) -> tuple[object, ...]:
    """What puts most money at risk comes first among what is equally urgent."""
    kind = one.key.partition(":")[0]
    danger = DANGER[Kind(kind)] if kind in set(DANGER) else len(DANGER)
    return one.resolved, one.priority, one.severity.rank, danger, _AREAS[one.area], one.key


_AREAS = {
    area: place
    for place, area in enumerate(
        ("protection", "positions", "lifecycle", "races", "errors", "data integrity", "performance",
         "trailing stops", "aged and zombies")
    )
}  # fmt: skip
