"""What counts as an event of a record, and what is text quoted in one."""

from __future__ import annotations

import pytest

from posguard.logs.finder import NO_WAY, Finder
from posguard.logs.generator import Recipe, make_log
from posguard.logs.patterns import load_patterns
from posguard.logs.reader import Block
from posguard.logs.scan import Scanner, Want, digest_of
from posguard.logs.zones import zone_of

FINDER = Finder(load_patterns())
HEAD = "2025-10-22 22:50:45,914 - core.x - INFO - "
ERROR = "2025-10-22 22:50:45,914 - core.x - ERROR - "
NEXT = "2025-10-22 22:50:46,000 - core.y - DEBUG - next\n"


def kinds(text: str | bytes, finder: Finder = FINDER, **want) -> list[str]:
    data = bytearray(text if isinstance(text, bytes) else text.encode())
    batch = Scanner(Want(finder, zone_of("UTC"), **want)).scan(Block(data, len(data), 0, last=True))
    return [finder.patterns[event[2]].name for event in batch.events]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HEAD + "Created position #1 for APTUSDT\n", ["created"]),
        (HEAD + "✅ Created position #1 for APTUSDT\r\n" + NEXT, ["created"]),
        (HEAD + "\n🚨 Created position #1 for APTUSDT\n" + NEXT, ["created"]),
        (HEAD.encode() + b"\xff\xfe\x80 Created position #1 for APTUSDT\n" + NEXT.encode(), ["created"]),
        (HEAD + "\r\n\r\nCreated position #1\r\n" + NEXT, ["created"]),
        ("\x00\x00" + HEAD + "Created position #1\n" + NEXT, ["created"]),
        ("\ufeff" + HEAD + "Created position #1\n" + NEXT, ["created"]),
        ("2025-10-22T22:50:45.914123 | INFO     | core.x:run:7 - Created position #1\n", ["created"]),
        (HEAD + "Updating position #1 to active - by the signal - again\n", ["updating"]),
        # quoted
        (HEAD + '{"text": "Created position #1 for APTUSDT"}\n' + NEXT, []),
        (HEAD + "he asked why Created position #1 came late\n" + NEXT, []),
        (HEAD + "replayed 2025-10-22 22:50:45,914 - core - INFO - Created position #1\n" + NEXT, []),
        (HEAD + "trace\n    Created position #1 for APTUSDT\n" + NEXT, []),
        (HEAD + "trace\nCreated position #1 for APTUSDT\n" + NEXT, []),
        ("Created position #1 for APTUSDT\n" + NEXT, []),
        ("2025-10-22 22:50:45,914 - no level here - Created position #1\n" + NEXT, []),
        # the better known of two, once
        (ERROR + "Rollback failed: Created position #1\n" + NEXT, ["rollback_failed"]),
        (ERROR + "something new\nTraceback\n  ERROR - Created position #1\nValueError: ERROR\n" + NEXT, ["error"]),
        (ERROR + "one\n" + ERROR + "two\n", ["error", "error"]),
        (ERROR + "one\n" + HEAD + "Created position #1\n" + NEXT, ["error", "created"]),
        # torn
        (HEAD + "Created position #1 for APT", []),
        (NEXT + HEAD + "Created position #12", []),
        (ERROR + "one", []),
    ],
)  # fmt: skip
def test_an_event_is_what_the_record_itself_says(text, found):
    assert kinds(text) == found


def duplicate(before: str, after: str) -> str:
    return f'{before}duplicate key value violates unique constraint "idx_unique_active_position"{after}'


