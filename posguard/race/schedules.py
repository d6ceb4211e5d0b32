"""Which schedules there are: all of them, each class of equal ones once, or a sample by seed. Pure but for its own state.

A schedule is a list of choices: at each point one of the actors that stand before a step makes it, or dies in front of it.
Two schedules that differ only in the order of steps which do not meet (see footprints.py) lead to the same end; `Tree` walks
one of each such class: backtracking points are added where steps were seen to meet, and sleep sets keep what was walked from
being walked again.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from posguard.errors import PosguardBugError, UsageError
from posguard.race.footprints import NOTHING, Footprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from posguard.race.footprints import Step


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """Whose turn it is; `dies`: instead of making the step that it stands before."""

    actor: str
    dies: bool = False

    def __str__(self) -> str:
        return f"{self.actor}{'!' * self.dies}"


@dataclass(frozen=True, slots=True)
class Event:
    """A choice that was carried out: the step, all that it touched, and whose blocked steps it set free.

    blocked: the step waits for a lock that another actor holds.
    """

    choice: Choice
    step: Step
    touched: Footprint
    freed: tuple[str, ...] = ()
    blocked: bool = False

    @property
    def actors(self) -> tuple[str, ...]:
        """Everyone for whom something happened."""
        return (self.choice.actor, *self.freed)


class Chooser(Protocol):
    """Decides at each point; told afterwards what the choice did."""

    def choose(self, ready: Mapping[str, Step]) -> Choice | None:
        """One of the actors that stand before a step; None: what follows need not be run."""
        ...

    def happened(self, event: Event) -> None:
        """What the last choice did."""
        ...


# -- one given schedule

_WORD = re.compile(r"([a-z]+[0-9]*)(!?)(?:\*([0-9]{1,4}))?")


def read_script(text: str) -> tuple[Choice, ...]:
    """The choices of a script: `sig1*3,sync1,sig1!`. Raises UsageError."""
    said = "".join(line.partition("#")[0] + "," for line in text.splitlines())
    choices: list[Choice] = []
    for word in filter(None, (part.strip() for part in said.split(","))):
        found = _WORD.fullmatch(word)
        if found is None:
            raise UsageError(f"'{word}' is no step of a schedule (sig1, sig1*3 or sig1!). Nothing was run.")
        choices += [Choice(found[1], dies=bool(found[2]))] * int(found[3] or 1)
    return tuple(choices)


def write_script(choices: Iterable[Choice]) -> str:
    """The script of choices, as `read_script` takes it."""
    runs = [(choice, len(list(same))) for choice, same in groupby(choices)]
    return ",".join(f"{choice}*{count}" if count > 1 else str(choice) for choice, count in runs)


class Script:
    """Follows the given choices; a choice that cannot be made is left out, and afterwards the first actor goes first."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._left = list(reversed(choices))
        self.followed = True

    def choose(self, ready: Mapping[str, Step]) -> Choice | None:
        """The next choice of the script."""
        while self._left:
            choice = self._left.pop()
            if choice.actor in ready:
                return choice
            self.followed = False
        return Choice(next(iter(ready)))

    def happened(self, event: Event) -> None:
        """Nothing is kept."""


# -- a sample


