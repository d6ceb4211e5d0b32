"""The rules that change rows and send nothing: duplicates, orphans, quantities (K1, K3, K5). Pure.

Invariants: a survivor is never retired; a row is closed only where its absence is proven, or accepted by a person with neither
position nor order there; a flipped side is left to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cleanup.about import PERSON, ending
from posguard.model.finding import Kind, Proof
from posguard.model.money import plain
from posguard.model.plan import NOW, Action, Change
from posguard.model.position import Status
from posguard.reconcile.checks import absence_of
from posguard.reconcile.duplicates import suggested_survivor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.cleanup.about import About
    from posguard.model.plan import LeftOut, Line
    from posguard.model.position import PositionRow

GONE = "not found on exchange"
# Rows whose order may still be on its way: which position is theirs is not known yet.
IN_FLIGHT = frozenset({Status.SUBMITTING, Status.CLOSING, Status.UNRESOLVED})


def duplicates(about: About) -> Iterator[Line | LeftOut]:
    """The row that matches the venue stays, the others are retired as its duplicates (CLN-1). No order is touched."""
    case = about.case
    if not case.judged:
        yield about.out(f"no survivor can be named: {case.why_not}")
    elif case.position is None:
        yield about.out(
            "the venue holds no position, so that none survives: `cleanup orphaned-db` is about these rows"
        )
    elif all(row.side is not case.position.side for row in case.rows):
        yield about.out(f"no row has the side that the venue holds; {PERSON}")
    elif flying := [row for row in case.rows if row.status in IN_FLIGHT]:
        yield about.out(f"row #{flying[0].id} is {flying[0].status}: its order is not settled yet")
    elif unread := [row for row in case.rows if row.status not in set(Status)]:
        yield about.out(f"row #{unread[0].id} has a status that nobody knows; {PERSON}")
    else:
        survivor, why = suggested_survivor(case)
        for row in case.rows:
            if row is not survivor:
                yield _retired(about, row, survivor, why)


def _retired(about: About, row: PositionRow, survivor: PositionRow, why: str) -> Line:
    return about.line(
        Action.RETIRE,
        f"#{survivor.id} stands for the position: {why}",
        row=row,
        guards=(survivor,),
        changes=ending(row, Status.ROLLED_BACK, f"duplicate of #{survivor.id}"),
        safe=not (row.exchange_order_id or row.stop_loss_order_id) and not row.is_intermediate,
    )


def orphaned(about: About) -> Iterator[Line | LeftOut]:
    """An open row whose position is gone is closed: proven, or accepted by a person (K3, REC-2)."""
    row, case = about.row, about.case
    if row is None or not case.gone:
        yield about.out("the row or its position moved while it was looked at")
        return
    absence = absence_of(case, row)
    if absence.proven:
        at = absence.closed_at.isoformat() if absence.closed_at else NOW
        yield about.line(
            Action.CLOSE_ROW,
            absence.sentences[-1],
            row=row,
            changes=ending(row, Status.CLOSED, GONE, at),
            evidence=absence.sentences,
            safe=True,
        )
    elif not about.options.accept_absence:
        yield about.out(
            f"suspected only ({absence.sentences[-1]}): look at the venue's history, then --accept-absence"
        )
    elif about.ordered:
        yield about.out("absence cannot be accepted while a live order of this key is there")
    else:
        yield about.line(
            Action.CLOSE_ROW,
            "absent in every snapshot, and no order there; its absence is accepted by a person",
            row=row,
            changes=ending(row, Status.CLOSED, f"{GONE} (absence accepted)"),
            evidence=absence.sentences,
            accepts_absence=True,
        )


def mismatch(about: About) -> Iterator[Line | LeftOut]:
    """The row takes the venue's quantity; a flipped side needs a person (K5)."""
    case = about.case
    if about.finding.kind is Kind.SIDE_MISMATCH:
        yield about.out(PERSON)
        return
    if case.position is None or len(case.rows) != 1 or about.finding.proof is not Proof.PROVEN:
        yield about.out("row or position moved while they were looked at")
        return
    row = case.rows[0]
    if row.is_intermediate:
        yield about.out(f"row #{row.id} is still {row.status}: `cleanup incomplete` is about it")
        return
    before = None if row.quantity is None else plain(row.quantity)
    yield about.line(
        Action.TAKE_QUANTITY,
        f"the venue holds {case.position.side} {plain(case.position.quantity)} in every snapshot",
        row=row,
        changes=(Change("quantity", before, plain(case.position.quantity)),),
    )