@pytest.mark.parametrize(
    "text",
    [
        ERROR + duplicate("Update failed: ", "\nDETAIL:  Key (symbol, exchange)=(APTUSDT, binance) already exists.\n"),
        ERROR + duplicate("Update failed: ", "\\nDETAIL:  Key (symbol, exchange)=(APTUSDT, binance) already exists.\n"),
        ERROR + duplicate("", "\r\nDETAIL:  Key (symbol, exchange)=(APTUSDT, binance) already exists.\r\n"),
        ERROR + "Boom\nTraceback (most recent call last):\n" + duplicate("asyncpg.exceptions.UniqueViolationError: ", "\nDETAIL:  Key (symbol, exchange)=(APTUSDT, binance) already exists.\n"),
        ERROR + duplicate("UniqueViolationError('", "')\nTraceback\n  File\nDETAIL:  Key (symbol, exchange)=(APTUSDT, binance) already exists.\n"),
    ],
)  # fmt: skip
def test_a_duplicate_error_is_known_in_each_form_with_its_symbol(text):
    data = bytearray((text + NEXT).encode())
    (event,) = Scanner(Want(FINDER, zone_of("UTC"))).scan(Block(data, len(data), 0)).events
    pattern = FINDER.patterns[event[2]]
    values = {name: event[4][event[3] + index - 1] for name, index in pattern.regex.groupindex.items()}
    assert (pattern.name, values["symbol"], values["exchange"]) == ("duplicate_key", b"APTUSDT", b"binance")
    assert event[1] == len(text.encode())


@pytest.mark.parametrize(
    ("before", "after"),
    [('{"error": "', '"}'), ("{'error': '", "'}"), ('he said: "', '"'), ("nobody knows why ", "")],
)
def test_a_duplicate_error_quoted_is_none(before, after):
    assert kinds(HEAD + duplicate(before, after + "\n") + NEXT) == []


@pytest.mark.parametrize(
    "before",
    [
        "Failed to update position 'APTUSDT': ",
        "[APTUSDT] a: b: c: d (of e): ",
        "asyncpg.exceptions.UniqueViolationError: ",
        "",
    ],
)
def test_a_duplicate_error_is_known_behind_what_a_module_says_first(before):
    assert kinds(ERROR + duplicate(before, "\n") + NEXT) == ["duplicate_key"]


def test_times_outside_the_wanted_ones_are_left_out_whatever_way_they_are_read():
    text = HEAD + "Created position #1\n" + ERROR + "one\n" + NEXT
    assert kinds(text, since=b"2025-10-23") == []
    assert kinds(text, until=b"2025-10-22") == []
    assert kinds(text, since=b"2025-10-22", until=b"2025-10-23") == ["created", "error"]


def test_the_same_record_has_one_digest_with_either_line_end_and_after_nul_bytes():
    texts = [b"a - b\nc\n", b"a - b\r\nc\r\n", b"\x00\x00a - b\nc", b"a - b\nc\n\x00\x00"]
    assert len({digest_of(bytearray(text), 0, len(text)) for text in texts}) == 1
    assert digest_of(bytearray(b"a - b\nd\n"), 0, 8) != digest_of(bytearray(texts[0]), 0, 8)


def test_both_searches_find_the_same(monkeypatch):
    text = "".join(HEAD + pattern.example + "\n" for pattern in FINDER.patterns)
    quick = kinds(text)
    monkeypatch.setitem(__import__("sys").modules, "ahocorasick_rs", None)
    plain = Finder(load_patterns())
    assert kinds(text, plain) == quick
    assert len(quick) == len(FINDER.patterns) - 2  # the two levels need an error


@pytest.mark.parametrize("bars", [0.0, 0.5, 1.0])
def test_the_short_way_finds_what_the_careful_way_finds(bars):
    small = {"hours": 0.5, "noise": 30, "opens": 5, "happenings": 200, "incidents": False}
    data = bytearray(make_log(Recipe(bars=bars, quoted=0.3, damage=True, **small))[0])
    careful = Finder(load_patterns())
    careful.quick = lambda _: NO_WAY
    block = Block(data, len(data), 0, last=True)
    found = [Scanner(Want(one, zone_of("UTC"))).scan(block).events for one in (FINDER, careful)]
    short, long = ([(*e[:3], e[4][:4], values(e)) for e in events] for events in found)
    assert len(short) > 200
    assert short == long


def values(event):
    """What its pattern's groups caught."""
    size = FINDER.patterns[event[2]].regex.groups
    return event[4][event[3] : event[3] + size]


def test_a_line_of_many_megabytes_full_of_literals_ends():
    assert kinds(HEAD + "x" + "Created position #" * 400_000 + "\n" + NEXT) == []
