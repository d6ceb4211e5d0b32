"""The explorer on real PostgreSQL: the old core breaks within few schedules, the corrected one in none of all.

The long form is `make reliability-explore`.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from decimal import Decimal

import pytest

from posguard.errors import UsageError
from posguard.race.cores import Tables
from posguard.race.explore import Aim, explore
from posguard.race.explore_actors import APPLYING, PAIRS, QUANTITY, Cast, Part, tables_of
from posguard.race.explore_world import Lane, Lanes, Play
from posguard.race.judge import Breach
from posguard.race.schedules import Sample, Script, Tree, normal_form, read_script

pytestmark = pytest.mark.postgres
SIGNALS, SYNCHRONISER = Cast.read("signal,signal"), Cast.read("signal,synchroniser")
SEED = 20251022


@pytest.fixture
async def lanes(server_dsn, bot_template, core_template):
    """Lanes on the tests' server, their tables copied from the tests' templates."""
    templates = {Tables.OLD: bot_template, Tables.UPGRADED: core_template}
    async with Lanes(server_dsn, templates) as made:
        yield made


@pytest.fixture
async def lane_of(lanes):
    """Opens a lane for a core and a cast."""
    async with AsyncExitStack() as stack:

        async def open_lane(core, cast, **values):
            play = Play(core, cast, **values)
            return await stack.enter_async_context(Lane(play, await lanes.database(tables_of(core))))

        yield open_lane


async def test_the_defective_core_breaks_within_few_schedules(lanes):
    signals, synchroniser = await explore(Aim("defective", (SIGNALS, SYNCHRONISER), limit=12), on=lanes)
    assert {Breach.DUPLICATE, Breach.UNIQUE_VIOLATION, Breach.CLOSED} <= set(synchroniser.breaches)
    assert signals.bad
    for failure in (*signals.failures, *synchroniser.failures):
        assert failure.again, "a failing schedule fails again"
        assert failure.broken
    # incident 1: the synchroniser inserts while the signal waits, the signal's return to active is refused
    incident = next(one for one in synchroniser.failures if Breach.CLOSED in one.broken)
    assert incident.script.startswith("sig1*")
    assert len(read_script(incident.script)) <= 15


def assert_held(tally):
    print(f"{tally.cast.title}: {tally.run} schedules, {tally.bad} bad, {tally.seconds:.1f} s")  # noqa: T201
    assert tally.bad == 0, [(one.script, one.broken, one.told) for one in tally.failures]


async def test_the_corrected_core_holds_with_every_pair(lanes):
    """The first of the schedules that there are, and some drawn from all; of two signals every one."""
    signals, *others = (Cast(parts) for parts in PAIRS)
    (whole,) = await explore(Aim("corrected", (signals,), limit=2_000), on=lanes)
    assert whole.every, "no schedule is left out"
    tallies = await explore(Aim("corrected", tuple(others), limit=10), on=lanes)
    for tally in (whole, *tallies):
        assert_held(tally)
        assert tally.every or tally.drawn, "what is left out is drawn from"
        assert len(tally.forms) >= tally.schedules > 3, "equal schedules are counted once"


async def test_the_corrected_core_holds_beside_a_plan_that_is_drawn_and_carried_out(lanes):
    casts = tuple(Cast(parts) for parts in APPLYING)
    for tally in await explore(Aim("corrected", casts, samples=6, crash=True, seed=SEED), on=lanes):
        assert_held(tally)
        assert tally.run == 6


async def test_a_position_that_stands_is_closed_and_its_stop_moved(lane_of):
    """What the actors do is done: in turn, the stop goes up, then the position is closed and its stop with it."""
    lane = await lane_of("corrected", Cast((Part.MOVE_STOP, Part.SYNCHRONISER)))
    assert not (await lane.run(Script(()))).broken
    ((_, row),), book = await lane._state()
    (stop,) = lane._simulator.book.account("binance").open_orders.values()
    assert (row.status, book.covered, stop.trigger) == ("active", QUANTITY, Decimal("0.97"))
    lane = await lane_of("corrected", Cast((Part.MOVE_STOP, Part.CLOSE)))
    assert not (await lane.run(Script(()))).broken
    ((_, row),), book = await lane._state()
    assert (row.status, book.amount, book.closed, book.covered) == ("closed", 0, QUANTITY, 0)


@pytest.mark.parametrize(
    ("place", "does"), [(4, "update positions"), (7, "venue: place stop"), (9, "update positions")]
)
async def test_a_plan_that_is_carried_out_goes_on_from_a_dead_signal(lane_of, place, does):
    """Its lease is over, recovery was not there yet: the cleanup ends or protects its row, and recovery makes peace with it."""
    lane = await lane_of("corrected", Cast((Part.SIGNAL, Part.RECOVERY, Part.APPLY)))
    outcome = await lane.run(Script(read_script(f"sig1*{place},sig1!,rec1,rec1!,apply1*400")))
    labels = [event.step.label for event in outcome.trace.events if event.choice.actor == "apply1"]
    assert does in labels, labels
    assert not outcome.broken, outcome.told


async def test_an_actor_that_the_core_cannot_play_is_refused(lane_of):
    lane = await lane_of("defective", Cast((Part.SIGNAL, Part.CLOSE)))
    with pytest.raises(UsageError, match="--core defective has no `close_position`"):
        await lane.run(Script(()))


async def test_the_corrected_core_holds_where_the_signal_dies_at_any_step(lane_of):
    lane = await lane_of("corrected", SYNCHRONISER)
    whole = len((await lane.run(Script(()))).trace.events)
    for place in range(10):
        outcome = await lane.run(Script(read_script(f"sig1*{place},sig1!" if place else "sig1!")))
        assert any(choice.dies for choice in outcome.trace.choices)
        assert not outcome.broken, outcome.told
    assert whole > 12


async def test_the_old_core_is_caught_where_it_dies(lane_of):
    """Its recovery runs at its start alone: the row of a signal that died before its entry ends, a naked position may stay."""
    lane = await lane_of("defective", SYNCHRONISER)
    broken = [(await lane.run(Script(read_script(f"sig1*{place},sig1!")))).broken for place in range(1, 8)]
    assert any(Breach.NAKED in one for one in broken)


@pytest.mark.parametrize("core", ["defective", "corrected"])
async def test_what_is_drawn_is_among_what_was_walked_and_ends_alike(lane_of, core):
    """The reduction on the real server: no drawn schedule is of a class that the walk left out, and equal ones end alike."""
    lane = await lane_of(core, SYNCHRONISER if core == "defective" else SIGNALS)
    walked = {}
    for walk in Tree():
        outcome = await lane.run(walk)
        if outcome.trace.complete:
            walked[normal_form(outcome.trace.events)] = outcome.broken
    for seed in range(40):
        outcome = await lane.run(Sample(SEED + seed))
        assert walked[normal_form(outcome.trace.events)] == outcome.broken


async def test_the_same_schedule_gives_the_same_trace(lane_of):
    lane = await lane_of("corrected", Cast((Part.SIGNAL, Part.SIGNAL, Part.SYNCHRONISER, Part.RECOVERY)))
    first = await lane.run(Sample(SEED, deaths=0.05))
    again = await lane.run(Script(first.trace.choices))
    assert again.trace.events == first.trace.events
    assert again.broken == first.broken == frozenset()


async def test_who_waits_for_a_lock_is_seen_and_freed(lane_of):
    lane = await lane_of("corrected", SIGNALS)
    outcome = await lane.run(Script(read_script("sig1,sig2,sig1*3")))
    second, commit = outcome.trace.events[1], outcome.trace.events[4]
    assert second.blocked
    assert commit.step.label == "commit"
    assert commit.freed == ("sig2",)
    assert not outcome.broken


async def test_over_http_with_ccxt(lane_of):
    lane = await lane_of("corrected", SYNCHRONISER, http=True)
    for seed in range(2):
        assert not (await lane.run(Sample(SEED + seed))).broken
