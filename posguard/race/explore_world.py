"""Where schedules are run: a server of the explorer's own, and lanes on it, each with a database and a venue to itself."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Self

import asyncpg
from pydantic import SecretStr

from posguard.errors import PosguardBugError
from posguard.model.venue import VenueId
from posguard.postgres.embedded import EmbeddedServer
from posguard.race.actors import Actor
from posguard.race.books import book_facts, clear
from posguard.race.cores import Tables, Whole
from posguard.race.database import RaceDatabase
from posguard.race.explore_actors import (
    SYMBOL,
    Cast,
    Part,
    Setting,
    ageing,
    check_parts,
    core_for,
    gate_of,
    stand,
    tables_of,
    told_by,
    work_of,
)
from posguard.race.gates import ActorPool
from posguard.race.judge import Breach, Due, RowFact, judge
from posguard.race.queries import queries
from posguard.race.signal import Ended, Opened
from posguard.race.stage import Stage, Trace
from posguard.race.venue import InProcessVenue
from posguard.race.world import simulator_gateway
from posguard.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from posguard.race.judge import BookFact
    from posguard.race.schedules import Chooser

_FALLEN = Decimal("0.93")
_DISTURBING = frozenset({Part.CLEANUP, Part.RECOVERY, Part.CLOSE, Part.APPLY})
_ROUNDS = 8
_TIDY_EVERY = 400
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
    "deadlock_timeout": "50ms",
}


@dataclass(frozen=True, slots=True)
class Play:
    """What is explored: a core on a cast, at which exchange, by HTTP or inside the process."""

    core: str
    cast: Cast
    exchange: str = "binance"
    http: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule came to. broken: the invariants that did not hold once all was quiet; told: in words."""

    trace: Trace
    broken: frozenset[Breach] = field(default_factory=frozenset)
    told: str = ""


@asynccontextmanager
async def own_lanes() -> AsyncIterator[Lanes]:
    """Lanes on a server of their own."""
    async with explore_server() as server, Lanes(server.dsn("postgres")) as made:
        yield made


@asynccontextmanager
async def explore_server() -> AsyncIterator[EmbeddedServer]:
    """A server without fsync or autovacuum, gone at the end: locks and visibility are those of any other."""
    folder = Path(mkdtemp(prefix="posguard-explore-"))
    server: EmbeddedServer | None = None
    try:
        server = await asyncio.to_thread(EmbeddedServer.start, folder, options=_OPTIONS)
        yield server
    finally:
        if server is not None:
            await asyncio.to_thread(server.remove)
        shutil.rmtree(folder, ignore_errors=True)


class Lanes:
    """Databases for lanes, copied from one template for each state of the tables; those it made are gone at the end.

    `templates` names databases of the server that have such tables and no rows.
    """

    def __init__(self, server_dsn: str, templates: Mapping[Tables, str] | None = None) -> None:
        self._base = server_dsn.rpartition("/")[0]
        self._admin: Any = None
        self._made: list[str] = []
        self._templates = dict(templates or {})

    async def __aenter__(self) -> Self:
        self._admin = await asyncpg.connect(f"{self._base}/postgres")
        return self

    async def __aexit__(self, *_error: object) -> None:
        for name in self._made:
            await self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await self._admin.close()

    async def database(self, tables: Tables) -> str:
        """The address of a fresh database with these tables."""
        if tables not in self._templates:
            name = await self._create()
            made = await RaceDatabase.open(SecretStr(f"{self._base}/{name}"), size=4)
            await made.prepare(tables)
            await made.close()
            self._templates[tables] = name
        return f"{self._base}/{await self._create(self._templates[tables])}"

    async def _create(self, template: str = "template1") -> str:
        name = f"explore_{uuid.uuid4().hex[:12]}"
        await self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._made.append(name)
        return name


