"""What is planted in the demo world, and whether a pass found exactly that. Pure.

The rule of time: a planted problem never goes away, and what depends on its age is written down with the time from which, or
until which, it holds (a row turns aged after three hours, an unfinished one critical after one). `Truth.at` gives what is true
at a time; a pass within `BORDER` of such a time may have looked before or after it, so there both are right.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.model.finding import RECONCILED_KINDS, Finding, Kind, Proof, Severity, fingerprint
from posguard.model.position import PositionSide
from posguard.model.quality import ExpectationResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

BORDER = timedelta(minutes=2)

LOG_SUITE = "log_events"


@dataclass(frozen=True, slots=True)
class PlantedFinding:
    """A problem that reconciliation must find. It holds from `since` (None: from the start) until `until` (None: for ever)."""

    kind: Kind
    exchange: str
    symbol: str
    severity: Severity
    why: str
    subject: str = ""
    proof: Proof = Proof.PROVEN
    row_ids: tuple[int, ...] = ()
    account: str = "main"
    position_side: PositionSide = PositionSide.BOTH
    since: datetime | None = None
    until: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """As the finding's own."""
        return fingerprint(
            self.kind,
            exchange=self.exchange,
            account=self.account,
            symbol=self.symbol,
            position_side=self.position_side,
            subject=self.subject,
        )

    def holds(self, at: datetime) -> bool:
        """Whether it is true at a time."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def near(self, at: datetime) -> bool:
        """Whether a time is so close to the beginning or the end that both answers are right."""
        return any(edge is not None and abs(at - edge) <= BORDER for edge in (self.since, self.until))


@dataclass(frozen=True, slots=True)
class PlantedViolation:
    """An expectation that must be violated, by exactly these rows; keys as text in ascending order of number."""

    suite: str
    expectation: str
    failing_keys: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is planted in one demo world. Expectations that are not named must pass; `healthy` rows must not be found."""

    anchored_at: datetime
    seed: int
    healthy: int
    findings: tuple[PlantedFinding, ...]
    violations: tuple[PlantedViolation, ...]

    def at(self, now: datetime) -> tuple[PlantedFinding, ...]:
        """The problems that are true at a time, one per fingerprint."""
        return tuple(planted for planted in self.findings if planted.holds(now))

    def to_json(self) -> str:
        """The text of truth.json; `read_truth` gives the same truth back."""
        return json.dumps(asdict(self), default=_plain, indent=1)


def read_truth(text: str) -> Truth:
    """The truth that `Truth.to_json` wrote. Raises KeyError, TypeError or ValueError where the text is none."""
    raw = json.loads(text)
    return Truth(
        anchored_at=datetime.fromisoformat(raw["anchored_at"]),
        seed=int(raw["seed"]),
        healthy=int(raw["healthy"]),
        findings=tuple(_finding(row) for row in raw["findings"]),
        violations=tuple(
            PlantedViolation(**{**row, "failing_keys": tuple(row["failing_keys"])})
            for row in raw["violations"]
        ),
    )


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in truth.json")


