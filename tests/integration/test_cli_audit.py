"""`posguard audit` as typed: the files it leaves, the notes it keeps, what it says where sources are missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from posguard.demo.botlog import log_source, write_log
from posguard.demo.records import columns, values
from posguard.demo.seed import world_mark
from posguard.demo.world import make_world
from posguard.postgres.botworld import load, prepare
from posguard.postgres.pool import Database
from tests.program import posguard

pytestmark = pytest.mark.postgres

# Long past, so that nothing looks at exchanges or runs suites.
NOW = datetime(2026, 1, 21, 14, 0, tzinfo=UTC)
SINCE = f"{NOW - timedelta(hours=8):%Y-%m-%dT%H:%M}"


@pytest.fixture
async def past(empty_dsn, tmp_path):
    """A past demo world in a database without posguard's schema, and its bot's log."""
    world = make_world(NOW)
    async with await Database.open(empty_dsn, size=1) as db, db.transaction() as connection:
        await prepare(connection, world_mark(world.now, world.seed))
        tables = {
            name: (columns(type(rows[0])), [values(row) for row in rows])
            for name, rows in world.rows.tables().items()
        }
        await load(connection, tables)
    source = log_source(tmp_path)
    write_log(world, source)
    return {"POSGUARD_DSN": empty_dsn.get_secret_value()}, source


def test_a_past_window_tells_what_rows_and_log_know_and_what_nobody_does(past, tmp_path):
    env, source = past
    words = ("audit", "--from", SINCE, "--to", f"{NOW:%Y-%m-%dT%H:%M}", "--out", "report")
    log = ("--log", source.paths[0], "--tz", source.zone)
    first = posguard(*words, *log, folder=tmp_path, **env)
    assert first.code == 3, first.err
    assert "a complete reconciliation in the window" in first.out
    assert "a run of the suites in the window" in first.out
    assert "APTUSDT: duplicate-key error" in first.out
    folder = tmp_path / "report"
    assert sorted(one.name for one in folder.iterdir()) == ["audit.html", "audit.md", "notes.md"]
    notes = folder / "notes.md"
    heading = f"## {NOW - timedelta(hours=2):%Y-%m-%d %H}:00 UTC\n"
    notes.write_text(notes.read_text().replace(heading, f"{heading}\nthe network was down <b>\n"))
    kept = notes.read_text()
    again = posguard(*words, *log, "--json", folder=tmp_path, **env)
    told = json.loads(again.out)
    assert again.code == told["exit_code"] == 3
    assert not told["conclusive"]
    assert notes.read_text() == kept
    assert [hour["note"] for hour in told["hours"] if hour["note"]] == ["the network was down <b>"]
    assert "the network was down &lt;b&gt;" in (folder / "audit.html").read_text()
    assert "the network was down \\<b\\>" in (folder / "audit.md").read_text()
    races = [
        issue for issue in told["issues"] if issue["area"] == "races" and issue["severity"] == "critical"
    ]
    assert [issue["code_location"] for issue in races] == [
        "core/atomic_position_manager.py:311 in open_position_atomic",
        "",
    ]
    assert (
        f"posguard logs investigate {source.paths[0]} --tz {source.zone} --symbol APTUSDT"
        in races[0]["repair"][0]
    )
    assert {hour["counts"]["opened"] for hour in told["hours"]} != {0.0}


def test_without_a_log_it_says_so_and_json_alone_writes_nothing(past, tmp_path):
    env, _ = past
    done = posguard(
        "audit", "--from", SINCE, "--to", f"{NOW:%Y-%m-%dT%H:%M}", "--json", folder=tmp_path, **env
    )
    told = json.loads(done.out)
    assert "no log of the bot" in {gap["what"] for gap in told["missing"]}
    assert told["files"] == []
    assert [one.name for one in tmp_path.iterdir()] == ["botlogs"]
    assert not [issue for issue in told["issues"] if issue["key"].startswith("race:")]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--from", "yesterday"), 2, "is no date"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), 2, "does not lie before"),
        (("--from", "90d"), 2, "31 days at most"),
        (("--tz", "Europe/Berlin"), 2, "--tz goes with --log"),
        (("--log", "nowhere.log", "--tz", "UTC"), 3, "no log at nowhere.log"),
        (("--log", "nowhere.log"), 2, "zone"),
    ],
)
def test_wrong_words_are_refused_in_one_line(bot_dsn, tmp_path, words, code, said):
    done = posguard("audit", *words, folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value())
    done.fails_with(code, said)
    assert list(tmp_path.iterdir()) == []


def test_sql_prints_the_script_of_the_window_and_needs_no_database(tmp_path):
    done = posguard("audit", "--from", SINCE, "--to", f"{NOW:%Y-%m-%dT%H:%M}", "--sql", folder=tmp_path)
    assert done.code == 0
    assert f"'{(NOW - timedelta(hours=8)).isoformat()}'" in done.out
    assert "14. Database health" in done.out
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_has_an_audit_too(bot_dsn, tmp_path):
    done = posguard("audit", "--from", "2026-01-01", "--to", "2026-01-02", folder=tmp_path,
                    POSGUARD_DSN=bot_dsn.get_secret_value())  # fmt: skip
    assert done.code == 3
    (report,) = tmp_path.glob("audit-*/audit.md")
    assert "| opened | 0 |" in report.read_text()
