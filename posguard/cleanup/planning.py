"""From what one pass saw to a plan. Pure: values in, a plan out; applying a line decides it once more by the same rules.

Invariants (tests/unit/cleanup holds each by name):
- only proven findings enter a plan, beside absences that a person accepted; dismissed ones never;
- nothing is planned for a venue or a key that could not be judged;
- one plan changes a row once;
- the same facts give the same lines.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from posguard.cleanup.about import About
from posguard.cleanup.orders import external, spare_stops, unprotected, zombies
from posguard.cleanup.rows import duplicates, mismatch, orphaned
from posguard.cleanup.unfinished import unfinished
from posguard.model.finding import Kind, Proof, VerdictKind
from posguard.model.plan import LeftOut, Line, Mode, Plan
from posguard.model.position import PositionKey
from posguard.model.venue import VenueId
from posguard.reconcile.breaker import breakers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from posguard.model.finding import Finding
    from posguard.model.plan import PlanOptions
    from posguard.reconcile.run import Observed

_RULES: Mapping[Kind, tuple[Mode, Callable[[About], Iterator[Line | LeftOut]]]] = {
    Kind.UNPROTECTED_POSITION: (Mode.UNPROTECTED, unprotected),
    Kind.STOP_UNDERSIZED: (Mode.UNPROTECTED, unprotected),
    Kind.STOP_WRONG_SIDE: (Mode.UNPROTECTED, unprotected),
    Kind.DUPLICATE_POSITION: (Mode.DUPLICATES, duplicates),
    Kind.ORPHANED_DB: (Mode.ORPHANED_DB, orphaned),
    Kind.INCOMPLETE_POSITION: (Mode.INCOMPLETE, unfinished),
    Kind.QUANTITY_MISMATCH: (Mode.MISMATCH, mismatch),
    Kind.SIDE_MISMATCH: (Mode.MISMATCH, mismatch),
    Kind.ZOMBIE_ORDER: (Mode.ZOMBIES, zombies),
    Kind.DUPLICATE_STOP: (Mode.ZOMBIES, spare_stops),
    Kind.EXTERNAL_POSITION: (Mode.ORPHANED_EX, external),
}
_ORDER = {mode: place for place, mode in enumerate(Mode)}
DISMISSED = "dismissed, or traded by hand: an ignore rule names it"


def decide(
    observed: Observed, options: PlanOptions, dismissed: Collection[str] = frozenset()
) -> tuple[tuple[Line, ...], tuple[LeftOut, ...]]:
    """The lines for what a pass saw, in a safe order, and what is left out with its reason."""
    cases = {case.key: case for case in observed.comparison.cases}
    ordered = _ordered(observed)
    lines: list[Line] = []
    left: list[LeftOut] = []
    taken = Taken()
    tripped = _tripped(observed) if options.safe_only else {}
    for finding in sorted(observed.result.findings, key=_place):
        mode, rule = _RULES.get(finding.kind, (None, None))
        if mode is None or rule is None or options.mode not in {mode, Mode.ALL}:
            continue
        about = About(
            mode,
            finding,
            cases[finding.key],
            options,
            ordered=finding.key in ordered,
            history=observed.orders.get(
                (VenueId(finding.key.exchange, finding.key.account), finding.key.symbol)
            ),
        )
        if why := _barred(about, dismissed):
            left.append(about.out(why))
            continue
        for said in rule(about):
            kept = _kept(said, about, taken, tripped)
            if isinstance(kept, Line):
                lines.append(kept)
                taken.note(kept)
            else:
                left.append(kept)
    return tuple(lines), tuple(left)


def make_plan(
    observed: Observed,
    options: PlanOptions,
    *,
    dismissed: Collection[str],
    now: datetime,
    lifetime: timedelta,
    created_by: str,
    database_fingerprint: str,
    source: str = "cli",
) -> Plan:
    """The plan for what a pass saw. It expires `lifetime` after now."""
    lines, left_out = decide(observed, options, dismissed)
    venues = {(line.key.exchange, line.key.account) for line in lines}
    worlds = {
        str(v.venue): v.world.value
        for v in observed.result.venues
        if v.world and (v.venue.exchange, v.venue.account) in venues
    }
    said = observed.comparison.notes if options.mode in {Mode.ALL, Mode.ORPHANED_DB} else ()
    return Plan(
        options=options,
        created_at=now,
        expires_at=now + lifetime,
        created_by=created_by,
        database_fingerprint=database_fingerprint,
        worlds=worlds,
        lines=lines,
        left_out=left_out,
        inconclusive=_inconclusive(observed),
        notes=tuple(said),
        source=source,
    )


def without(plan: Plan, refused: Iterable[Line]) -> Plan:
    """The plan without lines that a person refused one by one, nor the worlds of venues that it no longer touches; it has another code."""
    names = {line.name for line in refused}
    taken = tuple(line for line in plan.lines if line.name not in names)
    gone = tuple(
        LeftOut(line.key, line.why, "refused in --interactive", (line.row.id,) if line.row else ())
        for line in plan.lines
        if line.name in names
    )
    venues = {str(VenueId(line.key.exchange, line.key.account)) for line in taken}
    worlds = {venue: world for venue, world in plan.worlds.items() if venue in venues}
    return replace(plan, lines=taken, worlds=worlds, left_out=(*plan.left_out, *gone))


def _barred(about: About, dismissed: Collection[str]) -> str:
    """Why a finding may enter no plan at all; empty where it may."""
    finding = about.finding
    if finding.fingerprint in dismissed:
        return DISMISSED
    absent = about.mode is Mode.ORPHANED_DB  # its rule says what is missing, and what a person may accept
    if finding.proof is not Proof.PROVEN and not absent:
        return "suspected only: " + (finding.evidence[-1] if finding.evidence else "it is not proven yet")
    return ""


@dataclass
class Taken:
    """What the lines so far change and send: rows by id, keys whose orders they touch."""

    rows: set[int] = field(default_factory=set)
    keys: set[PositionKey] = field(default_factory=set)

    def note(self, line: Line) -> None:
        """Adds a line."""
        if line.row:
            self.rows.add(line.row.id)
        if line.orders:
            self.keys.add(line.key)

    def clash(self, line: Line) -> str:
        """Why a line cannot stand in the same plan; empty where it can."""
        if {guard.id for guard in line.guards} & self.rows:
            return "another line of this plan changes the same row: plan again afterwards"
        if line.orders and line.key in self.keys:
            return "another line of this plan sends orders for the same position: plan again afterwards"
        return ""


def _kept(said: Line | LeftOut, about: About, taken: Taken, tripped: Mapping[VenueId, str]) -> Line | LeftOut:
    """What a rule said, within the limits of the whole plan."""
    if isinstance(said, LeftOut):
        return said
    if clash := taken.clash(said):
        return about.out(clash)
    if about.options.safe_only:
        venue = VenueId(said.key.exchange, said.key.account)
        if not said.safe:
            return about.out("not for a schedule: it may own orders, or needs a person")
        if said.mode is Mode.ORPHANED_DB and venue in tripped:
            return about.out(tripped[venue])
    return said


def _ordered(observed: Observed) -> frozenset[PositionKey]:
    """The keys of which any snapshot shows a live order."""
    looks = observed.situation.looks.values()
    return frozenset(key for look in looks for orders in look.orders for key in orders)


def _tripped(observed: Observed) -> dict[VenueId, str]:
    venues = [v.venue for v in observed.result.venues if v.verdict is VerdictKind.CONCLUSIVE]
    found = breakers(observed.result.findings, observed.situation.after, venues)
    return {one.venue: one.sentence for one in found if one.tripped}


def _inconclusive(observed: Observed) -> tuple[str, ...]:
    return tuple(
        f"{v.venue}: {v.reasons[0] if v.reasons else 'no reason given'}"
        for v in observed.result.venues
        if v.verdict is not VerdictKind.CONCLUSIVE
    )


def _place(finding: Finding) -> tuple[int, PositionKey, str, int, str]:
    mode = _RULES.get(finding.kind, (Mode.ALL,))[0]
    number = int(finding.subject) if finding.subject.isdecimal() else 0
    return _ORDER[mode], finding.key, finding.kind.value, number, finding.subject


def grouped(left_out: Iterable[LeftOut]) -> dict[str, list[LeftOut]]:
    """What is left out, by reason."""
    groups: dict[str, list[LeftOut]] = defaultdict(list)
    for one in left_out:
        groups[one.why].append(one)
    return dict(groups)
