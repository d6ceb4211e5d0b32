import asyncio

import pytest

from posguard.exchange.answers import AnswerError
from posguard.exchange.pages import by_cursor, by_time, for_each, rows_of


async def test_a_cursor_is_followed_to_the_end_over_an_empty_page_too():
    book = {"": ([{"n": 1}], "a"), "a": ([], "b"), "b": ([{"n": 2}], "")}

    async def ask(cursor):
        return book[cursor]

    sheet = await by_cursor(ask, "positions")
    assert [row["n"] for row in sheet.rows] == [1, 2]
    assert sheet.pages == 3


async def test_an_empty_page_that_points_at_itself_is_the_end():
    async def ask(cursor):
        return ([{"n": 1}], "a") if not cursor else ([], "a")

    assert len((await by_cursor(ask, "orders")).rows) == 1


async def test_pages_that_repeat_are_no_list():
    async def ask(cursor):
        return [{"n": 1}], "b" if cursor == "a" else "a"

    with pytest.raises(AnswerError, match="do not end"):
        await by_cursor(ask, "orders")


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [2, 3, 100])
async def test_every_row_of_a_time_span_is_found_once_whichever_end_the_venue_cuts(limit, newest_first):
    times = [0, 1, 5, 5, 70, 71, 72, 73, 500, 999, 1000]
    asked = []

    async def ask(left, right):
        asked.append((left, right))
        assert right - left < 300
        inside = [{"t": t, "n": n} for n, t in enumerate(times) if left <= t <= right]
        return (inside[::-1] if newest_first else inside)[:limit]

    if limit == 2:  # two rows in one millisecond fill the answer: there may be a third
        with pytest.raises(AnswerError, match="one millisecond"):
            await by_time(ask, "fills", start=0, end=1000, span=300, limit=limit)
        return
    rows = await by_time(ask, "fills", start=0, end=1000, span=300, limit=limit)
    assert sorted(row["n"] for row in rows) == list(range(len(times)))


async def test_the_first_error_ends_the_rest():
    started = []
    never = asyncio.Event()

    async def do(item):
        started.append(item)
        if item == 1:
            raise AnswerError(None, "no")
        await never.wait()

    with pytest.raises(AnswerError):
        await for_each(range(10), do)
    assert len(started) < 10
    assert len(asyncio.all_tasks()) == 1, "no task is left behind"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "an empty object"),
        ({"a": 1}, "an object"),
        ("<html>", "HTML"),
        ("", "an empty body"),
        ('[{"a": 1', "cut JSON"),
        (None, "null"),
        ([1], "a row is 1"),
    ],
)
def test_what_is_no_list_of_objects_is_named(body, words):
    with pytest.raises(AnswerError, match=words):
        rows_of(body, "positions")
