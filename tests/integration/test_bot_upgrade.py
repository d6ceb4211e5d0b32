"""Target `bot`: up, twice, killed at every step, down; refused where rows stand in its way; nothing of the bot's lost."""

from __future__ import annotations

import asyncio
import functools
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import SecretStr

from posguard.errors import RefusedError, SchemaError, UsageError
from posguard.postgres import botupgrade, migrate
from posguard.postgres.botfacts import COLUMNS, GUARD, INDEXES, Column
from posguard.postgres.pool import Database
from posguard.postgres.positions import read_open_positions
from posguard.postgres.queries import script
from posguard.quality.suites import load_suites
from tests.conftest import run_script
from tests.fixtures.bot_tables import catalogue, do, killed_at, position, rows, sound

pytestmark = pytest.mark.postgres
OLD = "idx_unique_active_position"


async def recorded(work):
    """The checkpoints that a run passes, in order."""
    passed = []

    async def note(name):
        passed.append(name)

    await work(checkpoint=note)
    return passed


async def test_up_twice_and_down_leaves_what_was_there(bot_dsn):
    do(bot_dsn, position(), position("ETHUSDT", status="closed"), position("XRPUSDT", status="entry_placed"))
    before, held = catalogue(bot_dsn), rows(bot_dsn, "SELECT * FROM monitoring.positions ORDER BY id")
    plan = await botupgrade.upgrade(bot_dsn)
    assert [step.name for step in plan.pending][:4] == [
        "columns",
        "status_check",
        "status_check_valid",
        "transitions",
    ]
    after = catalogue(bot_dsn)
    assert all(sound(bot_dsn, index.name) for index in INDEXES if index.guard)
    assert sound(bot_dsn, OLD)
    assert (await botupgrade.upgrade(bot_dsn)).pending == ()
    assert catalogue(bot_dsn) == after
    assert await botupgrade.downgrade(bot_dsn)
    assert catalogue(bot_dsn) == before
    assert rows(bot_dsn, "SELECT * FROM monitoring.positions ORDER BY id") == held
    assert (await botupgrade.downgrade(bot_dsn)).pending == ()


async def test_columns_come_out_as_they_are_meant(bot_dsn):
    await botupgrade.upgrade(bot_dsn, account="sub-1")
    there = {row[1]: Column(*row[1:]) for row in catalogue(bot_dsn)["columns"] if row[0] == "positions"}
    meant = {column.name: column for column in COLUMNS}
    meant["account"] = Column("account", "text", required=True, standard="'sub-1'::text")
    assert {name: there[name] for name in meant} == meant


async def test_new_rows_say_when_and_by_whom_they_were_written(bot_dsn):
    do(bot_dsn, position())
    await botupgrade.upgrade(bot_dsn)
    with psycopg.connect(bot_dsn.get_secret_value(), application_name="the bot") as bot:
        for symbol in ("ETHUSDT", "XRPUSDT"):
            bot.execute(position(symbol))
        pid = bot.info.backend_pid
        stamps = bot.execute(
            "SELECT backend_pid, app_name, inserted_at, now() FROM monitoring.positions ORDER BY id"
        ).fetchall()
    assert stamps[0][:3] == (None, None, None), "a row of before says nothing"
    assert {stamp[:2] for stamp in stamps[1:]} == {(pid, "the bot")}
    assert stamps[2][2] > stamps[1][2] > stamps[1][3], "two rows of one transaction differ in time"


async def test_what_was_there_before_stays(bot_dsn):
    do(
        bot_dsn,
        "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100), ADD attempt integer, "
        "ADD needs_attention boolean NOT NULL DEFAULT false, ADD bots_own text",
        position(),
        "UPDATE monitoring.positions SET stop_loss_order_id = '77', attempt = 3",
    )
    before = catalogue(bot_dsn)
    await botupgrade.upgrade(bot_dsn)
    do(bot_dsn, "ALTER TABLE monitoring.positions ADD added_by_the_bot_later text")
    await botupgrade.upgrade(bot_dsn)
    await botupgrade.downgrade(bot_dsn)
    do(bot_dsn, "ALTER TABLE monitoring.positions DROP added_by_the_bot_later")
    assert catalogue(bot_dsn) == before
    assert rows(bot_dsn, "SELECT stop_loss_order_id, attempt FROM monitoring.positions") == [("77", 3)]


