"""What `posguard check` makes of the facts: every rule with a case that fails without it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.cli import checking
from posguard.cli.checking import Mark
from posguard.model.venue import KeyPermissions, VenueId, VenueSnapshot, World
from posguard.postgres.facts import DatabaseFacts, IndexFacts, TableFacts
from posguard.postgres.schema import NEWEST
from posguard.settings import unread_variables

NOW = datetime(2026, 11, 1, tzinfo=UTC)
VENUE = VenueId("binance")
BOT = TableFacts(frozenset(), readable=True, writable=False, changeable=False)
OWN = TableFacts(frozenset(), readable=True, writable=True, changeable=True)
POSITIONS = replace(
    BOT,
    columns=frozenset(
        {
            *checking.NEEDED,
            *checking.COLUMNS_DISABLE,
            "has_stop_loss",
            "stop_loss_price",
            "stop_loss_order_id",
        }
    ),
)
GOOD = DatabaseFacts(
    version=180_004,
    version_text="18.4",
    database="bot",
    role="posguard_reader",
    superuser=False,
    standby=False,
    may_create=False,
    size=10**7,
    clock_skew=timedelta(milliseconds=3),
    schema_version=NEWEST,
    tables={
        "monitoring.positions": POSITIONS,
        **{f"monitoring.{name}": BOT for name in checking.TABLES_DISABLE},
        "posguard.runs": OWN,
        "posguard.schema_version": OWN,
    },
    unique_indexes=(IndexFacts("idx_unique_active_position", valid=True, definition="…"),),
    open_rows={"binance": 3},
)


def lines(facts):
    return [
        *checking.server(facts, timedelta(seconds=2)),
        *checking.bot_tables(facts),
        *checking.privileges(facts),
        *checking.own_schema(facts),
        *checking.coverage(facts, {"binance"}),
    ]


def marked(found, mark):
    return [f"{line.what}: {line.said}" for line in found if line.mark is mark]


def with_table(name, table):
    tables = {key: value for key, value in GOOD.tables.items() if key != name}
    return replace(GOOD, tables=tables if table is None else {**tables, name: table})


def without_columns(*names):
    return with_table("monitoring.positions", replace(POSITIONS, columns=POSITIONS.columns - set(names)))


def test_a_good_database_has_no_line_that_is_not_ok():
    assert {line.mark for line in lines(GOOD)} == {Mark.OK}


@pytest.mark.parametrize(
    ("facts", "mark", "says"),
    [
        (replace(GOOD, version=140_000), Mark.WARN, "server"),
        (replace(GOOD, clock_skew=timedelta(seconds=-3)), Mark.WARN, "clock: -3.000 s"),
        (replace(GOOD, standby=True), Mark.FAIL, "standby"),
        (with_table("monitoring.positions", None), Mark.FAIL, "not the bot's database"),
        (
            with_table("monitoring.positions", replace(POSITIONS, readable=False)),
            Mark.FAIL,
            "may not read it",
        ),
        (with_table("monitoring.events", None), Mark.WARN, "errors per hour"),
        (with_table("monitoring.orders", replace(BOT, readable=False)), Mark.WARN, "may not read it"),
        (without_columns("quantity"), Mark.FAIL, "lacks quantity"),
        (without_columns("opened_at"), Mark.WARN, "positions.opened_at"),
        (without_columns("stop_loss_order_id", "has_stop_loss"), Mark.WARN, "recorded stops: neither"),
        (replace(GOOD, unique_indexes=()), Mark.WARN, "no valid unique index"),
        (
            replace(GOOD, unique_indexes=(IndexFacts("i", valid=False, definition=""),)),
            Mark.WARN,
            "i is invalid",
        ),
        (replace(GOOD, superuser=True), Mark.WARN, "superuser"),
        (
            with_table("monitoring.positions", replace(POSITIONS, changeable=True)),
            Mark.WARN,
            "may change monitoring.positions",
        ),
        (
            with_table("posguard.runs", replace(OWN, writable=False)),
            Mark.FAIL,
            "may not record in posguard.runs",
        ),
        (replace(GOOD, schema_version=None), Mark.FAIL, "version cannot be read"),
        (replace(GOOD, schema_version="0000"), Mark.FAIL, "version 0000"),
        (replace(GOOD, open_rows={"bybit": 2}), Mark.FAIL, "bybit: 2 open rows and no credentials"),
    ],
)
def test_each_fault_has_its_line(facts, mark, says):
    assert any(says in text for text in marked(lines(facts), mark)), lines(facts)


def test_the_older_column_set_is_fine():
    assert not marked(lines(without_columns("stop_loss_order_id")), Mark.WARN)
    assert not marked(lines(without_columns("has_stop_loss", "stop_loss_price")), Mark.WARN)


def test_a_database_without_posguards_schema_names_the_command():
    bare = replace(
        GOOD,
        schema_version=None,
        tables={n: t for n, t in GOOD.tables.items() if not n.startswith("posguard")},
    )
    (line,) = checking.own_schema(bare)
    assert (line.mark, line.todo) == (Mark.FAIL, "Run `posguard db upgrade`.")


READS = KeyPermissions(VENUE, can_read=True, can_trade=False, can_withdraw=False, ip_restricted=True)


@pytest.mark.parametrize(
    ("key", "mark", "says"),
    [
        (READS, Mark.OK, "reads; trades: no; withdraws: no"),
        (replace(READS, can_trade=None, can_withdraw=None, ip_restricted=None), Mark.OK, "does not say"),
        (replace(READS, can_read=False), Mark.FAIL, "may not read"),
        (replace(READS, can_withdraw=True), Mark.WARN, "CAN WITHDRAW"),
        (replace(READS, can_trade=True), Mark.WARN, "may trade"),
        (replace(READS, ip_restricted=False), Mark.WARN, "not bound to IP"),
        (replace(READS, expires_at=NOW + timedelta(days=13)), Mark.WARN, "expires on 2026-11-14"),
        (replace(READS, expires_at=NOW + timedelta(days=15)), Mark.OK, "reads"),
    ],
)
def test_keys(key, mark, says):
    (line,) = checking.key(key, NOW)
    assert line.mark is mark
    assert says in line.said


def test_a_venue_that_cannot_be_read_whole_fails_with_its_reasons():
    whole = VenueSnapshot(VENUE, World.TESTNET, NOW, NOW, complete=True)
    assert checking.looked(whole).mark is Mark.OK
    broken = checking.looked(
        replace(whole, complete=False, reasons=("positions: HTTP 524", "orders: no answer"))
    )
    assert (broken.mark, broken.said) == (Mark.FAIL, "positions: HTTP 524; orders: no answer")


def test_production_is_said_in_so_many_words():
    assert "PRODUCTION" in checking.world(VENUE, World.PRODUCTION, None).said
    assert checking.world(VENUE, World.TESTNET, "http://h").said == "testnet at http://h"


@pytest.mark.parametrize(("skew", "mark"), [(1999, Mark.OK), (-2001, Mark.FAIL)])
def test_a_venues_clock(skew, mark):
    assert checking.clock(VENUE, skew, timedelta(seconds=2)).mark is mark


def test_little_disk_and_an_open_env_file_are_warned_of():
    assert checking.disk("/x", 2**29).mark is Mark.WARN
    assert checking.disk("/x", 2**31).mark is Mark.OK
    assert checking.env_file(0o100644).mark is Mark.WARN
    assert checking.env_file(0o100600).mark is Mark.OK


def test_a_made_up_database_says_so():
    assert list(checking.made_up(None)) == []
    (line,) = checking.made_up("posguard demo world; seed=7")
    assert "DEMO DATA" in line.said


def test_a_variable_that_nobody_reads_is_warned_of():
    env = {"POSGUARD_BINANCE_SECRT": "x", "POSGUARD_DSN": "x", "POSGUARD_BYBIT_HEDGE": "x", "OTHER": "x"}
    (line,) = checking.unread(unread_variables(env))
    assert (line.what, line.mark) == ("POSGUARD_BINANCE_SECRT", Mark.WARN)


@pytest.mark.parametrize(
    ("age", "mark", "said"),
    [
        (timedelta(seconds=5), Mark.OK, "5 s old"),
        (timedelta(minutes=14), Mark.OK, "14 min old"),
        (timedelta(minutes=17), Mark.WARN, "17 min old"),
        (timedelta(hours=2, minutes=1), Mark.WARN, "2.0 h old"),
        (-timedelta(hours=1), Mark.WARN, "1.0 h ahead"),
        (timedelta(days=30), Mark.WARN, "720.0 h old"),
    ],
)
def test_a_log_is_fresh_late_or_read_in_a_zone_that_cannot_be_right(age, mark, said):
    look = checking.SourceLook("bot", "Europe/Berlin", 3, NOW - age)
    (line,) = checking.log_sources([look], NOW)
    assert (line.mark, said in line.said) == (mark, True)
    assert bool(line.todo) == (mark is Mark.WARN)
    zone = timedelta(minutes=30) <= abs(age) < timedelta(days=1)
    assert ("zone is wrong" in line.todo) == zone


def test_a_log_that_is_not_there_or_elsewhere_or_none_at_all():
    there = [
        checking.SourceLook("a", "UTC", 0, None, "There is no log at /x."),
        checking.SourceLook("b", "UTC", 2, None),
        checking.SourceLook("c", "UTC", 0, None, remote=True),
    ]
    assert [line.mark for line in checking.log_sources(there, NOW)] == [Mark.WARN, Mark.WARN, Mark.NONE]
    assert [line.mark for line in checking.log_sources([], NOW)] == [Mark.NONE]


def test_whether_anybody_is_told_is_a_line():
    assert checking.alert_routes([]).mark is Mark.NONE
    line = checking.alert_routes(["desk (https://hooks.example)"])
    assert (line.mark, line.said) == (Mark.OK, "desk (https://hooks.example)")
