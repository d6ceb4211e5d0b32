"""Files as they lie about: rotated sets, packed and broken ones, streams of others, the lines around an event, the last lines."""

from __future__ import annotations

import errno
import gzip
import io
import os
import socket
import threading

import pytest
import zstandard

from posguard.errors import LogError
from posguard.logs.extract import extract
from posguard.logs.generator import Recipe, make_log
from posguard.logs.sources import files_of, open_log
from posguard.settings import LogSource

SOURCE = LogSource(name="bot", paths=("bot.log",), zone="UTC")
LINES = [f"2025-10-22 22:50:{n:02d},000 - core - INFO - Created position #{n} for APTUSDT" for n in range(30)]
TEXT = ("\n".join(LINES) + "\n").encode()


def ids(extraction) -> list[int | None]:
    return [event.position_id for event in extraction]


@pytest.mark.parametrize(
    "names",
    [
        ["bot.log.10.gz", "bot.log.9", "bot.log.2.zst", "bot.log.1", "bot.log"],
        ["bot.log.2025-10-20.gz", "bot.log.2025-10-21", "bot.log"],
        ["bot.log.2025-10-20_22", "bot.log.2025-10-20_23", "bot.log"],
        ["bot-20251020.log.gz", "bot-20251021.log", "bot.log"],
        ["bot.2.log", "bot.1.log", "bot.log"],
    ],
)
def test_a_rotated_set_is_read_in_the_order_it_was_written(names, tmp_path):
    for name in sorted(names):
        (tmp_path / name).write_bytes(b"")
    assert [path.rpartition("/")[2] for path in files_of([str(tmp_path)])] == names
    assert files_of([str(tmp_path / "*"), str(tmp_path / "bot.log")]) == files_of([str(tmp_path)])


def test_a_packed_file_beside_its_plain_one_is_left_out(tmp_path):
    for name in ("bot.log.1", "bot.log.1.gz", "bot.log"):
        (tmp_path / name).write_bytes(b"")
    assert [path.rpartition("/")[2] for path in files_of([str(tmp_path)])] == ["bot.log.1", "bot.log"]


def test_no_log_there_is_said(tmp_path):
    with pytest.raises(LogError, match="no log at"):
        files_of([str(tmp_path / "none.log")])
    with pytest.raises(LogError, match="cannot be read"):
        open_log(str(tmp_path))


def test_what_may_not_be_read_is_said_and_is_no_bug(tmp_path):
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "bot.log"))
        for processes in (1, 2):
            with pytest.raises(LogError, match="cannot be read: No such device"):
                list(extract([tmp_path / "bot.log"], SOURCE, processes=processes))


class Failing(io.BytesIO):
    """A disk that fails in the middle."""

    def readinto(self, target) -> int:
        if self.tell() > 1000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(memoryview(target)[:500])


def test_a_disk_that_fails_in_the_middle_is_no_end_of_the_log():
    with pytest.raises(LogError, match="bot.log cannot be read to its end: Input/output error"):
        list(extract(["s3://bucket/bot.log"], SOURCE, opener=lambda _: Failing(TEXT)))


FORMS = {
    "plain": TEXT,
    "gz": gzip.compress(TEXT),
    "gz of two members": gzip.compress(TEXT[:900]) + gzip.compress(TEXT[900:]),
    "gz padded": gzip.compress(TEXT) + b"\x00" * 700,
    "zst": zstandard.ZstdCompressor().compress(TEXT),
    "zst of two frames": zstandard.ZstdCompressor().compress(TEXT[:900])
    + zstandard.ZstdCompressor().compress(TEXT[900:]),
    "utf-16": TEXT.decode().encode("utf-16"),
    "utf-16 without its mark": TEXT.decode().encode("utf-16-be"),
    "utf-16 in gz": gzip.compress(TEXT.decode().encode("utf-16")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["file", "stream"])
def test_every_form_reads_the_same_with_its_lines_around(form, how, tmp_path):
    path = tmp_path / "any.name.log"
    path.write_bytes(FORMS[form])
    opener = None if how == "file" else lambda _: io.BytesIO(FORMS[form])
    name = str(path) if how == "file" else "s3://bucket/bot.log"
    extraction = extract([name], SOURCE, opener=opener, lines=True)
    events = list(extraction)
    assert [event.position_id for event in events] == list(range(30))
    assert (extraction.counts.lines, extraction.counts.damage) == (30, [])
    assert extraction.context(events[12], 2, 1) == LINES[10:14]
    assert extraction.context(events[0], 5, 0) == LINES[:1]
    assert extraction.context(events[29], 0, 5) == LINES[29:]
    assert ids(extract([name], SOURCE, opener=opener, last_lines=7)) == list(range(23, 30))


class OnlyReads(io.BytesIO):
    """A stream as some object stores give it: nothing but read, and not all at once."""

    readinto = None

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 777))


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_that_only_reads_will_do(form):
    extraction = extract(["s3://bucket/bot.log"], SOURCE, opener=lambda _: OnlyReads(FORMS[form]))
    assert ids(extraction) == list(range(30))
    assert extraction.context(list(extraction)[20], 1, 0) == LINES[19:21]


