"""One symbol, one core, time that takes no time: where a rule is put to the test by itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

from posguard.postgres.pool import Database
from posguard.trading import CoreSettings, TradingCore, before_send
from tests.reliability.harness.faults import FaultyVenue, QuickClock
from tests.reliability.harness.scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SYMBOL = "TESTUSDT"
# The guard over all open statuses, and the bot's own over `active`.
_GUARDS = ("posguard_one_open_position", "idx_unique_active_position")
_INDEX = "SELECT pg_get_indexdef(('monitoring.' || %s)::regclass) AS text"


@dataclass
class Lab:
    """Everything anew after `reset`."""

    scene: Scene
    database: Database

    def __post_init__(self) -> None:
        self._undo: list[str] = []
        self._indexes = [self.scene.rows(_INDEX, name)[0]["text"] for name in _GUARDS]
        self.reset()

    def reset(self) -> None:
        """Empty tables with all their guards, an empty book, a new clock."""
        self.scene.forget()
        while self._undo:
            self.do(self._undo.pop())
        self.no_index()
        for text in self._indexes:
            self.do(text)
        self.do("ALTER TABLE monitoring.positions ENABLE TRIGGER ALL")
        self.do("UPDATE posguard.kill_switch SET engaged = false, reason = ''")
        self.clock = QuickClock()
        self.settings = CoreSettings(clock=self.clock)
        self.venue = FaultyVenue(self.scene.simulator.book, clock=self.clock, before_send=before_send)

    def core(self, **values: Any) -> TradingCore:
        """A core on the venue that answers badly on demand."""
        return TradingCore(self.database, [self.venue], self.settings, **values)

    def do(self, statement: str, *parameters: Any) -> None:
        """Changes something behind the core's back."""
        with psycopg.connect(self.scene.dsn, autocommit=True) as link:
            link.execute(statement, parameters or None)

    def no_index(self) -> None:
        """Layer 2 and the bot's own index are gone until the next reset; what repeats the predicate has to be patched out too."""
        for name in _GUARDS:
            self.do(f"DROP INDEX IF EXISTS monitoring.{name}")

    def alter(self, statement: str, back: str) -> None:
        """A change of the database itself, taken back at the next reset."""
        self.do(statement)
        self._undo.append(back)

    def redefine(self, function: str, old: str, new: str) -> None:
        """A function of the database with a part of its text replaced, until the next reset."""
        text = self.scene.rows("SELECT pg_get_functiondef(%s::regproc) AS text", function)[0]["text"]
        assert old in text, f"{function} has no {old}"
        self.alter(text.replace(old, new), text)

    def row(self, number: int | None = None) -> dict[str, Any]:
        """A row, the last one by default."""
        rows = self.scene.rows("SELECT * FROM monitoring.positions ORDER BY id")
        return next(row for row in rows if row["id"] == number) if number else rows[-1]

    def leases_run_out(self) -> None:
        """Whoever held a lease died long ago."""
        self.clock.pass_by(60)
        self.do("UPDATE monitoring.positions SET lease_until = lease_until - interval '1 minute'")

    async def settled(self) -> list[str]:
        """What is broken once the leases ran out and one pass of each kind went over it."""
        self.leases_run_out()
        core = self.core(owner="the next one")
        await core.recover()
        await core.synchronise()
        return [*self.scene.broken(), *self.scene.gaps_tell()]

    @property
    def held(self) -> Any:
        """What the venue holds, signed."""
        return self.scene.books()[SYMBOL].amount


@asynccontextmanager
async def lab_of(dsn: str) -> AsyncIterator[Lab]:
    """A lab on a database whose bot's tables carry the upgrade."""
    async with await Database.open(SecretStr(dsn), size=4) as database:
        lab = Lab(Scene.of(dsn, 1), database)
        try:
            yield lab
        finally:
            lab.reset()
