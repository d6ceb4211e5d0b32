"""Broken logs: whatever is done to a file, reading it ends, says what it could not read, and keeps what stands before the damage.

The long form is `make fuzz-logs`; POSGUARD_SEED repeats a run, whose seed stands in the output.
"""

from __future__ import annotations

import gzip
import io
import os
import time
import zlib
from dataclasses import replace
from functools import cache
from random import Random

import pytest
import zstandard

from posguard.logs.extract import Extraction
from posguard.logs.finder import Finder
from posguard.logs.generator import Recipe, joined, make_pieces
from posguard.logs.patterns import load_patterns
from posguard.logs.scan import Want
from posguard.logs.zones import zone_of
from posguard.settings import LogSource

FILES = int(os.environ.get("POSGUARD_FUZZ", "400"))
SEED = int(os.environ.get("POSGUARD_SEED") or time.time_ns() % 10**9)
# Far above the milliseconds that one takes: a hang is meant, not a slow machine.
HANGS = 60.0
SOURCE = LogSource(name="bot", paths=("bot.log",), zone="Europe/Berlin")
WANT = Want(Finder(load_patterns()), zone_of(SOURCE.zone), lines=True, levels=True)


def logs() -> list[tuple[Recipe, list[bytes]]]:
    small = {
        "hours": 0.5,
        "noise": 30,
        "opens": 2,
        "happenings": 25,
        "races": ("B", "silent"),
        "incidents": False,
    }
    recipes = [
        Recipe(seed=seed, wording=seed, crlf=seed % 3 == 2, encoding=encoding, **small)
        for seed, encoding in enumerate(["utf-8", "utf-8", "utf-8", "utf-16", "cp1251", "utf-8-sig"])
    ]
    return [(recipe, make_pieces(recipe)[0]) for recipe in recipes]


LOGS = logs()


def read(data: bytes, want: Want = WANT) -> tuple[list[tuple], Extraction]:
    extraction = Extraction(
        ("bot.log",), SOURCE, want, since=None, until=None, processes=1,
        opener=lambda _: io.BytesIO(data), last_lines=None,
    )  # fmt: skip
    events = [(e.offset, e.size, e.kind, e.position_id, e.symbol, e.at) for e in extraction]
    return events, extraction


@cache
def undamaged(number: int) -> tuple[Recipe, bytes, list[tuple]]:
    """A log, its bytes, and what is read of it whole."""
    recipe, pieces = LOGS[number]
    data = joined(recipe, pieces)
    return recipe, data, read(data)[0]


def damaged(random: Random, data: bytes) -> tuple[bytes, int]:
    """The bytes with one thing done to them, and the byte from which nothing is sure."""
    at = random.randrange(len(data))
    end = min(len(data), at + random.choice((1, 7, 300, 5000)))
    rubbish = random.choice(
        (
            random.randbytes(random.randint(1, 3000)),
            b"\x00" * random.randint(1, 5000),
            b"\n" * random.randint(1, 500),
            b"x" * random.randint(3000, 40_000),
            b"Created position #" * random.randint(1, 2000),
            b"2025-10-22 22:50:45,914 - a - ERROR - " * random.randint(1, 50),
            b"\xff\xfe\x1f\x8b\x28\xb5\x2f\xfd",
        )
    )
    changed = random.choice(
        (
            data[:at],
            data[:at] + rubbish + data[at:],
            data[:at] + rubbish + data[end:],
            data[:at] + data[end:],
            data[:at] + data[at:end][::-1] + data[end:],
            data[:at] + data[:end] + data[at:],
        )
    )
    return changed, at


def packed(random: Random, data: bytes) -> tuple[bytes, bytes]:
    """A packed file, broken, and as much of its text as can be had from it for certain."""
    if random.random() < 0.5:
        file = gzip.compress(data, 6)
        if random.random() < 0.4:
            half = len(data) // 2
            file = gzip.compress(data[:half], 6) + gzip.compress(data[half:], 1)
        broken = file[: random.randrange(1, len(file))]
        return broken, zlib.decompressobj(31).decompress(broken)
    file = zstandard.ZstdCompressor().compress(data)
    broken = file[: random.randrange(1, len(file))]
    return broken, zstandard.ZstdDecompressor().decompressobj().decompress(broken)


def kept(whole: list[tuple], safe: int) -> list[tuple]:
    """The events whose record, and the header after it, stand before a byte."""
    return [event for event in whole if event[0] + event[1] + 200 < safe]


def one(number: int) -> None:
    random = Random(SEED * 1_000_003 + number)
    recipe, data, whole = undamaged(random.choice(range(len(LOGS))))
    want = replace(
        WANT, block=random.choice((700, 4096, 1 << 16)), largest=random.choice((2000, 20_000, 1 << 20))
    )
    started = time.monotonic()
    if random.random() < 0.3:
        changed, text = packed(random, data)
        safe = len(text.decode("utf-16", "replace").encode()) if recipe.encoding == "utf-16" else len(text)
    else:
        changed, safe = damaged(random, data)
        if recipe.encoding == "utf-16":
            safe = len(data[: safe // 2 * 2].decode("utf-16", "replace").encode())
    found, extraction = read(changed, want)
    counts = extraction.counts
    assert time.monotonic() - started < HANGS
    before = kept(whole, safe)
    assert found[: len(before)] == before
    assert [event[0] for event in found] == sorted({event[0] for event in found})
    assert counts.events == len(found)
    assert counts.skipped_bytes <= counts.bytes
    if counts.skipped_bytes:
        assert counts.damage
    assert sum(counts.levels.values()) == counts.records >= len(found) - counts.skipped_records


@pytest.mark.timeout(0 if FILES > 1000 else 180)
def test_a_broken_log_is_read_to_its_end_and_keeps_what_stands_before_the_damage():
    print(f"POSGUARD_SEED={SEED}, {FILES} files")  # noqa: T201 - repeats the run
    for number in range(FILES):
        try:
            one(number)
        except BaseException:
            print(f"file {number} of POSGUARD_SEED={SEED}")  # noqa: T201 - repeats the run
            raise