async def test_the_old_index_goes_when_asked_and_comes_back(bot_dsn):
    before = catalogue(bot_dsn)
    await botupgrade.upgrade(bot_dsn, drop_old_index=True)
    assert sound(bot_dsn, OLD) is None
    do(
        bot_dsn,
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, position_side) VALUES "
        "('BTCUSDT', 'binance', 'long', 1, 1, 'long'), ('BTCUSDT', 'binance', 'short', 1, 1, 'short')",
    )
    assert (await botupgrade.upgrade(bot_dsn, drop_old_index=True)).pending == ()
    with pytest.raises(RefusedError, match=r"2 active rows.*Nothing was changed"):
        await botupgrade.downgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)
    do(bot_dsn, "UPDATE monitoring.positions SET status = 'closed' WHERE position_side = 'short'")
    await botupgrade.downgrade(bot_dsn)
    assert catalogue(bot_dsn) == before


async def test_five_duplicates_are_refused_and_each_is_named(bot_dsn):
    do(bot_dsn, f"DROP INDEX monitoring.{OLD}")
    symbols = ["APTUSDT", "KASUSDT", "BIDUSDT", "BTC/USDT:USDT", "ETHUSDT"]
    for symbol in symbols:
        do(bot_dsn, position(symbol), position(symbol.split(":")[0].replace("/", ""), status="entry_placed"))
    do(bot_dsn, position("SOLUSDT"), position("SOLUSDT", "bybit"), position("SOLUSDT", status="closed"))
    before, held = catalogue(bot_dsn), rows(bot_dsn, "SELECT * FROM monitoring.positions ORDER BY id")
    with pytest.raises(RefusedError, match="Nothing was changed") as refused:
        await botupgrade.upgrade(bot_dsn)
    for number in range(1, 11):
        assert f"#{number} " in refused.value.message
    for symbol in ("APTUSDT", "KASUSDT", "BIDUSDT", "BTCUSDT", "ETHUSDT"):
        assert f"posguard cleanup duplicates --symbol {symbol} --exchange binance" in refused.value.message
    assert "SOLUSDT" not in refused.value.message
    assert catalogue(bot_dsn) == before
    assert rows(bot_dsn, "SELECT * FROM monitoring.positions ORDER BY id") == held


async def test_statuses_that_nobody_knows_and_old_unfinished_rows_are_refused(bot_dsn):
    do(
        bot_dsn,
        position("AUSDT", status="phantom"),
        position("BUSDT", status=None),
        position("CUSDT", status="entry_placed", age="61 minutes"),
        position("DUSDT", status="pending_sl", age="59 minutes"),
        position("EUSDT", status="pending_entry"),
        "UPDATE monitoring.positions SET opened_at = NULL, created_at = NULL WHERE symbol = 'EUSDT'",
    )
    plan = await botupgrade.upgrade_plan(bot_dsn)
    assert [(b.kind, b.rows, b.mode) for b in plan.blockers] == [
        ("unknown_status", (1,), ""),
        ("unknown_status", (2,), ""),
        ("unfinished", (3,), "incomplete"),
        ("unfinished", (5,), "incomplete"),
    ]
    before = catalogue(bot_dsn)
    with pytest.raises(RefusedError, match="posguard cleanup incomplete --symbol CUSDT --exchange binance"):
        await botupgrade.upgrade(bot_dsn)
    assert catalogue(bot_dsn) == before


async def test_killed_at_every_step_and_resumed(bot_dsn, server_dsn):
    """Each child resumes what the one before it left, dies one checkpoint later, and the last one ends it."""
    up = functools.partial(botupgrade.upgrade, bot_dsn, drop_old_index=True)
    down = functools.partial(botupgrade.downgrade, bot_dsn)
    do(bot_dsn, position())
    before = catalogue(bot_dsn)
    checkpoints = {up: await recorded(up)}
    whole = catalogue(bot_dsn)
    checkpoints[down] = await recorded(down)
    assert catalogue(bot_dsn) == before
    assert len(checkpoints[up]) >= 2 * 4 + 3 * 5 + 3
    for work, wanted in ((up, whole), (down, before)):
        for checkpoint in checkpoints[work]:
            assert await asyncio.to_thread(killed_at, work, checkpoint), checkpoint
            do(bot_dsn, position(f"{checkpoints[work].index(checkpoint)}USDT", status="closed"))
        await work()
        assert catalogue(bot_dsn) == wanted


