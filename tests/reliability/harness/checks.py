"""One check for each layer and rule: what it finds is a list of sentences, empty where the rule is kept."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg

from posguard.model.managed import client_id
from posguard.model.position import PositionKey, PositionSide, Status
from posguard.model.transitions import Origin
from posguard.postgres import managed
from posguard.simulator import orders
from posguard.trading import Result, TradingCore
from tests.reliability.harness.lab import SYMBOL, Lab
from tests.reliability.harness.scene import ONE, request
from tests.reliability.harness.wave import OwnerDied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

KEY = PositionKey("binance", "main", SYMBOL, PositionSide.BOTH)
_WAITING = """
    SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"""
_BY_HAND = """
    INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)
    VALUES ('TESTUSDT', 'binance', 'long', {quantity}, 1, '{status}')"""


async def nothing(*_args: Any, **_named: Any) -> None:
    """Takes a step's place."""


async def nobody(*_args: Any, **_named: Any) -> managed.Standing:
    """Nothing stands in the way."""
    return managed.Standing(None, None, engaged=False, switch_reason="")


def at(name: str, work: Callable[[], Any]) -> Callable[[str], Awaitable[None]]:
    """A checkpoint at which something happens, once."""
    done: list[str] = []

    async def checkpoint(reached: str) -> None:
        if reached == name and not done:
            done.append(reached)
            work()

    return checkpoint


def die() -> None:
    """The owner's end."""
    raise OwnerDied


def unless(true: object, said: str) -> list[str]:
    """The sentence where it is not so."""
    return [] if true else [said]


# -- layers


async def lock(lab: Lab, _monkeypatch: Any) -> list[str]:
    async with lab.database.transaction() as first:
        await managed.take_lock(first, KEY) if managed.take_lock is not nothing else await first.execute(
            "SELECT pg_advisory_xact_lock($1)", managed.lock_key(KEY)
        )
        second = asyncio.create_task(lab.core().open(request(SYMBOL)))
        while not second.done() and not lab.scene.rows(_WAITING):  # noqa: ASYNC110 - the server tells no event
            await asyncio.sleep(0.01)
        found = unless(not second.done(), "a create went past a lock that is held")
    await second
    return found


async def lock_key(_lab: Lab, _monkeypatch: Any) -> list[str]:
    program = (
        "from posguard.postgres.managed import lock_key; from posguard.model.position import PositionKey;"
        "print(lock_key(PositionKey('binance', 'main', 'TESTUSDT')))"
    )
    said = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return unless(int(said.stdout) == managed.lock_key(KEY), "two processes lock different things")


async def wide_check(lab: Lab, monkeypatch: Any) -> list[str]:
    lab.do(_BY_HAND.format(quantity=1, status="unresolved"))
    monkeypatch.setattr(managed, "give_birth", nothing)
    opened = await lab.core().open(request(SYMBOL))
    return unless(opened.result is Result.EXISTING, f"an open row was not seen: {opened}")


async def unique_index(lab: Lab, monkeypatch: Any) -> list[str]:
    lab.do(_BY_HAND.format(quantity=1, status="unresolved"))
    monkeypatch.setattr(managed, "take_lock", nothing)
    real, calls = managed.standing, []

    async def late(*args: Any) -> managed.Standing:
        calls.append(args)
        return await (nobody() if len(calls) == 1 else real(*args))

    monkeypatch.setattr(managed, "standing", late)
    opened = await lab.core().open(request(SYMBOL))
    return unless(opened.result is Result.EXISTING and not lab.venue.sent, f"a second row was made: {opened}")


async def safe_activation(lab: Lab, _monkeypatch: Any) -> list[str]:
    def rival() -> None:
        lab.no_index()
        lab.do(_BY_HAND.format(quantity=ONE, status="active"))

    opened = await lab.core(checkpoint=at("before active", rival)).open(request(SYMBOL))
    return unless(opened.result is Result.ROLLED_BACK, f"two rows of one key are active: {opened}")


async def _half_way(lab: Lab, where: str) -> Any:
    try:
        await lab.core(checkpoint=at(where, die)).open(request(SYMBOL))
    except OwnerDied:
        async with lab.database.connection() as connection:
            return await managed.read_row(connection, lab.row()["id"])
    raise AssertionError(where)


async def _advance(lab: Lab, before: Any, **changes: Any) -> Any:
    async with lab.database.connection() as connection:
        return await managed.advance(
            connection, before, before.but(**changes), reason="a test", actor="a test",
            origin=Origin.MANUAL, lease=lab.settings.lease, keeps=True, unprotected=True,
        )  # fmt: skip