def _finding(row: dict[str, Any]) -> PlantedFinding:
    times = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in ("since", "until")}
    return PlantedFinding(
        **{
            **row,
            **times,
            "kind": Kind(row["kind"]),
            "severity": Severity(row["severity"]),
            "proof": Proof(row["proof"]),
            "position_side": PositionSide(row["position_side"]),
            "row_ids": tuple(row["row_ids"]),
        }
    )


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many of one kind were planted, found among those, and found beside them."""

    planted: int = 0
    found: int = 0
    unexpected: int = 0


@dataclass(frozen=True, slots=True)
class TruthReport:
    """The comparison of one pass with the truth. `missed`, `unexpected` and `differing` are sentences, one per problem.

    differing: found, and with another severity, another proof or other rows. Counts of findings and of violated
    expectations are apart; `by_kind` counts findings.
    """

    planted: int
    found: int
    violations_planted: int
    violations_found: int
    missed: tuple[str, ...]
    unexpected: tuple[str, ...]
    differing: tuple[str, ...]
    by_kind: dict[Kind, KindCount]

    @property
    def exact(self) -> bool:
        """Whether all that is planted was found as it is, and nothing else."""
        return not (self.missed or self.unexpected or self.differing)


def compare(
    truth: Truth,
    findings: Iterable[Finding],
    results: Iterable[ExpectationResult] | None = None,
    *,
    at: datetime,
) -> TruthReport:
    """What one pass at a time found of what was planted. `results` None leaves the suites out.

    A finding is looked up by its fingerprint. It counts as found only if severity, proof and, where the truth names rows,
    the rows are right too. Nothing is planted in what the log tells: its races and its suite are left out.
    """
    seen = {finding.fingerprint: finding for finding in findings if finding.kind in RECONCILED_KINDS}
    found, missed, differing, count = [], [], [], Counter[tuple[Kind, str]]()
    owed, allowed = _owed(truth, at)
    for planted in owed:
        count[planted.kind, "planted"] += 1
        finding = seen.get(planted.fingerprint)
        wrong = _differences(planted, finding, allowed) if finding else ""
        if finding is None:
            missed.append(f"{_named(planted)}: {planted.why}")
        elif wrong:
            differing.append(f"{_named(planted)}: {wrong}")
        else:
            found.append(planted)
            count[planted.kind, "found"] += 1
    known = {planted.fingerprint for planted in (*owed, *allowed)}
    strangers = [finding for key, finding in seen.items() if key not in known]
    for finding in strangers:
        count[finding.kind, "unexpected"] += 1
    unexpected = [f"{_named(finding)}: {finding.title}" for finding in strangers]
    suites = (
        _compare_suites(truth, [one for one in results if one.suite != LOG_SUITE])
        if results is not None
        else _SuiteReport()
    )
    return TruthReport(
        planted=len(owed),
        found=len(found),
        violations_planted=suites.planted,
        violations_found=suites.found,
        missed=(*missed, *suites.missed),
        unexpected=(*unexpected, *suites.unexpected),
        differing=(*differing, *suites.differing),
        by_kind={
            kind: KindCount(*(count[kind, word] for word in ("planted", "found", "unexpected")))
            for kind in Kind
            if any(count[kind, word] for word in ("planted", "found", "unexpected"))
        },
    )


def _owed(truth: Truth, at: datetime) -> tuple[list[PlantedFinding], list[PlantedFinding]]:
    """What must be found, and what may be because a border is near."""
    sure = {planted.fingerprint: planted for planted in truth.at(at)}
    allowed = [planted for planted in truth.findings if planted.near(at)]
    # a problem that only begins or only ends around now is not owed; one that merely changes its severity is
    forms = Counter(planted.fingerprint for planted in allowed)
    owed = [planted for key, planted in sure.items() if not (planted.near(at) and forms[key] == 1)]
    return owed, allowed


def _differences(planted: PlantedFinding, finding: Finding, allowed: list[PlantedFinding]) -> str:
    forms = [planted, *(other for other in allowed if other.fingerprint == planted.fingerprint)]
    if finding.severity not in {form.severity for form in forms}:
        return f"{finding.severity} where {planted.severity} is true"
    if finding.proof is not planted.proof:
        return f"{finding.proof} where {planted.proof} is true"
    if planted.row_ids and sorted(finding.row_ids) != sorted(planted.row_ids):
        return f"rows {sorted(finding.row_ids)} where {sorted(planted.row_ids)} is true"
    return ""


def _named(problem: PlantedFinding | Finding) -> str:
    subject = f" ({problem.subject})" if problem.subject else ""
    return f"{problem.kind} {problem.symbol} on {problem.exchange}{subject}"


@dataclass(frozen=True, slots=True)
class _SuiteReport:
    planted: int = 0
    found: int = 0
    missed: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def _compare_suites(truth: Truth, results: list[ExpectationResult]) -> _SuiteReport:
    planted = {violation.expectation: violation for violation in truth.violations}
    report = _SuiteReport(planted=len(planted))
    judged = {result.expectation for result in results}
    missed = [f"{name}: {wanted.why} (not run)" for name, wanted in planted.items() if name not in judged]
    unexpected, differing, found = [], [], 0
    for result in results:
        wanted = planted.get(result.expectation)
        if result.result is Outcome.ERROR:
            differing.append(f"{result.expectation} could not be judged: {result.message}")
        elif wanted is None and result.result is Outcome.VIOLATION:
            unexpected.append(f"{result.expectation}: {result.failing} rows, {_keys(result.failing_keys)}")
        elif wanted is not None and result.result is not Outcome.VIOLATION:
            missed.append(f"{result.expectation}: {wanted.why}")
        elif wanted is not None and result.failing_keys != wanted.failing_keys:
            keys = _keys(result.failing_keys)
            differing.append(f"{result.expectation}: {keys} where {_keys(wanted.failing_keys)} is true")
        elif wanted is not None:
            found += 1
    return replace(
        report, found=found, missed=tuple(missed), unexpected=tuple(unexpected), differing=tuple(differing)
    )


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
