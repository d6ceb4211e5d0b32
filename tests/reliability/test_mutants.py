"""Each layer and each rule taken out alone, by patches at test time: some check has to turn red for every one of them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import uuid
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from posguard.model.order import Outcome
from posguard.model.position import TERMINAL, Status
from posguard.postgres import botplan, botsession, botupgrade, managed, pool
from posguard.postgres.queries import Statement
from posguard.trading import core, decide, driver, exits, permit, ports, stops, synchroniser
from posguard.trading.facts import Cancel, Move, Order, Send
from posguard.trading.troubles import flagged
from tests.conftest import _on, run_script
from tests.reliability.conftest import some
from tests.reliability.harness import checks, guards, upgrading
from tests.reliability.harness.checks import nothing
from tests.reliability.harness.lab import lab_of

pytestmark = pytest.mark.postgres
Patch = "Callable[[Any, Any], None]"


@dataclass(frozen=True)
class Mutant:
    """What is taken out, and the check that has to notice."""

    name: str
    check: Any
    patch: Any


def put(target, name, value) -> Patch:
    """Something else in its place."""
    return lambda monkeypatch, _lab: monkeypatch.setattr(target, name, value)


def sql(statement, pattern, text) -> Patch:
    """A statement with a part of it replaced."""

    def patch(monkeypatch, _lab):
        changed, count = re.subn(pattern, text, statement._text, flags=re.DOTALL)
        assert count, f"the statement has no {pattern}"
        monkeypatch.setattr(statement, "_text", changed)

    return patch


def both(*patches) -> Patch:
    """Several patches that take out one thing."""

    def patch(monkeypatch, lab):
        for each in patches:
            each(monkeypatch, lab)

    return patch


def around(target, name, make) -> Patch:
    """A function wrapped: `make` is given the real one."""
    return lambda monkeypatch, _lab: monkeypatch.setattr(target, name, make(getattr(target, name)))


def without_trigger(monkeypatch, lab):
    lab.do("ALTER TABLE monitoring.positions DISABLE TRIGGER ALL")


def blind_activation(real):
    async def activate(connection, before, after, **told):
        return await managed.advance(connection, before, after, **told)

    return activate


def pretended(real):
    async def advance(self, row, step, *, keeps):
        if step.row.status is Status.SUBMITTING:
            return managed.Moved(step.row, engaged=False)
        return await real(self, row, step, keeps=keeps)

    return advance


def taken_for_refused(real):
    async def sent(self, row, step):
        reply = await real(self, row, step)
        unknown = reply.outcome is Outcome.UNKNOWN
        return dataclasses.replace(reply, outcome=Outcome.REJECTED) if unknown else reply

    return sent


def impatient(real):
    return lambda self, facts: real(self, facts).but(conclusive=True)


def as_asked(real):
    def found(row, facts, order):
        step = real(row, facts, order)
        if isinstance(step, Move) and step.row.status is Status.ENTRY_PLACED:
            return dataclasses.replace(step, row=step.row.but(quantity=row.quantity))
        return step

    return found


def old_one_first(real):
    def active(row, facts):
        if facts.wish and facts.wish.trigger and not facts.canceled:
            return Cancel(conditional=True, order_id=row.stop_loss_order_id)
        return real(row, facts)

    return active


def exposed(real):
    async def shielded(self, work):
        return await work

    return shielded


def silenced(real):
    async def advance(self, row, step, *, keeps):
        return await real(self, row, dataclasses.replace(step, alert=None), keeps=keeps)

    return advance


def holding(real):
    async def sent(self, row, step):
        async with self.ports.database.connection():
            return await real(self, row, step)

    return sent


def without_conflict(monkeypatch, lab):
    lab.no_index()
    sql(managed._BIRTH, r"ON CONFLICT.*DO NOTHING", "")(monkeypatch, lab)


def guard_as(columns=guards.COLUMNS, predicate=guards.NOT_TERMINAL):
    """The guard's index with another reach, in the test's own database."""

    def patch(_monkeypatch, lab):
        lab.no_index()
        lab.do(guards.GUARD.format(columns=columns, predicate=predicate))

    return patch


def altered(statement, back):
    return lambda _monkeypatch, lab: lab.alter(statement, back)


def column(name, change, back):
    start = f"ALTER TABLE monitoring.positions ALTER COLUMN {name}"
    return altered(f"{start} {change}", f"{start} {back}")


def redefined(function, old, new):
    return lambda _monkeypatch, lab: lab.redefine(function, old, new)


def with_a_parameter(monkeypatch, _lab):
    """One of the predicate's literals handed in instead."""
    real, birth = Statement.row, managed._BIRTH

    async def row(self, connection, **values):
        return await real(self, connection, **{"canceled": "canceled", **values})

    text = rf"${len(birth._order) + 1}::text)\1"
    changed, count = re.subn(r"'canceled'\)(\s*DO NOTHING)", text, birth._text)
    assert count == 1, "the statement has no such predicate"
    monkeypatch.setattr(birth, "_text", changed)
    monkeypatch.setattr(birth, "_order", (*birth._order, "canceled"))
    monkeypatch.setattr(Statement, "row", row)


