"""The checks on one key (docs/scenarios.md tables them). Pure: a KeyCase in, findings out.

Invariants: nothing derived from a venue is said of a key that is not judged; a flipped side is always critical; a position
that is wholly covered is never called unprotected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.finding import Kind, Proof, Severity
from posguard.model.money import plain
from posguard.model.position import Status
from posguard.model.protection import Guard
from posguard.reconcile.advice import repair_of_orphan, repair_of_unfinished
from posguard.reconcile.duplicates import matches
from posguard.reconcile.evidence import row_absence
from posguard.reconcile.found import finding
from posguard.reconcile.sides import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.model.finding import Finding
    from posguard.model.position import PositionRow
    from posguard.reconcile.evidence import Absence
    from posguard.reconcile.facts import KeyCase

# An order of theirs may still be filling: their quantity is not final.
_UNSETTLED = {Status.PENDING_ENTRY, Status.SUBMITTING, Status.CLOSING, Status.UNRESOLVED}
_BOTH_READS = "both reads of the database hold it"


def unknown_statuses(case: KeyCase) -> Iterator[Finding]:
    """A status outside the list, or NULL: the row counts as open."""
    for row in case.rows:
        if row.status not in set(Status):
            said = "no status (NULL)" if row.status is None else f"the status '{row.status}'"
            yield finding(
                case,
                Kind.UNKNOWN_STATUS,
                Severity.WARNING,
                f"{case.key}: row #{row.id} has {said}, which counts as open",
                subject=str(row.id),
                rows=(row,),
                differing=("status",),
                evidence=(_BOTH_READS,),
            )


def incomplete(case: KeyCase) -> Iterator[Finding]:
    """An unfinished row past its grace (D1)."""
    for row in case.rows:
        if not row.is_intermediate:
            continue
        age = row.age(case.now)
        old = age is None or age < -case.limits.grace or age >= case.limits.incomplete_critical_after
        naked = case.position is not None and not case.covered
        yield finding(
            case,
            Kind.INCOMPLETE_POSITION,
            Severity.CRITICAL if old or naked else Severity.WARNING,
            f"{case.key}: row #{row.id} is stuck in {row.status}; {_held(case)}",
            subject=str(row.id),
            rows=(row,),
            evidence=(_BOTH_READS, f"unfinished since {moment(row.since)}", _held(case)),
            command=repair_of_unfinished(row, case.now, case.limits.grace),
        )


def orphans(case: KeyCase) -> Iterator[Finding]:
    """An open row, not unfinished, whose position the venue does not hold (D3, REC-2)."""
    if not case.gone:
        return
    for row in case.rows:
        if row.is_intermediate:
            continue
        absence = absence_of(case, row)
        proof = Proof.PROVEN if absence.proven else Proof.SUSPECTED
        yield finding(
            case,
            Kind.ORPHANED_DB,
            Severity.CRITICAL,
            f"{case.key}: row #{row.id} is open and the venue holds no position",
            proof=proof,
            subject=str(row.id),
            rows=(row,),
            differing=("position",),
            evidence=absence.sentences,
            command=repair_of_orphan(case.key, proof),
        )


def absence_of(case: KeyCase, row: PositionRow) -> Absence:
    """What is known of the absence behind one row."""
    assert case.market is not None
    return row_absence(
        row, case.fills, snapshots=case.limits.snapshots, lot_step=case.market.lot_step, now=case.now
    )


def external(case: KeyCase) -> Iterator[Finding]:
    """A position that no open row owns (D3)."""
    if case.position is None or case.rows:
        return
    held = f"{case.position.side} {plain(case.position.quantity)}"
    yield finding(
        case,
        Kind.EXTERNAL_POSITION,
        Severity.WARNING,
        f"{case.key}: the venue holds {held} and no open row owns it",
        proof=_seen_twice(case),
        differing=("row",),
        evidence=(_agreement(case), "no open row has this key in either read of the database"),
    )


def mismatches(case: KeyCase) -> Iterator[Finding]:
    """Side or quantity that database and venue do not agree on (D3, REC-5)."""
    position, market = case.position, case.market
    if position is None or market is None or not case.rows:
        return
    if all(row.side is not position.side for row in case.rows):
        sides = ", ".join(f"row #{row.id} says {row.raw_side}" for row in case.rows)
        yield finding(
            case,
            Kind.SIDE_MISMATCH,
            Severity.CRITICAL,
            f"{case.key}: {sides}, the venue holds {position.side}",
            proof=_seen_twice(case),
            differing=("side",),
            evidence=(_agreement(case),),
        )
        return
    if len(case.rows) > 1 or matches(case, case.rows[0]) or case.rows[0].status in _UNSETTLED:
        return
    row = case.rows[0]
    step = f"one lot is {plain(market.lot_step)}"
    gap = "" if row.quantity is None else f"; {_difference(row, case)}"
    yield finding(
        case,
        Kind.QUANTITY_MISMATCH,
        Severity.WARNING,
        f"{case.key}: row #{row.id} says {plain(row.quantity)}, the venue holds {plain(position.quantity)}",
        proof=_seen_twice(case),
        differing=("quantity",),
        evidence=(_agreement(case), step + gap),
    )


def _difference(row: PositionRow, case: KeyCase) -> str:
    assert row.quantity is not None
    assert case.position is not None
    return f"they differ by {plain(abs(row.quantity - case.position.quantity))}"


_PROTECTION = {
    Guard.NONE: (Kind.UNPROTECTED_POSITION, Severity.CRITICAL, "no live stop protects {held}"),
    Guard.WRONG_SIDE: (
        Kind.STOP_WRONG_SIDE,
        Severity.CRITICAL,
        "no live stop protects {held}: what stands there cannot",
    ),
    Guard.UNDERSIZED: (Kind.STOP_UNDERSIZED, Severity.CRITICAL, "live stops cover {covered} of {held}"),
    Guard.TWICE: (
        Kind.DUPLICATE_STOP,
        Severity.WARNING,
        "more than one live stop covers the whole of {held}",
    ),
}


def protection(case: KeyCase) -> Iterator[Finding]:
    """Live stops that do not protect a position, whoever owns it (D4, REC-4)."""
    guarded, position = case.protection, case.position
    if guarded is None or position is None or guarded.guard not in _PROTECTION:
        return
    kind, severity, words = _PROTECTION[guarded.guard]
    text = words.format(held=f"{position.side} {plain(position.quantity)}", covered=plain(guarded.covered))
    agreed = "the last two complete snapshots agree"
    yield finding(
        case,
        kind,
        severity,
        f"{case.key}: {text}",
        proof=Proof.PROVEN if case.agreeing >= 2 else Proof.SUSPECTED,
        orders=[order for order in case.orders if order.conditional],
        differing=("stop",),
        evidence=(
            agreed if case.agreeing >= 2 else "only the last snapshot shows it",
            *guarded.faults,
        ),
    )


def unrecorded_stops(case: KeyCase, *, waits: bool) -> Iterator[Finding]:
    """An active row that records no stop (D4): information beside a live covering one, critical otherwise."""
    if case.gone or waits:
        return
    for row in case.rows:
        if row.records_stop or row.is_intermediate:
            continue
        beside = case.covered
        doubted = bool(case.unsure) and case.agreeing < 2
        known = "a live stop covers the position" if beside else _held(case)
        yield finding(
            case,
            Kind.STOP_NOT_RECORDED,
            Severity.INFO if beside else Severity.CRITICAL,
            f"{case.key}: row #{row.id} records no stop; {known}",
            proof=Proof.PROVEN if case.judged and not doubted else Proof.SUSPECTED,
            subject=str(row.id),
            rows=(row,),
            orders=[order for order in case.orders if order.conditional],
            differing=("stop",),
            evidence=(_BOTH_READS, known),
        )


def aged(case: KeyCase) -> Iterator[Finding]:
    """A row open for longer than positions should be (D8)."""
    for row in case.rows:
        age = row.age(case.now)
        if not row.is_intermediate and age is not None and age > case.limits.aged_after:
            yield finding(
                case,
                Kind.AGED_POSITION,
                Severity.INFO,
                f"{case.key}: row #{row.id} has been open since {moment(row.since)}",
                subject=str(row.id),
                rows=(row,),
                orders=(),
                evidence=(_BOTH_READS,),
            )


def unresolved_symbols(case: KeyCase, *, unlisted: bool) -> Iterator[Finding]:
    """An open row whose symbol the venue does not list."""
    for row in case.rows if unlisted else ():
        yield finding(
            case,
            Kind.UNRESOLVED_SYMBOL,
            Severity.WARNING,
            f"{case.key}: row #{row.id} names a symbol that the venue does not list ('{row.raw_symbol}')",
            subject=str(row.id),
            rows=(row,),
            differing=("symbol",),
            evidence=(_BOTH_READS, "nothing the venue holds is said of this row"),
        )


def _held(case: KeyCase) -> str:
    """What the venue holds of the key, in words."""
    if not case.judged:
        return f"what the venue holds is unknown: {case.why_not}"
    if case.position is None:
        orders = f" and {len(case.orders)} live orders" if case.orders else ""
        return f"the venue holds no position{orders}"
    held = f"the venue holds {case.position.side} {plain(case.position.quantity)}"
    if case.covered:
        return f"{held}, covered by a live stop"
    return f"{held}, and no live stop covers it"


def _seen_twice(case: KeyCase) -> Proof:
    return Proof.PROVEN if case.limits.snapshots >= 2 else Proof.SUSPECTED


def _agreement(case: KeyCase) -> str:
    if case.limits.snapshots < 2:
        return "one complete snapshot shows it"
    return f"{case.limits.snapshots} consecutive complete snapshots agree"
