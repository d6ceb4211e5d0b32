"""What holds in every situation, however odd; each test is named after its invariant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.model.finding import RECONCILED_KINDS, Kind, Pass, Proof, Severity, VerdictKind
from posguard.model.position import PositionSide, Side
from posguard.model.scope import Scope
from posguard.model.venue import (
    OrderKind,
    VenueId,
    VenueOrder,
)
from posguard.reconcile.compare import compare
from tests.unit.reconcile.maker import SYMBOLS, VENUES, broken, made
from tests.unit.reconcile.scenario import NOW

FROM_DATABASE = {
    Kind.UNKNOWN_STATUS,
    Kind.INCOMPLETE_POSITION,
    Kind.DUPLICATE_POSITION,
    Kind.AGED_POSITION,
    Kind.STOP_NOT_RECORDED,
}


NAKED = {Kind.UNPROTECTED_POSITION, Kind.STOP_UNDERSIZED, Kind.STOP_WRONG_SIDE}


seeds = st.integers(0, 2**48)


often = settings(max_examples=100, deadline=None)


def of(venue, findings):
    return [f for f in findings if (f.exchange, f.account) == (venue.exchange, venue.account)]


def with_orders(situation, make):
    """The situation with the orders of every snapshot made anew from the snapshot."""
    return replace(
        situation,
        looks={
            venue: replace(
                look,
                snapshots=tuple(replace(s, orders=tuple(make(s))) for s in look.snapshots),
            )
            for venue, look in situation.looks.items()
        },
    )


@given(seeds)
@often
def test_nothing_is_proven_gone_from_one_snapshot(seed):
    situation = made(seed, snapshots=1)
    gone = {Kind.ORPHANED_DB, Kind.ZOMBIE_ORDER, Kind.EXTERNAL_POSITION, *NAKED, Kind.DUPLICATE_STOP}
    for finding in compare(situation).findings:
        assert finding.kind not in gone or finding.proof is Proof.SUSPECTED


@given(seeds, st.sampled_from(VENUES), st.integers(0, 2))
@often
def test_an_incomplete_venue_gives_no_finding_of_its_own_and_resolves_nothing(seed, venue, number):
    situation = made(seed)
    whole, partial = compare(situation), compare(broken(situation, venue, number))
    verdict = next(v for v in partial.verdicts if v.venue == venue)
    assert verdict.verdict is VerdictKind.INCONCLUSIVE
    assert verdict.reasons == ("HTTP 524",)
    assert {f.kind for f in of(venue, partial.findings)} <= FROM_DATABASE
    assert not any(f.venue for f in of(venue, partial.findings))
    stored = Pass(
        NOW,
        NOW,
        partial.findings,
        partial.verdicts,
        partial.rows_read,
        partial.rows_compared,
        inconclusive_keys=partial.inconclusive_keys,
    )
    assert not any(stored.judged(f) for f in of(venue, (*whole.findings, *partial.findings)))


@given(seeds, st.integers(0, 2))
@often
def test_a_failing_venue_never_touches_another(seed, number):
    situation = made(seed)
    other = VENUES[1]
    whole, partial = compare(situation), compare(broken(situation, VENUES[0], number))
    assert of(other, partial.findings) == of(other, whole.findings)
    assert [v for v in partial.verdicts if v.venue == other] == [
        v for v in whole.verdicts if v.venue == other
    ]


@given(seeds)
@often
def test_order_never_matters(seed):
    situation, random = made(seed), Random(seed)

    def mixed(items):
        return tuple(random.sample(items, len(items)))

    shuffled = replace(
        situation,
        before=mixed(situation.before),
        after=mixed(situation.after),
        looks={
            venue: replace(
                look,
                snapshots=tuple(
                    replace(s, positions=mixed(s.positions), orders=mixed(s.orders)) for s in look.snapshots
                ),
                fills={s: replace(h, fills=mixed(h.fills)) for s, h in look.fills.items()},
            )
            for venue, look in reversed(situation.looks.items())
        },
    )
    assert compare(shuffled) == compare(situation)


@given(seeds, st.decimals("-1", "1", places=2))
@often
def test_an_unchanged_world_gives_equal_findings_whatever_prices_do(seed, drift):
    situation = made(seed)

    def moved(snapshot):
        return replace(
            snapshot,
            started_at=snapshot.started_at + timedelta(seconds=1),
            clock_skew_ms=7,
            positions=tuple(
                replace(p, mark_price=p.mark_price + drift, updated_at=NOW) for p in snapshot.positions
            ),
        )

    later = replace(
        situation,
        looks={
            venue: replace(look, snapshots=tuple(map(moved, look.snapshots)))
            for venue, look in situation.looks.items()
        },
    )
    assert compare(later).findings == compare(situation).findings


@given(seeds)
@often
def test_every_row_is_compared_or_skipped_with_a_reason(seed):
    situation = made(seed)
    found = compare(situation)
    ids = {row.id for row in (*situation.before, *situation.after)}
    skipped = [row_id for part in found.skipped for row_id in part.row_ids]
    assert found.rows_read == len(ids)
    assert found.rows_compared == len(ids) - len(skipped)
    assert len(skipped) == len(set(skipped))
    assert set(skipped) <= ids
    assert all(part.reason for part in found.skipped)


@given(seeds)
@often
def test_every_finding_has_a_fingerprint_of_its_own(seed):
    situation = made(seed)
    found = [f.fingerprint for f in compare(situation).findings]
    assert len(found) == len(set(found))


@given(seeds)
@often
def test_an_incomplete_fill_history_proves_nothing(seed):
    situation = made(seed)
    cut = replace(
        situation,
        looks={
            venue: replace(look, fills={s: replace(h, complete=False) for s, h in look.fills.items()})
            for venue, look in situation.looks.items()
        },
    )
    for finding in compare(cut).findings:
        if finding.kind in {Kind.ORPHANED_DB, Kind.ZOMBIE_ORDER}:
            assert finding.proof is Proof.SUSPECTED


@given(seeds)
@often
def test_a_position_with_a_covering_stop_is_never_called_unprotected(seed):
    situation = made(seed)

    def covered(snapshot):
        for number, held in enumerate(snapshot.positions):
            long = held.side is Side.LONG
            yield VenueOrder(
                f"cover{number}", None, held.symbol, held.position_side, not long, OrderKind.STOP,
                held.quantity, None, Decimal(90) if long else Decimal(110), reduce_only=True,
                close_position=False, created_at=NOW,
            )  # fmt: skip
        yield from snapshot.orders

    assert not {f.kind for f in compare(with_orders(situation, covered)).findings} & NAKED


@given(seeds)
@often
def test_a_position_without_a_stop_is_never_called_protected(seed):
    situation = made(seed)
    bare = replace(
        situation,
        looks={
            venue: replace(
                look,
                snapshots=tuple(
                    replace(s, orders=(), positions=tuple(replace(p, stop_loss=None) for p in s.positions))
                    for s in look.snapshots
                ),
            )
            for venue, look in situation.looks.items()
        },
    )
    found = compare(bare)
    naked = {f.key for f in found.findings if f.kind is Kind.UNPROTECTED_POSITION}
    for verdict in found.verdicts:
        if verdict.verdict is VerdictKind.CONCLUSIVE:
            held = set(bare.looks[verdict.venue].holdings[-1])
            assert held - naked <= found.inconclusive_keys
    assert found.protected == 0


@given(seeds)
@often
def test_every_judged_position_is_counted_as_protected_or_found_naked(seed):
    found = compare(made(seed))
    naked = {f.key for f in found.findings if f.kind in NAKED}
    unpriced = sum("its stops were not judged" in note for note in found.notes)
    assert found.positions == found.protected + len(naked) + unpriced


@given(seeds)
@often
def test_a_flipped_side_is_always_critical(seed):
    situation = made(seed)

    def flipped(row):
        """The row as the only one of its key, on the side that the venue does not hold."""
        look = situation.looks[VenueId(row.exchange, row.account)]
        for key, held in look.holdings[-1].items():
            if (key.symbol, key.position_side) == (row.symbol, PositionSide.BOTH):
                side = "short" if held.side is Side.LONG else "long"
                return replace(
                    row, raw_side=side, side=Side(side), position_side=PositionSide.BOTH, status="active"
                )
        return None

    flips = {r.key: r for r in map(flipped, situation.before) if r}
    one_way = {
        venue: replace(
            look,
            snapshots=tuple(
                replace(
                    s,
                    positions=tuple(p for p in s.positions if p.position_side is PositionSide.BOTH),
                    orders=tuple(o for o in s.orders if o.position_side is PositionSide.BOTH),
                )
                for s in look.snapshots
            ),
        )
        for venue, look in situation.looks.items()
    }
    rows = tuple(flips.values())
    found = compare(replace(situation, before=rows, after=rows, looks=one_way))
    critical = {
        f.key for f in found.findings if f.kind is Kind.SIDE_MISMATCH and f.severity is Severity.CRITICAL
    }
    judged = {v.venue for v in found.verdicts if v.verdict is VerdictKind.CONCLUSIVE}
    for row in rows:
        if VenueId(row.exchange, row.account) in judged and row.key not in found.inconclusive_keys:
            assert row.key in critical


@given(seeds, st.sampled_from(SYMBOLS))
@often
def test_a_filter_by_symbol_finds_what_the_whole_pass_finds_of_it(seed, symbol):
    situation = made(seed)
    whole = compare(situation)
    part = compare(replace(situation, scope=Scope(symbol=symbol)))
    assert part.findings == tuple(f for f in whole.findings if f.symbol == symbol)
    assert [(v.venue, v.verdict) for v in part.verdicts] == [(v.venue, v.verdict) for v in whole.verdicts]


@given(seeds, st.sampled_from(VENUES))
@often
def test_a_filter_by_exchange_finds_what_the_whole_pass_finds_of_it(seed, venue):
    situation = made(seed)

    def mine(rows):
        return tuple(row for row in rows if row.belongs_to(venue))

    part = compare(
        replace(
            situation,
            before=mine(situation.before),
            after=mine(situation.after),
            looks={venue: situation.looks[venue]},
            scope=Scope(venue.exchange),
        )
    )
    assert list(part.findings) == of(venue, compare(situation).findings)


@given(seeds)
@often
def test_what_repairs_a_finding_names_its_symbol_and_exchange(seed):
    situation = made(seed)
    for finding in compare(situation).findings:
        if finding.repair:
            assert f"--symbol {finding.symbol} --exchange {finding.exchange}" in finding.repair
            assert finding.repair_built
        assert finding.runbook == finding.kind.value.replace("_", "-")


def test_the_made_up_situations_reach_every_kind_both_proofs_and_both_verdicts():
    found = [compare(made(seed)) for seed in range(300)]
    assert {f.kind for one in found for f in one.findings} == RECONCILED_KINDS
    orphans = {f.proof for one in found for f in one.findings if f.kind is Kind.ORPHANED_DB}
    zombies = {f.proof for one in found for f in one.findings if f.kind is Kind.ZOMBIE_ORDER}
    assert orphans == zombies == set(Proof)
    assert {v.verdict for one in found for v in one.verdicts} == set(VerdictKind)
    assert sum(v.verdict is VerdictKind.CONCLUSIVE for one in found for v in one.verdicts) > 200
