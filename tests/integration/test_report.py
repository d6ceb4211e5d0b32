"""The report read from a real PostgreSQL: nothing yet, one run, a lost schema, a year of runs."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter

import pytest
from pydantic import SecretStr

from posguard.errors import DatabaseUnavailableError, SchemaError
from posguard.model.finding import FindingState, Kind, Pass, Severity
from posguard.model.quality import Outcome
from posguard.model.scope import Scope
from posguard.postgres import findings, planlists, plans, results, runs
from posguard.postgres.embedded import free_port
from posguard.postgres.pool import Database
from posguard.reconcile.run import record_pass
from posguard.report.read import read_finding, read_known, read_plan, read_run
from posguard.report.render import Page, file_page, overview
from posguard.report.save import save_report
from posguard.report.view import Light, first_screen
from tests.conftest import run_script
from tests.fixtures.known import AT, result, stored_finding, verdict
from tests.fixtures.plans import order_line, plan, row_line

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


async def record(db, *seen, at=AT, scope=None, venues=None, external_id="", skipped=0):
    """One pass, recorded; returns the run's id."""
    venues = (verdict(), verdict("bybit")) if venues is None else tuple(venues)
    done = Pass(
        at - timedelta(seconds=5),
        at,
        tuple(one.finding for one in seen),
        venues,
        rows_read=40,
        rows_compared=40 - skipped,
        scope=scope or Scope(),
        positions=40,
        protected=39,
    )
    run = await record_pass(db, done, source="airflow", external_id=external_id)
    return run.id


async def test_a_fresh_schema_says_that_nothing_is_known(db):
    screen = first_screen(known := await read_known(db, at=AT))
    assert screen.light is Light.ABSENT
    assert "No run yet" in overview(known, Page(at=AT))


async def test_a_database_without_posguards_schema_says_what_to_run(empty_dsn):
    async with await Database.open(empty_dsn) as empty:
        with pytest.raises(SchemaError, match="posguard db upgrade"):
            await read_known(empty, at=AT)


async def test_a_server_that_is_gone_is_one_line_without_the_password():
    gone = SecretStr(f"postgresql://bot:canary-secret@127.0.0.1:{free_port()}/bot")
    with pytest.raises(DatabaseUnavailableError) as raised:
        await Database.open(gone)
    assert "canary-secret" not in str(raised.value)


async def test_what_a_pass_stored_is_what_the_page_knows(db):
    orphan, aged = stored_finding(7), stored_finding(8, Kind.AGED_POSITION, Severity.INFO)
    run_id = await record(db, orphan, aged, skipped=2, external_id="manual__1")
    async with db.transaction() as connection:
        await results.store_results(
            connection, run_id, [result(outcome=Outcome.VIOLATION, failing=2, failing_keys=("7", "8"))]
        )
    known = await read_known(db, at=AT + timedelta(minutes=5))
    screen = first_screen(known)
    assert (screen.light, screen.age) == (Light.CRITICAL, "5 min 5 s old")
    assert (
        screen.line
        == "39 of 40 protected · 0 duplicates · 1 orphan · 0 mismatches · 0 incomplete · 2 unknown"
    )
    assert known.complete == known.run
    assert known.results_of == run_id
    assert known.strips == {("positions", "positions.no_duplicates"): (Outcome.VIOLATION,)}
    shown = await read_run(db, run_id)
    assert [(e.event, f.finding.kind) for e, f in shown.changes] == [
        ("found", Kind.ORPHANED_DB),
        ("found", Kind.AGED_POSITION),
    ]
    one = await read_finding(db, known.findings[0].id)
    assert one.stored.finding == orphan.finding
    assert [event.event for event in one.events] == ["found"]
    assert await read_run(db, 10**9) is None
    assert await read_finding(db, 10**9) is None


async def test_a_filtered_run_and_a_dying_run_do_not_speak_for_the_whole(db):
    whole = await record(db, stored_finding(7))
    await record(db, at=AT + HOUR, scope=Scope("bybit"))
    async with db.transaction() as connection:
        await runs.start_run(connection, started_at=AT + 2 * HOUR, source="cli")
    known = await read_known(db, at=AT + HOUR)
    assert known.run.id == known.complete.id == whole
    assert len(known.runs) == 3
    assert first_screen(known).light is Light.CRITICAL


async def test_an_inconclusive_run_keeps_the_last_complete_one_in_sight(db):
    complete = await record(db, stored_finding(7))
    lost = (verdict(reasons=("positions: HTTP 524",)), verdict("bybit"))
    await record(db, at=AT + HOUR, venues=lost)
    known = await read_known(db, at=AT + HOUR)
    assert known.complete.id == complete
    screen = first_screen(known)
    assert screen.light is Light.INCONCLUSIVE
    assert screen.complete.endswith("1 h ago.")
    assert [f.finding.subject for f in known.findings] == ["7"]


async def test_dismissed_findings_are_counted_apart(db):
    await record(db, stored_finding(7), stored_finding(8))
    known = await read_known(db, at=AT)
    async with db.transaction() as connection:
        await findings.decide(
            connection, known.findings[0].id, FindingState.DISMISSED, actor="anna", reason="by hand"
        )
    known = await read_known(db, at=AT)
    assert (len(known.findings), known.dismissed) == (1, 1)