async def version(lab: Lab, _monkeypatch: Any) -> list[str]:
    before = await _half_way(lab, "after entry_placed")
    first = await _advance(lab, before, quantity=before.quantity - 1)
    second = await _advance(lab, before, quantity=before.quantity - 2)
    return unless(first is not None and second is None, "the second of two changes of one row came through")


async def fencing(lab: Lab, _monkeypatch: Any) -> list[str]:
    before = await _half_way(lab, "after entry_placed")
    lab.do("UPDATE monitoring.positions SET fencing = fencing + 1, lease_owner = 'another'")
    late = await _advance(lab, before, status=Status.PENDING_SL)
    return unless(late is None, "an owner whose row was taken over changed it")


async def status(lab: Lab, _monkeypatch: Any) -> list[str]:
    before = await _half_way(lab, "after entry_placed")
    lab.do("ALTER TABLE monitoring.positions DISABLE TRIGGER ALL")
    lab.do("UPDATE monitoring.positions SET status = 'closing'")
    lab.do("ALTER TABLE monitoring.positions ENABLE TRIGGER ALL")
    late = await _advance(lab, before, status=Status.PENDING_SL)
    return unless(late is None, "a row was changed that had another status by then")


# -- the database's rules


async def recorded(lab: Lab, _monkeypatch: Any) -> list[str]:
    await lab.core().open(request(SYMBOL))
    return lab.scene.broken()


async def edges(lab: Lab, _monkeypatch: Any) -> list[str]:
    await lab.core().open(request(SYMBOL))
    try:
        lab.do("UPDATE monitoring.positions SET status = 'submitting'")
    except psycopg.Error:
        return []
    return ["an active row went back to submitting"]


async def lease_before_signing(lab: Lab, _monkeypatch: Any) -> list[str]:
    asleep = at("before send entry", lambda: lab.clock.pass_by(60))
    await lab.core(checkpoint=asleep).open(request(SYMBOL))
    return unless(not lab.venue.sent, "an owner whose lease was over sent an order")


async def takeover_waits(lab: Lab, _monkeypatch: Any) -> list[str]:
    before = await _half_way(lab, "after submitting")
    await lab.core(owner="too early").recover()
    return unless(lab.row()["fencing"] == before.fencing, "a row was taken over within lease and T")


class Counting:
    """A database that knows how many of its connections are in use."""

    def __init__(self, database: Any) -> None:
        self.database, self.used = database, 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self.database.connection() as connection:
            self.used += 1
            try:
                yield connection
            finally:
                self.used -= 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self.database.transaction() as connection:
            self.used += 1
            try:
                yield connection
            finally:
                self.used -= 1


async def nothing_held_across_requests(lab: Lab, _monkeypatch: Any) -> list[str]:
    counting, most = Counting(lab.database), 0

    async def request_goes_out() -> None:
        nonlocal most
        most = max(most, counting.used)

    lab.venue._latency = request_goes_out
    await TradingCore(counting, [lab.venue], lab.settings).open(request(SYMBOL))
    return unless(most == 0, "a connection was held while the venue was asked")


# -- the orders' rules


async def submitting_first(lab: Lab, _monkeypatch: Any) -> list[str]:
    seen = []

    def look() -> None:
        seen.append(lab.row()["status"])
        raise OwnerDied

    with suppress(OwnerDied):
        await lab.core(checkpoint=at("before send entry", look)).open(request(SYMBOL))
    return unless(seen == ["submitting"], f"an entry goes out while the row is {seen}")


