"""Carries out a plan: batches of symbols race, all is judged, everything made is cleared away before the next batch."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from posguard.race.books import book_facts, clear
from posguard.race.judge import Breach, judge, overlapping
from posguard.race.metrics import Spread, spreads
from posguard.race.scenarios import RACES, Arena
from posguard.race.signal import Ended, Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from posguard.race.judge import BookFact, RowFact
    from posguard.race.plan import Plan
    from posguard.race.world import RaceWorld


@dataclass
class Tally:
    """What has come of the runs so far. A run is one symbol's race, a bad one broke an invariant."""

    plan: Plan
    index_stands: bool
    runs: int = 0
    bad: int = 0
    seconds: float = 0.0
    ended: Counter[Ended] = field(default_factory=Counter)
    breaches: Counter[Breach] = field(default_factory=Counter)
    duplicates: int = 0
    unique_violations: int = 0
    attention: int = 0
    failed_passes: Counter[str] = field(default_factory=Counter)
    opened: list[Opened] = field(default_factory=list)
    first_bad: str = ""

    @property
    def attempts(self) -> int:
        """Signals that were sent into the core."""
        return sum(self.ended.values())

    @property
    def held(self) -> bool:
        """Whether every invariant held in every run, and there was one."""
        return self.runs > 0 and not self.bad and not self.failed_passes

    def spreads(self) -> Mapping[str, Spread | None]:
        """Lock wait, existence check, insert, total and window of all opens."""
        return spreads(one.timings for one in self.opened)

    def add(
        self, symbol: str, rows: Sequence[RowFact], book: BookFact, opened: Sequence[Opened]
    ) -> frozenset[Breach]:
        """Judges one run and counts it."""
        due = RACES[self.plan.scenario].due
        broken = judge(rows, book, opened, due, index_stands=self.index_stands)
        self.runs += 1
        self.bad += bool(broken)
        self.breaches.update(broken)
        self.ended.update(one.ended for one in opened)
        self.opened.extend(opened)
        self.duplicates += 0 if self.index_stands else overlapping(rows)
        self.unique_violations += sum(one.unique_violation for one in opened)
        self.attention += sum(row.attention and row.open for row in rows)
        if broken and not self.first_bad:
            names = ", ".join(sorted(broken))
            self.first_bad = f"run {self.runs}, {symbol}: {names}; {_told(rows, book, opened)}"
        return broken


async def race(world: RaceWorld, tell: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Runs the plan of a world; `tell` hears of each batch. What was done before an interruption is cleared by the world."""
    plan = world.plan
    tally = Tally(plan, world.database.index_stands)
    chance = random.Random(plan.seed)  # noqa: S311 - repeatable
    began = time.monotonic()
    batch = 0
    while tally.runs < plan.runs:
        batch += 1
        symbols = world.symbols[: plan.runs - tally.runs]
        await _batch(world, tally, symbols, batch, chance)
        tally.seconds = time.monotonic() - began
        tell(tally)
        if plan.duration is not None and tally.seconds >= plan.duration:
            break
    return tally


async def _batch(
    world: RaceWorld, tally: Tally, symbols: Sequence[str], batch: int, chance: random.Random
) -> None:
    exchange: Any = world.plan.exchange
    arena = Arena(
        core=world.core,
        rival=world.rival,
        symbols=symbols,
        random=chance,
        window=world.plan.window,
        exchange=exchange,
        slump=world.slump,
        batch=batch,
    )
    await RACES[world.plan.scenario].run(arena)
    await arena.go_over(world.core.settle)
    rows = await world.database.facts(symbols)
    books = book_facts(world.book, exchange, symbols)
    for symbol in symbols:
        tally.add(symbol, rows[symbol], books[symbol], arena.opened.get(symbol, ()))
    tally.failed_passes.update(arena.failed_passes)
    tally.unique_violations += sum("UniqueViolation" in name for name in arena.failed_passes)
    await world.database.clear(symbols)
    clear(world.book, exchange, symbols)


def _told(rows: Sequence[RowFact], book: BookFact, opened: Sequence[Opened]) -> str:
    """What a run left, in a sentence."""
    table = ", ".join(f"#{row.id} {row.status} {row.quantity.normalize():f}" for row in rows) or "none"
    signals = ", ".join(f"{one.ended}{f' ({one.error})' if one.error else ''}" for one in opened)
    entries = ", ".join(f"{one.normalize():f}" for one in book.entries) or "none"
    return (
        f"rows {table}; the venue holds {book.amount.normalize():f}, covered {book.covered.normalize():f}, "
        f"entries {entries}, closed {book.closed.normalize():f}; signals {signals}"
    )
