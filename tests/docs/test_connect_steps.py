"""docs/connect.md done as it stands: its own commands, in its order, on a real server and the simulator."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from posguard.postgres.queries import script
from posguard.simulator.defaults import READ_KEY, READ_SECRET
from tests.conftest import run_script
from tests.program import PROGRAM, environment

pytestmark = pytest.mark.postgres

TEXT = (Path(__file__).parents[2] / "docs" / "connect.md").read_text(encoding="utf-8")
ROLES = ("posguard_cleanup", "posguard_reader", "posguard_migration")


def blocks(step):
    """The shell blocks under `## <step>. …`."""
    section = TEXT.split(f"\n## {step}. ", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def bots(empty_dsn):
    """A bot's database; the roles that the walk makes are dropped afterwards. Roles of that name are somebody's: skipped."""
    dsn = empty_dsn.get_secret_value()
    run_script(dsn, script("bot_schema"))
    with psycopg.connect(dsn) as connection:
        taken = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
        if taken.fetchone()[0]:
            pytest.skip("this server has roles of posguard's names already")
    yield dsn
    for role in ROLES:
        run_script(
            dsn,
            f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
            f"THEN DROP OWNED BY {role} CASCADE; DROP ROLE {role}; END IF; END $$",
        )


async def test_from_nothing_to_the_first_recorded_run(bots, simulator, tmp_path):
    where = urlsplit(bots)
    place = f"{where.hostname}:{where.port}{where.path}?sslmode=prefer"

    async def typed(text):
        for said, meant in (
            ("HOST:5432/DATABASE?sslmode=require", place),
            ("PASSWORD", "secret"),
            ("'KEY'", READ_KEY),
            ("'SECRET'", READ_SECRET),
            ("_WORLD=testnet", "_WORLD=simulator"),
        ):
            text = text.replace(said, meant)
        quick = {"POSGUARD_SNAPSHOTS": "2", "POSGUARD_SNAPSHOT_GAP": "0.02s", "POSGUARD_WEIGHT_SHARE": "1"}
        env = environment(PATH=f"{PROGRAM.parent}:/usr/bin:/bin", **quick)
        command = ["bash", "-euo", "pipefail", "-c", text]
        run = asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        done = await run
        assert (done.returncode, done.stderr) == (0, ""), (text, done.returncode, done.stdout, done.stderr)
        return done.stdout

    (roles,) = blocks(2)
    run_script(bots, await typed(roles))
    for role in ROLES:
        run_script(bots, f"ALTER ROLE {role} PASSWORD 'secret'")
    (upgrade,) = blocks(3)
    assert "posguard's schema: none -> " in await typed(upgrade)
    (settings,) = blocks(5)
    await typed(settings)
    with (tmp_path / ".env").open(
        "a"
    ) as file:  # the one thing the document's reader does not need: the simulator's address
        file.write(f"POSGUARD_BINANCE_URL={simulator.base_url}\nPOSGUARD_BYBIT_URL={simulator.base_url}\n")
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    (check,) = blocks(6)
    assert "fail" not in await typed(check)
    diagnose, ignore = blocks(7)
    assert "Clear: no finding." in await typed(diagnose)
    await typed(ignore)
    (reconcile,) = blocks(8)
    assert "recorded as clean" in await typed(reconcile)
