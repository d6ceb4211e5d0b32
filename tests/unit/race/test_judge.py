"""Each invariant breaks for what breaks it, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from posguard.race.judge import BookFact, Breach, Due, RowFact, judge, overlapping
from posguard.race.metrics import rank, spread, spreads
from posguard.race.signal import Ended, Opened, Timings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
Q = Decimal("61.8")
GOOD = BookFact(amount=Q, covered=Q, entries=(Q,))
FLAT = BookFact(entries=(Q,), closed=Q)
OK = Opened(Ended.ACTIVE, 1)


def row(number=1, status="active", quantity=Q, began=0.0, ended=None, **values):
    end = None if ended is None else T0 + timedelta(seconds=ended)
    return RowFact(number, status, quantity, T0 + timedelta(seconds=began), end, **values)


CASES = {
    "sound": ([row()], GOOD, [OK], Due(), set()),
    "sound and another refused": ([row()], GOOD, [OK, Opened(Ended.EXISTING, 1)], Due(), set()),
    "nothing was bought": (
        [row(status="failed", ended=1)],
        BookFact(),
        [Opened(Ended.FAILED, 1)],
        Due(opens=False),
        set(),
    ),
    "short": ([row()], BookFact(amount=-Q, covered=Q, entries=(Q,)), [OK], Due(), set()),
    "two open rows": ([row(), row(2)], GOOD, [OK], Due(), {Breach.DUPLICATE, Breach.MISMATCH}),
    "lives overlapped": (
        [row(status="rolled_back", ended=2), row(2, began=1)],
        GOOD,
        [OK],
        Due(),
        {Breach.DUPLICATE},
    ),
    "one after the other": ([row(status="rolled_back", ended=1), row(2, began=1)], GOOD, [OK], Due(), set()),
    "unique violation": (
        [row()],
        GOOD,
        [OK, Opened(Ended.FAILED, None, "UniqueViolationError")],
        Due(),
        {Breach.UNIQUE_VIOLATION},
    ),
    "raised": ([row()], GOOD, [OK, Opened(Ended.RAISED, None, "KeyError")], Due(), {Breach.RAISED}),
    "nobody opened": ([], BookFact(), [Opened(Ended.FAILED)], Due(), {Breach.BLOCKED}),
    "two entries": (
        [row(quantity=2 * Q)],
        BookFact(amount=2 * Q, covered=2 * Q, entries=(Q, Q)),
        [OK],
        Due(),
        {Breach.DOUBLE_ORDER},
    ),
    "two entries were due": (
        [row(status="rolled_back", ended=1), row(2, began=1)],
        BookFact(amount=Q, covered=Q, entries=(Q, Q), closed=Q),
        [OK],
        Due(entries=2, closed=Q),
        set(),
    ),
    "too much closed": (
        [row(status="rolled_back", ended=1)],
        FLAT,
        [OK],
        Due(),
        {Breach.CLOSED},
    ),
    "closed under an open row": ([row()], FLAT, [OK], Due(closed=Q), {Breach.HOLLOW}),
    "without a stop": ([row()], BookFact(amount=Q, entries=(Q,)), [OK], Due(), {Breach.NAKED}),
    "a stop too small": (
        [row()],
        BookFact(amount=Q, covered=Q - 1, entries=(Q,)),
        [OK],
        Due(),
        {Breach.NAKED},
    ),
    "without a row": ([row(status="rolled_back", ended=1)], GOOD, [OK], Due(), {Breach.LOST}),
    "another quantity": ([row(quantity=Q + 1)], GOOD, [OK], Due(), {Breach.MISMATCH}),
    "a stop over nothing": (
        [row(status="closed", ended=1)],
        BookFact(orphan_stops=1),
        [OK],
        Due(),
        {Breach.ORPHAN_STOP},
    ),
    "stuck": ([row(status="pending_sl")], GOOD, [OK], Due(), {Breach.STUCK}),
    "a status nobody knows counts as open": ([row(status=None)], GOOD, [OK], Due(), {Breach.STUCK}),
    "flagged for a person": ([row(status="unresolved", attention=True)], GOOD, [OK], Due(), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_each_invariant(name):
    rows, book, opened, due, breaches = CASES[name]
    assert judge(rows, book, opened, due, index_stands=False) == breaches


def test_every_breach_has_a_case():
    assert set(Breach) == set().union(*(case[-1] for case in CASES.values()))


def test_the_index_rules_out_overlapping_lives_and_not_two_open_rows():
    rows = [row(status="rolled_back", ended=2), row(2, began=1)]
    assert overlapping(rows) == 1
    assert judge(rows, GOOD, [OK], Due(), index_stands=True) == set()
    both = [row(), row(2)]
    assert Breach.DUPLICATE in judge(both, GOOD, [OK], Due(), index_stands=True)


def test_spread_is_by_nearest_rank_in_milliseconds():
    found = spread(number / 1000 for number in range(1, 101))
    assert (found.count, found.min, found.p50, found.p95, found.p99, found.max) == (100, 1, 50, 95, 99, 100)
    assert found.mean == pytest.approx(50.5)
    assert rank([7.0], 0.99) == 7
    assert spread([]) is None


def test_what_was_not_measured_is_none_and_not_zero():
    found = spreads([Timings(lock=0.0, total=1.0), Timings(total=3.0)])
    assert found["lock"].count == 1
    assert found["total"].mean == 2000
    assert found["insert"] is None
