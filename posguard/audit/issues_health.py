"""Issues about the database itself, as it stands while the audit is made. Pure; none for a window that is past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.audit import Area, Issue, Priority
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.audit.facts import Facts
    from posguard.model.analysis import Analysis

_DEAD_SHARE, _DEAD_ROWS = 0.2, 10_000
_BUSY = 0.8  # of the connections
_SLOW = 1.0  # seconds, of a statement's mean
_SHOWN = 10


def health_issues(facts: Facts) -> Iterable[Issue]:
    """All of them."""
    if facts.analysis is not None and facts.present:
        yield from _bloat(facts.analysis)
        yield from _indexes(facts.analysis)
        yield from _statements(facts.analysis)
        yield from _waiting(facts.analysis)
        yield from _connections(facts.analysis)


def _bloat(told: Analysis) -> Iterable[Issue]:
    found = [
        one
        for one in told.tables.rows
        if one.dead_share is not None and one.dead_share > _DEAD_SHARE and one.dead_rows > _DEAD_ROWS
    ]
    if found:
        yield _issue(
            "bloat",
            "Tables with many dead rows",
            [
                Evidence(
                    f"{one.schema}.{one.name}",
                    f"{one.dead_share:.0%} of its rows are dead, {one.dead_rows:,}",
                )
                for one in found
            ],
            "Let autovacuum run more often on them, or `VACUUM` them when it is quiet.",
        )


def _indexes(told: Analysis) -> Iterable[Issue]:
    found = [one for one in told.indexes.rows if not one.valid]
    if found:
        yield _issue(
            "indexes",
            "Indexes that are not valid",
            [Evidence(f"{one.table_name}.{one.name}", one.definition) for one in found],
            "An index whose building broke off holds nothing apart and speeds nothing up: drop it and build it anew; "
            "`posguard db check --target bot` knows those of the upgrade.",
        )


def _statements(told: Analysis) -> Iterable[Issue]:
    found = [one for one in told.statements.rows if one.mean_seconds > _SLOW and one.calls > 1]
    if found:
        yield _issue(
            "statements",
            "Statements that take over a second on average",
            [
                Evidence(
                    f"role {one.role or 'not known'}",
                    f"{one.mean_seconds:.2f} s on average over {one.calls:,} calls: {redact(one.query or 'a text this role may not read')}",
                )
                for one in found
            ],
            "`EXPLAIN` tells what they wait for; `posguard db upgrade --target bot` builds the indexes that posguard's own need.",
        )


def _waiting(told: Analysis) -> Iterable[Issue]:
    found = [one for one in told.locks.rows if one.blocked_by]
    if found:
        yield _issue(
            "locks",
            "Sessions that wait for a lock while the audit is made",
            [
                Evidence(
                    f"process {one.pid}, {one.application or 'no name'}",
                    f"waits for {', '.join(map(str, one.blocked_by))}: {redact(one.query or '')}",
                )
                for one in found
            ],
            "Look at what the blocking process does; a transaction that was left open is the usual cause.",
        )


def _connections(told: Analysis) -> Iterable[Issue]:
    now = told.database.first
    if now is not None and now.connections > _BUSY * now.max_connections:
        yield _issue(
            "connections",
            "The server's connections are almost used up",
            [
                Evidence(
                    "pg_stat_activity",
                    f"{now.connections} of {now.max_connections} are taken by this database",
                )
            ],
            "Smaller pools, or a pooler in front.",
        )


def _issue(name: str, title: str, evidence: list[Evidence], advice: str) -> Issue:
    return Issue(
        key=f"database:{name}",
        area=Area.PERFORMANCE,
        title=title,
        severity=Severity.WARNING,
        priority=Priority.SOON,
        count=len(evidence),
        evidence=tuple(evidence[:_SHOWN]),
        left_out=max(0, len(evidence) - _SHOWN),
        advice=advice,
        retest="The next audit no longer lists it.",
    )
