"""From an uncorrected bot database to a corrected one: diagnose, cleanup, upgrade of the bot's tables, diagnose without a critical finding."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.cleanup.backup import read_backup
from posguard.cleanup.restore import look, restore
from posguard.model.finding import Severity
from posguard.model.plan import Choice, Mode, PlanState
from posguard.model.scope import Scope
from posguard.postgres import botupgrade
from posguard.reconcile.run import take_pass
from posguard.simulator.defaults import READ_KEY, READ_SECRET, TRADE_KEY, TRADE_SECRET
from tests.fixtures.cleanup import QUICK
from tests.program import posguard_beside

pytestmark = pytest.mark.postgres


async def criticals(demo):
    result = await take_pass(demo.db, demo.readers, QUICK)
    assert result.conclusive
    return {(f.kind.value, f.symbol) for f in result.findings if f.severity is Severity.CRITICAL}


async def clean_up(demo, mode, **more):
    stored = await demo.plan(mode, **more)
    done = await demo.apply(stored.code, rows=stored.plan.accepted_absences or None)
    assert done.state is PlanState.APPLIED, [(o.number, o.state, o.verified, o.reason) for o in done.lines]
    return done


async def test_the_whole_road(demo, empty_dsn):
    assert len(await criticals(demo)) > 15
    blocked = await botupgrade.upgrade_plan(empty_dsn)
    assert {b.kind for b in blocked.blockers} == {"duplicate", "unfinished", "unknown_status"}

    await clean_up(demo, Mode.ALL, choice=Choice.ADOPT)
    await clean_up(demo, Mode.INCOMPLETE, min_age=timedelta(0))  # what had to wait for its stop
    gap = timedelta(milliseconds=20)
    accepted = await clean_up(demo, Mode.ORPHANED_DB, accept_absence=True, absence_gap=gap)
    assert [o.line.key.symbol for o in accepted.lines] == ["ARBUSDT"]
    # What a person has to do: two statuses that nobody knows, and a side that was flipped.
    await demo.do(
        "UPDATE monitoring.positions SET status = 'active', closed_at = NULL WHERE status = 'exiting' OR status IS NULL"
    )
    assert await criticals(demo) == {("side_mismatch", "IMXUSDT")}
    await demo.do(
        "UPDATE monitoring.positions SET status = 'closed', closed_at = now() WHERE symbol = 'IMXUSDT' AND status = 'active'"
    )
    await clean_up(demo, Mode.ORPHANED_EX, choice=Choice.ADOPT, scope=Scope("bybit", "IMXUSDT"))

    await botupgrade.upgrade(empty_dsn)
    assert not (await botupgrade.upgrade_plan(empty_dsn)).pending
    assert await criticals(demo) == set()


def given(base_url, dsn):
    found = {"POSGUARD_DSN": dsn.get_secret_value(), "POSGUARD_SNAPSHOTS": "2", "POSGUARD_SNAPSHOT_GAP": "0.02s",
             "POSGUARD_WEIGHT_SHARE": "1"}  # fmt: skip
    for name in ("BINANCE", "BYBIT"):
        found |= {
            f"POSGUARD_{name}_KEY": READ_KEY,
            f"POSGUARD_{name}_SECRET": READ_SECRET,
            f"POSGUARD_{name}_TRADE_KEY": TRADE_KEY,
            f"POSGUARD_{name}_TRADE_SECRET": TRADE_SECRET,
            f"POSGUARD_{name}_WORLD": "simulator",
            f"POSGUARD_{name}_URL": base_url,
        }
    return found


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
