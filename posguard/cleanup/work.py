"""What carrying out a plan works with: connections, limits, the record, and what was seen of each venue a moment ago."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.cleanup.planning import decide
from posguard.cleanup.plans import dismissed_in
from posguard.cleanup.unsent import with_orders
from posguard.model.managed import Alert, AlertKind
from posguard.model.plan import LineState
from posguard.model.scope import Scope
from posguard.model.venue import VenueId
from posguard.postgres import managed, plans
from posguard.reconcile.run import observe

if TYPE_CHECKING:
    from posguard.exchange.gateway import Gateway, TradingGateway
    from posguard.model.plan import LeftOut, Line, StoredLine, StoredPlan
    from posguard.postgres.plans import Note
    from posguard.postgres.pool import Database
    from posguard.reconcile.run import Observed
    from posguard.settings import Settings

Checkpoint = Callable[[str], Awaitable[None]]


async def no_checkpoint(_: str) -> None:
    """Nothing is looked at between the steps."""


class LineEndError(Exception):
    """A line ends here, in a state and with a reason."""

    def __init__(self, state: LineState, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class LostError(Exception):
    """Another owner has the line now: whatever is left of it is theirs."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of an application, all of them seconds.

    fresh: how old what was seen of a venue may be where a line is decided again. lease: of a line. settle: after which an order
    that no list shows was certainly never taken (ORD-4: receive window, twice the clock skew, and five seconds). patience: how
    long a venue's answer is waited for. poll: between two looks. attempts: of one order, each only after the one before has
    certainly come to nothing.
    """

    fresh: float = 10.0
    lease: float = 90.0
    settle: float = 15.0
    patience: float = 30.0
    poll: float = 1.0
    attempts: int = 3


@dataclass(frozen=True)
class Seen:
    """What one look at a venue amounts to by the rules of planning, and when it was."""

    observed: Observed
    lines: Mapping[tuple[object, ...], Line]
    left_out: tuple[LeftOut, ...]
    at: float


@dataclass
class Work:
    """One application of one plan by one owner."""

    db: Database
    plan: StoredPlan
    readers: Mapping[VenueId, Gateway]
    traders: Mapping[VenueId, TradingGateway]
    settings: Settings
    actor: str
    owner: str
    pace: Pace = field(default_factory=Pace)
    checkpoint: Checkpoint = no_checkpoint
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    progress: Callable[[str], None] = lambda _: None
    _seen: dict[Scope, Seen] = field(default_factory=dict)

    @property
    def accounts(self) -> dict[str, str]:
        """The account that rows without one belong to, as a pass takes it."""
        named: dict[str, set[str]] = {}
        for venue in self.readers:
            named.setdefault(venue.exchange, set()).add(venue.account)
        return {exchange: next(iter(names)) for exchange, names in named.items() if len(names) == 1}

    async def seen(self, line: Line, *, whole: bool = False) -> Seen:
        """What the rules of planning say of the line's venue now; a look that is fresh enough is used again.

        A line with orders takes longer than a look stays fresh, so that it is looked at alone, which costs a small part of the
        request weight; lines that change rows share a look at the whole venue. whole asks for one that is made anew.
        """
        scope = self._scope(line, alone=bool(line.orders) and not whole)
        found = self._seen.get(scope)
        if not whole and found is not None and time.monotonic() - found.at < self.pace.fresh:
            return found
        self.progress(f"reading {line.key.exchange}")
        asked = [g for v, g in self.readers.items() if v.exchange == line.key.exchange]
        observed = await observe(
            self.db,
            asked,
            self.settings,
            scope=scope,
            progress=self.progress,
            clock=self.clock,
            statistics_too=False,
            narrow=True,
        )
        observed = await with_orders(observed, asked, self.plan.plan.options, progress=self.progress)
        lines, left_out = decide(observed, self.plan.plan.options, await dismissed_in(self.db, observed))
        found = Seen(observed, {one.name: one for one in lines}, left_out, time.monotonic())
        self._seen[scope] = found
        return found

    def _scope(self, line: Line, *, alone: bool) -> Scope:
        """The whole venue, or one symbol of it where the line is looked at alone or all lines there are about that one."""
        if alone:
            return Scope(line.key.exchange, line.key.symbol)
        symbols = {
            one.line.key.symbol for one in self.plan.lines if one.line.key.exchange == line.key.exchange
        }
        asked = self.plan.plan.options.scope.symbol
        return Scope(line.key.exchange, asked or (next(iter(symbols)) if len(symbols) == 1 else ""))

    async def claim(self, one: StoredLine) -> int | None:
        """The line's fencing number, None where another holds it or it has ended."""
        async with self.db.connection() as connection:
            return await plans.claim(
                connection, one.id, owner=self.owner, length=timedelta(seconds=self.pace.lease)
            )

    async def state(self, one: StoredLine) -> LineState:
        """Where the line stands now."""
        async with self.db.connection() as connection:
            return await plans.line_state(connection, one.id)

    async def release(self, one: StoredLine, fencing: int) -> None:
        """Gives the claim back, so that the next run need not wait for the lease."""
        async with self.db.connection() as connection:
            await plans.release(connection, one.id, fencing=fencing)

    async def hold(self, one: StoredLine, fencing: int) -> None:
        """Renews the claim. Raises LostError."""
        async with self.db.connection() as connection:
            mine = await plans.holds(
                connection,
                one.id,
                owner=self.owner,
                fencing=fencing,
                length=timedelta(seconds=self.pace.lease),
            )
        if not mine:
            raise LostError

    async def end(
        self, connection: Any, one: StoredLine, fencing: int, state: LineState, reason: str
    ) -> None:
        """The line's end with its place in the record, in the caller's transaction. Raises LostError.

        In the same transaction alerts what is unresolved, and what failed after an order of it may have reached the venue.
        """
        if not await plans.set_line(connection, one.id, state, fencing=fencing, reason=reason):
            raise LostError
        if state is not LineState.DONE:
            await self.note(connection, plans.Note(state.value, one.id, detail={"reason": reason}))
        if state is LineState.UNRESOLVED:
            await self.alert(connection, one, AlertKind.CLEANUP_UNRESOLVED, reason)
        if state is LineState.FAILED and await plans.anything_sent(connection, one.id):
            await self.alert(connection, one, AlertKind.CLEANUP_FAILED, reason)

    async def note(self, connection: Any, said: Note) -> None:
        """Adds a step to the record."""
        await plans.note(connection, self.plan.id, self.actor, said)

    async def alert(self, connection: Any, one: StoredLine, kind: AlertKind, reason: str) -> None:
        """Tells whoever is on call; the same thing once."""
        line = one.line
        await managed.tell(
            connection,
            Alert(
                key=f"{kind}:{self.plan.code}:{one.number}",
                severity="critical",
                kind=kind,
                position_id=line.row.id if line.row else None,
                text=f"cleanup {self.plan.code}, line {one.number}, {line.key}: {reason}",
            ),
        )

    async def pause(self, seconds: float | None = None) -> None:
        """Waits between two looks."""
        await asyncio.sleep(self.pace.poll if seconds is None else seconds)