async def test_an_index_that_an_interrupted_build_left_is_built_anew(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    do(bot_dsn, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'monitoring.{GUARD}'::regclass")
    assert [step.name for step in (await botupgrade.upgrade(bot_dsn)).pending] == [GUARD]
    assert sound(bot_dsn, GUARD)


async def test_an_index_of_the_name_that_guards_something_else_is_not_accepted(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    do(
        bot_dsn,
        f"DROP INDEX monitoring.{GUARD}",
        f"CREATE UNIQUE INDEX {GUARD} ON monitoring.positions (exchange, symbol) WHERE status = 'active'",
    )
    with pytest.raises(SchemaError, match=GUARD):
        await botupgrade.upgrade(bot_dsn)


async def test_a_duplicate_born_while_the_index_is_built_is_refused_and_no_index_stays(bot_dsn):
    async def rival(name):
        if name == f"before {GUARD}":
            do(bot_dsn, position(status="pending_sl"), position("BTC/USDT"))

    with pytest.raises(RefusedError, match=r"BTCUSDT.*dropped again.*Done before: columns"):
        await botupgrade.upgrade(bot_dsn, checkpoint=rival)
    assert sound(bot_dsn, GUARD) is None
    assert [b.rows for b in (await botupgrade.upgrade_plan(bot_dsn)).blockers] == [(1, 2)]
    do(bot_dsn, "UPDATE monitoring.positions SET status = 'rolled_back' WHERE id = 2")
    await botupgrade.upgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        ("version integer", "version"),
        ("account text", "account"),
        ("request_key varchar(40)", "request_key"),
        ("core_managed boolean NOT NULL DEFAULT true", "core_managed"),
    ],
)
async def test_a_column_of_the_bots_own_by_such_a_name_is_refused(bot_dsn, column, named):
    do(bot_dsn, f"ALTER TABLE monitoring.positions ADD {column}")
    before = catalogue(bot_dsn)
    with pytest.raises(RefusedError, match=f"a column {named} of its own"):
        await botupgrade.upgrade(bot_dsn)
    assert catalogue(bot_dsn) == before


async def test_the_account_is_asked_once(bot_dsn):
    await botupgrade.upgrade(bot_dsn, account="sub1")
    assert (await botupgrade.upgrade(bot_dsn)).account == "sub1"
    for wrong in ("main", "", "it's", "a" * 65):
        if wrong:
            with pytest.raises(UsageError, match="account"):
                await botupgrade.upgrade(bot_dsn, account=wrong)


async def test_one_open_row_for_each_account_leg_and_canonical_symbol(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    do(bot_dsn, position("BTC/USDT:USDT", status="submitting"))
    for twin in (
        position("btc-usdt", status="entry_placed"),
        position("BTCUSDT", " Binance ", status="closing"),
        position(status=None),
        position(status="a status of later"),
    ):
        with pytest.raises(psycopg.errors.UniqueViolation, match=GUARD):
            do(bot_dsn, twin)
    do(bot_dsn, position(status="closed"), position(status="canceled"), position(exchange="bybit"))
    do(bot_dsn, "UPDATE monitoring.positions SET account = 'sub1' WHERE id = 1", position())
    do(bot_dsn, "UPDATE monitoring.positions SET request_key = 'k' WHERE id = 1")
    with pytest.raises(psycopg.errors.UniqueViolation, match="posguard_one_request"):
        do(bot_dsn, "UPDATE monitoring.positions SET request_key = 'k' WHERE status = 'closed'")


async def test_indexes_that_the_bot_has_already_are_not_built_twice(bot_dsn):
    plan = await botupgrade.upgrade(bot_dsn)
    left_out = {step.name: step.says for step in plan.steps if step.kind == "nothing"}
    assert set(left_out) == {"posguard_positions_by_status", "posguard_events_by_time"}
    assert "idx_positions_status serves" in left_out["posguard_positions_by_status"]


async def test_a_deployment_without_events_or_some_columns_is_upgraded(bot_dsn):
    do(
        bot_dsn,
        "DROP TABLE monitoring.events",
        "ALTER TABLE monitoring.positions DROP closed_at, DROP opened_at, DROP has_stop_loss, DROP stop_loss",
    )
    before = catalogue(bot_dsn)
    await botupgrade.upgrade(bot_dsn)
    do(
        bot_dsn,
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price) VALUES ('X', 'y', 'long', 1, 1)",
    )
    do(bot_dsn, "UPDATE monitoring.positions SET status = 'closed'")
    assert rows(bot_dsn, "SELECT count(*) FROM posguard.transitions") == [(2,)]
    await botupgrade.downgrade(bot_dsn)
    assert catalogue(bot_dsn) == before


async def test_the_way_back_says_first_what_data_go_and_waits_for_the_core(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    do(
        bot_dsn,
        position(),
        position("ETHUSDT", status="closed"),
        "UPDATE monitoring.positions SET core_managed = true, request_key = 'r' || id, stop_loss_order_id = id",
        position("XRPUSDT"),
    )
    plan = await botupgrade.downgrade_plan(bot_dsn)
    lost = dict(plan.losses)
    assert (lost["request_key"], lost["core_managed"], lost["stop_loss_order_id"]) == (2, 2, 2)
    assert lost["inserted_at"] == 3
    assert not {"account", "position_side", "fencing", "lease_owner"} & set(lost)
    with pytest.raises(RefusedError, match=r"#1 .*managed by the core.*WHERE id = 1"):
        await botupgrade.downgrade(bot_dsn)
    do(bot_dsn, "UPDATE monitoring.positions SET core_managed = false WHERE id = 1")
    await botupgrade.downgrade(bot_dsn)


async def test_posguards_schema_stays_while_the_tables_carry_any_of_it(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    with pytest.raises(RefusedError, match="db downgrade --target bot"):
        migrate.downgrade(bot_dsn)
    seen = []

    async def try_it(name):
        if name.startswith("before"):
            with pytest.raises(RefusedError, match="being upgraded at this moment"):
                await asyncio.to_thread(migrate.downgrade, bot_dsn)
            seen.append(name)

    await botupgrade.downgrade(bot_dsn, checkpoint=try_it)
    assert len(seen) > 5
    migrate.downgrade(bot_dsn)


async def test_without_posguards_newest_schema_or_the_bots_tables_it_says_so(empty_dsn):
    with pytest.raises(SchemaError, match=r"not the bot's.*Nothing was changed"):
        await botupgrade.upgrade(empty_dsn)
    run_script(empty_dsn.get_secret_value(), script("bot_schema"))
    with pytest.raises(SchemaError, match="posguard db upgrade"):
        await botupgrade.upgrade_plan(empty_dsn)


async def test_an_added_column_for_the_stop_order_changes_no_verdict_on_the_old_codes_rows(bot_dsn):
    """A stop that the old code records in has_stop_loss is recorded, before and after; the core's own rows need its id."""
    do(bot_dsn, position(), position("ETHUSDT"), position("XRPUSDT"), position("SOLUSDT"))
    do(
        bot_dsn,
        "UPDATE monitoring.positions SET has_stop_loss = true, stop_loss_price = 90, opened_at = now() - interval '1 hour' "
        "WHERE symbol <> 'ETHUSDT'",
    )

    async def recorded_stops():
        async with await Database.open(bot_dsn) as database, database.connection() as connection:
            return [row.records_stop for row in await read_open_positions(connection, {})]

    def suite():
        rule = next(r for s in load_suites() for r in s.expectations if r.id == "positions.stop_recorded")
        query = rule.query_at("monitoring.positions", datetime.now(UTC), timedelta(0))
        return [row[0] for row in rows(bot_dsn, query)]

    assert (await recorded_stops(), suite()) == ([True, False, True, True], [2])
    await botupgrade.upgrade(bot_dsn)
    assert (await recorded_stops(), suite()) == ([True, False, True, True], [2])
    do(bot_dsn, "UPDATE monitoring.positions SET core_managed = true WHERE symbol = 'XRPUSDT'")
    do(bot_dsn, "UPDATE monitoring.positions SET stop_loss_order_id = '77' WHERE symbol = 'ETHUSDT'")
    assert (await recorded_stops(), suite()) == ([True, True, False, True], [3])
    do(bot_dsn, "UPDATE monitoring.positions SET core_managed = false")
    await botupgrade.downgrade(bot_dsn)
    assert (await recorded_stops(), suite()) == ([True, False, True, True], [2])


async def test_where_the_bot_keeps_the_stop_orders_column_itself_it_is_taken_at_its_word(bot_dsn):
    do(bot_dsn, "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100)", position())
    do(bot_dsn, "UPDATE monitoring.positions SET has_stop_loss = true, stop_loss_price = 90")
    await botupgrade.upgrade(bot_dsn)
    async with await Database.open(bot_dsn) as database, database.connection() as connection:
        (row,) = await read_open_positions(connection, {})
    assert (row.records_stop_order, row.records_stop) == (True, False)


async def test_the_reading_of_open_rows_knows_the_upgraded_table(bot_dsn):
    do(bot_dsn, position("BTC/USDT:USDT"), position("ETHUSDT", status="unresolved"))
    accounts = {"binance": "elsewhere"}
    async with await Database.open(bot_dsn) as database, database.connection() as connection:
        old = await read_open_positions(connection, accounts)
        await botupgrade.upgrade(bot_dsn, account="sub1")
        do(
            bot_dsn,
            "UPDATE monitoring.positions SET position_side = 'long', stop_loss_order_id = '77' WHERE id = 1",
        )
        new = await read_open_positions(connection, accounts)
    assert [row.account for row in old] == ["elsewhere", "elsewhere"]
    assert [row.records_stop_order for row in old] == [False, False]
    assert [(r.account, r.symbol, r.position_side, r.status) for r in new] == [
        ("sub1", "BTCUSDT", "long", "active"),
        ("sub1", "ETHUSDT", "both", "unresolved"),
    ]
    assert [row.records_stop for row in new] == [True, False]
    assert new[1].is_intermediate


async def test_stop_orders_are_filled_where_the_column_is_ours_and_empty(bot_dsn):
    do(bot_dsn, position(), position("ETHUSDT"), position("XRPUSDT", status="closed"), position("SOLUSDT"))
    async with await Database.open(bot_dsn) as database, database.connection() as connection:
        with pytest.raises(SchemaError, match="Nothing was changed"):
            await botupgrade.fill_stop_orders(connection, {1: "11"})
        await botupgrade.upgrade(bot_dsn)
        do(bot_dsn, "UPDATE monitoring.positions SET stop_loss_order_id = 'kept' WHERE id = 2")
        filled = await botupgrade.fill_stop_orders(connection, {1: "11", 2: "22", 3: "33", 99: "99"})
    assert filled == (1,)
    assert rows(bot_dsn, "SELECT stop_loss_order_id FROM monitoring.positions ORDER BY id") == [
        ("11",), ("kept",), (None,), (None,),
    ]  # fmt: skip


@pytest.fixture
def owner(bot_dsn):
    """A role of this test's own that owns the bot's tables and may do nothing of posguard's; yields its name and address."""
    dsn, name = bot_dsn.get_secret_value(), f"owner_{uuid.uuid4().hex[:8]}"
    run_script(
        dsn,
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT USAGE, CREATE ON SCHEMA monitoring TO {name}; "
        f"ALTER TABLE monitoring.positions OWNER TO {name}; ALTER TABLE monitoring.events OWNER TO {name}",
    )
    parts = urlsplit(dsn)
    yield name, SecretStr(parts._replace(netloc=f"{name}:x@{parts.hostname}:{parts.port}").geturl())
    run_script(dsn, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


async def test_the_tables_owner_who_is_no_superuser_needs_the_grants_of_the_page(bot_dsn, owner):
    name, mine = owner
    with pytest.raises(SchemaError, match="permission denied for schema posguard"):
        await botupgrade.upgrade_plan(mine)
    page = (Path(__file__).parents[2] / "docs" / "upgrade.md").read_text(encoding="utf-8")
    grants = page.split("```sql")[1].split("```")[0]
    run_script(bot_dsn.get_secret_value(), grants.replace("bot_owner", name))
    await botupgrade.upgrade(mine)
    do(bot_dsn, position())
    assert rows(bot_dsn, "SELECT to_status FROM posguard.transitions") == [("active",)]
    await botupgrade.downgrade(mine)


async def test_a_role_that_may_not_is_told_what_it_lacks(bot_dsn, owner):
    name, mine = owner
    dsn = bot_dsn.get_secret_value()
    run_script(
        dsn,
        f"GRANT USAGE ON SCHEMA posguard TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA posguard TO {name}",
    )
    (grants,) = (await botupgrade.upgrade_plan(mine)).blockers
    run_script(dsn, "ALTER TABLE monitoring.events OWNER TO CURRENT_USER")
    run_script(dsn, f"GRANT SELECT ON monitoring.events TO {name}")
    assert [b.kind for b in (await botupgrade.upgrade_plan(mine)).blockers] == ["role", "role"]
    run_script(dsn, f"ALTER TABLE monitoring.events OWNER TO {name}")
    run_script(dsn, grants.clears)
    await botupgrade.upgrade(mine)
