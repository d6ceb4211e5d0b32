"""What the demo starts ends with it; what a killed demo left is ended by the next start; strangers are let alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from posguard.demo.processes import RECORD, ProcessEndedError, Processes, sweep

# A process with a child of its own that would outlive it; both say when they are there. The words mark it as ours.
FAMILY = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # posguard"])
print(child.pid, flush=True)
%s
time.sleep(600)
"""


def start_family(processes: Processes, name: str, manners: str = "") -> int:
    """Starts it and returns the pid of the grandchild."""
    log = processes.start(name, [sys.executable, "-c", FAMILY % manners], os.environ)
    while not (text := log.read_text()).endswith("\n"):
        processes.check()
    return int(text)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_stop_ends_the_whole_family_and_leaves_no_zombie(tmp_path):
    processes = Processes(tmp_path)
    grandchild = start_family(processes, "gentle")
    leader = json.loads((tmp_path / RECORD).read_text())[0]["pid"]
    processes.stop()
    assert not alive(grandchild)
    assert not alive(leader)
    assert not [c for c in psutil.Process().children() if c.pid in {leader, grandchild}]
    assert not (tmp_path / RECORD).exists()


def test_stop_kills_what_does_not_listen(tmp_path):
    processes = Processes(tmp_path)
    grandchild = start_family(processes, "deaf", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    processes.stop(patience=0.5)  # the grandchild would sleep for ten minutes
    assert not alive(grandchild)


def test_one_that_ends_by_itself_is_named_with_its_last_words(tmp_path):
    processes = Processes(tmp_path)
    processes.start(
        "fragile", [sys.executable, "-c", "print('no such port'); raise SystemExit(7)"], os.environ
    )
    with pytest.raises(ProcessEndedError, match=r"fragile ended with code 7: no such port"):
        while True:
            processes.check()
    processes.stop()


def test_sweep_ends_what_a_killed_owner_left(tmp_path):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import os, pathlib, sys, time\n"
                "from posguard.demo.processes import Processes\n"
                "p = Processes(pathlib.Path(sys.argv[1]))\n"
                f"p.start('left', [sys.executable, '-c', {FAMILY % ''!r}], os.environ)\n"
                "print('up', flush=True); time.sleep(600)"
            ),
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert owner.stdout.readline() == b"up\n"
    log = tmp_path / "logs" / "left.log"
    while not log.read_text().endswith("\n"):
        assert owner.poll() is None
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert alive(int(log.read_text()))
    assert sweep(tmp_path) == ["left"]
    while alive(int(log.read_text())):
        time.sleep(0.01)
    assert sweep(tmp_path) == []


def test_sweep_lets_a_stranger_with_a_recorded_number_alone(tmp_path):
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        record = [
            {"name": "old", "pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() + 100}
        ]
        (tmp_path / RECORD).write_text(json.dumps(record))
        assert sweep(tmp_path) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
