"""`posguard logs analyze` and `investigate` as typed, on the demo bot's log and its database."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posguard.demo.botlog import ZONE, log_source, write_log
from posguard.demo.incidents import race_time, twin_time
from posguard.demo.records import columns, values
from posguard.demo.seed import world_mark
from posguard.demo.world import make_world
from posguard.postgres.botworld import load, prepare
from posguard.postgres.pool import Database
from tests.program import posguard, posguard_beside

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
STATISTICS = {
    "duplicate_errors",
    "position_creates",
    "position_updates",
    "total_lines",
    "parsed_entries",
    "unique_symbols",
    "errors_by_symbol",
    "errors_by_exchange",
    "errors_by_hour",
    "errors_per_hour",
    "errors_per_day_projected",
    "levels",
    "latency",
}
ERROR = {
    "timestamp",
    "symbol",
    "exchange",
    "scenario",
    "confidence",
    "reason",
    "window_seconds",
    "context_before",
    "context_after",
    "context_timeline",
}
EVENT = {"timestamp", "kind", "position_id", "symbol", "exchange", "status", "source", "offset"}


@pytest.fixture
def world():
    return make_world(NOW)


@pytest.fixture
def log(world, tmp_path):
    """The demo bot's log, and the setting that declares it."""
    source = log_source(tmp_path)
    write_log(world, source)
    path = source.paths[0]
    return {"path": path, "declared": f"[{source.model_dump_json()}]", "text": Path(path).read_bytes()}


def test_the_declared_log_tells_both_incidents_in_utc_and_in_the_hosts_time(log, tmp_path):
    ended = posguard("logs", "analyze", folder=tmp_path, POSGUARD_LOG_SOURCES=log["declared"])
    assert (ended.code, ended.err) == (1, "")
    race, twin = race_time(NOW), twin_time(NOW)
    for words in (
        "1 duplicate-key error; 1 double create that left none.",
        "APTUSDT on binance",
        f"{race + timedelta(milliseconds=4933):%Y-%m-%d %H:%M:%S}.933 UTC, 2026-11-21 12:47:57.933 Asia/Dubai",
        "Scenario B, high confidence",
        "3.756 s after the one before",
        "Created row #2548",
        "KASUSDT on bybit",
        f"Created row #276 at {twin:%Y-%m-%d %H:%M:%S}.034 UTC",
        "34 ms after the one before",
        "Concurrent create under 5 s.",
    ):
        assert words in ended.out, words


def test_the_json_has_the_keys_that_scripts_rely_on(log, tmp_path):
    ended = posguard("logs", "analyze", log["path"], "--tz", ZONE, "--json", folder=tmp_path)
    assert (ended.code, ended.err) == (1, "")
    found = ended.json
    assert {"analysis_timestamp", "statistics", "duplicate_errors", "position_events"} <= set(found)
    assert set(found["statistics"]) >= STATISTICS
    (error,) = found["duplicate_errors"]
    assert set(error) >= ERROR
    assert (error["symbol"], error["exchange"], error["scenario"]) == ("APTUSDT", "binance", "B")
    assert abs(error["window_seconds"] - 3.756) <= 0.001
    assert error["records"] == 3
    assert (len(error["context_before"]), len(error["context_after"])) == (10, 10)
    assert "UniqueViolationError" in "".join(error["context_after"])
    assert all(set(event) >= EVENT for event in found["position_events"])
    (silent,) = found["silent_races"]
    assert [create["position_id"] for create in silent["creates"]] == [275, 276]
    assert abs(silent["window_seconds"] - 0.0346) <= 0.001
    low, high = found["statistics"]["errors_per_day_interval"]
    assert low < found["statistics"]["errors_per_day_projected"] < high
    assert found["damage"] == []


def test_a_filter_and_a_file_to_write_to(log, tmp_path):
    words = ("logs", "analyze", "--symbol", "KASUSDT", "--export", "kas.html")
    ended = posguard(*words, folder=tmp_path, POSGUARD_LOG_SOURCES=log["declared"])
    assert (ended.code, ended.out) == (1, "Written to kas.html.\n")
    page = (tmp_path / "kas.html").read_text(encoding="utf-8")
    assert "KASUSDT" in page
    assert '<h2 id="race-1">KASUSDT' in page
    assert "APTUSDT on binance" not in page
    assert "<script" not in page
    assert "34 ms" in page