def unpinned(real):
    def made(self, made_pool, dsn, *, pinned=True):
        del pinned
        real(self, made_pool, dsn, pinned=True)

    return made


def isolated_as_the_database_likes(monkeypatch, _lab):
    @contextlib.asynccontextmanager
    async def transaction(self):
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    monkeypatch.setattr(pool.Database, "transaction", transaction)


def keeping_statements(real):
    async def create(*arguments, **named):
        return await real(*arguments, **{**named, "statement_cache_size": 100})

    return create


def only_the_first(real):
    return lambda row, after: real(row, after) and row.stop_loss_order_id is None


def sent_again(real, outcome):
    def entry(row, facts):
        told = facts.reply.outcome if facts.reply is not None else None
        if facts.entry is None and not facts.unsent and told is outcome:
            return Send(Order.ENTRY, row.quantity)
        return real(row, facts)

    return entry


NAMED = ", ".join(f"'{status}'" for status in Status if status not in TERMINAL)

MUTANTS = [
    Mutant("layer 1: the lock", checks.lock, put(managed, "take_lock", nothing)),
    Mutant("DB-4: the lock's key", checks.lock_key, put(managed, "lock_key", lambda key: hash(key.symbol))),
    Mutant(
        "layer 1: the wide check",
        checks.wide_check,
        sql(managed._STANDING, r"coalesce\(p\.status, ''\) NOT IN \([^)]*\)", "p.status = 'active'"),
    ),
    Mutant("layer 2: the unique index", checks.unique_index, without_conflict),
    Mutant("layer 3: safe activation", checks.safe_activation, around(managed, "activate", blind_activation)),
    Mutant("DB-1: whatever the spelling", guards.any_spelling, guard_as(columns="exchange, account, symbol, position_side")),
    Mutant("DB-1: whatever the open status", guards.any_open_status, guard_as(predicate=f"status IN ({NAMED})")),
    Mutant("DB-1: no row without an account", guards.nameless_leg, column("account", "DROP NOT NULL", "SET NOT NULL")),
    Mutant("DB-1: no row without a leg", guards.nameless_leg, column("position_side", "DROP NOT NULL", "SET NOT NULL")),
    Mutant("DB-2: the predicate in literals", guards.tenth_execution, with_a_parameter),
    Mutant("DB-5: compare and set: version", checks.version, sql(managed._ADVANCE, r"p\.version = (\$\d+)", r"\1::int IS NOT NULL")),
    Mutant("DB-5: compare and set: status", checks.status, sql(managed._ADVANCE, r"p\.status = (\$\d+::text)", r"\1 IS NOT NULL")),
    Mutant("DB-6: compare and set: fencing", checks.fencing, sql(managed._ADVANCE, r"p\.fencing = (\$\d+)", r"\1::int IS NOT NULL")),
    Mutant("DB-5: the record", checks.recorded, without_trigger),
    Mutant("DB-7: READ COMMITTED in a transaction", guards.read_committed, isolated_as_the_database_likes),
    Mutant("DB-7: READ COMMITTED where a pooler hides our settings", guards.read_committed, around(pool.Database, "__init__", unpinned)),
    Mutant("DB-7: no statement outlives its transaction", guards.no_statement_stays, around(asyncpg, "create_pool", keeping_statements)),
    Mutant("DB-8: the clock of the row", guards.second_writer_is_told, column("inserted_at", "SET DEFAULT now()", "SET DEFAULT clock_timestamp()")),
    Mutant("DB-8: the clock of the record", guards.second_writer_is_told, redefined("posguard.record_transition", "clock_timestamp()", "now()")),
    Mutant("DB-8: the writer's process", guards.second_writer_is_told, column("backend_pid", "DROP DEFAULT", "SET DEFAULT pg_backend_pid()")),
    Mutant("DB-8: the writer's name", guards.second_writer_is_told, column("app_name", "DROP DEFAULT", "SET DEFAULT current_setting('application_name')")),
    Mutant("DB-8: where a row came from", guards.second_writer_is_told, sql(managed._BIRTH, r"\$\d+::text(,\s+\$\d+::text,\s+clock_timestamp\(\))", r"NULL\1")),
    Mutant("DB-9: the edges", checks.edges, without_trigger),
    Mutant("DB-6: no connection across a request", checks.nothing_held_across_requests, around(driver.Driver, "_sent", holding)),
    Mutant("DB-6: the lease before signing", checks.lease_before_signing, put(permit.Permit, "refusal", lambda _self: "")),
    Mutant(
        "DB-6: lease and T before a takeover",
        checks.takeover_waits,
        both(
            sql(managed._CLAIM, r"p\.lease_until \+ (\$\d+::interval) < clock_timestamp\(\)", r"\1 IS NOT NULL"),
            sql(managed._DUE, r"p\.lease_until \+ (\$\d+::interval) < clock_timestamp\(\)", r"\1 IS NOT NULL"),
        ),
    ),
    Mutant("ORD-1: submitting before sending", checks.submitting_first, around(driver.Driver, "_advance", pretended)),
    Mutant("ORD-2: looked up first, after a lost answer", checks.looked_up_first, around(decide, "_entry", lambda real: sent_again(real, Outcome.UNKNOWN))),
    Mutant("ORD-2: looked up first, by a successor", checks.looked_up_by_a_successor, around(decide, "_entry", lambda real: sent_again(real, None))),
    Mutant("ORD-3: unknown is not refused", checks.unanswered_entry, around(driver.Driver, "_sent", taken_for_refused)),
    Mutant("ORD-4: T before absence counts", checks.late_entry, around(driver.Driver, "_timed", impatient)),
    Mutant("ORD-4: never sent again", checks.entry_sent_once, put(decide, "_absent", lambda row, _facts: Send(Order.ENTRY, row.quantity))),
    Mutant("ORD-5: sized from the fill", checks.partial_fill, around(decide, "_found", as_asked)),
    Mutant("ORD-5: a refused stop ends in a close", checks.refused_stop, put(stops, "_refused", lambda row, _facts, _reply: flagged(row, "refused"))),
    Mutant("ORD-6: our own fill only", checks.roll_back_of_our_own, put(exits, "_send", lambda _row, _facts, rest: Send(Order.CLOSE, rest + 10))),
    Mutant("ORD-7: the new stop before the old goes", checks.moved_stop, around(decide, "decide_active", old_one_first)),
    Mutant("ORD-8: carried through when cancelled", checks.cancelled_caller, around(core.TradingCore, "_shielded", exposed)),
    Mutant("ORD-9: somebody is told", checks.somebody_is_told, around(driver.Driver, "_advance", silenced)),
    Mutant("ORD-10: what is adopted", checks.adopted, put(synchroniser.Synchroniser, "_adopt", nothing)),
    Mutant("ORD-10: the gap on record", checks.gap_on_record, put(driver, "_naked", lambda _row, _after: False)),
    Mutant("ORD-10: a later gap too", checks.second_gap, around(driver, "_naked", only_the_first)),
    Mutant("ORD-10: a gap from the moment the stop went", checks.second_gap, put(stops, "_ended_at", lambda _facts: None)),
    Mutant("ORD-11: a key names one attempt", checks.asked_again, sql(managed._STANDING, r"p\.request_key = (\$\d+)", r"\1::text IS NULL")),
    Mutant("ORD-12: the kill switch", checks.kill_switch, put(ports.Switch, "held", lambda _self: "")),
    Mutant("ORD-12: the kill switch of another process", checks.kill_switch_of_another, sql(managed._STANDING, r"k\.engaged", "false AS engaged")),
]  # fmt: skip


