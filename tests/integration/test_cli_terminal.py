"""On a terminal tables are drawn and coloured, progress is shown; NO_COLOR is heeded; a pipe gets plain text."""

from __future__ import annotations

import os
import pty
import subprocess
import time

import psutil
import pytest

from posguard.demo.record import DemoRecord, write_record
from posguard.settings import VenueSettings
from posguard.simulator.defaults import READ_KEY, READ_SECRET
from tests.program import PROGRAM, environment, posguard, posguard_beside

COLOUR = "\x1b[1;31m"  # bold red: `fail`


def on_terminal(folder, **variables):
    """`posguard check` with nothing configured, on a pseudo-terminal of 100 columns; what it wrote there."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in environment(**variables).items() if name != "NO_COLOR" or variables}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(
        [PROGRAM, "check"], cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait(timeout=60) == 3
    return said.decode()


def test_a_terminal_gets_colour_and_lines(tmp_path):
    said = on_terminal(tmp_path)
    assert COLOUR in said
    assert "─" in said
    assert "looking …" in said


def test_no_color_is_heeded(tmp_path):
    said = on_terminal(tmp_path, NO_COLOR="1")
    assert "\x1b[1;31m" not in said
    assert "\x1b[31m" not in said
    assert "no exchange is configured" in said.replace("\r\n", " ")


def test_a_reader_that_went_away_is_told_by_the_exit_code_alone(tmp_path):
    line = "2025-10-22 22:{:02d}:{:02d},000 - core - INFO - Position saved #7 APTUSDT\n"
    (tmp_path / "bot.log").write_text("".join(line.format(n // 60, n % 60) for n in range(3600)))
    words = (PROGRAM, "logs", "analyze", "bot.log", "--tz", "UTC", "--symbol", "APTUSDT", "--verbose")
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(timeout=60), process.stderr.read()) == (141, b"")


def test_a_pipe_gets_plain_text(tmp_path):
    ended = posguard("check", folder=tmp_path)
    assert "\x1b" not in ended.out + ended.err
    assert "─" not in ended.out
    assert len(ended.err.splitlines()) == 1


@pytest.mark.postgres
async def test_demo_reads_the_record_of_the_running_demo(bot_dsn, simulator, tmp_path):
    """The record names this process as the demo's; a record of a process that is gone is none."""
    folder = tmp_path / ".posguard"
    folder.mkdir()
    venues = tuple(
        VenueSettings(
            exchange=name,
            world="simulator",
            api_key=READ_KEY,
            api_secret=READ_SECRET,
            base_url=simulator.base_url,
        )
        for name in ("binance", "bybit")
    )
    me = psutil.Process()
    record = DemoRecord(
        pid=me.pid, started=me.create_time(), dsn=bot_dsn, simulator=simulator.base_url, venues=venues
    )
    write_record(record, folder)
    quick = {"POSGUARD_SNAPSHOTS": "2", "POSGUARD_SNAPSHOT_GAP": "0.02s"}
    # the environment names another database, and --demo goes before it
    for words in (("diagnose",), ("reconcile",), ("check",), ("findings", "list"), ("db", "check")):
        ended = await posguard_beside(
            *words,
            "--demo",
            "--json",
            folder=tmp_path,
            POSGUARD_DSN="postgresql://nobody@127.0.0.1:1/x",
            **quick,
        )
        assert (ended.code, ended.err) == (0, ""), (words, ended)
    write_record(record.model_copy(update={"started": time.time() - 10**6}), folder)
    posguard("diagnose", "--demo", folder=tmp_path).fails_with(3, "No demo runs here")
