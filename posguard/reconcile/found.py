"""Putting a finding together: one place that fills its two sides, its command and its order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.finding import Finding, Proof, Severity
from posguard.reconcile.advice import is_built, repair
from posguard.reconcile.sides import order_fields, position_fields, row_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from posguard.model.finding import Kind
    from posguard.model.position import PositionRow
    from posguard.model.venue import VenueOrder
    from posguard.reconcile.facts import KeyCase


def finding(
    case: KeyCase,
    kind: Kind,
    severity: Severity,
    title: str,
    *,
    proof: Proof = Proof.PROVEN,
    subject: str = "",
    rows: Sequence[PositionRow] | None = None,
    orders: Iterable[VenueOrder] | None = None,
    differing: Iterable[str] = (),
    evidence: Iterable[str] = (),
    command: str | None = None,
) -> Finding:
    """A finding about a key. rows and orders default to all of the case; the venue side is empty where it is not judged.

    command replaces the one that mends its kind.
    """
    rows = case.rows if rows is None else rows
    shown = case.orders if orders is None else tuple(orders)
    venue = [position_fields(case.position)] if case.position else []
    venue += [order_fields(order) for order in shown]
    key = case.key
    return Finding(
        kind=kind,
        exchange=key.exchange,
        account=key.account,
        symbol=key.symbol,
        position_side=key.position_side,
        severity=severity,
        proof=proof,
        title=title,
        subject=subject,
        row_ids=tuple(row.id for row in rows),
        order_ids=tuple(order.order_id for order in shown),
        database=tuple(row_fields(row) for row in rows),
        venue=tuple(venue),
        differing=tuple(differing),
        evidence=tuple(evidence),
        repair=repair(kind, key) if command is None else command,
        repair_built=is_built(kind),
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first, then by key, kind and subject: the same whatever order rows and orders came in."""
    return tuple(
        sorted(findings, key=lambda f: (f.severity.rank, f.key, f.kind.value, _number(f.subject), f.subject))
    )


def _number(subject: str) -> int:
    return int(subject) if subject.isdecimal() else 0
