"""A pass as the command line tells it: the first screen's words, the checks D1 to D8, advice. Pure: values in, shapes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.errors import ExitCode
from posguard.model.finding import FindingState, Kind, Severity, StoredFinding, VerdictKind
from posguard.model.run import StoredRun
from posguard.report import view

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from posguard.model.finding import Finding, Pass, VenueVerdict
    from posguard.model.run import RunOutcome

# Every kind under the feature it belongs to, and whether finding it takes a venue's answer.
CHECKS: tuple[tuple[str, Kind, bool], ...] = (
    ("D1", Kind.INCOMPLETE_POSITION, False),
    ("D2", Kind.DUPLICATE_POSITION, False),
    ("D3", Kind.ORPHANED_DB, True),
    ("D3", Kind.EXTERNAL_POSITION, True),
    ("D3", Kind.QUANTITY_MISMATCH, True),
    ("D3", Kind.SIDE_MISMATCH, True),
    ("D3", Kind.UNKNOWN_STATUS, False),
    ("D3", Kind.UNRESOLVED_SYMBOL, True),
    ("D4", Kind.STOP_NOT_RECORDED, False),
    ("D4", Kind.UNPROTECTED_POSITION, True),
    ("D4", Kind.STOP_UNDERSIZED, True),
    ("D4", Kind.STOP_WRONG_SIDE, True),
    ("D4", Kind.DUPLICATE_STOP, True),
    ("D7", Kind.ZOMBIE_ORDER, True),
    ("D8", Kind.AGED_POSITION, False),
)


@dataclass(frozen=True, slots=True)
class Told:
    """A pass with what counts of it: the exit code, the first screen, and the findings that are not dismissed."""

    result: Pass
    screen: view.FirstScreen
    code: ExitCode
    live: tuple[Finding, ...]
    dismissed: frozenset[str]
    demo: bool


def tell(
    result: Pass,
    *,
    dismissed: frozenset[str] = frozenset(),
    outcome: RunOutcome,
    counts: Mapping[str, int],
    demo: bool,
) -> Told:
    """What a pass says, in the words of the page."""
    live = worst_first(f for f in result.findings if f.fingerprint not in dismissed)
    at = result.finished_at
    run = StoredRun.of_pass(result, outcome, counts)
    stored = tuple(StoredFinding(0, f, FindingState.OPEN, at, at, 0, 0) for f in live)
    known = view.Known(
        at=at, run=run, complete=run if result.conclusive else None, findings=stored, demo=demo
    )
    return Told(result, view.first_screen(known), exit_code(result, live), live, dismissed, demo)


def exit_code(result: Pass, live: Collection[Finding]) -> ExitCode:
    """3 where a venue could not be judged, which beats 1, a critical problem; else 0."""
    if not result.conclusive:
        return ExitCode.INCONCLUSIVE
    if any(f.severity is Severity.CRITICAL for f in live):
        return ExitCode.CRITICAL
    return ExitCode.FINE


def why_inconclusive(result: Pass) -> str:
    """One line: which venue could not be judged, and the first reason of each."""
    said = [
        f"{v.venue}: {v.reasons[0] if v.reasons else 'no reason given'}"
        for v in result.venues
        if v.verdict is not VerdictKind.CONCLUSIVE
    ]
    return "; ".join(said) or "; ".join(result.notes) or "no venue was judged"


def worst_first(findings: Any) -> tuple[Finding, ...]:
    """By severity, proven first, then by kind and place."""
    return tuple(
        sorted(findings, key=lambda f: (f.severity.rank, f.proof != "proven", f.kind, f.key, f.subject))
    )


def totals(told: Told) -> dict[str, int]:
    """How many of each severity and proof count, and how many are dismissed."""
    found = Counter(str(f.severity) for f in told.live) + Counter(str(f.proof) for f in told.live)
    names = ("critical", "warning", "info", "proven", "suspected")
    return {name: found[name] for name in names} | {"dismissed": len(told.result.findings) - len(told.live)}


@dataclass(frozen=True, slots=True)
class Checked:
    """One check of D1 to D8: how many of each severity; `judged` is False where zero proves nothing."""

    feature: str
    kind: Kind
    number: Mapping[Severity, int]
    judged: bool

    def text(self, severity: Severity) -> str:
        """The number; where zero proves nothing, `?`; where a number does not tell all, `≥ n`."""
        number = self.number[severity]
        if self.judged:
            return str(number)
        return f"≥ {number}" if number else "?"


def checks(told: Told) -> tuple[Checked, ...]:
    """Every check, those without a finding too."""
    number = Counter((f.kind, f.severity) for f in told.live)
    return tuple(
        Checked(
            feature,
            kind,
            {severity: number[kind, severity] for severity in Severity},
            judged=told.result.conclusive or not of_venue,
        )
        for feature, kind, of_venue in CHECKS
    )


def common_fields(told: Told) -> dict[str, Any]:
    """The fields that both reports share, for posguard.cli.shapes.Report."""
    from posguard.cli import shapes
    from posguard.reconcile.advice import recommendations

    result = told.result
    return {
        "demo": told.screen.demo,
        "exit_code": int(told.code),
        "conclusive": result.conclusive,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "scope": shapes.ScopeShape(exchange=result.scope.exchange, symbol=result.scope.symbol),
        "headline": told.screen.headline,
        "line": told.screen.line,
        "counts": totals(told),
        "checks": tuple(
            shapes.CheckedShape(
                feature=one.feature,
                kind=one.kind,
                judged=one.judged,
                **{str(severity): one.number[severity] for severity in Severity},
            )
            for one in checks(told)
        ),
        "positions": result.positions if result.conclusive else None,
        "protected": result.protected if result.conclusive else None,
        "rows_read": result.rows_read,
        "rows_compared": result.rows_compared,
        "skipped": tuple(shapes.SkippedShape(reason=s.reason, row_ids=s.row_ids) for s in result.skipped),
        "venues": tuple(_venue(v) for v in result.venues),
        "recommendations": tuple(
            shapes.AdviceShape(
                command=r.command,
                caution=r.caution,
                built=r.built,
                runbook=r.runbook,
                findings=r.findings,
                worst=r.worst,
            )
            for r in recommendations(told.live)
        ),
        "statistics": dict(result.statistics),
        "notes": result.notes,
    }


def _venue(verdict: VenueVerdict) -> Any:
    from posguard.cli import shapes

    return shapes.VenueShape(
        exchange=verdict.venue.exchange,
        account=verdict.venue.account,
        world=verdict.world,
        verdict=verdict.verdict,
        reasons=verdict.reasons,
        snapshots=verdict.snapshots,
        positions=verdict.positions,
        orders=verdict.orders,
        clock_skew_ms=verdict.clock_skew_ms,
        looked_at=verdict.looked_at,
    )
