"""Which of the four races a race is, why, and how sure that is. Pure: the facts in, the verdict out.

A clean-up or recovery that touched the position is D; a create of the synchroniser beside another's is B; a create after its
symbol began to roll back is C; two signals are A. Anything else is unknown: one open that inserted twice is none of the four.
The verdict's confidence is high where the deciding lines name their actor themselves, medium where neighbours do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.log_event import LogKind
from posguard.model.race import Actor, Confidence, Create, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from posguard.logs.correlate import PositionEvent


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict rests on: the creates, the actor whose statement hit the index (None where none did), and the
    events of the symbol from 30 s before the first create up to the race.
    """

    creates: tuple[Create, ...]
    failed: Actor | None
    before: tuple[PositionEvent, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scenario, how sure it is, and why, in a sentence or two."""

    scenario: Scenario
    confidence: Confidence
    reason: str


def judge(facts: Facts) -> Verdict:
    """The verdict on a race."""
    return (
        _cleanup_and_signal(facts)
        or _signal_and_synchroniser(facts)
        or _retry(facts)
        or _two_signals(facts)
        or _unknown(facts)
    )


def _cleanup_and_signal(facts: Facts) -> Verdict | None:
    tidying = {Actor.RECOVERY, Actor.CLEANUP}
    touched = [e for e in facts.before if e.actor in tidying]
    made = [c for c in facts.creates if c.actor in tidying]
    if not touched and not made and facts.failed not in tidying:
        return None
    who = (made[0].actor if made else touched[0].actor if touched else facts.failed) or Actor.CLEANUP
    if not any(c.actor not in tidying for c in facts.creates):
        return None
    sure = _sure([*_inferences(made), *(e.inferred for e in touched[:1])])
    return Verdict(
        Scenario.D,
        sure,
        f"The {who} took up this position while {_others(facts, tidying)} wrote it{_gap(facts)}.",
    )


def _signal_and_synchroniser(facts: Facts) -> Verdict | None:
    by_sync = [c for c in facts.creates if c.actor is Actor.SYNC]
    others = [c for c in facts.creates if c.actor is not Actor.SYNC]
    if not by_sync and facts.failed is not Actor.SYNC:
        return None
    if not others and facts.failed in {None, Actor.SYNC}:
        return None
    left = [
        e
        for e in facts.before
        if e.kind == LogKind.UPDATED
        and e.status not in {None, "active"}
        and by_sync
        and e.at <= by_sync[-1].at
        and (not others or e.at >= others[0].at)
    ]
    told = ""
    if left:
        number = f"#{left[-1].position_id}" if left[-1].position_id is not None else "the signal's row"
        told = f" {number} had left the unique index as {left[-1].status} {_ms(by_sync[-1].at - left[-1].at)} before."
    sure = _sure([*_inferences(by_sync), *_inferences(others)])
    if any(c.actor is Actor.UNKNOWN for c in others):
        sure = Confidence.LOW
    first = "The synchroniser inserted a row for a position that a signal was opening"
    return Verdict(Scenario.B, sure, f"{first}{_gap(facts)}.{told}")


def _retry(facts: Facts) -> Verdict | None:
    if not facts.creates:
        return None
    last, first = facts.creates[-1], facts.creates[0]
    rolling = [e for e in facts.before if e.kind == LogKind.ROLLBACK]
    rolled = [e for e in rolling if first.at <= e.at < last.at]
    if len(facts.creates) == 1 and facts.failed is not None:
        # the retry's own insert is what hit the index, or its row is the only one that was told of
        inserts = [e.at for e in facts.before if e.kind == LogKind.INSERTING]
        rolled = [e for e in rolling if e.at < first.at or any(at > e.at for at in inserts)]
    if not rolled:
        return None
    why = (
        f"It was created again {_ms(last.at - rolled[-1].at)} after its rollback began"
        if len(facts.creates) > 1
        else "It was inserted again after its rollback began"
    )
    return Verdict(Scenario.C, _sure(_inferences(facts.creates)), f"{why}{_gap(facts)}.")


def _two_signals(facts: Facts) -> Verdict | None:
    opened = [e for e in facts.before if e.kind == LogKind.OPENING]
    by_signal = [c for c in facts.creates if c.actor is Actor.SIGNAL]
    tried = len(by_signal) + (facts.failed is Actor.SIGNAL and len(facts.creates) < 2)
    if len(opened) < 2 or tried < 2:
        return None
    apart = _ms(opened[-1].at - opened[-2].at)
    sure = _sure([*(e.inferred for e in opened[-2:])])
    return Verdict(
        Scenario.A, sure, f"Two signals opened it, {apart} apart, and each inserted a row{_gap(facts)}."
    )


def _unknown(facts: Facts) -> Verdict:
    opened = [e for e in facts.before if e.kind == LogKind.OPENING]
    if len(facts.creates) > 1 and len(opened) == 1:
        why = (
            f"One open inserted {len(facts.creates)} rows, {_span(facts)} apart: no second signal, no pass of the synchroniser, "
            "no rollback and no recovery wrote between"
        )
    elif len(facts.creates) > 1:
        why = f"{len(facts.creates)} rows were inserted, {_span(facts)} apart, and no line says by whom"
    elif facts.creates:
        why = (
            "The log tells of one create alone; the row that it met was made before, or its lines are missing"
        )
    else:
        why = "The log tells of no create in the minute before; its lines are missing, or older"
    return Verdict(Scenario.UNKNOWN, Confidence.LOW, f"{why}.")


def _others(facts: Facts, tidying: set[Actor]) -> str:
    names = sorted({_NAMED[c.actor] for c in facts.creates if c.actor not in tidying})
    return " and ".join(names)


_NAMED = {
    Actor.SIGNAL: "a signal",
    Actor.SYNC: "the synchroniser",
    Actor.UNKNOWN: "an unnamed writer",
}


def _gap(facts: Facts) -> str:
    if len(facts.creates) < 2:
        return ""
    return f", {_span(facts)} after the first insert"


def _span(facts: Facts) -> str:
    return _ms(facts.creates[-1].at - facts.creates[0].at)


def _ms(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _inferences(made: Iterable[Create]) -> list[tuple[str, ...]]:
    return [create.inferred for create in made]


def _sure(inferred: Iterable[tuple[str, ...]]) -> Confidence:
    """High where no deciding line's actor or outcome had to be inferred."""
    weak = any("actor" in fields or "outcome" in fields for fields in inferred)
    return Confidence.MEDIUM if weak else Confidence.HIGH
