"""Reading lists to their end: by cursor, or by halving a window of time until each answer is under the venue's limit."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from posguard.exchange.answers import AnswerError, Trouble, shape_words
from posguard.exchange.rows import Row, RowError, row_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")
_MOST_PAGES = 2_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of a list that was read to its end, and on how many pages they came."""

    rows: tuple[Row, ...]
    pages: int

    def __add__(self, other: Sheet) -> Sheet:
        return Sheet(self.rows + other.rows, self.pages + other.pages)


def rows_of(body: Any, what: str) -> list[Row]:
    """The rows of a body that must be a list of objects. Raises AnswerError."""
    if not isinstance(body, list):
        raise AnswerError(Trouble.SHAPE, f"{what}: HTTP 200 with {kind_words(body)} instead of a list")
    with as_answer(what):
        return [row_of(value) for value in body]


def object_of(body: Any, what: str) -> Row:
    """A body that must be an object and not an empty one. Raises AnswerError."""
    if not isinstance(body, dict) or not body:
        raise AnswerError(Trouble.SHAPE, f"{what}: HTTP 200 with {kind_words(body)} instead of an object")
    return body


@contextmanager
def as_answer(what: str) -> Iterator[None]:
    """Inside, a RowError becomes an AnswerError that names what was read."""
    try:
        yield
    except RowError as error:
        raise AnswerError(Trouble.SHAPE, f"{what}: {error}") from None


def kind_words(body: Any) -> str:
    """What a parsed body is, in a word or two; what did not parse came as text."""
    if isinstance(body, str):
        return shape_words(body)
    if body is None:
        return "null"
    if isinstance(body, dict):
        return "an object" if body else "an empty object"
    return "a list" if isinstance(body, list) else "a single value"


async def by_cursor(ask: Callable[[str], Awaitable[tuple[list[Row], str]]], what: str) -> Sheet:
    """Every page: `ask` gives the rows behind a cursor and the next cursor, empty at the end.

    An empty page with a cursor is followed too. Raises AnswerError where a cursor comes back, so that pages would repeat.
    """
    rows: list[Row] = []
    seen: set[str] = set()
    cursor = ""
    for pages in range(1, _MOST_PAGES + 1):
        page, following = await ask(cursor)
        rows += page
        if not following or (not page and following == cursor):
            return Sheet(tuple(rows), pages)
        if following in seen:
            break
        seen.add(following)
        cursor = following
    raise AnswerError(Trouble.SHAPE, f"{what}: the pages do not end (the cursor came back)")


async def by_time(
    ask: Callable[[int, int], Awaitable[list[Row]]],
    what: str,
    *,
    start: int,
    end: int,
    span: int,
    limit: int,
) -> list[Row]:
    """Every row between two times (ms, both included), each question at most `span` ms wide.

    An answer of `limit` rows may have been cut, at either end: its window is halved. Raises AnswerError where a single
    millisecond holds that many.
    """
    rows: list[Row] = []
    open_windows = [(left, min(left + span - 1, end)) for left in range(start, end + 1, span)][::-1]
    while open_windows:
        left, right = open_windows.pop()
        answer = await ask(left, right)
        if len(answer) < limit:
            rows += answer
            continue
        if left >= right:
            raise AnswerError(
                Trouble.SHAPE, f"{what}: {limit} rows in one millisecond, and the venue tells no more"
            )
        middle = (left + right) // 2
        open_windows += [(middle + 1, right), (left, middle)]
    return rows


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[R]], *, at_once: int = 4) -> list[R]:
    """`do` for every item, a few at once, results in the items' order; the first error ends the rest and is raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with gate:
            return await do(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
