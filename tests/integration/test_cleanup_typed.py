"""`posguard cleanup` as a person types it: asked line by line, the gates of production and accepted absences, Ctrl+C, a lost connection."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest

from posguard.errors import PosguardError, RefusedError
from posguard.model.plan import LineState, Mode, PlanState
from posguard.model.scope import Scope
from posguard.model.venue import World
from posguard.postgres import plans
from tests.fixtures.cleanup import FAST
from tests.fixtures.typed import given
from tests.program import PROGRAM, environment, posguard_beside

pytestmark = pytest.mark.postgres


def at_a_terminal(words, folder, variables, answers):
    """Runs the program on a pseudo-terminal, answering each question as it comes; exit code and what was shown.

    An answer is the question's words and what is typed, or a function of what was shown so far.
    """
    ours, theirs = pty.openpty()
    env = environment(**variables) | {"TERM": "dumb", "COLUMNS": "160"}
    process = subprocess.Popen(
        [PROGRAM, *words], cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said, seen, left = "", 0, list(answers)
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part.decode(errors="replace")
        while left and (at := said.find(left[0][0], seen)) >= 0:
            seen = at + len(left[0][0])
            typed = left.pop(0)[1]
            os.write(ours, ((typed(said) if callable(typed) else typed) + "\n").encode())
    os.close(ours)
    return process.wait(timeout=60), said


def code_in(said):
    """The code that the plan shows."""
    return said.split("--confirm ", 1)[1].split()[0].strip()


async def test_asked_line_by_line_only_what_is_wanted_is_done(demo, empty_dsn, simulator, tmp_path):
    """One line refused, one taken, then the code; a wrong code ends it with nothing changed."""
    env, rows = given(simulator.base_url, empty_dsn), await demo.rows()
    questions = [("Line 1 of 2", "n"), ("Line 2 of 2", "y")]
    for code, ends in (("ABCD-EFGH", 4), (code_in, 0)):
        ended, said = await asyncio.to_thread(
            at_a_terminal,
            ["cleanup", "duplicates", "--interactive"],
            tmp_path,
            env,
            [*questions, ("anything else ends here", code)],
        )
        assert ended == ends, said
        changed = {n: row for n, row in (await demo.rows()).items() if row != rows[n]}
        assert len(changed) == (0 if ends else 1), said
    assert [row["status"] for row in changed.values()] == ["rolled_back"]
    ended = await posguard_beside("cleanup", "duplicates", "--interactive", folder=tmp_path, **env)
    ended.fails_with(2, "nobody is at this terminal")


async def test_accepted_absences_are_typed_as_a_number(demo, empty_dsn, simulator, tmp_path):
    stored = await demo.plan(
        Mode.ORPHANED_DB,
        accept_absence=True,
        absence_gap=timedelta(milliseconds=20),
        scope=Scope(symbol="ARBUSDT"),
    )
    accepted, rows = stored.plan.accepted_absences, await demo.rows()
    assert accepted
    env = given(simulator.base_url, empty_dsn)
    with pytest.raises(RefusedError, match="absence is not proven"):
        await demo.apply(stored.code)
    wrong = ("--rows", str(accepted + 1))
    ended = await posguard_beside("cleanup", "--confirm", stored.code, *wrong, folder=tmp_path, **env)
    ended.fails_with(4, f"--rows {accepted}")
    assert await demo.rows() == rows
    ended = await posguard_beside(
        "cleanup", "--confirm", stored.code, "--rows", str(accepted), folder=tmp_path, **env
    )
    assert ended.code == 0, ended.err
    changed = {number for number, row in (await demo.rows()).items() if row != rows[number]}
    assert changed == {one.line.row.id for one in stored.lines}


class Production:
    """A reading gateway that says that its venue is production; nothing of it leaves the simulator."""

    world = World.PRODUCTION

    def __init__(self, reader):
        self._reader = reader

    def __getattr__(self, name):
        return getattr(self._reader, name)

    async def snapshot(self, symbol=""):
        return replace(await self._reader.snapshot(symbol), world=World.PRODUCTION)


async def test_production_is_named_with_its_database_or_refused(demo):
    demo.readers = [Production(reader) for reader in demo.readers]
    stored, rows = await demo.plan(Mode.DUPLICATES), await demo.rows()
    assert set(stored.plan.worlds.values()) == {"production"}
    for typed in ("", "0123456789abcdef", stored.plan.database_fingerprint[:-1]):
        with pytest.raises(RefusedError, match="for production") as refused:
            await demo.apply(stored.code, production=typed)
        assert f"--production {stored.plan.database_fingerprint}" in refused.value.hint
    assert await demo.rows() == rows
    assert await demo.posts() == []
    assert not list(demo.folder.iterdir()), "not even a backup"
    done = await demo.apply(stored.code, production=stored.plan.database_fingerprint)
    assert done.state is PlanState.APPLIED


async def test_production_as_typed_takes_the_fingerprint_that_the_plan_shows(
    demo, empty_dsn, simulator, typist, tmp_path
):
    worlds = {"POSGUARD_BINANCE_WORLD": "production", "POSGUARD_BYBIT_WORLD": "production"}
    typist.has(given(simulator.base_url, empty_dsn) | worlds, simulator)
    rows = await demo.rows()
    await typist.types("posguard cleanup duplicates")
    (shown,) = [line.strip() for line in typist.out.splitlines() if "--confirm" in line]
    plain, mark = shown.split(" --production ")
    for line in (plain, f"{plain} --production {mark[:-1]}"):
        await typist.fails(
            line, 4, "The plan is for production. Nothing was changed.", f"--production {mark}"
        )
    assert await demo.rows() == rows
    assert not (tmp_path / "backups").exists(), "not even a backup"
    await typist.types(shown)
    changed = [n for n, row in (await demo.rows()).items() if row != rows[n]]
    assert len(changed) == 2


async def test_ctrl_c_in_the_middle_and_the_same_command_finishes_it(demo, empty_dsn, simulator, tmp_path):
    """The venue hangs after the intent; Ctrl+C comes then. The stop stands once, whatever was sent before."""
    env = given(simulator.base_url, empty_dsn)
    stored = await demo.plan(Mode.UNPROTECTED, scope=Scope("binance", "WLDUSDT"))
    fault = await demo.control.fault(
        "timeout", venue="binance", path="/fapi/v1/algoOrder", method="POST", when="after", count=1
    )
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "cleanup", "--confirm", stored.code, cwd=tmp_path, env=environment(**env),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, preexec_fn=_heed_interrupts,
    )  # fmt: skip
    async with asyncio.timeout(60):
        while not await demo.one("SELECT count(*) FROM posguard.cleanup_actions WHERE event = 'intent'"):
            assert process.returncode is None
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130, (process.returncode, out, err)
    assert b"Traceback" not in out + err
    await demo.control.clear_faults(fault)
    ended = await posguard_beside("cleanup", "--confirm", stored.code, folder=tmp_path, **env)
    assert ended.code == 0, (ended.out, ended.err)
    live = [o for o in (await demo.control.book())["orders"] if o["symbol"] == "WLDUSDT" and o["trigger"]]
    assert len([o for o in live if o.get("status") in {"new", "untriggered"}]) == 1


def _heed_interrupts():
    """A process started in the background may have inherited that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def test_a_connection_lost_in_the_middle_of_a_change_and_the_same_call_finishes_it(demo):
    """Every connection is ended while the second row is being changed: that change is undone, and made once by the next run."""
    stored, rows = await demo.plan(Mode.DUPLICATES), await demo.rows()
    seen = []

    async def cut(name):
        seen.append(name)
        if name == "changing" and seen.count(name) == 2:
            await demo.do(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    pace = replace(FAST, lease=0.4)
    with pytest.raises(PosguardError):
        await demo.apply(stored.code, checkpoint=cut, pace=pace)
    async with demo.db.connection() as connection:
        found = await plans.by_code(connection, stored.code)
    assert [one.state for one in found.lines] == [LineState.DONE, LineState.PLANNED]
    assert len([n for n, row in (await demo.rows()).items() if row != rows[n]]) == 1
    done = await demo.apply(stored.code, pace=pace, owner="another")
    assert done.state is PlanState.APPLIED, [(o.state, o.reason) for o in done.lines]
    assert await demo.one("SELECT count(*) FROM posguard.cleanup_actions WHERE event = 'changed'") == 2
