"""Issues from findings of the reconciliation and from violated expectations. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from posguard.model.audit import UNKNOWN, Area, Issue, Priority
from posguard.model.finding import ABSENT, FindingState, Kind, Proof, Severity, StoredFinding
from posguard.model.incident import Evidence
from posguard.model.quality import Outcome
from posguard.report.view import short_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.audit.facts import Facts
    from posguard.model.finding import Finding
    from posguard.model.quality import ExpectationResult

SHOWN = 50
_TITLES: Mapping[Kind, tuple[str, Area]] = {
    Kind.UNPROTECTED_POSITION: ("Positions without a live stop-loss on the exchange", Area.PROTECTION),
    Kind.STOP_WRONG_SIDE: ("Stops on the wrong side of their position", Area.PROTECTION),
    Kind.STOP_UNDERSIZED: ("Stops that cover less than their position", Area.PROTECTION),
    Kind.STOP_NOT_RECORDED: ("Open rows that record no stop-loss", Area.PROTECTION),
    Kind.DUPLICATE_STOP: ("Positions with more than one full stop", Area.PROTECTION),
    Kind.SIDE_MISMATCH: ("Rows and exchange disagree on the side", Area.POSITIONS),
    Kind.EXTERNAL_POSITION: ("Positions on the exchange that no row owns", Area.POSITIONS),
    Kind.DUPLICATE_POSITION: ("Several open rows claim one position", Area.POSITIONS),
    Kind.QUANTITY_MISMATCH: ("Rows and exchange disagree on the quantity", Area.POSITIONS),
    Kind.ORPHANED_DB: ("Open rows whose position is not on the exchange", Area.POSITIONS),
    Kind.UNRESOLVED_SYMBOL: ("Rows with a symbol that their exchange does not list", Area.POSITIONS),
    Kind.INCOMPLETE_POSITION: ("Positions whose opening was never finished", Area.LIFECYCLE),
    Kind.UNKNOWN_STATUS: ("Rows with a status that nobody knows", Area.LIFECYCLE),
    Kind.ZOMBIE_ORDER: ("Live orders whose position is gone", Area.AGE),
    Kind.AGED_POSITION: ("Positions open for longer than they should be", Area.AGE),
}
# What can lose money while nobody looks; what is critical beside it misleads the bot.
_AT_RISK = frozenset(
    {
        Kind.UNPROTECTED_POSITION,
        Kind.STOP_WRONG_SIDE,
        Kind.STOP_UNDERSIZED,
        Kind.STOP_NOT_RECORDED,
        Kind.SIDE_MISMATCH,
        Kind.DUPLICATE_POSITION,
        Kind.INCOMPLETE_POSITION,
    }
)


def finding_issues(facts: Facts) -> Iterable[Issue]:
    """One issue for each kind and severity of the findings that count."""
    groups: dict[tuple[Kind, Severity], list[StoredFinding]] = defaultdict(list)
    for one in facts.counted:
        groups[one.finding.kind, one.finding.severity].append(one)
    for (kind, severity), found in groups.items():
        found.sort(key=_order)
        yield _finding_issue(kind, severity, found, _causes(facts))


def _order(stored: StoredFinding) -> tuple[object, ...]:
    finding = stored.finding
    return finding.symbol, finding.exchange, finding.account, finding.position_side, finding.subject


def _finding_issue(
    kind: Kind, severity: Severity, found: Sequence[StoredFinding], causes: Mapping[str, str]
) -> Issue:
    title, area = _TITLES[kind]
    commands = tuple(dict.fromkeys(c for one in found for c in one.finding.commands))
    gone = all(one.state is FindingState.RESOLVED for one in found)
    first = found[0].finding
    return Issue(
        key=f"{kind}:{severity}",
        area=area,
        title=title,
        severity=severity,
        priority=_priority(kind, severity, found, gone=gone),
        count=len(found),
        evidence=tuple(_evidence(one) for one in found[:SHOWN]),
        left_out=max(0, len(found) - SHOWN),
        row_ids=tuple(sorted({row for one in found for row in one.finding.row_ids})),
        cause=_cause(found, causes),
        repair=() if gone else commands,
        advice="" if commands else "There is no automatic repair; the runbook says what to do by hand.",
        caution=_caution(found),
        runbook=first.runbook,
        retest=_retest(found),
        resolved=gone,
    )


def _caution(found: Sequence[StoredFinding]) -> str:
    """What to know before the commands; where it is about some of them, which."""
    if any("--accept-absence" in one.finding.repair for one in found):
        return f"For the commands with `--accept-absence`: {ABSENT}"
    if any(one.finding.caution for one in found):
        return (
            "Of the commands for one symbol type only one, and only once it is known whose the position is."
        )
    return ""


def _priority(kind: Kind, severity: Severity, found: Sequence[StoredFinding], *, gone: bool) -> Priority:
    if gone or severity is Severity.INFO:
        return Priority.LATER
    if severity is Severity.WARNING:
        return Priority.SOON
    proven = any(one.finding.proof is Proof.PROVEN for one in found)
    return Priority.NOW if kind in _AT_RISK and proven else Priority.TODAY


def _evidence(stored: StoredFinding) -> Evidence:
    finding = stored.finding
    rows = ", ".join(f"#{row}" for row in finding.row_ids)
    where = f"{finding.symbol or 'no symbol'} on {finding.exchange or 'no exchange'}"
    where += f", {'row' if len(finding.row_ids) == 1 else 'rows'} {rows}" if rows else ""
    where += f", order {', '.join(finding.order_ids)}" if finding.order_ids else ""
    where += f", finding {stored.id}" if stored.id else ""
    said = [f"{short_title(finding)} ({finding.proof})", *finding.evidence]
    if stored.state is FindingState.RESOLVED and stored.resolved_at:
        said.append(f"Resolved {stored.resolved_at:%Y-%m-%d %H:%M} UTC")
    elif stored.state is FindingState.ACKNOWLEDGED:
        said.append(f"Acknowledged by {stored.decided_by}: {stored.reason}")
    return Evidence(where, _sentences(said), stored.first_seen)


def _sentences(said: Sequence[str]) -> str:
    """Sentences set one after the other, each with its full stop."""
    ended = [text if text.endswith((".", "!", "?")) else f"{text}." for text in said if text]
    return " ".join(text[:1].upper() + text[1:] for text in ended)


def _causes(facts: Facts) -> Mapping[str, str]:
    """By row id and by symbol with exchange, which race of the window made it."""
    found = {}
    for known in facts.races:
        race = known.race
        where = f"{race.symbol} on {race.exchange or 'an exchange the log does not name'}"
        said = f"the race over {where} at {race.at:%H:%M:%S} UTC"
        found[f"{race.symbol}/{race.exchange}"] = said
        found |= {f"#{row}": said for row in race.row_ids}
    return found


def _cause(found: Sequence[StoredFinding], causes: Mapping[str, str]) -> str:
    """What the evidence itself tells of the cause; `unknown` for the rest."""
    told: dict[str, list[str]] = defaultdict(list)
    for one in found:
        finding = one.finding
        names = [f"#{row}" for row in finding.row_ids]
        if finding.kind in {Kind.DUPLICATE_POSITION, Kind.ORPHANED_DB, Kind.INCOMPLETE_POSITION}:
            names.append(f"{finding.symbol}/{finding.exchange}")
        if said := next((causes[name] for name in names if name in causes), ""):
            told[said].append(_short(finding))
    if not told:
        return UNKNOWN
    known = [f"{', '.join(who)}: {said}" for said, who in told.items()]
    rest = "" if sum(map(len, told.values())) == len(found) else f"; the others: {UNKNOWN}"
    return "; ".join(known) + rest


def _short(finding: Finding) -> str:
    rows = ", ".join(f"#{row}" for row in finding.row_ids)
    return f"{finding.symbol} {rows}".strip()


def _retest(found: Sequence[StoredFinding]) -> str:
    keys = {(one.finding.symbol, one.finding.exchange) for one in found}
    command = "posguard diagnose --mode report"
    if len(keys) == 1:
        symbol, exchange = next(iter(keys))
        command += f" --symbol {symbol} --exchange {exchange}" if symbol and exchange else ""
    ids = ", ".join(str(one.id) for one in found[:10] if one.id)
    then = (
        f" After two complete passes of `posguard reconcile` the findings {ids} stand as resolved."
        if ids
        else ""
    )
    return f"`{command}` no longer lists it.{then}"


def suite_issues(facts: Facts) -> Iterable[Issue]:
    """One issue for each suite and severity with a violated expectation; one more where expectations could not be judged."""
    groups: dict[tuple[str, Severity], list[ExpectationResult]] = defaultdict(list)
    for one in facts.results or ():
        if one.result is Outcome.VIOLATION:
            groups[one.suite, one.severity].append(one)
    for (suite, severity), found in groups.items():
        yield _suite_issue(facts, suite, severity, found)
    lost = [one for one in facts.results or () if one.result is Outcome.ERROR]
    if lost:
        yield Issue(
            key="suites:error",
            area=Area.DATA,
            title="Expectations that could not be judged",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(lost),
            evidence=tuple(Evidence(one.expectation, one.message) for one in lost[:SHOWN]),
            advice="Mend what the message names; until then nobody knows whether these rows are sound.",
            retest="In the next audit each of them passes or is violated.",
        )


def _suite_issue(facts: Facts, suite: str, severity: Severity, found: Sequence[ExpectationResult]) -> Issue:
    of_rows = suite == "positions"
    rows = {int(key) for one in found for key in one.failing_keys if of_rows and key.isdigit()}
    known = {row for one in facts.counted for row in one.finding.row_ids} & rows
    cause = UNKNOWN
    if known:
        told = ", ".join(f"#{row}" for row in sorted(known)[:20])
        cause = f"of {told} the issues of their findings tell; the others: {UNKNOWN}"
        cause = cause if rows - known else f"the issues of the findings about {told} tell"
    return Issue(
        key=f"suite:{suite}:{severity}",
        area=Area.DATA,
        title=f"Rows that break the expectations of the suite {suite.replace('_', ' ')}",
        severity=severity,
        priority={Severity.CRITICAL: Priority.TODAY, Severity.WARNING: Priority.SOON}.get(
            severity, Priority.LATER
        ),
        count=sum(one.failing for one in found),
        evidence=tuple(_violation(one) for one in found[:SHOWN]),
        row_ids=tuple(sorted(rows)),
        cause=cause,
        advice="Correct the rows by hand, or mend what writes them; the queries in the appendix find them again.",
        retest="Each query in the appendix returns no row, and the next audit lists no violation of these expectations.",
    )


def _violation(one: ExpectationResult) -> Evidence:
    keys = ", ".join(f"#{key}" for key in one.failing_keys[:10])
    more = one.failing - min(len(one.failing_keys), 10)
    keys += f" and {more} more" if more > 0 else ""
    of = f" of {one.rows_checked} rows" if one.rows_checked is not None else ""
    return Evidence(one.expectation, f"{one.title}: {one.failing}{of}: {keys}.")