class Sample:
    """One schedule by seed. Every other one changes its mind rarely: races need few switches, at the right places.

    deaths: the chance that a point is an actor's death, at most one in a schedule.
    """

    def __init__(self, seed: int, *, deaths: float = 0.0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a sample that can be drawn again
        self._switches = 1.0 if self._random.random() < 0.5 else self._random.uniform(0.05, 0.4)
        self._deaths = deaths
        self._last = ""

    def choose(self, ready: Mapping[str, Step]) -> Choice | None:
        """An actor at random."""
        stays = self._last in ready and self._random.random() >= self._switches
        actor = self._last if stays else self._random.choice(list(ready))
        self._last = actor
        dies = self._deaths > 0 and self._random.random() < self._deaths
        if dies:
            self._deaths = 0.0
        return Choice(actor, dies=dies)

    def happened(self, event: Event) -> None:
        """Nothing is kept."""


# -- all of them


@dataclass(slots=True)
class _Node:
    """A point of the walk: who was ready, who need not go (asleep), who went, and who still has to."""

    ready: dict[str, Step]
    asleep: set[str]
    chosen: str
    due: set[str] = field(default_factory=set)
    went: dict[str, Footprint] = field(default_factory=dict)


class Tree:
    """All schedules, each class of equal ones once: `for walk in tree: run(walk)` until the tree is used up.

    whole: nothing commutes, so that every single schedule is walked (for the proof that the reduction loses nothing).
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._nodes: list[_Node] = []
        self._whole = whole
        self.walked = 0
        self.complete = 0
        self.finished = False

    def __iter__(self) -> Iterator[Walk]:
        while not self.finished:
            walk = Walk(self)
            yield walk
            self._learn(walk)

    def meets(self, one: Footprint, other: Footprint) -> bool:
        """Whether the order of two steps counts in this tree."""
        return self._whole or one.meets(other)

    def node(self, depth: int, ready: Mapping[str, Step], last: Event | None) -> str | None:
        """Whose turn it is at a point; None where everyone who could go need not."""
        if depth < len(self._nodes):
            node = self._nodes[depth]
            if node.ready != dict(ready):
                raise PosguardBugError(
                    f"The same schedule came to another point at step {depth + 1}: {_shown(node.ready)},"
                    f" now {_shown(ready)}."
                )
            return node.chosen
        asleep = self._asleep(depth, ready, last)
        awake = [actor for actor in ready if actor not in asleep]
        if not awake:
            return None
        chosen = last.choice.actor if last is not None and last.choice.actor in awake else awake[0]
        self._nodes.append(_Node(dict(ready), asleep, chosen, due=set(ready) if self._whole else {chosen}))
        return chosen

    def _asleep(self, depth: int, ready: Mapping[str, Step], last: Event | None) -> set[str]:
        """Who slept before, or went before the last one did, and did not meet it: going now leads where others led."""
        if depth == 0 or last is None:
            return set()
        before = self._nodes[depth - 1]
        candidates = (before.asleep | set(before.went)) - {before.chosen}
        return {
            actor
            for actor in candidates
            if ready.get(actor) == before.ready[actor]
            and not self.meets(before.ready[actor].touches, last.touched)
        }

    def _learn(self, walk: Walk) -> None:
        self.walked += 1
        self.complete += walk.complete
        if not self._whole:
            for depth, actors in _races(walk.events, self._nodes):
                self._nodes[depth].due |= actors
        while self._nodes:
            node = self._nodes[-1]
            node.went[node.chosen] = NOTHING
            left = [a for a in node.ready if a in node.due and a not in node.went and a not in node.asleep]
            if left:
                node.chosen = left[0]
                return
            self._nodes.pop()
        self.finished = True


class Walk:
    """One walk through the tree, from the start to an end, or to where it need not go on (`complete` is False then)."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.events: list[Event] = []
        self.complete = True

    def choose(self, ready: Mapping[str, Step]) -> Choice | None:
        """The tree's choice."""
        last = self.events[-1] if self.events else None
        chosen = self._tree.node(len(self.events), ready, last)
        if chosen is None:
            self.complete = False
            return None
        return Choice(chosen)

    def happened(self, event: Event) -> None:
        """Kept for the races that it had."""
        self.events.append(event)


def _races(events: Sequence[Event], nodes: Sequence[_Node]) -> Iterator[tuple[int, set[str]]]:
    """For each two steps that meet, with nothing between that orders them: who has to go at the first one's point too."""
    clocks: list[
        dict[str, int]
    ] = []  # per event: the last event of each actor that happened before it, itself included
    latest: dict[str, dict[str, int]] = {}
    for now, event in enumerate(events):
        clock = dict(latest.get(event.choice.actor, {}))
        for before in range(now - 1, -1, -1):
            earlier = events[before]
            if not earlier.touched.meets(event.touched):
                continue
            if clock.get(earlier.choice.actor, -1) < before:
                yield before, _initials(events, clocks, nodes, before, now)
            _merge(clock, clocks[before])
        for actor in event.actors:
            _merge(clock, latest.get(actor, {}))
        for actor in event.actors:
            clock[actor] = now
        clocks.append(clock)
        for actor in event.actors:
            latest[actor] = clock


def _initials(
    events: Sequence[Event],
    clocks: Sequence[Mapping[str, int]],
    nodes: Sequence[_Node],
    before: int,
    now: int,
) -> set[str]:
    """Who may begin what leads to the later step without the earlier one: nobody more where one of them goes anyway."""
    node, mover = nodes[before], events[before].choice.actor
    apart = [one for one in range(before + 1, now) if clocks[one].get(mover, -1) < before]
    apart.append(now)
    able = [
        events[one].choice.actor
        for place, one in enumerate(apart)
        if events[one].choice.actor in node.ready
        and not any(_ordered(events[earlier], events[one]) for earlier in apart[:place])
    ]
    if any(actor in node.due for actor in able):
        return set()
    return {able[0]} if able else set(node.ready)


def _ordered(one: Event, other: Event) -> bool:
    """Whether the order of two events counts, one being before the other."""
    return one.touched.meets(other.touched) or not set(one.actors).isdisjoint(other.actors)


def _merge(clock: dict[str, int], other: Mapping[str, int]) -> None:
    for actor, moment in other.items():
        if clock.get(actor, -1) < moment:
            clock[actor] = moment


def _shown(ready: Mapping[str, Step]) -> str:
    return ", ".join(f"{actor} before {step.label}" for actor, step in ready.items()) or "nobody"


def normal_form(events: Sequence[Event]) -> tuple[tuple[int, str, str], ...]:
    """What all equal schedules have in common: for each step how many that it had to follow, one by one, come before it."""
    levels: list[int] = []
    for now, event in enumerate(events):
        before = [levels[one] for one in range(now) if _ordered(events[one], event)]
        levels.append(1 + max(before, default=0))
    return tuple(
        sorted(
            (level, str(event.choice), event.step.label) for level, event in zip(levels, events, strict=True)
        )
    )


# -- making a failing one short


def shorter(choices: Sequence[Choice]) -> Iterator[tuple[Choice, ...]]:
    """Simpler schedules than this one, the boldest first: cut short, without one actor's run, with two runs swapped."""
    runs = [tuple(same) for _, same in groupby(choices)]
    for keep in range(len(runs)):
        yield _flat(runs[:keep])
    for gone in range(len(runs)):
        yield _flat([*runs[:gone], *runs[gone + 1 :]])
    for place in range(len(runs) - 2):
        moved = [*runs[:place], runs[place] + runs[place + 2], runs[place + 1], *runs[place + 3 :]]
        if runs[place][0] == runs[place + 2][0]:
            yield _flat(moved)


def _flat(runs: Iterable[Sequence[Choice]]) -> tuple[Choice, ...]:
    return tuple(choice for run in runs for choice in run)


def cost(choices: Sequence[Choice]) -> tuple[int, int]:
    """How hard a schedule is to read: its switches, then its length."""
    return len(list(groupby(choices))), len(choices)
