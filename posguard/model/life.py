"""The life of a finding: found, seen again, changed, dismissed, resolved, reopened. Pure: the stored one and a pass in, the next one out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.model.finding import EventKind, FindingState, Proof, StoredFinding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.model.finding import Finding, IgnoreRule, Pass

Event = tuple[EventKind, str]


@dataclass(frozen=True, slots=True)
class Step:
    """What a finding is after a pass, and what happened to it on the way."""

    after: StoredFinding
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Sitting:
    """One pass being recorded: its run and the rules in force."""

    run_id: int
    result: Pass
    rules: tuple[IgnoreRule, ...]

    def rule_for(self, finding: Finding) -> IgnoreRule | None:
        """The rule that dismisses a finding."""
        return next((r for r in self.rules if r.matches(finding, self.result.finished_at)), None)


def found(seen: Finding, sitting: Sitting) -> Step:
    """The first sight of a finding."""
    at, run = sitting.result.finished_at, sitting.run_id
    new = StoredFinding(0, seen, FindingState.OPEN, at, at, first_run=run, last_run=run)
    return _ruled(Step(new, ((EventKind.FOUND, ""),)), sitting)


def seen_again(stored: StoredFinding, seen: Finding, sitting: Sitting) -> Step:
    """A finding that the pass saw and that is stored already.

    A pass older than the resolution changes nothing. What a pass that could not judge the venue says never makes a
    finding look better than it was, and never undoes what a person decided.
    """
    at = sitting.result.finished_at
    if stored.state is FindingState.RESOLVED:
        if stored.resolved_at and at <= stored.resolved_at:
            return Step(stored)
        back = _opened(_sight(stored, sitting), seen)
        return _ruled(Step(back, ((EventKind.REOPENED, "seen again after it was resolved"),)), sitting)
    step = _content(_sight(stored, sitting), seen, judged=sitting.result.judged(seen))
    return _ruled(_woken(stored, step, sitting), sitting)


def not_seen(stored: StoredFinding, sitting: Sitting) -> Step:
    """A finding that the pass did not see: resolved after enough passes that could have seen it."""
    late = sitting.result.started_at < stored.last_seen
    if stored.state is FindingState.RESOLVED or late or not sitting.result.judged(stored.finding):
        return Step(stored)
    clean = stored.clean_passes + 1
    if clean < sitting.result.resolve_after:
        return Step(replace(stored, clean_passes=clean))
    gone = replace(
        stored, clean_passes=clean, state=FindingState.RESOLVED, resolved_at=sitting.result.finished_at
    )
    return Step(gone, ((EventKind.RESOLVED, f"not seen in {clean} complete passes"),))


# A race counts for a week after it happened; then it is history, and resolved.
COUNTS_FOR = timedelta(days=7)


def told(
    stored: StoredFinding | None,
    seen: Finding,
    *,
    happened_at: datetime,
    at: datetime,
    run_id: int,
    rules: tuple[IgnoreRule, ...],
) -> Step:
    """A finding of what happened, as a log tells of it: read again it is the same, and what is resolved or decided stays so.

    What is older than COUNTS_FOR when it is first read is found and resolved at once.
    """
    if stored is not None:
        again = replace(
            stored,
            finding=seen,
            last_seen=max(stored.last_seen, at),
            last_run=max(stored.last_run, run_id),
        )
        changed = stored.finding != seen
        return Step(again, ((EventKind.CHANGED, changes(stored.finding, seen)),) if changed else ())
    new = StoredFinding(0, seen, FindingState.OPEN, at, at, first_run=run_id, last_run=run_id)
    step = Step(new, ((EventKind.FOUND, ""),))
    rule = next((one for one in rules if one.matches(seen, at)), None)
    if rule is not None:
        return _dismissed_by(rule, step)
    past = history(new, happened_at=happened_at, at=at)
    return Step(past.after, (*step.events, *past.events))


def history(stored: StoredFinding, *, happened_at: datetime, at: datetime) -> Step:
    """Resolves a finding of what happened longer ago than COUNTS_FOR; one that is younger or resolved stays as it is."""
    if stored.state is FindingState.RESOLVED or at - happened_at < COUNTS_FOR:
        return Step(stored)
    gone = replace(stored, state=FindingState.RESOLVED, resolved_at=at)
    return Step(gone, ((EventKind.RESOLVED, f"it happened {(at - happened_at).days} days ago"),))


def changes(before: Finding, after: Finding) -> str:
    """What differs between two sights of one finding, in words."""
    said = []
    if before.severity is not after.severity:
        said.append(f"severity {before.severity} → {after.severity}")
    for name, old, new in (
        ("database", before.database, after.database),
        ("venue", before.venue, after.venue),
    ):
        said += _side_changes(name, [dict(x) for x in old], [dict(x) for x in new])
    if before.order_ids != after.order_ids and not any("order" in text for text in said):
        said.append("orders")
    if not said:
        said = [
            name for name in ("title", "evidence", "differing", "row_ids", "repair", "repair_built")
            if getattr(before, name) != getattr(after, name)
        ]  # fmt: skip
    return ", ".join(said)


def _side_changes(name: str, old: list[dict[str, str]], new: list[dict[str, str]]) -> Iterable[str]:
    if len(old) != len(new):
        yield f"{name}: {len(old)} → {len(new)} entries"
        return
    for left, right in zip(old, new, strict=True):
        for field in {**left, **right}:
            if field not in _VOLATILE and left.get(field) != right.get(field):
                yield f"{name} {field} {left.get(field, '–')} → {right.get(field, '–')}"


def _sight(stored: StoredFinding, sitting: Sitting) -> StoredFinding:
    """Seen now; a run that is recorded late never turns the clock back."""
    return replace(
        stored,
        last_seen=max(stored.last_seen, sitting.result.finished_at),
        last_run=max(stored.last_run, sitting.run_id),
        clean_passes=0,
    )


def _opened(stored: StoredFinding, seen: Finding) -> StoredFinding:
    return replace(
        stored,
        finding=seen,
        state=FindingState.OPEN,
        resolved_at=None,
        reopened=stored.reopened + 1,
        decided_by="",
        reason="",
        until=None,
    )


def _content(stored: StoredFinding, seen: Finding, *, judged: bool) -> Step:
    """The stored finding with what the pass says of it now, and the events of that."""
    before = stored.finding
    worse = seen.severity.rank < before.severity.rank
    unmoved = _still(before).database == _still(seen).database
    if before == seen or (not judged and not worse and unmoved):
        return Step(stored)
    if _still(before) == _still(seen):
        return Step(replace(stored, finding=seen))
    events: list[Event] = []
    if before.proof is not seen.proof:
        kind = EventKind.PROVEN if seen.proof is Proof.PROVEN else EventKind.SUSPECTED
        events.append((kind, "; ".join(seen.evidence)))
    if replace(before, proof=seen.proof, evidence=seen.evidence) != seen or not events:
        events.append((EventKind.CHANGED, changes(before, seen)))
    return Step(replace(stored, finding=seen), tuple(events))


# Shown beside a row and moved by every price: it is kept up to date and is no change of the finding.
_VOLATILE = frozenset({"updated"})


def _still(finding: Finding) -> Finding:
    sides = ({k: v for k, v in side.items() if k not in _VOLATILE} for side in finding.database)
    return replace(finding, database=tuple(sides))


def _woken(before: StoredFinding, step: Step, sitting: Sitting) -> Step:
    """Opens what was acknowledged or dismissed when the dismissal ended or the finding got worse."""
    if before.state is FindingState.OPEN:
        return step
    seen = step.after.finding
    why = ""
    if before.state is FindingState.DISMISSED and before.until and before.until <= sitting.result.finished_at:
        why = "the dismissal ended"
    elif before.decided_by.startswith("ignore rule #") and not sitting.rule_for(seen):
        why = f"{before.decided_by} is no longer in force"
    elif sitting.rule_for(seen) is None and _rose(before, seen) and sitting.result.judged(seen):
        why = f"severity rose from {before.finding.severity} to {seen.severity}"
    if not why:
        return step
    return Step(_opened(step.after, seen), (*step.events, (EventKind.REOPENED, why)))


def _rose(before: StoredFinding, seen: Finding) -> bool:
    return seen.severity.rank < before.finding.severity.rank


def _ruled(step: Step, sitting: Sitting) -> Step:
    """Dismisses what an ignore rule covers."""
    rule = sitting.rule_for(step.after.finding)
    if rule is None or (
        step.after.state is FindingState.DISMISSED
        and (not step.after.decided_by.startswith("ignore rule #") or step.after.decided_by == rule.actor)
    ):
        return step
    return _dismissed_by(rule, step)


def _dismissed_by(rule: IgnoreRule, step: Step) -> Step:
    dismissed = replace(
        step.after,
        state=FindingState.DISMISSED,
        decided_by=rule.actor,
        reason=rule.reason,
        until=rule.until,
    )
    return Step(dismissed, (*step.events, (EventKind.DISMISSED, rule.reason)))
