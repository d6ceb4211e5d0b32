"""Which schedules are walked: every class of equal ones once, none twice, none lost."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.errors import PosguardBugError, UsageError
from posguard.race.footprints import NOTHING, Footprint, Step
from posguard.race.schedules import (
    Choice,
    Event,
    Sample,
    Script,
    Tree,
    cost,
    normal_form,
    read_script,
    shorter,
    write_script,
)

# A toy step: what it reads, what it writes, and whether it takes ("+") or gives back ("-") the one lock there is.
TOUCHES = st.builds(
    lambda reads, writes: Footprint(frozenset(reads), frozenset(writes)),
    st.sets(st.sampled_from("xyz"), max_size=2),
    st.sets(st.sampled_from("xyz"), max_size=1),
)
LOCK = Footprint(frozenset(), frozenset({"lock"}))


def run(programs, chooser, *, locked=()):
    """Runs toy programs: every write stores who wrote what he saw. `locked` actors hold one lock from first to last step."""
    store, at, seen = {}, dict.fromkeys(programs, 0), dict.fromkeys(programs, ())
    events, owner, waiting = [], None, []

    def length(actor):
        return len(programs[actor])

    def carry_out(actor):
        nonlocal owner
        step = programs[actor][at[actor]]
        seen[actor] += tuple(store.get(name) for name in sorted(step.touches.reads))
        for name in step.touches.writes:
            store[name] = (actor, at[actor], seen[actor], store.get(name))
        at[actor] += 1

    while True:
        ready = {
            a: announced(programs, locked, a, at[a], waiting)
            for a in programs
            if at[a] < length(a) and a not in waiting
        }
        if not ready:
            return events, (tuple(sorted(store.items())), tuple(sorted(seen.items())))
        choice = chooser.choose(ready)
        if choice is None:
            return events, None
        actor, freed, blocked = choice.actor, (), False
        touched = ready[actor].touches
        if actor in locked and at[actor] == 0:
            if owner is None:
                owner = actor
                carry_out(actor)
            else:
                waiting.append(actor)
                blocked = True
        else:
            carry_out(actor)
        if owner == actor and at[actor] == length(actor):
            owner = None
            if waiting:
                owner = waiting.pop(0)
                freed = (owner,)
                touched = touched.joined(programs[owner][0].touches).joined(LOCK)
                carry_out(owner)
                if at[owner] == length(owner):
                    owner = None
        event = Event(choice, ready[actor], touched, freed, blocked)
        events.append(event)
        chooser.happened(event)


def announced(programs, locked, actor, place, waiting):
    """The step as it is announced: the first and the last of a locked actor meet on the lock, the last frees who waits."""
    step, touches = programs[actor][place], programs[actor][place].touches
    if actor in locked and place in {0, len(programs[actor]) - 1}:
        touches = touches.joined(LOCK)
        for other in waiting:
            touches = touches.joined(programs[other][0].touches)
    return Step(step.label, touches)


def programs_of(shape):
    return {
        name: [Step(f"{name}{place}", touches) for place, touches in enumerate(steps)]
        for name, steps in zip("abc", shape, strict=False)
    }


def every(programs, *, whole=False, locked=()):
    tree, ends, forms = Tree(whole=whole), set(), Counter()
    for walk in tree:
        events, end = run(programs, walk, locked=locked)
        if end is not None:
            ends.add(end)
            forms[normal_form(events)] += 1
    return tree, ends, forms


SHAPES = st.lists(st.lists(TOUCHES, min_size=1, max_size=4), min_size=2, max_size=2) | st.lists(
    st.lists(TOUCHES, min_size=1, max_size=2), min_size=3, max_size=3
)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.sets(st.sampled_from("abc")))
def test_the_reduced_set_reaches_what_all_schedules_reach(shape, locked):
    programs = programs_of(shape)
    full, ends, forms = every(programs, whole=True, locked=locked)
    reduced, found, classes = every(programs, locked=locked)
    assert found == ends
    assert reduced.walked <= full.walked
    # each class of equal schedules is walked to its end once, and none is left out
    assert set(classes) == set(forms)
    assert set(classes.values()) <= {1}


def test_without_locks_the_full_set_is_every_interleaving():
    programs = programs_of([[Footprint(frozenset("x"), frozenset("x"))] * 4, [NOTHING] * 3])
    tree, _, _ = every(programs, whole=True)
    assert tree.complete == tree.walked == math.comb(7, 3)
    assert every(programs)[0].walked == 1


def test_steps_that_meet_are_walked_in_both_orders():
    write = Footprint(frozenset("x"), frozenset("x"))
    tree, ends, _ = every(programs_of([[write, write], [write, write]]))
    assert tree.complete == math.comb(4, 2) == len(ends)


def test_a_lost_update_is_found():
    read, write = Footprint(frozenset("x")), Footprint(writes=frozenset("x"))
    programs = programs_of([[read, write], [read, write]])
    _, ends, _ = every(programs)
    both_saw_nothing = [end for end in ends if dict(end[1])["a"] == dict(end[1])["b"] == (None,)]
    assert both_saw_nothing
    # under one lock nobody loses an update
    _, ends, _ = every(programs, locked={"a", "b"})
    assert ends
    assert not [end for end in ends if dict(end[1])["a"] == dict(end[1])["b"] == (None,)]


def test_a_schedule_that_comes_to_another_point_is_a_bug():
    tree = Tree()
    walks = iter(tree)
    programs = programs_of([[Footprint(writes=frozenset("x"))], [Footprint(writes=frozenset("x"))]])
    run(programs, next(walks))
    with pytest.raises(PosguardBugError, match="came to another point"):
        run(programs_of([[NOTHING], [NOTHING]]), next(walks))


def test_scripts_are_read_as_they_are_written():
    choices = read_script("sig1*3, sync1,sig1! # dies\nsync1*2")
    assert choices == (
        *[Choice("sig1")] * 3,
        Choice("sync1"),
        Choice("sig1", dies=True),
        *[Choice("sync1")] * 2,
    )
    assert write_script(choices) == "sig1*3,sync1,sig1!,sync1*2"
    assert read_script(write_script(choices)) == choices
    with pytest.raises(UsageError, match="'Sig 1' is no step"):
        read_script("Sig 1")


def test_a_script_is_followed_then_the_first_goes_first():
    programs = programs_of([[NOTHING] * 2, [NOTHING] * 2])
    events, _ = run(programs, Script(read_script("b,a,b")))
    assert [event.choice.actor for event in events] == ["b", "a", "b", "a"]
    unknown = Script(read_script("z,b"))
    run(programs, unknown)
    assert not unknown.followed


def test_a_sample_is_the_same_for_its_seed():
    programs = programs_of([[NOTHING] * 6, [NOTHING] * 6])
    drawn = [[e.choice for e in run(programs, Sample(seed))[0]] for seed in range(20)]
    assert drawn == [[e.choice for e in run(programs, Sample(seed))[0]] for seed in range(20)]
    assert len({tuple(one) for one in drawn}) > 5


def test_a_sample_kills_at_most_one():
    programs = programs_of([[NOTHING] * 6, [NOTHING] * 6])
    deaths = [sum(e.choice.dies for e in run(programs, Sample(seed, deaths=0.2))[0]) for seed in range(50)]
    assert set(deaths) == {0, 1}


def test_shorter_schedules_are_simpler():
    choices = read_script("a*2,b,a,b!,a")
    simpler = list(shorter(choices))
    assert simpler[0] == ()
    assert all(cost(one) < cost(choices) for one in simpler)
    assert read_script("a*3,b,b!,a") in simpler
