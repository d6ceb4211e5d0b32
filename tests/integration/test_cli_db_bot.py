"""`posguard db … --target bot` as a person types it, against a real server."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from posguard.errors import ExitCode
from posguard.postgres.botfacts import GUARD
from tests.fixtures.bot_tables import catalogue, do, position, rows, sound
from tests.program import posguard

pytestmark = pytest.mark.postgres


@pytest.fixture
def db(bot_dsn, tmp_path):
    def run(*words, **variables):
        dsn = bot_dsn.get_secret_value()
        return posguard("db", *words, "--target", "bot", folder=tmp_path, POSGUARD_DSN=dsn, **variables)

    return run


@pytest.fixture
def name(bot_dsn):
    return urlsplit(bot_dsn.get_secret_value()).path.lstrip("/")


def test_shown_first_then_done_then_taken_back(db, bot_dsn, name):
    do(bot_dsn, position())
    before = catalogue(bot_dsn)
    db("check").fails_with(ExitCode.INCONCLUSIVE, "columns", "posguard db upgrade --target bot")
    shown = db("upgrade", "--account", "sub1")
    assert (shown.code, shown.err) == (0, "")
    command = f"posguard db upgrade --target bot --account sub1 --confirm {name}"
    assert f"Nothing was changed. To do it: {command}" in shown.out
    assert catalogue(bot_dsn) == before
    db("upgrade", "--confirm", "other").fails_with(ExitCode.REFUSED, name, "Nothing was changed")
    assert catalogue(bot_dsn) == before

    done = db("upgrade", "--account", "sub1", "--confirm", name)
    assert done.code == 0, done.err
    assert f"build the unique index {GUARD}" in done.err, "progress is on stderr"
    assert sound(bot_dsn, GUARD)
    assert rows(bot_dsn, "SELECT DISTINCT account FROM monitoring.positions") == [("sub1",)]
    assert db("check").code == 0
    assert db("check", "--json").json == {"target": "bot", "current": "1", "newest": "1", "up_to_date": True}
    assert "nothing was changed" in db("upgrade").out
    db("upgrade", "--account", "main").fails_with(ExitCode.USAGE, "sub1", "Nothing was changed")

    do(bot_dsn, position("ETHUSDT"))
    way_back = db("downgrade")
    assert way_back.code == 0
    assert "Data that would go with the columns" in way_back.out
    assert "inserted_at" in way_back.out
    assert sound(bot_dsn, GUARD)
    assert db("downgrade", "--confirm", name).code == 0
    assert catalogue(bot_dsn) == before
    assert "carry nothing of the upgrade" in db("downgrade", "--confirm", name).out


def test_what_stands_in_the_way_is_listed_with_what_clears_it(db, bot_dsn, name):
    do(bot_dsn, position(status="pending_sl"), position(), position("ETHUSDT", status="phantom"))
    before = catalogue(bot_dsn)
    for words in ((), ("--confirm", name)):
        ended = db("upgrade", *words)
        ended.fails_with(ExitCode.REFUSED, "1 duplicate, 1 unknown status", "Nothing was changed")
        assert "#1, #2" in ended.out
        assert "posguard cleanup duplicates --symbol BTCUSDT --exchange binance" in ended.out
        assert "WHERE id = 3" in ended.out
        as_json = db("upgrade", "--json", *words)
        assert as_json.code == ExitCode.REFUSED
        assert [blocker["rows"] for blocker in as_json.json["blockers"]] == [[1, 2], [3]]
        assert as_json.json["done"] is False
    assert catalogue(bot_dsn) == before


def test_json_says_what_was_done_and_what_waits(db, bot_dsn, name):
    shown = db("upgrade", "--json").json
    assert (shown["confirm"], shown["done"], shown["account"]) == (name, False, "main")
    assert {step["state"] for step in shown["steps"]} == {"to do", "not needed"}
    done = db("upgrade", "--json", "--confirm", name).json
    assert (done["confirm"], done["done"]) == (None, True)
    assert {step["state"] for step in done["steps"]} == {"done", "not needed"}


def test_venues_that_need_more_are_noted(db, bot_dsn):
    keys = {"POSGUARD_BINANCE_KEY": "k", "POSGUARD_BINANCE_SECRET": "s", "POSGUARD_BINANCE_HEDGE": "1"}
    shown = db("upgrade", **keys, POSGUARD_BINANCE_ACCOUNT="sub7")
    assert "sub7 (--account)" in shown.out
    assert "(--drop-old-index)" in shown.out
    quiet = db("upgrade", "--account", "sub7", "--drop-old-index", **keys, POSGUARD_BINANCE_ACCOUNT="sub7")
    assert "Note:" not in quiet.out
    assert "drop idx_unique_active_position" in quiet.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("upgrade", "--wait", "soon"), "no duration"),
        (("upgrade", "--wait", "2h"), "at most 1h"),
        (("upgrade", "--account", "a b"), "no account name"),
    ],
)
def test_words_that_are_off_are_one_line(db, words, says):
    db(*words).fails_with(ExitCode.USAGE, says, "Nothing was")


def test_options_of_the_other_target_are_refused(bot_dsn, tmp_path, name):
    dsn = bot_dsn.get_secret_value()
    for words in (
        ("upgrade", "--confirm", name),
        ("upgrade", "--account", "x"),
        ("downgrade", "--wait", "5s"),
    ):
        posguard("db", *words, folder=tmp_path, POSGUARD_DSN=dsn).fails_with(
            ExitCode.USAGE, words[1], "only with --target bot"
        )