async def test_the_saved_file_holds_the_whole_page_and_replaces_the_old_one(db, tmp_path):
    await record(db, stored_finding(7))
    path = tmp_path / "new" / "report.html"
    assert await save_report(db, path, at=AT, demo=True) == path
    assert await save_report(db, path, at=AT, demo=True) == path
    text = path.read_text()
    assert "DEMO DATA" in text
    assert 'id="finding-' in text
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


YEAR = """
INSERT INTO posguard.runs (started_at, finished_at, source, external_id, world, database_fingerprint, outcome,
    rows_read, rows_compared, counts)
SELECT at, at + interval '6 s', 'airflow', 'scheduled__' || at, 'testnet', 'f', 'problems', 40, 40,
    '{"critical": 5, "warning": 9, "info": 2}'
FROM generate_series('2025-11-20 12:00+00'::timestamptz, '2026-11-20 12:00+00', interval '1 hour') AS at;
INSERT INTO posguard.run_venues (run_id, exchange, account, world, verdict, snapshots, positions, orders)
SELECT id, e, 'main', 'testnet', 'conclusive', 3, 20, 40 FROM posguard.runs, unnest(ARRAY['binance', 'bybit']) AS e;
INSERT INTO posguard.suite_results (run_id, suite, expectation, title, severity, owner, result, rows_checked)
SELECT id, 'positions', 'positions.rule_' || n, 'A rule', 'critical', 'trading', 'pass', 700
FROM posguard.runs, generate_series(1, 30) AS n;
INSERT INTO posguard.findings (fingerprint, kind, exchange, account, symbol, position_side, severity, proof, state,
    title, detail, first_seen, last_seen, first_run, last_run)
SELECT md5(n::text), 'orphaned_db', 'binance', 'main', 'S' || n || 'USDT', 'both', 'critical', 'proven',
    CASE WHEN n % 20 = 0 THEN 'open' ELSE 'resolved' END, 'Row ' || n || ' is open, the venue holds nothing',
    '{"database": [[["id", "1"], ["quantity", "61"]]], "venue": [], "differing": [], "evidence": ["seen"],
      "repair": "posguard cleanup orphaned-db", "repair_built": false}',
    now(), now(), 1, 1
FROM generate_series(1, 2000) AS n;
INSERT INTO posguard.finding_events (finding_id, event, run_id) SELECT id, 'found', 1 FROM posguard.findings;
ANALYZE posguard.runs, posguard.run_venues, posguard.suite_results, posguard.findings, posguard.finding_events;
"""


async def test_the_page_opens_in_under_a_second_with_a_year_of_hourly_runs(bot_dsn, record_property):
    run_script(bot_dsn.get_secret_value(), YEAR)
    took = []
    for _ in range(3):
        begun = perf_counter()
        async with await Database.open(bot_dsn) as opened:
            known = await read_known(opened, at=AT)
            html = overview(known, file_page(AT))
        took.append(perf_counter() - begun)
    record_property("seconds", [round(t, 3) for t in took])
    assert len(known.findings) == 100
    assert html.count('class="finding critical"') == 100
    assert min(took) < 1


async def test_plans_are_listed_newest_first_and_found_by_finding_run_and_backup(db):
    seen = stored_finding(7)
    await record(db, seen)
    fingerprint = seen.finding.fingerprint
    drawn = [
        plan(row_line(fingerprint=fingerprint), order_line(), created_by="ann, Airflow run manual__1"),
        plan(row_line(), made=AT + HOUR, created_by="ben, Airflow run other_manual__1"),
        plan(made=AT + 2 * HOUR, created_by="cli"),
    ]
    for one in drawn:
        async with db.transaction() as connection:
            await plans.store(connection, one)
    async with db.transaction() as connection:
        await plans.start(connection, 2, actor="cy, Airflow run manual__9%", now=AT + HOUR)
        await plans.keep_backup(connection, 2, "/backups/2.json", "abc")

    async def ids(**asked):
        async with db.connection() as connection:
            return [one.id for one in await planlists.summaries(connection, 10, **asked)]

    assert await ids() == [3, 2, 1]
    assert await ids(before=3) == [2, 1]
    assert await ids(fingerprint=fingerprint) == [1]
    assert await ids(of_run="Airflow run manual__1") == [1]
    assert await ids(of_run="Airflow run manual__9%") == [2]  # begun by it
    assert await ids(of_run="Airflow run manual__9") == []
    assert await ids(backed_up=True) == [2]
    async with db.connection() as connection:
        newest, _, oldest = await planlists.summaries(connection, 10)
    assert (newest.lines, oldest.lines, oldest.done, oldest.irreversible) == (0, 2, 0, 1)
    known_finding = await read_finding(db, 1)
    assert [one.id for one in known_finding.plans] == [1]
    found = await read_plan(db, 1)
    assert found.findings == {fingerprint: 1}
    assert found.stored.plan.lines == drawn[0].lines
    assert await read_plan(db, 99) is None
