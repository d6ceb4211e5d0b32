"""What an audit takes from posguard's own tables: what lies in its window, and nothing of any other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.audit.build import build
from posguard.audit.logread import LogFiles
from posguard.audit.read import Asked, read_facts
from posguard.demo.botlog import log_source, write_log
from posguard.demo.world import make_world
from posguard.logs.ingest import end_interval, ingest_file
from posguard.model.audit import Window
from posguard.model.metrics import Measure
from posguard.model.metrics import Window as Covered
from posguard.model.monitoring import MonitorRun, Snapshot, counted
from posguard.model.quality import Outcome
from posguard.postgres import monitorruns, results
from tests.fixtures.known import result
from tests.fixtures.stores import ORPHAN, db, passed, record  # noqa: F401

pytestmark = pytest.mark.postgres

END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)
WINDOW = Window(END - timedelta(hours=8), END)
BEFORE = Window(END - timedelta(hours=24), END - timedelta(hours=16))


async def audited(db, window, **more):  # noqa: F811
    async def nobody():
        raise AssertionError("an audit of the past asks no exchange")

    asked = Asked(window=window, at=datetime.now(UTC), look=nobody, **more)
    return build(await read_facts(db, asked))


async def test_passes_findings_and_suites_of_the_window_are_what_it_stands_on(db):  # noqa: F811
    await record(db, passed(END - timedelta(hours=5), ORPHAN))
    run_id, _ = await record(db, passed(END - timedelta(hours=3), ORPHAN))
    await record(db, passed(END - timedelta(minutes=30), conclusive=False))
    async with db.transaction() as connection:
        bad = result(outcome=Outcome.VIOLATION, failing=1, failing_keys=("2549",))
        await results.store_results(connection, run_id, [bad])
    audit = await audited(db, WINDOW)
    facts = audit.facts
    assert facts.conclusive
    assert facts.run.id == run_id
    assert facts.results_from == f"run {run_id}"
    keys = {issue.key for issue in audit.issues}
    assert keys == {"orphaned_db:critical", "suite:positions:critical", "passes:inconclusive"}
    # the last complete pass is three hours older than the window's end
    assert "a complete pass in the last 3 h of the window" in {gap.what for gap in audit.gaps}
    earlier = await audited(db, BEFORE)
    assert not earlier.facts.conclusive
    assert (earlier.facts.findings, earlier.facts.results, earlier.issues) == (None, None, ())
    assert earlier.light == "inconclusive"


async def test_passes_that_could_judge_nothing_leave_what_they_found_and_no_verdict(db):  # noqa: F811
    await record(db, passed(END - timedelta(hours=1), ORPHAN, conclusive=False))
    audit = await audited(db, WINDOW)
    assert not audit.facts.conclusive
    assert "orphaned_db:critical" in {issue.key for issue in audit.issues}
    assert "none could judge every exchange" in " ".join(gap.loses for gap in audit.gaps)


async def test_loaded_records_and_their_races_tell_without_the_file(db, tmp_path):  # noqa: F811
    source = log_source(tmp_path)
    write_log(make_world(END), source)
    await ingest_file(db, source, source.paths[0], retention=timedelta(days=90))
    await end_interval(db, [source], (WINDOW.start, WINDOW.end))
    (tmp_path / "botlogs" / "bot.log").unlink()
    audit = await audited(db, WINDOW, log=LogFiles(((source, source.paths),)))
    log = audit.facts.log
    assert (log.where, dict(log.zones)) == ("loaded records", {source.name: source.zone})
    assert [known.race.symbol for known in audit.facts.races] == ["KASUSDT", "APTUSDT"]
    assert all(known.finding_id for known in audit.facts.races)
    races = [issue for issue in audit.issues if issue.key.startswith("race:")]
    assert {issue.evidence[0].where.partition(" ")[0] for issue in races} == {"finding"}
    assert (await audited(db, BEFORE)).facts.races == ()


async def test_what_the_monitor_saw_in_the_window_is_drawn(db):  # noqa: F811
    run = MonitorRun(0, WINDOW.start, WINDOW.end, 60.0)
    readings = {Covered.NOW: {Measure.POSITIONS_ACTIVE: counted({"binance": 3})}}
    async with db.transaction() as connection:
        begun = await monitorruns.begin(connection, run, owner="a test")
        for number in (1, 2, 3):
            at = begun.due(number)
            taken = Snapshot(number, at, at, readings=readings)
            snapshot = Snapshot(number, at, missed="it was away") if number == 3 else taken
            assert await monitorruns.add_snapshot(connection, begun.id, snapshot)
    audit = await audited(db, WINDOW)
    assert [bool(one.missed) for one in audit.facts.watch.snapshots] == [False, False, True]
    assert "1 of 3 snapshots of the monitor" in {gap.what for gap in audit.gaps}
    earlier = await audited(db, BEFORE)
    assert earlier.facts.watch.snapshots == ()
    assert "the monitor" in {gap.what for gap in earlier.gaps}