def test_a_stretch_of_time_as_csv_and_the_time_line_of_one_symbol(log, tmp_path):
    twin = twin_time(NOW)
    stretch = (
        "--from",
        f"{twin - timedelta(minutes=1):%Y-%m-%dT%H:%M}",
        "--to",
        f"{twin + timedelta(minutes=2):%Y-%m-%dT%H:%M}",
    )
    given = {"POSGUARD_LOG_SOURCES": log["declared"]}
    ended = posguard("logs", "analyze", *stretch, "--format", "csv", folder=tmp_path, **given)
    (race,) = csv.DictReader(ended.out.splitlines())
    assert (ended.code, race["symbol"], race["surfaced"], race["row_ids"]) == (
        1,
        "KASUSDT",
        "false",
        "275 276",
    )
    assert datetime.fromisoformat(race["host_time"]).utcoffset() == timedelta(hours=4)
    ended = posguard(
        "logs", "analyze", *stretch, "--symbol", "AKE/USDT:USDT", "--lines", "10000", folder=tmp_path, **given
    )
    assert (ended.code, ended.err) == (0, "")
    assert "Time line of AKEUSDT" in ended.out
    assert "Position record created: ID=" in ended.out
    assert "KASUSDT" not in ended.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("other.log",), 2, "--tz Europe/Berlin"),
        (("other.log", "--tz", "Berlin"), 2, "is no time zone"),
        (("missing.log", "--tz", "UTC"), 3, "missing.log"),
        ((), 3, "POSGUARD_LOG_SOURCES"),
        (("other.log", "--tz", "UTC", "--from", "noon"), 2, "--from noon is no time"),
        (("other.log", "--tz", "UTC", "--from", "0001-01-01"), 2, "--from 0001-01-01 is no time"),
        (("other.log", "--tz", "UTC", "--from", "2025-10-23", "--to", "2025-10-22"), 2, "is not before"),
        (("", "--tz", "UTC"), 2, "A PATH is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(words, code, said, tmp_path):
    (tmp_path / "other.log").write_text("2025-10-22 22:50:40,983 - core - INFO - Position saved\n")
    posguard("logs", "analyze", *words, folder=tmp_path).fails_with(code, said)


def test_a_log_without_one_line_of_the_bots_is_unknown_and_not_quiet(tmp_path):
    (tmp_path / "bot.log").write_bytes(b"rubbish\n\x00\xff more of it\n")
    ended = posguard("logs", "analyze", "bot.log", "--tz", "UTC", "--json", folder=tmp_path)
    assert (ended.code, json.loads(ended.out)["statistics"]["parsed_entries"]) == (3, 0)
    assert "bot.log begins as a log line of the bot does" in ended.err
    quiet = b"2025-10-22 22:50:40,983 - core - INFO - Position saved #7 APTUSDT\n"
    for text, said in ((b"", "is empty"), (b"bot_1 | " + quiet * 9 + quiet, "are no lines of the bot's log")):
        (tmp_path / "bot.log").write_bytes(text.replace(b"\n2025", b"\nbot_1 | 2025", 8))
        ended = posguard("logs", "analyze", "bot.log", "--tz", "UTC", folder=tmp_path)
        assert (ended.code, said in ended.err) == (3, True), ended
    (tmp_path / "bot.log").write_bytes(quiet)
    words = ("logs", "analyze", "bot.log", "--tz", "UTC")
    for stretch in (("--from", "2025-10-23"), ("--to", "2025-10-22T22:00")):
        ended = posguard(*words, *stretch, folder=tmp_path)
        assert (ended.code, "it reaches from 2025-10-22 22:50:40" in ended.err) == (3, True), ended
    assert posguard(*words, "--from", "2025-10-22", "--to", "2025-10-23", folder=tmp_path).code == 0


def test_an_address_is_read_as_the_file_is(log, tmp_path):
    (tmp_path / "bot.log.1.gz").write_bytes(gzip.compress(log["text"]))
    words = ("--tz", ZONE, "--format", "csv")
    local = posguard("logs", "analyze", log["path"], *words, folder=tmp_path)
    ended = posguard("logs", "analyze", f"file://{tmp_path}/*.gz", *words, folder=tmp_path)
    assert (ended.code, ended.err, ended.out) == (1, "", local.out)


def test_a_packed_file_that_breaks_off_proves_nothing_and_what_was_read_is_said(log, tmp_path):
    packed = gzip.compress(log["text"])
    (tmp_path / "bot.log.gz").write_bytes(packed[: len(packed) // 50])
    ended = posguard("logs", "analyze", "bot.log.gz", "--tz", ZONE, "--json", folder=tmp_path)
    assert (ended.code, ended.json["duplicate_errors"], len(ended.json["inconclusive"])) == (3, [], 1)
    for words in (
        "proves nothing",
        "bot.log.gz: the gzip file ends early after",
        "events were read, up to 2026-",
    ):
        assert words in ended.err
    # a race in what was read is told, and 3 beats 1
    (tmp_path / "bot.log.gz").write_bytes(packed[:-40])
    ended = posguard("logs", "analyze", "bot.log.gz", "--tz", ZONE, folder=tmp_path)
    assert (ended.code, "1 duplicate-key error" in ended.out) == (3, True)
    assert "are not all that there may be" in ended.err


def test_creates_that_the_log_does_not_decide_are_inconclusive(tmp_path):
    lines = [
        f"2025-10-22 22:50:{second},100 - {module} - INFO - {words}\n"
        for second, number in ((40, 7), (50, 8))
        for module, words in (
            ("core.signal_processor", "Opening position for APTUSDT"),
            ("core.repository", f"Created position #{number} for APTUSDT"),
        )
    ]
    (tmp_path / "bot.log").write_text("".join(lines))
    ended = posguard("logs", "analyze", "bot.log", "--tz", "UTC", folder=tmp_path)
    assert (ended.code, "1 pair of creates of one symbol" in ended.err) == (3, True), ended


def test_two_declared_sources_that_overlap_count_an_error_once(log, tmp_path):
    path = log["path"]
    again = [
        {"name": "file", "paths": [path], "zone": ZONE},
        {"name": "folder", "paths": [path.rpartition("/")[0]], "zone": ZONE},
    ]
    alone = posguard("logs", "analyze", "--json", folder=tmp_path, POSGUARD_LOG_SOURCES=log["declared"]).json
    both = posguard("logs", "analyze", "--json", folder=tmp_path, POSGUARD_LOG_SOURCES=json.dumps(again)).json
    assert both["statistics"]["duplicate_errors"] == 1
    for number in ("position_creates", "position_updates", "errors_by_hour", "errors_per_day_projected"):
        assert both["statistics"][number] == alone["statistics"][number], number
    assert len(both["position_events"]) == len(alone["position_events"])


def test_a_quiet_log_ends_with_0(tmp_path):
    (tmp_path / "bot.log").write_text("2025-10-22 22:50:40,983 - core - INFO - Position saved #7 APTUSDT\n")
    ended = posguard("logs", "analyze", "bot.log", "--tz", "UTC", folder=tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended


@pytest.mark.postgres
async def test_incident_2_is_investigated_as_it_was_written_up(world, log, bot_dsn, tmp_path):
    """What was ruled out then is refuted here, with its lines; what was left standing is open, and says what would decide it."""
    await _fill(bot_dsn, world)
    given = {"POSGUARD_DSN": bot_dsn.get_secret_value(), "POSGUARD_LOG_SOURCES": log["declared"]}
    at = f"{twin_time(NOW):%H:%M:%S}"
    words = ("logs", "investigate", "--symbol", "KASUSDT", "--at", at, "--date", "2026-11-21")
    ended = await posguard_beside(*words, "--json", folder=tmp_path, **given)
    assert (ended.code, ended.err) == (0, ""), ended
    found = ended.json
    assert (found["row_ids"], found["still_open"]) == ([275, 276], [275, 276])
    assert abs(found["gap_seconds"] - 0.0346) <= 0.001
    standing = {one["name"]: one["standing"] for one in found["hypotheses"]}
    assert standing == {
        "second process": "refuted",
        "parallel signals": "refuted",
        "wave run twice": "refuted",
        "synchroniser": "refuted",
        "trigger": "refuted",
        "retry": "open",
        "create called twice": "open",
        "one create inserting twice": "open",
        "two tasks past one check": "open",
        "stream handler as second writer": "open",
        "lock key that differs between processes": "refuted",
        "index missing or invalid": "refuted",
        "symbol not byte-equal": "refuted",
    }
    by_name = {one["name"]: one for one in found["hypotheses"]}
    assert "pid=41822" in json.dumps(by_name["second process"]["evidence"])
    assert all(one["missing"] for one in found["hypotheses"] if one["standing"] == "open")
    assert {"monitoring.positions", "monitoring.events", "log demo-bot"} <= {
        one["where"] for one in found["side_by_side"]
    }
    times = [datetime.fromisoformat(one["timestamp"]) for one in found["side_by_side"]]
    assert times == sorted(times)
    hosts = [datetime.fromisoformat(one["host_time"]) for one in found["side_by_side"]]
    assert (hosts, hosts[0].utcoffset()) == (times, timedelta(hours=4))
    # the host's time given as UTC, and other slips
    for slip, code, said in (
        (
            ("KASUSDT", "--at", "03:21:12", "--date", "2026-11-20"),
            3,
            "Neither the database nor the log knows of KASUSDT",
        ),
        (("KASUSDT", "--at", "2026-11-21T03:21:12", "--date", "2026-11-20"), 2, "--date goes with"),
        (("KASUSDT", "--at", "0001-01-01T00:00:00"), 2, "is no time"),
        (("", "--at", at), 2, "names no symbol"),
    ):
        ended = await posguard_beside("logs", "investigate", "--symbol", *slip, folder=tmp_path, **given)
        assert (ended.code, said in ended.err) == (code, True), ended


@pytest.mark.postgres
async def test_incident_1_is_the_synchronisers(world, log, bot_dsn, tmp_path):
    await _fill(bot_dsn, world)
    given = {"POSGUARD_DSN": bot_dsn.get_secret_value(), "POSGUARD_LOG_SOURCES": log["declared"]}
    at = f"{race_time(NOW):%Y-%m-%dT%H:%M:%S}"
    ended = await posguard_beside(
        "logs", "investigate", "--symbol", "APTUSDT", "--at", at, folder=tmp_path, **given
    )
    assert (ended.code, ended.err) == (0, ""), ended
    assert "HELD: synchroniser." in ended.out
    assert "Rows: #2548, #2549, inserted 3.756 s apart." in ended.out
    assert ended.out.count("HELD: ") == 1
    assert "Open now: #2549." in ended.out
    (tmp_path / "bot.log.gz").write_bytes(gzip.compress(log["text"])[:-40])
    given["POSGUARD_LOG_SOURCES"] = json.dumps(
        [{"name": "bot", "paths": [f"file://{tmp_path}/bot.log.gz"], "zone": ZONE}]
    )
    words = ("logs", "investigate", "--symbol", "APTUSDT", "--at", at, "--json")
    ended = await posguard_beside(*words, folder=tmp_path, **given)
    assert (ended.code, ended.json["row_ids"]) == (3, [2548, 2549])
    assert any("the gzip file ends early" in line for line in ended.json["damage"])
    assert "what stood behind is not known" in ended.err


async def _fill(dsn, world):
    tables = {
        name: (columns(type(rows[0])), [values(row) for row in rows])
        for name, rows in world.rows.tables().items()
    }
    async with await Database.open(dsn, application="test", size=1) as db, db.transaction() as connection:
        await prepare(connection, world_mark(world.now, world.seed))
        await load(connection, tables)
