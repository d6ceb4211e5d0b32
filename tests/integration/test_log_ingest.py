"""Whole files into the database, counts equal to the generator's truth: rotated, renamed, packed, cut, at once, and by interval."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from posguard.logs.generator import Recipe, joined, make_log, make_pieces, write_rotated
from posguard.logs.ingest import end_interval, files_to_read, ingest_file
from posguard.logs.sources import files_of
from posguard.postgres.pool import Database
from posguard.settings import LogSource

pytestmark = pytest.mark.postgres

START = (datetime.now(UTC) - timedelta(days=3)).replace(hour=20, minute=0, second=0, microsecond=0)
SMALL = Recipe(seed=5, zone="Europe/Moscow", start=START, noise=400, opens=12, happenings=60, incidents=False)
QUARTER = timedelta(days=90)
HOUR = timedelta(hours=1)


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


def source(folder, zone=SMALL.zone):
    return LogSource(name="bot", paths=(str(folder),), zone=zone)


async def load(db, declared, paths, interval=None, *, at_once=False):
    made = [ingest_file(db, declared, str(path), retention=QUARTER, interval=interval) for path in paths]
    return await asyncio.gather(*made) if at_once else [await one for one in made]


def ask(dsn, query, *values):
    with psycopg.connect(dsn.get_secret_value()) as connection:
        return connection.execute(query, values).fetchall()


def kinds(dsn):
    return dict(ask(dsn, "SELECT kind, count(*) FROM posguard.log_events GROUP BY kind"))


def rows(dsn):
    """The rows without what says where they were read."""
    return ask(
        dsn,
        "SELECT at, content_hash, ordinal, kind, level, module, message, symbol, exchange, position_id, quantity, price"
        " FROM posguard.log_events ORDER BY at, content_hash, ordinal",
    )


async def test_a_set_loaded_twice_renamed_packed_otherwise_merged_and_at_once_gives_the_same_rows(
    db, bot_dsn, tmp_path
):
    truth = write_rotated(tmp_path, SMALL)
    declared = source(tmp_path)
    first = await load(db, declared, files_of([str(tmp_path)]))
    assert sum(one.loaded.new_events for one in first) == truth.events
    assert kinds(bot_dsn) == truth.kinds
    before = rows(bot_dsn)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_rotated(elsewhere, SMALL, packed="zst", name="kept.log")
    write_rotated(elsewhere, SMALL, files=5, packed="", name="other.log")
    write_rotated(elsewhere, replace(SMALL, crlf=True), name="windows.log")
    (elsewhere / "whole.log").write_bytes(make_log(SMALL)[0])
    again = await load(db, declared, files_of([str(elsewhere)]), at_once=True)
    assert sum(one.loaded.new_events for one in again) == 0
    assert rows(bot_dsn) == before


async def test_in_parallel_from_nothing_it_is_the_truth(db, bot_dsn, tmp_path):
    truth = write_rotated(tmp_path, SMALL, files=4, packed="")
    (tmp_path / "whole.log.gz").write_bytes(gzip.compress(make_log(SMALL)[0]))
    await load(db, source(tmp_path), files_of([str(tmp_path)]), at_once=True)
    assert kinds(bot_dsn) == truth.kinds


async def test_what_is_damaged_is_counted_and_the_rest_is_loaded(db, bot_dsn, tmp_path):
    data, truth = make_log(replace(SMALL, damage=True, encoding="cp1251"))
    path = tmp_path / "bot.log"
    path.write_bytes(data)
    (found,) = await load(db, source(tmp_path), [path])
    assert kinds(bot_dsn) == truth.kinds
    assert found.damage
    assert found.loaded.bytes_skipped >= truth.torn + truth.headless
    ((size, read, events, new),) = ask(
        bot_dsn, "SELECT size, bytes_read, events, new_events FROM posguard.log_files"
    )
    assert (size, read, events, new) == (len(data), len(data), truth.events, truth.events)


async def test_only_the_interval_is_loaded_and_hours_after_hours_make_the_whole(db, bot_dsn, tmp_path):
    truth = write_rotated(tmp_path, SMALL)
    declared = source(tmp_path)
    for hour in range(6):
        interval = (START + hour * HOUR, START + (hour + 1) * HOUR)
        for file in await files_to_read(db, declared, dict.fromkeys(files_of([str(tmp_path)])), interval):
            await load(db, declared, [file.path], interval)
        await end_interval(db, [declared], interval, interval=interval)
        told = [one for one in truth.records if one.kind and one.at < interval[1]]
        assert sum(kinds(bot_dsn).values()) == len(told), hour
    assert kinds(bot_dsn) == truth.kinds
    assert not await files_to_read(
        db, declared, dict.fromkeys(files_of([str(tmp_path)])), (START - 9 * HOUR, START - 8 * HOUR)
    )


async def test_late_lines_are_loaded_by_the_next_run_and_other_old_ones_are_not(db, bot_dsn, tmp_path):
    pieces, truth = make_pieces(SMALL)
    declared, path = source(tmp_path), tmp_path / "bot.log"
    hours = [(START + n * HOUR, START + (n + 1) * HOUR) for n in range(4)]
    late = [n for n, one in enumerate(truth.records) if hours[1][0] <= one.at < hours[1][1]][5:]
    # the second hour's run comes before most of that hour's lines have arrived
    path.write_bytes(joined(SMALL, pieces[: late[0]]))
    await load(db, declared, [path], hours[1])
    await end_interval(db, [declared], hours[1], interval=hours[1])
    path.write_bytes(joined(SMALL, pieces))
    await load(db, declared, [path], hours[2])
    stored = {at for (at,) in ask(bot_dsn, "SELECT at FROM posguard.log_events")}
    told = {one.at for one in truth.records if one.kind and hours[1][0] <= one.at < hours[2][1]}
    assert stored == told
    # a file that nobody has read, with lines of the covered hour
    other = tmp_path / "other.log"
    extra = replace(SMALL, seed=99)
    data, strange = make_log(extra)
    other.write_bytes(data)
    await load(db, declared, [other], hours[3])
    came = {at for (at,) in ask(bot_dsn, "SELECT at FROM posguard.log_events")} - told
    covered = {
        one.at
        for one in strange.records
        if one.kind and (hours[1][0] <= one.at < hours[1][1] or hours[3][0] <= one.at < hours[3][1])
    }
    assert came <= covered
    assert {at for at in covered - told if at < hours[1][1]} <= came


async def test_races_are_findings_once_however_often_the_interval_is_run(db, bot_dsn, tmp_path):
    truth = write_rotated(tmp_path, SMALL)
    declared = source(tmp_path)
    whole = (START, START + 5 * HOUR)
    for _ in range(2):
        await load(db, declared, files_of([str(tmp_path)]), whole)
        await end_interval(db, [declared], whole, interval=whole)
    found = ask(bot_dsn, "SELECT kind, symbol, state FROM posguard.findings ORDER BY symbol")
    planted = sorted(race.symbol for race in truth.races)
    assert sorted(symbol for _, symbol, _ in found) == planted
    assert {state for _, _, state in found} == {"open"}
    assert len(ask(bot_dsn, "SELECT 1 FROM posguard.log_races")) == len(planted)


async def test_creates_that_the_log_does_not_decide_are_counted_and_make_no_finding(db, bot_dsn, tmp_path):
    lines = [
        f"{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S},100 - {module} - INFO - {words}\n"
        for second, number in ((40, 7), (50, 8))
        for module, words in (
            ("core.signal_processor", "Opening position for APTUSDT"),
            ("core.repository", f"Created position #{number} for APTUSDT"),
        )
    ]
    (tmp_path / "bot.log").write_text("".join(lines))
    declared = source(tmp_path).model_copy(update={"zone": "UTC"})
    whole = (START, START + HOUR)
    await load(db, declared, files_of([str(tmp_path)]), whole)
    ended = await end_interval(db, [declared], whole, interval=whole)
    assert (ended.races, ended.undecided, ended.run_id) == (0, 1, None)
    assert ask(bot_dsn, "SELECT 1 FROM posguard.findings") == []