async def unanswered_entry(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.mood.sends = ["unanswered"]
    await lab.core().open(request(SYMBOL))
    return await lab.settled()


async def late_entry(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.mood.sends = ["late"]
    await lab.core().open(request(SYMBOL))
    return await lab.settled()


async def entry_sent_once(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.mood.sends = ["lost"]
    await lab.core().open(request(SYMBOL, "once"))
    times = lab.venue.sent.count(client_id("once", "e", 1))
    return unless(times == 1, f"the entry was sent {times} times")


async def looked_up_first(lab: Lab, _monkeypatch: Any) -> list[str]:
    """A market order that was filled frees its client id: the venue would take the same one once more."""
    lab.venue.mood.sends = ["unanswered"]
    await lab.core().open(request(SYMBOL))
    bought = lab.scene.books()[SYMBOL].entries
    return unless(bought == (ONE,), f"after an answer that was lost the venue sold {bought}")


async def looked_up_by_a_successor(lab: Lab, _monkeypatch: Any) -> list[str]:
    await _half_way(lab, "after send entry")
    found = await lab.settled()
    bought = lab.scene.books()[SYMBOL].entries
    return [*found, *unless(bought == (ONE,), f"whoever took the row over bought again: {bought}")]


async def partial_fill(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.mood.fill = Decimal("0.4")
    await lab.core().open(request(SYMBOL))
    return lab.scene.broken()


async def refused_stop(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.slumps[SYMBOL] = Decimal("0.9")
    opened = await lab.core().open(request(SYMBOL))
    lab.venue.slumps.clear()
    found = [*lab.scene.broken(), *unless(opened.result is Result.ROLLED_BACK, f"{opened}")]
    lab.scene.simulator.book.market("binance", SYMBOL).last = Decimal(1)
    return found


async def roll_back_of_our_own(lab: Lab, _monkeypatch: Any) -> list[str]:
    opened = await lab.core().open(request(SYMBOL))
    lab.no_index()
    lab.do(_BY_HAND.format(quantity=10, status="active"))
    book = lab.scene.simulator.book
    book.set_position(book.account("binance"), SYMBOL, ONE + 10, Decimal(1))
    await lab.core().rollback(opened.position_id or 0, "a test")
    return unless(lab.held == 10, f"the rival owns 10, {lab.held} is left")


async def moved_stop(lab: Lab, _monkeypatch: Any) -> list[str]:
    opened = await lab.core().open(request(SYMBOL))
    bare = []

    async def look() -> None:
        fact = lab.scene.books()[SYMBOL]
        if fact.covered < abs(fact.amount):
            bare.append(fact)

    lab.venue._latency = look
    moved = await lab.core().move_stop(opened.position_id or 0, Decimal("0.97"))
    return [*unless(moved.stop_price == Decimal("0.97"), f"{moved}"), *(f"bare: {fact}" for fact in bare)]


async def cancelled_caller(lab: Lab, _monkeypatch: Any) -> list[str]:
    core = lab.core(checkpoint=at("after send entry", lambda: caller.cancel("enough")))
    caller = asyncio.create_task(core.open(request(SYMBOL)))
    await asyncio.wait([caller])
    await core.finish()
    return lab.scene.broken()


async def somebody_is_told(lab: Lab, _monkeypatch: Any) -> list[str]:
    lab.venue.mood.sends, lab.venue.mood.looks = ["lost"], [True] * 1000
    opened = await lab.core().open(request(SYMBOL))
    return [*unless(opened.result is Result.UNRESOLVED, f"{opened}"),
            *(text for text in lab.scene.broken() if "told" in text)]  # fmt: skip


async def adopted(lab: Lab, _monkeypatch: Any) -> list[str]:
    book = lab.scene.simulator.book
    book.set_position(book.account("binance"), SYMBOL, Decimal("7.5"), Decimal(1))
    await lab.core().synchronise()
    return lab.scene.broken()


async def gap_on_record(lab: Lab, _monkeypatch: Any) -> list[str]:
    await lab.core().open(request(SYMBOL))
    return lab.scene.gaps_tell()


async def second_gap(lab: Lab, _monkeypatch: Any) -> list[str]:
    """Somebody takes the stop away, and the synchroniser puts another one there: that is a gap too, from the venue's time on."""
    await lab.core().open(request(SYMBOL))
    book = lab.scene.simulator.book
    account = book.account("binance")
    (stop,) = account.open_orders.values()
    orders.cancel(book, account, stop)
    await lab.core().synchronise()
    times = len(lab.scene.uncovered(SYMBOL))
    return [
        *unless(times in {1, 2}, f"{times} times without a stop"),
        *lab.scene.gaps_tell(),
        *lab.scene.broken(),
    ]


async def asked_again(lab: Lab, _monkeypatch: Any) -> list[str]:
    opened = await lab.core().open(request(SYMBOL, "again"))
    await lab.core().close(opened.position_id or 0, "a test")
    sent = len(lab.venue.sent)
    told = await lab.core().open(request(SYMBOL, "again"))
    same = (told.result, told.position_id, told.repeated) == (Result.CLOSED, opened.position_id, True)
    return unless(same and len(lab.venue.sent) == sent, f"a known key was told {told}")


async def kill_switch(lab: Lab, _monkeypatch: Any) -> list[str]:
    core = lab.core(checkpoint=at("before send entry", lambda: setattr(core._ports.switch, "engaged", True)))
    opened = await core.open(request(SYMBOL))
    return unless(not lab.venue.sent, f"something was sent past the kill switch: {opened}")


async def kill_switch_of_another(lab: Lab, _monkeypatch: Any) -> list[str]:
    await lab.core().stop_all("a test")
    opened = await lab.core().open(request(SYMBOL))
    return unless(opened.result is Result.REFUSED and not lab.venue.sent, f"it was not heeded: {opened}")
