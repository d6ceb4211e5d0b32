"""The simulator as a program: one ready line, a state file that lasts, a clean end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from posguard.simulator import SimulatorControl
from posguard.simulator.__main__ import READY


def start(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "posguard.simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
async def test_it_starts_serves_and_ends_cleanly(tmp_path, ended_by):
    state = tmp_path / "book.json"
    for expected in (0, 1):
        process, line = start("--state", str(state))
        assert line.startswith(READY)
        async with SimulatorControl(line.removeprefix(READY)) as control:
            assert (await control.health())["ready"] is True
            assert len((await control.book("bybit"))["positions"]) == expected
            await control.load(
                positions=[{"venue": "bybit", "symbol": "BTCUSDT", "amount": "1", "entry": "60000"}]
            )
        process.send_signal(ended_by)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
    assert len(json.loads(state.read_text())["positions"]) == 1


def test_a_taken_port_and_a_broken_state_file_give_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process, line = start("--port", str(taken.getsockname()[1]))
        output = process.communicate(timeout=60)
        assert (line, process.returncode, output[1].count("\n")) == ("", 3, 1)
        assert "try another --port" in output[1]
    broken = tmp_path / "book.json"
    broken.write_text("{")
    process, line = start("--state", str(broken))
    output = process.communicate(timeout=60)
    assert (line, process.returncode, output[1].count("\n")) == ("", 3, 1)
    assert broken.read_text() == "{"
