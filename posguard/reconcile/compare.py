"""The comparison of the bot's database with its venues. Pure: a Situation in, a Comparison out.

Invariants (tests/unit/test_invariants.py holds each by name):
- an inconclusive venue gives no finding that is derived from it;
- nothing is proven gone from one snapshot;
- the order of rows, positions and orders never changes the findings;
- the same situation gives equal findings;
- a row is compared or skipped with a reason, never neither.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from posguard.model.finding import Kind, Proof, Severity
from posguard.model.position import PositionKey, PositionSide
from posguard.model.protection import Guard, protection_of
from posguard.model.venue import VenueId
from posguard.reconcile import checks
from posguard.reconcile.breaker import breakers
from posguard.reconcile.duplicates import duplicates
from posguard.reconcile.evidence import BEFORE_OPENING, order_absence
from posguard.reconcile.facts import KeyCase
from posguard.reconcile.found import finding, in_order
from posguard.reconcile.judge import UNLISTED, WRONG_ACCOUNT, grace_reason, judge, skipped, within_grace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from posguard.model.finding import Finding, Skipped, VenueVerdict
    from posguard.model.position import PositionRow
    from posguard.model.protection import Protection
    from posguard.model.venue import VenueOrder
    from posguard.reconcile.facts import Situation, VenueLook
    from posguard.reconcile.judge import Judgement

_ENOUGH_TO_TELL = 5  # rows whose order ids are looked for where the account is in doubt


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a situation amounts to. wanted_fills names, by venue, the symbols whose fills would settle a doubt, and since when."""

    findings: tuple[Finding, ...]
    verdicts: tuple[VenueVerdict, ...]
    rows_read: int
    rows_compared: int
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    inconclusive_keys: frozenset[PositionKey]
    wanted_fills: Mapping[VenueId, Mapping[str, datetime]]
    positions: int
    protected: int
    cases: tuple[KeyCase, ...] = field(default=(), compare=False)


def compare(situation: Situation) -> Comparison:
    """What is wrong in a situation, what could not be judged and why."""
    judgement = judge(situation)
    cases = _cases(situation, judgement)
    closing = {case.key for case in cases if _closed_a_moment_ago(case)}
    if closing:
        why = f"closed on the venue {grace_reason(situation.limits)}"
        judgement = replace(judgement, waits={**judgement.waits, **dict.fromkeys(closing, why)})
        cases = _cases(situation, judgement)
    found = [one for case in cases for one in _of_case(case, judgement)]
    found += [one for case in cases for one in _zombies(situation, judgement, case)]
    left_out = skipped(judgement, situation)
    rows_read = len(judgement.rows) + len(judgement.moved)
    unpriced = {case.key for case in cases if case.protection and case.protection.guard is Guard.UNPRICED}
    unsure = {case.key: case for case in cases if _orders_decide(case)}
    notes = [
        f"{key}: neither mark nor entry price is known, so that its stops were not judged"
        for key in sorted(unpriced)
    ]
    notes += [
        f"{key}: not every snapshot shows the live order {', '.join(o.order_id for o in case.unsure)}: nothing of it is"
        " resolved by this pass"
        for key, case in sorted(unsure.items())
    ]
    notes += [b.sentence for b in breakers(found, situation.after, judgement.conclusive) if b.tripped]
    return Comparison(
        findings=in_order(found),
        verdicts=judgement.verdicts,
        rows_read=rows_read,
        rows_compared=rows_read - sum(len(part.row_ids) for part in left_out),
        skipped=left_out,
        notes=(*judgement.notes, *notes),
        inconclusive_keys=frozenset({*judgement.blind, *judgement.waits, *unpriced, *unsure}),
        wanted_fills=_wanted_fills(situation, judgement, cases),
        positions=sum(case.position is not None for case in cases),
        protected=sum(case.covered for case in cases),
        cases=tuple(cases),
    )


def _keys(situation: Situation, judgement: Judgement) -> list[PositionKey]:
    """Every key that a row claims, or that a venue which can be judged holds a position or an order of."""
    keys = {row.key for row in judgement.rows}
    for venue in judgement.conclusive:
        look = situation.looks[venue]
        keys |= {*look.holdings[-1], *(key for orders in look.orders for key in orders)}
    return sorted(key for key in keys if situation.scope.covers(key.exchange, key.symbol))


def _cases(situation: Situation, judgement: Judgement) -> list[KeyCase]:
    rows: dict[PositionKey, list[PositionRow]] = defaultdict(list)
    for row in judgement.rows:
        if not within_grace(row, situation):
            rows[row.key].append(row)
    return [_case(situation, judgement, key, rows[key]) for key in _keys(situation, judgement)]


def _case(situation: Situation, judgement: Judgement, key: PositionKey, rows: list[PositionRow]) -> KeyCase:
    why_not = judgement.blind.get(key) or judgement.waits.get(key) or ""
    case = KeyCase(
        key=key,
        rows=tuple(sorted(rows, key=_by_age)),
        now=situation.now,
        limits=situation.limits,
        judged=not why_not,
        why_not=why_not,
    )
    if why_not:
        return case
    look = situation.looks[VenueId(key.exchange, key.account)]
    guards = [_protection(look, key, number) for number in range(len(look.snapshots))]
    return replace(
        case,
        position=look.holdings[-1].get(key),
        orders=look.orders[-1].get(key, ()),
        market=look.markets.get(key.symbol),
        protection=guards[-1],
        agreeing=_agreeing(guards),
        unsure=look.unsure_orders(key),
        fills=look.fills.get(key.symbol),
    )


