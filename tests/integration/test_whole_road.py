"""From an uncorrected bot database to a corrected one, as the README types it; a plan, its code and the way back as typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posguard.cleanup.backup import read_backup
from posguard.cleanup.restore import look, restore
from posguard.model.plan import Mode, PlanState
from posguard.model.scope import Scope
from posguard.postgres import botupgrade
from tests.fixtures.typed import given
from tests.program import posguard_beside

pytestmark = pytest.mark.postgres


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROAD = README.split("The whole road", 1)[1].split("\nThe light install", 1)[0]
SEEN, MENDED, UPGRADED = (
    block.splitlines() for block in re.findall(r"```console\n(.*?)```", ROAD, re.DOTALL)
)
# What a person decides, as the runbook's sections say it: two statuses that nobody knows, and a side that was flipped.
BY_HAND = """
UPDATE monitoring.positions SET status = 'active', closed_at = NULL WHERE status = 'exiting' OR status IS NULL;
UPDATE monitoring.positions SET status = 'closed', closed_at = now() WHERE symbol = 'IMXUSDT' AND status = 'active'
"""


async def test_the_whole_road_as_the_readme_types_it(demo, empty_dsn, simulator, typist):
    """From an uncorrected database to a corrected one, every command as it stands there."""
    typist.has(given(simulator.base_url, empty_dsn), simulator)
    save, diagnose, blocked = SEEN
    await typist.types(save)
    await typist.types(diagnose, 1)
    assert "before-correction" in typist.out
    await typist.types(blocked, 4)
    assert all(kind in typist.err for kind in ("duplicate", "unfinished", "unknown status")), typist.err
    await demo.do(BY_HAND)

    modes = []
    for plan, confirm in zip(MENDED[::2], MENDED[1::2], strict=True):
        await typist.types(plan)
        modes.append(plan.split()[2])
        # What is to be typed next stands on the screen as it stands in the README.
        wanted = confirm.split("#")[0].strip().replace("ABCD-EFGH", typist.code)
        assert wanted in [line.strip() for line in typist.out.splitlines()], (plan, typist.out)
        await typist.types(confirm)
        assert "posguard restore backups/" in typist.out
    assert set(modes) == {mode.value for mode in Mode} - {Mode.ALL.value}

    plan, confirm, clean = UPGRADED
    await typist.types(plan)
    await typist.types(confirm)
    await typist.types(clean)
    rows = await demo.rows("status = 'active'")
    assert {row["symbol"] for row in rows.values()} >= {"SEIUSDT", "IMXUSDT"}, "what no row owned has one now"


async def test_as_typed_plan_confirm_and_take_back(demo, empty_dsn, simulator, tmp_path):
    env = given(simulator.base_url, empty_dsn)

    async def typed(*words, code=0):
        ended = await posguard_beside(*words, folder=tmp_path, **env)
        assert ended.code == code, ended.err
        assert "Traceback" not in ended.err
        return ended

    rows = await demo.rows()
    text = (await typed("cleanup", "duplicates")).out
    for words in (
        "duplicate of #",
        "it alone has the side and quantity",
        "What it costs to be wrong",
        "posguard cleanup --confirm",
    ):
        assert words in text
    assert await demo.rows() == rows
    plan = (await typed("cleanup", "duplicates", "--json")).json
    assert [line["action"] for line in plan["lines"]] == ["retire", "retire"]
    (await typed("cleanup", "--confirm", "ABCD-EFGH", code=4)).fails_with(4, "There is no plan of the code")
    done = (await typed("cleanup", "--confirm", plan["code"], "--json")).json
    assert (done["state"], [line["verified"] for line in done["lines"]]) == ("applied", [True, True])
    (await typed("cleanup", "--confirm", plan["code"], code=4)).fails_with(4, "was used")
    name = done["restore"].removeprefix("posguard restore ")
    dry = (await typed("restore", name, "--json")).json
    assert len(dry["rows"]) == 2
    assert not dry["done"]
    await typed("restore", name, "--confirm", dry["code"])
    kept = {"updated_at"}
    now = await demo.rows()
    assert {n: {k: v for k, v in r.items() if k not in kept} for n, r in now.items()} == {
        n: {k: v for k, v in r.items() if k not in kept} for n, r in rows.items()
    }
    (await typed("restore", "../x.json", code=2)).fails_with(2, "no name of a backup")
    (await typed("cleanup", "zombies", "--action", "close", code=2)).fails_with(2, "--action belongs to")


async def test_a_row_of_the_core_comes_back_by_restore_alone(demo, empty_dsn):
    await demo.do(
        "DELETE FROM monitoring.positions WHERE symbol NOT IN ('OPUSDT', 'FILUSDT') AND status NOT IN ('closed', 'failed', 'rolled_back', 'canceled') OR status IS NULL"
    )
    assert not (await botupgrade.upgrade(empty_dsn)).blockers
    await demo.do(
        "UPDATE monitoring.positions SET core_managed = true, request_key = 'k' WHERE symbol = 'OPUSDT' AND status = 'active'"
    )
    before = await demo.rows("symbol = 'OPUSDT' AND status = 'active'")
    (row,) = before
    stored = await demo.plan(Mode.ORPHANED_DB, scope=Scope("binance", "OPUSDT"))
    done = await demo.apply(stored.code)
    assert done.state is PlanState.APPLIED, done.lines
    assert (
        await demo.one(
            "SELECT count(*) FROM posguard.transitions WHERE position_id = $1 AND origin = 'manual'", row
        )
        == 1
    )
    for trick in (
        "UPDATE monitoring.positions SET status = 'active' WHERE core_managed AND status = 'closed'",
        "SET posguard.restoring = 'on'; UPDATE monitoring.positions SET status = 'active' WHERE core_managed AND status = 'closed'",
    ):
        with pytest.raises(Exception, match="may not become active"):
            await demo.do(trick)
    backup = read_backup(demo.folder / f"{stored.code}.json")
    dry = await look(demo.db, demo.readers, backup)
    await restore(demo.db, demo.readers, backup, dry.code, actor="t")
    after = await demo.rows(f"id = {row}")
    apart = {"version", "updated_at"}
    assert {k: v for k, v in after[row].items() if k not in apart} == {
        k: v for k, v in before[row].items() if k not in apart
    }
    assert after[row]["version"] > before[row]["version"]
    with pytest.raises(Exception, match="may not become failed"):
        await demo.do("UPDATE monitoring.positions SET status = 'failed' WHERE id = $1", row)