def test_beside_other_threads_processes_are_started_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("posguard.logs.parts.PART", 500)
    (tmp_path / "bot.log").write_bytes(TEXT)
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert ids(extract([tmp_path / "bot.log"], SOURCE, processes=2)) == list(range(30))
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_packed_file_that_breaks_off_gives_what_stands_before(form, tmp_path):
    data, truth = make_log(Recipe(noise=4000))
    whole = gzip.compress(data) if form == "gz" else zstandard.ZstdCompressor().compress(data)
    path = tmp_path / "bot.log.gz"
    path.write_bytes(whole[: len(whole) // 2])
    extraction = extract([path], SOURCE.model_copy(update={"zone": "Europe/Berlin"}))
    found = [event.at for event in extraction]
    assert found == [one.at for one in truth.records if one.kind][: len(found)]
    assert len(found) > truth.events // 3
    assert any("ends early" in damage.what for damage in extraction.counts.damage)


def test_the_last_lines_are_those_of_the_whole_set(tmp_path):
    (tmp_path / "bot.log.2.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "bot.log.1").write_bytes(TEXT)
    (tmp_path / "bot.log").write_bytes(TEXT[: TEXT.index(LINES[5].encode())])
    assert ids(extract([tmp_path], SOURCE, last_lines=3)) == [2, 3, 4]
    assert ids(extract([tmp_path], SOURCE, last_lines=7)) == [28, 29, 0, 1, 2, 3, 4]
    assert ids(extract([tmp_path], SOURCE, last_lines=37)) == [28, 29, *range(30), 0, 1, 2, 3, 4]
    assert len(ids(extract([tmp_path], SOURCE, last_lines=500))) == 65


def test_a_record_of_many_lines_is_shown_whole_among_its_neighbours(tmp_path):
    error = "2025-10-22 22:50:30,000 - core - ERROR - Boom\nTraceback (most recent call last):\n  File x\nValueError: y\n"
    (tmp_path / "bot.log").write_bytes(TEXT + error.encode() + TEXT)
    extraction = extract([tmp_path / "bot.log"], SOURCE)
    event = next(event for event in extraction if event.kind == "error")
    assert extraction.context(event, 1, 1) == [LINES[29], *error.splitlines(), LINES[0]]


def test_a_file_that_was_cleared_while_it_was_written_is_read_after_its_nul_bytes(tmp_path):
    (tmp_path / "bot.log").write_bytes(b"\x00" * 20_000_000 + TEXT)
    extraction = extract([tmp_path / "bot.log"], SOURCE)
    assert ids(extraction) == list(range(30))
    assert extraction.counts.damage


def test_a_record_too_long_to_hold_is_kept_by_its_beginning_and_its_rest_counted(tmp_path):
    giant = (
        "2025-10-22 22:50:40,000 - core - INFO - Created position #77 for APTUSDT " + "x" * 30_000_000 + "\n"
    )
    (tmp_path / "bot.log").write_bytes(TEXT + giant.encode() + TEXT)
    for processes in (1, 2):
        extraction = extract([tmp_path / "bot.log"], SOURCE, processes=processes)
        assert ids(extraction) == [*range(30), 77, *range(30)]
        (damage,) = extraction.counts.damage
        assert damage.what == "bytes of records too long to hold"
        assert 20_000_000 < damage.count == extraction.counts.skipped_bytes < 30_000_000


def test_a_process_that_ends_early_is_said_and_not_taken_for_the_end(tmp_path, monkeypatch):
    def dies(*_):
        raise SystemExit

    monkeypatch.setattr("posguard.logs.parts.PART", 500)
    monkeypatch.setattr("posguard.logs.parallel._packed", dies)
    # Only a forked process has the patch; beside other threads, such as a test worker's, one would be spawned.
    monkeypatch.setattr("posguard.logs.parallel.threading.active_count", lambda: 1)
    (tmp_path / "bot.log").write_bytes(TEXT)
    with pytest.raises(LogError, match="ended before it was done"):
        list(extract([tmp_path / "bot.log"], SOURCE, processes=2))