def _by_age(row: PositionRow) -> tuple[bool, float, int]:
    since = row.since
    return since is None, since.timestamp() if since else 0.0, row.id


def _protection(look: VenueLook, key: PositionKey, number: int) -> Protection | None:
    position, market = look.holdings[number].get(key), look.markets.get(key.symbol)
    if position is None or market is None:
        return None
    return protection_of(position, look.orders[number].get(key, ()), market.lot_step)


def _agreeing(guards: Sequence[Protection | None]) -> int:
    """How many snapshots, back from the last one, say the same of the protection."""
    last, count = guards[-1], 0
    for guard in reversed(guards):
        if last is None or guard is None or guard.guard is not last.guard:
            break
        count += 1
    return count


def _orders_decide(case: KeyCase) -> bool:
    """Whether orders that not every snapshot shows make a difference: to what is left behind, or to what protects.

    A stop that trails by a new order changes no verdict.
    """
    if case.position is None:
        return any(_could_be_left_behind(order) for order in case.unsure)
    return bool(case.unsure) and case.agreeing < case.limits.snapshots


def _could_be_left_behind(order: VenueOrder) -> bool:
    return order.only_reduces or order.conditional


def _closed_a_moment_ago(case: KeyCase) -> bool:
    """Whether the bot has had no time yet to write down what the venue has just closed."""
    if not case.gone:
        return False
    closings = [checks.absence_of(case, row).closed_at for row in case.rows if not row.is_intermediate]
    return any(at is not None and abs(case.now - at) < case.limits.grace for at in closings)


def _of_case(case: KeyCase, judgement: Judgement) -> Iterator[Finding]:
    yield from checks.unknown_statuses(case)
    yield from checks.incomplete(case)
    yield from duplicates(case)
    yield from checks.orphans(case)
    yield from checks.external(case)
    yield from checks.mismatches(case)
    yield from checks.protection(case)
    yield from checks.unrecorded_stops(case, waits=case.key in judgement.waits)
    yield from checks.aged(case)
    yield from checks.unresolved_symbols(case, unlisted=judgement.blind.get(case.key) == UNLISTED)


def _zombies(situation: Situation, judgement: Judgement, case: KeyCase) -> Iterator[Finding]:
    """Live orders that can only close, or wait for a trigger, where there is nothing to close (D7)."""
    for order in _left_behind(situation, judgement, case):
        absence = order_absence(order, case.fills, snapshots=situation.limits.snapshots)
        if absence.closed_at and abs(situation.now - absence.closed_at) < situation.limits.grace:
            continue  # the bot cancels its stop a moment after it closes
        yield finding(
            case,
            Kind.ZOMBIE_ORDER,
            Severity.WARNING,
            f"{case.key}: {order.kind.value} order {order.order_id} lives and its position is gone",
            proof=Proof.PROVEN if absence.proven else Proof.SUSPECTED,
            subject=order.order_id,
            orders=(order,),
            differing=("position",),
            evidence=absence.sentences,
        )


def _left_behind(situation: Situation, judgement: Judgement, case: KeyCase) -> list[VenueOrder]:
    """The orders of a key without a position that more than the last snapshot shows."""
    if not case.gone:
        return []
    look = situation.looks[VenueId(case.key.exchange, case.key.account)]
    legs = look.legs.get(case.key.symbol, frozenset())
    if (case.key.position_side is PositionSide.BOTH and legs) or PositionSide.BOTH in legs:
        return []
    if case.key.market in judgement.waiting_markets:
        return []
    earlier = {o.order_id for orders in look.orders[:-1] for o in orders.get(case.key, ())}
    return [
        order
        for order in case.orders
        if _could_be_left_behind(order) and (order.order_id in earlier or len(look.snapshots) == 1)
    ]


def _wanted_fills(
    situation: Situation, judgement: Judgement, cases: list[KeyCase]
) -> Mapping[VenueId, Mapping[str, datetime]]:
    """The symbols whose fills decide something: rows without a position, orders without one, rows that are two.

    Where a venue looks like the wrong account, the order ids of some rows among its fills would tell that it is not.
    """
    wanted: dict[VenueId, dict[str, datetime]] = defaultdict(dict)
    for verdict in judgement.verdicts:
        if any(reason.startswith(WRONG_ACCOUNT) for reason in verdict.reasons):
            rows = [
                r for r in situation.after if r.belongs_to(verdict.venue) and r.since and r.exchange_order_id
            ]
            for row in sorted(rows, key=_by_age)[-_ENOUGH_TO_TELL:]:
                if row.since and row.symbol in situation.looks[verdict.venue].markets:
                    wanted[verdict.venue][row.symbol] = row.since - BEFORE_OPENING
    for case in cases:
        times = [order.created_at for order in _left_behind(situation, judgement, case)]
        if case.judged and (case.gone or len(case.rows) > 1):
            times += [row.since - BEFORE_OPENING for row in case.rows if row.since]
        known = [at for at in times if at is not None]
        if known:
            symbols = wanted[VenueId(case.key.exchange, case.key.account)]
            since = min(known)
            symbols[case.key.symbol] = min(since, symbols.get(case.key.symbol, since))
    return wanted
