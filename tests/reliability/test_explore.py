"""The explorer on real PostgreSQL: the old core breaks within few schedules, the corrected one in none of all.

The long form is `make reliability-explore`.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from posguard.race.cores import Tables
from posguard.race.explore import Aim, explore
from posguard.race.explore_actors import PAIRS, Cast, Part, tables_of
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


@pytest.mark.slow
async def test_the_corrected_core_holds_in_every_schedule_of_every_pair(lanes):
    casts = tuple(Cast(parts) for parts in PAIRS)
    tallies = await explore(Aim("corrected", casts, limit=2_000), on=lanes)
    for tally in tallies:
        print(f"{tally.cast.title}: {tally.schedules} schedules, {tally.bad} bad, {tally.seconds:.1f} s")  # noqa: T201
        assert tally.every, "no schedule is left out"
        assert tally.bad == 0, [(one.script, one.broken, one.told) for one in tally.failures]
        assert tally.schedules > 10
        assert len(tally.forms) == tally.schedules, "equal schedules are counted once"


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