class Lane:
    """Runs schedules of one play, one after the other, each from the same beginning."""

    def __init__(self, play: Play, dsn: str) -> None:
        self.play = play
        self._dsn = dsn
        self._tables = tables_of(play.core)
        self._sql = queries("explore")
        self._actors = [Actor(name) for name in play.cast.names]
        self._settler = Actor("settler")
        self._pools = {actor.name: ActorPool(dsn, actor, f"explore {actor.name}") for actor in self._everyone}
        self._admin: Any = None
        self._simulator = Simulator(seed=1)
        self._venue: Any = None
        self._runs = 0

    @property
    def _everyone(self) -> list[Actor]:
        return [*self._actors, self._settler]

    @property
    def _suffix(self) -> str:
        return "upgraded" if self._tables is Tables.UPGRADED else "old"

    async def __aenter__(self) -> Self:
        self._admin = await asyncpg.connect(self._dsn)
        gate = gate_of(self.play.core)
        if self.play.http:
            await self._simulator.start()
            self._venue = simulator_gateway(self.play.exchange, self._simulator.base_url, gate)
            await self._venue.market(SYMBOL)  # what is fetched once is no step
        else:
            self._venue = InProcessVenue(self._simulator.book, VenueId(self.play.exchange), before_send=gate)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for pool in self._pools.values():
            await pool.close()
        self._admin.terminate()
        await self._venue.close()
        await self._simulator.stop()

    async def run(self, chooser: Chooser) -> Outcome:
        """One schedule from the beginning to quiet, judged. One that the chooser broke off is not judged."""
        await self._reset()
        standing = await self._stand()
        works = {}
        for part, actor in zip(self.play.cast.parts, self._actors, strict=True):
            pool = self._pools[actor.name]
            core = await self._core(actor)
            age = ageing(actor, pool, self._age, [one for one in self._actors if one is not actor])
            works[actor.name] = work_of(part, actor.name, core, Setting(self.play.exchange, standing, age))
        async with asyncio.timeout(120):
            trace = await Stage(self._actors, _Watch(self._admin, self._actors)).run(works, chooser)
        if not trace.complete:
            return Outcome(trace)
        rows, book = await self._settle()
        return self._judged(trace, rows, book)

    @property
    def _age(self) -> str:
        name = "age" if self._tables is Tables.UPGRADED else "age_nothing"
        return str(getattr(self._sql, name).sql)

    async def _core(self, actor: Actor) -> Whole:
        return await core_for(self.play.core, actor, self._pools[actor.name], self._venue, self._dsn)

    async def _reset(self) -> None:
        for actor in self._everyone:
            await self._pools[actor.name].settle()
            actor.forget()
        await self._admin.execute(getattr(self._sql, f"clear_{self._suffix}").sql)
        self._runs += 1
        if self._runs % _TIDY_EVERY == 0:
            await self._admin.execute(getattr(self._sql, f"tidy_{self._suffix}").sql)
        exchange: Any = self.play.exchange
        clear(self._simulator.book, exchange, [SYMBOL])
        if not self.play.http:
            self._venue.slumps.clear()

    async def _stand(self) -> int | None:
        """Before anybody begins: the position that some parts need, then the price that is to fall."""
        core = await self._core(self._settler)
        check_parts(self.play.cast, core, self.play.core)
        standing = await stand(core, self.play.exchange) if self.play.cast.stands else None
        if self.play.cast.slump and not self.play.http:
            self._venue.slumps[SYMBOL] = _FALLEN
        return standing

    async def _settle(self) -> tuple[list[RowFact], BookFact]:
        """After lease and T: recovery and synchroniser, until a round changes nothing."""
        core = await self._core(self._settler)
        state = await self._state()
        for _ in range(_ROUNDS):
            await self._admin.execute(self._age)
            await core.recover()
            await core.synchronise()
            before, state = state, await self._state()
            if state == before:
                break
        return [fact for _, fact in state[0]], state[1]

    async def _state(self) -> tuple[tuple[tuple[str, RowFact], ...], BookFact]:
        found = await self._admin.fetch(getattr(self._sql, f"rows_{self._suffix}").sql)
        exchange: Any = self.play.exchange
        book = book_facts(self._simulator.book, exchange, [SYMBOL])[SYMBOL]
        return tuple((row["digest"], _fact(row)) for row in found), book

    def _judged(self, trace: Trace, rows: Sequence[RowFact], book: BookFact) -> Outcome:
        parts = dict(zip(self.play.cast.names, self.play.cast.parts, strict=True))
        told = {actor.name: told_by(parts[actor.name], actor) for actor in self._actors}
        opened = [one for one in told.values() if one is not None]
        due = due_of(self.play.cast, rows, told, crashed=any(actor.dead for actor in self._actors))
        broken = judge(rows, book, opened, due, index_stands=self._tables is Tables.UPGRADED)
        if trace.deadlock:
            broken |= {Breach.RAISED}
        return Outcome(trace, broken, _words(rows, book, told) if broken else "")


