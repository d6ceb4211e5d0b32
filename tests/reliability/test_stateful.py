"""Any sequence of calls, faults, deaths and prices: the database and the venue's book agree with each other and with a model."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg.rows import dict_row

from posguard.errors import DatabaseUnavailableError
from posguard.model.managed import client_id
from posguard.model.position import Side, is_open
from posguard.postgres.pool import Database
from posguard.simulator import prices
from posguard.trading import CoreSettings, Result, TradingCore, before_send
from posguard.trading.driver import Driver
from tests.reliability.conftest import SEED
from tests.reliability.harness.faults import BreakingDatabase, FaultyVenue, Mood, QuickClock
from tests.reliability.harness.scene import Scene, request
from tests.reliability.harness.wave import OwnerDied

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.postgres
symbols = st.integers(0, 2)
moods = st.builds(
    Mood,
    sends=st.lists(st.sampled_from(["", "", "lost", "unanswered", "late", "refused"]), max_size=3),
    looks=st.lists(st.booleans(), max_size=3),
    fill=st.sampled_from([None, None, None, Decimal("0.4"), Decimal(0)]),
)
fates = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.just("dies"), st.integers(1, 24)),
    st.tuples(st.just("cancelled"), st.integers(1, 24)),
    st.tuples(st.just("breaks"), st.integers(1, 9)),
    st.tuples(st.just("unheard"), st.integers(1, 9)),
)
picks = st.integers(0, 99)
triggers = st.sampled_from(["0.97", "0.9", "1.03", "1.1"])


class Bench:
    """What all examples share: a loop, a pool, a counter of calls."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.runner = asyncio.Runner()
        self.database = self.run(Database.open(dsn, size=4))
        self.link = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self.scene = Scene.of(dsn, 3)
        self.calls: Counter[str] = Counter()
        self.numbers = itertools.count(1)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine comes to."""
        return self.runner.run(work)

    def close(self) -> None:
        """Gives everything back."""
        self.run(self.database.close())
        self.link.close()
        self.runner.close()


class CoreMachine(RuleBasedStateMachine):
    """Drives cores on one venue. The model: which keys were asked for, what was told of them, which rows had ended."""

    bench: Bench

    @initialize(careful=st.booleans())
    def begin(self, careful: bool) -> None:
        self.scene = self.bench.scene
        self.scene.forget()
        for symbol in self.scene.symbols:
            prices.set_price(self.scene.simulator.book, "binance", symbol, Decimal(1))
        self.bench.link.execute("UPDATE posguard.kill_switch SET engaged = false, reason = ''")
        self.clock = QuickClock()
        self.settings = CoreSettings(
            clock=self.clock, patience=timedelta(seconds=20), refuses_external=careful
        )
        book = self.scene.simulator.book
        self.venue = FaultyVenue(book, clock=self.clock, before_send=before_send)
        self.database = BreakingDatabase(self.bench.database)
        self.asked: dict[str, str] = {}
        self.ended: dict[int, str] = {}
        self.switched = False
        self.by_hand: set[str] = set()

    # -- doing

    def do(
        self, name: str, work: Callable[[TradingCore], Coroutine[Any, Any, Any]], mood: Mood, fate: Any
    ) -> Any:
        """One call of a core of its own, under a mood of the venue and a fate; None where its caller hears nothing."""
        self.bench.calls[name] += 1
        self.venue.mood = Mood(list(mood.sends), list(mood.looks), mood.fill)
        what, turn = fate or ("", 0)
        if what in {"breaks", "unheard"}:
            self.database.break_at(turn, after=what == "unheard")
        try:
            return self.bench.run(self._call(work, what, turn))
        finally:
            self.venue.mood = Mood()
            self.database.countdown = None

    async def _call(
        self, work: Callable[[TradingCore], Coroutine[Any, Any, Any]], what: str, turn: int
    ) -> Any:
        met = 0

        async def checkpoint(_name: str) -> None:
            nonlocal met
            met += 1
            if met == turn and what == "dies":
                raise OwnerDied
            if met == turn and what == "cancelled":
                raise asyncio.CancelledError

        owner = f"core-{next(self.bench.numbers)}"
        core = TradingCore(self.database, [self.venue], self.settings, owner=owner, checkpoint=checkpoint)
        try:
            return await work(core)
        except (OwnerDied, asyncio.CancelledError, DatabaseUnavailableError):
            return None
        finally:
            await core.finish()

    def rows(self, query: str = "SELECT * FROM monitoring.positions ORDER BY id") -> list[dict[str, Any]]:
        """What a query returns."""
        return self.bench.link.execute(query).fetchall()

    def one_of(self, pick: int) -> int | None:
        """The id of some row, an open one where there is any."""
        rows = self.rows()
        found = [row for row in rows if is_open(row["status"])] or rows
        return found[pick % len(found)]["id"] if found else None

    def held(self, symbol: str) -> Decimal:
        """What the venue holds."""
        found = self.scene.simulator.book.position(self.scene.simulator.book.account("binance"), symbol)
        return found.amount if found else Decimal(0)

    def owned(self, symbol: str) -> bool:
        """Whether an open row has the symbol."""
        return any(row["symbol"] == symbol and is_open(row["status"]) for row in self.rows())

    def somebody_elses(self, symbol: str) -> bool:
        """Whether the venue holds what was traded by hand and no open row owns, until the synchroniser has adopted it."""
        return symbol in self.by_hand and bool(self.held(symbol)) and not self.owned(symbol)

    # -- calls

    @rule(symbol=symbols, short=st.booleans(), mood=moods, fate=fates)
    def open(self, symbol: int, short: bool, mood: Mood, fate: Any) -> None:
        self._open(symbol, mood, fate, short=short)

    def _open(self, symbol: int, mood: Mood, fate: Any, *, short: bool) -> None:
        name = self.scene.symbols[symbol]
        external = self.somebody_elses(name)
        if external and not self.settings.refuses_external:
            return  # what it would buy there nobody could tell apart
        asked = request(name, side=Side.SHORT if short else Side.LONG)
        self.asked[asked.request_key] = name
        held = [r["id"] for r in self.rows() if r["symbol"] == name and is_open(r["status"])]
        told = self.do("open", lambda core: core.open(asked), mood, fate)
        if told is None:
            return
        if external:
            assert told.result in {Result.REFUSED, Result.PENDING}, told
            assert told.position_id is None
        if told.result is Result.ACTIVE:
            assert not held, "one open row for each key"
            assert not self.switched, "nothing is sent while the kill switch is engaged"
        if told.result is Result.EXISTING:
            assert told.position_id in held
        if held:
            assert told.result in {Result.EXISTING, Result.REFUSED, Result.PENDING}, told

    @rule(pick=picks, mood=moods, fate=fates)
    def ask_again(self, pick: int, mood: Mood, fate: Any) -> None:
        if not self.asked:
            return
        key = sorted(self.asked)[pick % len(self.asked)]
        if self.somebody_elses(self.asked[key]) and not self.settings.refuses_external:
            return
        before = [r for r in self.rows() if r["request_key"] == key]
        sent = len(self.venue.sent)
        told = self.do("ask again", lambda core: core.open(request(self.asked[key], key)), mood, fate)
        if before:
            assert len(self.venue.sent) == sent, "a known key sends nothing"
            if told is not None and told.result is not Result.PENDING:
                assert told.position_id == before[0]["id"]

    @rule(symbol=symbols, mood=moods, fate=fates)
    def open_long(self, symbol: int, mood: Mood, fate: Any) -> None:
        self._open(symbol, mood, fate, short=False)

    @rule(
        pick=picks,
        what=st.sampled_from(["close", "rollback", "move_stop"]),
        trigger=triggers,
        mood=moods,
        fate=fates,
    )
    def work_on_a_row(self, pick: int, what: str, trigger: str, mood: Mood, fate: Any) -> None:
        if (number := self.one_of(pick)) is None:
            return
        argument: Any = Decimal(trigger) if what == "move_stop" else "a test"
        self.do(what, lambda core: getattr(core, what)(number, argument), mood, fate)

    @rule(what=st.sampled_from(["recover", "synchronise"]), mood=moods, fate=fates)
    def go_over_all(self, what: str, mood: Mood, fate: Any) -> None:
        self.do(what, lambda core: getattr(core, what)(), mood, fate)

    @rule(engage=st.integers(0, 4))
    def switch(self, engage: int) -> None:
        self._switch(engage=engage == 4)

    def _switch(self, *, engage: bool) -> None:
        if engage != self.switched:
            self.switched = engage
            self.do("switch", lambda core: core.stop_all("a test") if engage else core.resume(), Mood(), None)

    # -- the world

    @rule()
    def leases_run_out(self) -> None:
        self.clock.pass_by(60)
        self.bench.link.execute(
            "UPDATE monitoring.positions SET lease_until = lease_until - interval '1 minute'"
            " WHERE lease_owner IS NOT NULL"
        )

    @rule(symbol=symbols, up=st.booleans())
    def price_moves_and_comes_back(self, symbol: int, up: bool) -> None:
        """Through every stop of one side."""
        book, name = self.scene.simulator.book, self.scene.symbols[symbol]
        prices.set_price(book, "binance", name, Decimal("1.2" if up else "0.8"))
        prices.set_price(book, "binance", name, Decimal(1))

    @rule(symbol=symbols, short=st.booleans())
    def somebody_trades_by_hand(self, symbol: int, short: bool) -> None:
        """Where nothing stands and no row is open: what two hands trade in one market nobody can tell apart."""
        name, book = self.scene.symbols[symbol], self.scene.simulator.book
        account = book.account("binance")
        if self.held(name) or self.owned(name):
            return
        book.set_position(account, name, Decimal("-7.5" if short else "7.5"), Decimal(1))
        self.by_hand.add(name)

    # -- what always holds

    @invariant()
    def one_open_row_for_each_key_and_one_row_for_each_request(self) -> None:
        rows = self.rows()
        opened = Counter(row["symbol"] for row in rows if is_open(row["status"]))
        assert all(n == 1 for n in opened.values()), opened
        keys = Counter(row["request_key"] for row in rows)
        assert all(n == 1 for n in keys.values()), keys
        for row in rows:
            if row["id"] in self.ended:
                assert row["status"] == self.ended[row["id"]], "a terminal status is never left"
            elif not is_open(row["status"]):
                self.ended[row["id"]] = row["status"]

    @invariant()
    def what_the_venue_holds_has_an_owner(self) -> None:
        """An open row, or the hand that traded it. Asked at each step: once the synchroniser adopts it, nobody sees that it was lost."""
        for symbol in self.scene.symbols:
            owned, held = self.owned(symbol), self.held(symbol)
            if owned or not held:
                self.by_hand.discard(symbol)
            assert owned or not held or symbol in self.by_hand, (
                f"{symbol}: {held} is held, and no open row owns it"
            )

    @invariant()
    def no_entry_is_sent_twice(self) -> None:
        entries = Counter(self.venue.sent)
        twice = [key for key in self.asked if entries[client_id(key, "e", 1)] > 1]
        assert not twice, twice

    @invariant()
    def what_was_told_to_nobody_stands_in_the_outbox(self) -> None:
        said = {row["position_id"] for row in self.rows("SELECT position_id FROM posguard.alert_outbox")}
        silent = [r["id"] for r in self.rows() if r["status"] == "unresolved" and r["id"] not in said]
        assert not silent, silent

    def teardown(self) -> None:
        """All faults over: after lease and T, and as many passes as a fault took, everything is in order."""
        if not hasattr(self, "scene"):
            return
        self._switch(engage=False)
        calls = self.bench.calls.copy()
        passes = []
        for _ in range(2):
            self.leases_run_out()
            passes += [
                self.do("recover", lambda core: core.recover(), Mood(), None),
                self.do("synchronise", lambda core: core.synchronise(), Mood(), None),
            ]
        self.bench.calls = calls
        if broken := self.scene.broken():
            reasons = [(r["id"], r["status"], r["attention_reason"], r["exit_reason"]) for r in self.rows()]
            raise AssertionError(f"{broken}; rows {reasons}; passes {passes}")


@pytest.mark.timeout(2400)
def test_any_sequence_of_calls_and_faults(core_dsn, long, figure):
    examples, steps = (1100, 50) if long else (16, 50)
    CoreMachine.bench = bench = Bench(core_dsn.get_secret_value())
    try:
        run_state_machine_as_test(
            seed(SEED)(CoreMachine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        told = ", ".join(f"{name} {n}" for name, n in sorted(bench.calls.items()))
        figure("stateful: calls with faults", bench.calls.total(), 0, told)
        bench.close()
    assert bench.calls.total() > (20_000 if long else 100)


def test_what_the_core_loses_is_seen_before_the_synchroniser_adopts_it(core_dsn, monkeypatch):
    """A core without T calls an entry failed that is executed a second later; the verdict at the end alone finds nothing."""
    monkeypatch.setattr(Driver, "_timed", lambda _self, facts: facts.but(conclusive=True))
    CoreMachine.bench = bench = Bench(core_dsn.get_secret_value())
    try:
        machine: Any = CoreMachine()
        machine.begin(careful=False)
        machine.open_long(0, Mood(sends=["late"]), None)
        machine.what_the_venue_holds_has_an_owner()
        machine.clock.pass_by(2)
        with pytest.raises(AssertionError, match="no open row owns it"):
            machine.what_the_venue_holds_has_an_owner()
        machine.go_over_all("synchronise", Mood(), None)
        assert machine.scene.broken() == []
    finally:
        bench.close()
