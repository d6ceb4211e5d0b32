"""Issues from the analysis of the bot's tables: slow operations, trailing stops, lives and orders that cannot be right. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.model.audit import Area, Issue, Priority
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.model.quality import Outcome
from posguard.model.symbol import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from posguard.audit.facts import Facts
    from posguard.model.analysis import Analysis
    from posguard.model.analysis_rows import DuplicateKeyError, FaultLine, RacePair

SHOWN = 20
_NEAR = timedelta(seconds=15)  # of a race: its errors
_IDS = 20
_AGAIN = "The audit of the next window no longer lists it."


def analysis_issues(facts: Facts) -> Iterable[Issue]:
    """All of them; none where the tables could not be analysed."""
    if facts.analysis is not None:
        yield from _pairs(facts, facts.analysis)
        yield from _faults(facts, facts.analysis)
        yield from _rushes(facts.analysis)
        yield from _trailing_faults(facts, facts.analysis)
        yield from _never_protected(facts.analysis)
        yield from _slow(facts.analysis)
        yield from _simultaneous(facts.analysis)
        if facts.findings is None:
            yield from _by_rows_alone(facts.analysis)


def unexplained_duplicates(facts: Facts) -> tuple[DuplicateKeyError, ...] | None:
    """The duplicate-key errors of the events that belong to no race of the window; None where nobody knows."""
    if facts.analysis is None or facts.analysis.duplicate_key_errors.no_source:
        return None
    races = [(known.race.symbol, known.race.at) for known in facts.races if known.race.surfaced]
    return tuple(
        one
        for one in facts.analysis.duplicate_key_errors.rows
        if not any(
            abs(one.at - at) <= _NEAR and canonical_symbol(one.symbol or "") in {symbol, ""}
            for symbol, at in races
        )
    )


def _pairs(facts: Facts, told: Analysis) -> Iterable[Issue]:
    """Two rows of one key at once, where no race of the log and no finding tells of them already."""
    known = {row for one in facts.races for row in one.race.row_ids}
    known |= {row for one in facts.counted for row in one.finding.row_ids if len(one.finding.row_ids) > 1}
    found = [one for one in told.races.rows if not {one.first_id, one.second_id} & known]
    if found:
        yield Issue(
            key="races:rows",
            area=Area.RACES,
            title="Rows of one key that lived at the same time, or were created within ten seconds",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(found),
            evidence=tuple(_pair(one) for one in found[:SHOWN]),
            left_out=max(0, len(found) - SHOWN),
            row_ids=tuple(sorted({row for one in found for row in (one.first_id, one.second_id)})),
            advice="`posguard logs investigate` sets log and database side by side around each.",
            retest=_AGAIN,
        )


def _pair(one: RacePair) -> Evidence:
    lived = f"together for {one.overlap_seconds:,.1f} s" if one.overlap_seconds > 0 else "never both at once"
    return Evidence(
        f"{one.symbol} on {one.exchange}, rows #{one.first_id}, #{one.second_id}",
        f"created {one.gap_seconds:.3f} s apart, {lived}; now {one.first_status} and {one.second_status}",
        one.first_at,
    )


def _told_already(facts: Facts, suite: str) -> frozenset[int]:
    """The rows that violated expectations of a suite name, and of positions those that findings are about."""
    rows = {
        int(key)
        for one in facts.results or ()
        if one.suite == suite and one.result is Outcome.VIOLATION
        for key in one.failing_keys
        if key.isdigit()
    }
    if suite == "positions":
        rows |= {row for one in facts.counted for row in one.finding.row_ids}
    return frozenset(rows)


def _faults(facts: Facts, told: Analysis) -> Iterable[Issue]:
    for key, title, table, lines in (
        (
            "lifecycle:faults",
            "Rows whose times or status cannot be right",
            "positions",
            told.lifecycle_faults.rows,
        ),
        ("orders:faults", "Orders that cannot be right", "orders", told.order_faults.rows),
    ):
        known = _told_already(facts, table)
        rest = [one for one in lines if one.count > len(one.ids) or not set(one.ids) <= known]
        if rest:
            yield _fault(key, title, table, rest)


def _fault(key: str, title: str, table: str, lines: Sequence[FaultLine]) -> Issue:
    of_rows = table == "positions"
    return Issue(
        key=key,
        area=Area.LIFECYCLE if of_rows else Area.DATA,
        title=title,
        severity=Severity.WARNING,
        priority=Priority.SOON,
        count=sum(one.count for one in lines),
        evidence=tuple(
            Evidence(
                f"monitoring.{table} {', '.join(f'#{row}' for row in one.ids)}",
                one.fault + (f", {one.count} in all" if one.count > len(one.ids) else ""),
            )
            for one in lines
        ),
        row_ids=tuple(sorted({row for one in lines for row in one.ids})) if of_rows else (),
        advice="Correct the rows by hand, or mend what writes them.",
        retest=_AGAIN,
    )


def _rushes(told: Analysis) -> Iterable[Issue]:
    rushes = told.trailing_rushes.rows
    if rushes:
        yield Issue(
            key="trailing:rushes",
            area=Area.TRAILING,
            title="Trailing stops that moved the stop-loss again within a minute",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=max(rushes[0].total, len(rushes)),
            evidence=tuple(
                Evidence(
                    f"{one.symbol} on {one.exchange}, row #{one.position_id}",
                    f"{one.within_a_minute} of {one.moves} moves within a minute of the one before, the shortest after "
                    f"{one.shortest_seconds:.1f} s",
                )
                for one in rushes[:SHOWN]
            ),
            left_out=max(0, max(rushes[0].total, len(rushes)) - SHOWN),
            row_ids=tuple(one.position_id for one in rushes),
            advice="Each move is a request, and an instant in which the stop is another; let it move in larger steps.",
            retest=_AGAIN,
        )


def _trailing_faults(facts: Facts, told: Analysis) -> Iterable[Issue]:
    known = _told_already(facts, "trailing_stops")
    faults = [one for one in told.trailing_faults.rows if one.id not in known]
    if faults:
        yield Issue(
            key="trailing:faults",
            area=Area.TRAILING,
            title="Trailing stops that cannot be right",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(faults),
            evidence=tuple(
                Evidence(
                    f"monitoring.trailing_stop_state #{one.id}, {one.symbol} on {one.exchange}, row #{one.position_id}",
                    one.fault,
                )
                for one in faults[:SHOWN]
            ),
            left_out=max(0, len(faults) - SHOWN),
            row_ids=tuple(sorted({one.position_id for one in faults})),
            advice="Correct or end them by hand; a trailing stop of an ended position must not move anything.",
            retest=_AGAIN,
        )


def _never_protected(told: Analysis) -> Iterable[Issue]:
    found = told.never_protected.rows
    if found:
        number = max(found[0].total, len(found))
        yield Issue(
            key="protection:never",
            area=Area.PROTECTION,
            title="Positions that were traded and ended without any sign of a stop-loss",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=number,
            evidence=tuple(
                Evidence(
                    f"{one.symbol} on {one.exchange}, row #{one.id}",
                    f"{one.status}" + (f" after {one.seconds:,.1f} s" if one.seconds is not None else ""),
                    one.created_at,
                )
                for one in found[:SHOWN]
            ),
            left_out=number - len(found[:SHOWN]),
            row_ids=tuple(one.id for one in found[:_IDS]),
            advice="They are over; the issues about stops that failed say why there was none.",
            retest=_AGAIN,
        )


def _slow(told: Analysis) -> Iterable[Issue]:
    """Operations of which some took over a second: a warning where one in twenty did."""
    for one in told.latency.rows:
        if one.exchange != "all" or not one.over_a_second:
            continue
        often = one.p95 > 1
        rows = ", ".join(f"#{row}" for row in one.slowest)
        yield Issue(
            key=f"performance:{one.operation}",
            area=Area.PERFORMANCE,
            title=f"“{one.operation}” took over a second {one.over_a_second:,} of {one.count:,} times, {one.max:.1f} s at most",
            severity=Severity.WARNING if often else Severity.INFO,
            priority=Priority.SOON if often else Priority.LATER,
            count=one.over_a_second,
            evidence=(
                Evidence(
                    f"rows {rows}" if rows else "monitoring.events",
                    f"the slowest; P50 {one.p50:.3f} s, P95 {one.p95:.3f} s, P99 {one.p99:.3f} s, from the row's creation on",
                ),
            ),
            row_ids=tuple(one.slowest),
            advice="Section 9 has the times by exchange; the log's lines of these rows say what was waited for.",
            retest="In the next audit its P95 is under a second.",
        )


def _simultaneous(told: Analysis) -> Iterable[Issue]:
    found = told.simultaneous.rows
    if found:
        number = max(found[0].total, len(found))
        yield Issue(
            key="races:simultaneous",
            area=Area.RACES,
            title="Two operations changed one position within a second",
            severity=Severity.INFO,
            priority=Priority.LATER,
            count=number,
            evidence=tuple(
                Evidence(
                    f"{one.symbol} on {one.exchange}, row #{one.position_id}",
                    f"{one.first_operation} and {one.second_operation}, {one.gap_seconds:.3f} s apart",
                    one.first_at,
                )
                for one in found[:SHOWN]
            ),
            left_out=number - len(found[:SHOWN]),
            row_ids=tuple(sorted({one.position_id for one in found})),
            advice="Two writers of one row: see whether both mean it.",
            retest=_AGAIN,
        )


def _by_rows_alone(told: Analysis) -> Iterable[Issue]:
    """What the rows say where nobody looked at the exchanges."""
    naked = told.unprotected.rows
    if naked:
        number = max(naked[0].total, len(naked))
        yield Issue(
            key="rows:unprotected",
            area=Area.PROTECTION,
            title="Open rows that record no stop-loss, by the rows alone",
            severity=Severity.CRITICAL,
            priority=Priority.NOW,
            count=number,
            evidence=tuple(
                Evidence(
                    f"{one.symbol} on {one.exchange}, row #{one.id}",
                    f"{one.side} {one.quantity}, {one.status}",
                    one.since,
                )
                for one in naked[:SHOWN]
            ),
            left_out=number - len(naked[:SHOWN]),
            row_ids=tuple(one.id for one in naked),
            repair=("posguard diagnose --mode report",),
            advice="Nobody looked at the exchanges in this window: first see what stands there.",
            retest="`posguard diagnose --mode report` lists none without a stop.",
        )
    old = told.aged.rows
    if old:
        number = max(old[0].total, len(old))
        yield Issue(
            key="rows:aged",
            area=Area.AGE,
            title="Open rows that are too old, by the rows alone",
            severity=Severity.INFO,
            priority=Priority.LATER,
            count=number,
            evidence=tuple(
                Evidence(
                    f"{one.symbol} on {one.exchange}, row #{one.id}",
                    f"{one.age_seconds / 3600:.1f} h, {one.status}",
                    one.since,
                )
                for one in old[:SHOWN]
            ),
            left_out=number - len(old[:SHOWN]),
            row_ids=tuple(one.id for one in old),
            advice="See whether the bot still means to close them.",
            runbook="aged-position",
            retest=_AGAIN,
        )