def _noted(figure, mutant, found):
    killed = f"killed by {mutant.check.__name__}: {found[0][:100]}" if found else "lives"
    figure(f"mutant, {mutant.name}", 1, 0 if found else 1, killed)


LAYERS = [mutant for mutant in MUTANTS if mutant.name.startswith("layer")]
RULES = [mutant for mutant in MUTANTS if mutant not in LAYERS]


@pytest.mark.parametrize("mutant", [*LAYERS, *some(RULES, 7)], ids=lambda mutant: mutant.name)
async def test_is_killed(core_dsn, monkeypatch, mutant, figure):
    async with lab_of(core_dsn.get_secret_value()) as lab:
        with monkeypatch.context() as inner:
            assert await mutant.check(lab, inner) == [], "the check is green where nothing is taken out"
        lab.reset()
        with monkeypatch.context() as inner:
            mutant.patch(inner, lab)
            try:
                found = await mutant.check(lab, inner)
            except Exception as error:  # noqa: BLE001 - a mutant may break with a bang
                found = [f"{type(error).__name__}: {error}"]
    _noted(figure, mutant, found)
    assert found, f"nothing noticed that {mutant.name} is gone"


def without_blocker(kind):
    return around(
        botplan, "_rows", lambda real: lambda facts: (one for one in real(facts) if one.kind != kind)
    )