def due_of(cast: Cast, rows: Sequence[RowFact], told: dict[str, Opened | None], *, crashed: bool) -> Due:
    """What is legitimate: an entry for each signal that was not told otherwise, and closing what rows say was closed.

    Where nobody died, no time passed and nobody closes or cleans up, nothing is to be closed, and one signal has to open where
    no position stood before.
    """
    signals = sum(part is Part.SIGNAL for part in cast.parts) + cast.stands
    without = sum(one is not None and one.ended in {Ended.EXISTING, Ended.FAILED} for one in told.values())
    undisturbed = not crashed and not cast.slump and not _DISTURBING & set(cast.parts)
    given_up = sum((row.quantity for row in rows if row.status in {"rolled_back", "closed"}), Decimal(0))
    opens = undisturbed and not cast.stands
    return Due(signals - without, Decimal(0) if undisturbed else given_up, opens=opens)


def _fact(row: Any) -> RowFact:
    fact = RowFact(row["id"], row["status"], row["quantity"], row["began"], row["changed"], row["attention"])
    if fact.open:
        return RowFact(fact.id, fact.status, fact.quantity, fact.began, None, fact.attention)
    return fact


def _words(rows: Sequence[RowFact], book: BookFact, told: dict[str, Opened | None]) -> str:
    first = min((row.id for row in rows), default=0)
    said = "; ".join(
        f"row {row.id - first + 1} {row.status} {row.quantity}{' flagged' if row.attention else ''}"
        for row in rows
    )
    callers = "; ".join(
        f"{name} was told {one.ended}{f' ({one.error})' if one.error else ''}"
        for name, one in told.items()
        if one is not None
    )
    entries = "+".join(str(one) for one in book.entries) or "nothing"
    venue = f"venue holds {book.amount}, stops cover {book.covered}, bought {entries}, closed {book.closed}"
    return ". ".join(filter(None, (said or "no row", venue, callers)))


class _Watch:
    """Asks the server who waits for whom."""

    def __init__(self, admin: Any, actors: Sequence[Actor]) -> None:
        self._admin = admin
        self._actors = actors
        self._sql = queries("explore")

    def _connections(self) -> list[tuple[Actor, Any]]:
        return [(actor, one) for actor in self._actors for one in actor.connections if not one.is_closed()]

    def may_wait(self, actor: Actor) -> bool:
        """Whether any other connection has something open."""
        return any(one.in_the_way for _, one in self._connections() if one is not actor.current)

    async def blockers(self, actor: Actor) -> frozenset[str]:
        """The actors whose connections hold what this actor's statement waits for."""
        if actor.current is None:
            return frozenset()
        found = await self._sql.blockers(self._admin, pid=actor.current.get_server_pid())
        pids = set(found["pids"])
        return frozenset(one.name for one, link in self._connections() if link.get_server_pid() in pids)

    async def cut(self, actor: Actor) -> None:
        """Ends the connections of a dead actor."""
        for _, link in [pair for pair in self._connections() if pair[0] is actor]:
            if not await self._sql.cut(self._admin, pid=link.get_server_pid()):
                raise PosguardBugError("A connection of a dead actor did not end.")
            link.terminate()
