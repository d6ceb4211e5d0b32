"""The analysis on other tables than it knows: empty ones, none, columns that are not there, and those that a bot has added."""

from __future__ import annotations

from dataclasses import asdict

import psycopg
import pytest

from posguard.postgres.analysis import QUERIES, STATEMENTS, analyse
from posguard.postgres.pool import Database
from tests.conftest import run_script
from tests.fixtures.analysed import PARTS, T0, T1, db

pytestmark = pytest.mark.postgres
assert db  # a fixture


async def test_an_empty_database_has_every_part(bot_dsn):
    async with await Database.open(bot_dsn, read_only=True) as empty:
        told = await analyse(empty, T0, T1)
    named = {name: told.part(name) for name in PARTS}
    assert {name for name, part in named.items() if part.no_source} == {"statements"}
    filled = {name for name, part in named.items() if part.rows}
    assert filled == {"overview", "hours", "database", "tables", "indexes"}
    assert set(asdict(told.overview.first).values()) == {0, None}


async def test_a_database_without_the_bots_tables_says_so(empty_dsn):
    async with await Database.open(empty_dsn, read_only=True) as nothing:
        told = await analyse(nothing, T0, T1)
    for name, query in QUERIES.items():
        part = told.part(name)
        if query.needs:
            assert part.no_source.endswith("does not exist or may not be read")
            assert part.rows == ()
        else:
            assert part.no_source == ""


async def test_no_section_fails_for_a_column_that_is_not_there(db, bot_dsn):
    """Each needed column in turn, and all that can be spared at once: the parts concerned say so, the others tell what they told."""
    whole = await analyse(db, T0, T1)
    there = columns_of(bot_dsn)
    needed, spared = used("needs"), used("without")
    rounds = [
        {table: names[number] for table, names in needed.items() if number < len(names)}
        for number in range(max(map(len, needed.values())))
    ]
    assert {(table, name) for table, names in needed.items() for name in names} <= there
    assert len(rounds) > 10
    for gone in [{(table, name) for table, name in turn.items()} for turn in rounds] + [
        spared_of(spared, there)
    ]:
        await lacking(db, bot_dsn, whole, gone)


def used(which):
    """The columns that queries need, or can do without, by table."""
    found = {}
    for query in QUERIES.values():
        for table, names in getattr(query, which).items():
            if table != STATEMENTS:
                found.setdefault(table, set()).update(names)
    return {table: sorted(names) for table, names in found.items()}


def spared_of(spared, there):
    """The columns that can be spared by every query, where the bot has them."""
    needed = {(table, name) for table, names in used("needs").items() for name in names}
    return {(table, name) for table, names in spared.items() for name in names} & there - needed


async def lacking(db, dsn, whole, gone):
    """Takes columns away, looks at every part, and gives them back."""
    away = "".join(f"ALTER TABLE {table} RENAME {name} TO aside_{name};" for table, name in gone)
    back = "".join(f"ALTER TABLE {table} RENAME aside_{name} TO {name};" for table, name in gone)
    run_script(dsn.get_secret_value(), away)
    told = await analyse(db, T0, T1)
    run_script(dsn.get_secret_value(), back)
    for name, query in QUERIES.items():
        if name == "statements" or not query.needs:
            continue
        part = told.part(name)
        without = {column for table, column in gone if column in query.without.get(table, ())}
        lacked = [
            f"{table} has no column {column}"
            for table, column in gone
            if column in query.needs.get(table, ())
        ]
        if lacked:
            assert part.no_source in lacked, (name, gone)
            continue
        assert part.no_source == "", (name, gone)
        assert without <= set(part.absent), name
        if not without:
            assert part.rows == whole.part(name).rows, (name, gone)


def columns_of(dsn):
    """Table and column of all that the bot's schema has."""
    with psycopg.connect(dsn.get_secret_value()) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns WHERE table_schema = 'monitoring'"
        ).fetchall()
    return set(found)


async def test_the_order_id_of_a_stop_tells_where_the_bot_keeps_it(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100);"
        "UPDATE monitoring.positions SET stop_loss_order_id = 's' || id WHERE id IN (10, 2549)",
    )
    by_the_id = {row.id for row in (await analyse(db, T0, T1)).unprotected.rows}
    assert by_the_id == {12, 14, 20, 21, 22}, "flag and price say nothing where the bot keeps the id"
    run_script(
        bot_dsn.get_secret_value(),
        "COMMENT ON COLUMN monitoring.positions.stop_loss_order_id IS 'posguard: added';"
        "UPDATE monitoring.positions SET stop_loss_order_id = NULL WHERE id = 2549",
    )
    told = (await analyse(db, T0, T1)).unprotected
    assert ({row.id for row in told.rows}, told.absent) == ({2549}, ("core_managed",))


async def test_legs_and_accounts_are_keys_of_their_own(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD account text DEFAULT 'main', ADD position_side text DEFAULT 'both';"
        "UPDATE monitoring.positions SET position_side = 'long' WHERE id = 10;"
        "UPDATE monitoring.positions SET account = 'second' WHERE id = 2549",
    )
    told = await analyse(db, T0, T1)
    assert [(row.first_id, row.second_id) for row in told.races.rows] == [(13, 14)]