async def built_where_missing(session, name, statement, table):
    """What IF NOT EXISTS does."""
    if await botupgrade._NAMED.index_is_sound(session.watcher, name=name) is None:
        await session.concurrently(statement, table)


UPGRADE = [
    Mutant("DB-10: refused while there are duplicates", upgrading.duplicates, without_blocker("duplicate")),
    Mutant("DB-10: refused while a status has no class", upgrading.unclassified, without_blocker("unknown_status")),
    Mutant("DB-10: refused while a row is unfinished", upgrading.unfinished, without_blocker("unfinished")),
    Mutant("DB-10: no index that is not valid", upgrading.invalid_index,
           both(put(botupgrade, "_build", built_where_missing), put(botupgrade, "_assert_whole", nothing))),
    Mutant("DB-10: migrators take turns", upgrading.turns, put(botsession.DirectSession, "take_turn", nothing)),
]  # fmt: skip


@pytest.fixture
def fresh(server_dsn, bot_template):
    """Makes databases with the bot's tables as they are before the upgrade."""
    made = []

    def make():
        made.append(f"t_{uuid.uuid4().hex[:12]}")
        run_script(server_dsn, f'CREATE DATABASE "{made[-1]}" TEMPLATE "{bot_template}"')
        return SecretStr(_on(server_dsn, made[-1]))

    yield make
    for name in made:
        run_script(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("mutant", some(UPGRADE, 1), ids=lambda mutant: mutant.name)
async def test_of_the_upgrade_is_killed(fresh, monkeypatch, mutant, figure):
    assert await mutant.check(fresh()) == [], "the check is green where nothing is taken out"
    with monkeypatch.context() as inner:
        mutant.patch(inner, None)
        try:
            found = await mutant.check(fresh())
        except Exception as error:  # noqa: BLE001 - a mutant may break with a bang
            found = [f"{type(error).__name__}: {error}"]
    _noted(figure, mutant, found)
    assert found, f"nothing noticed that {mutant.name} is gone"
