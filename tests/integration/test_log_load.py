"""Each record once: whatever its file is called, however the set is cut, in whatever order and beside whom it is loaded."""

from __future__ import annotations

import asyncio
import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from posguard.postgres.pool import Database
from tests.fixtures.logs import HandReading, Line, load, stored, truth

pytestmark = pytest.mark.postgres


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


SOME = [Line(n * 700, f"Created position #{n}") for n in range(50)]


async def test_twice_adds_nothing(db, bot_dsn):
    (first,) = await load(db, HandReading(SOME))
    (again,) = await load(db, HandReading(SOME))
    assert (first.events, first.new_events) == (50, 50)
    assert (again.events, again.new_events) == (50, 0)
    assert stored(bot_dsn) == truth(SOME)


async def test_equal_records_of_one_millisecond_are_all_kept(db, bot_dsn):
    lines = [Line(0, "start"), *[Line(5, "Position saved")] * 3, Line(5, "other"), Line(9, "end")]
    await load(db, HandReading(lines), HandReading(lines))
    assert stored(bot_dsn) == truth(lines)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_equal_records_on_both_sides_of_a_rotation_are_counted(db, bot_dsn, order):
    lines = [Line(0, "start"), *[Line(5, "Position saved")] * 3, Line(9, "end")]
    parts = [HandReading(lines[:2]), HandReading(lines[2:])]
    await load(db, *(parts[n] for n in order))
    assert stored(bot_dsn) == truth(lines)
    await load(db, HandReading(lines), *parts)
    assert stored(bot_dsn) == truth(lines)


async def test_a_copy_that_ends_earlier_adds_nothing(db, bot_dsn):
    lines = [Line(0, "start"), *[Line(5, "Position saved")] * 2, Line(9, "end")]
    await load(db, HandReading(lines[:2]), HandReading(lines[:3]), HandReading(lines), HandReading(lines[:2]))
    assert stored(bot_dsn) == truth(lines)


async def test_what_was_the_end_of_a_file_is_completed_by_the_lines_that_follow(db, bot_dsn):
    short = [Line(0, "start"), Line(5, "Atomic position creation failed")]
    whole = [
        short[0],
        Line(5, short[1].text + "\nTraceback …\nDETAIL:  Key (symbol)=(KASUSDT)"),
        Line(9, "end"),
    ]
    await load(db, HandReading(short))
    assert stored(bot_dsn) == truth(short)
    await load(db, HandReading(whole))
    assert stored(bot_dsn) == truth(whole)
    await load(db, HandReading(short))
    assert stored(bot_dsn) == truth(whole)


async def test_records_older_than_retention_are_counted_and_left_out(db, bot_dsn):
    ago = -100 * 24 * 3600 * 1000
    (found,) = await load(db, HandReading([Line(ago, "old"), Line(0, "new")]))
    assert (found.events, found.refused) == (1, 1)
    assert found.oldest_refused == Line(ago, "").at
    assert [text for _, text, _ in stored(bot_dsn)] == ["new"]


async def test_what_a_column_cannot_hold_is_replaced(db, bot_dsn):
    await load(db, HandReading([Line(0, "a\x00b \ud800 🚀 цена"), Line(1, "end")]))
    assert [text for _, text, _ in stored(bot_dsn)] == ["a\ufffdb ? 🚀 цена", "end"]


LINES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 1, 3000]),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from([True, True, False]),
    ),
    min_size=1,
    max_size=24,
)


def log_of(steps):
    """A log whose records often share their time and words."""
    ms, lines = 0, []
    for step, text, known in steps:
        ms += step
        lines.append(Line(ms, text, known))
    return lines


def cut(lines, places):
    """The log in pieces; a piece that would lie on one time alone stays with its neighbour (docs/logs.md: limits)."""
    pieces, begin = [], 0
    for place in sorted(set(places)):
        piece, rest = lines[begin:place], lines[place:]
        if piece and rest and piece[0].ms != piece[-1].ms and rest[0].ms != rest[-1].ms:
            pieces.append(piece)
            begin = place
    return [*pieces, lines[begin:]]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)
@given(
    steps=LINES,
    places=st.lists(st.integers(0, 24), max_size=3),
    copies=st.lists(st.tuples(st.booleans(), st.integers(1, 24)), max_size=3),
    seed=st.integers(0, 2**32),
    at_once=st.booleans(),
)
def test_cut_copied_grown_in_any_order_and_at_once_the_rows_are_those_of_the_whole(
    bot_dsn, steps, places, copies, seed, at_once
):
    lines = log_of(steps)
    files = [HandReading(piece) for piece in cut(lines, places)]
    # copies of the whole, and of its beginning as it was when it was shorter
    files += [HandReading(lines if whole else lines[:end]) for whole, end in copies]
    random.Random(seed).shuffle(files)
    note(f"files of {[len(f.lines) for f in files]} lines")

    async def run():
        async with await Database.open(bot_dsn) as db:
            await load(db, *files, at_once=at_once)

    with psycopg.connect(bot_dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("TRUNCATE posguard.log_events, posguard.log_edges, posguard.log_files")
    asyncio.run(run())
    assert stored(bot_dsn) == truth(lines)
