"""The audit of the demo world: what is planted is in it with its evidence, and nothing that is not there."""

from __future__ import annotations

import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posguard.audit.build import build, document
from posguard.audit.log import wording
from posguard.audit.logread import LogFiles
from posguard.audit.read import Asked, read_facts
from posguard.audit.save import save
from posguard.demo.botlog import log_source, write_log
from posguard.demo.seed import seed
from posguard.demo.world import make_world
from posguard.model.audit import Area, Window
from posguard.model.quality import ExpectationResult, Outcome
from posguard.postgres.pool import Database
from posguard.quality.suites import load_suites
from posguard.reconcile.run import take_pass
from tests.fixtures.gateways import VENUES, gateway, settings

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

KEEP = os.environ.get("POSGUARD_KEEP_AUDIT")  # a folder in which somebody wants to look at the report


def judged(world):
    """What the suites say of this world, which test_suites_demo proves; running them takes longer than all else here."""
    planted = {one.expectation: one for one in world.truth.violations}
    return tuple(
        ExpectationResult(
            suite=suite.name,
            expectation=one.id,
            title=one.title,
            severity=one.severity,
            owner=one.owner,
            result=Outcome.VIOLATION if one.id in planted else Outcome.PASS,
            rows_checked=700,
            failing=len(planted[one.id].failing_keys) if one.id in planted else 0,
            failing_keys=planted[one.id].failing_keys if one.id in planted else (),
            query="SELECT 1" if one.id in planted else "",
        )
        for suite in load_suites()
        for one in suite.expectations
    )


@pytest.fixture
async def audited(empty_dsn, simulator, control, tmp_path):
    """The demo world without anything of posguard's in its database, audited over its eight hours."""
    world = make_world(datetime.now(UTC), 7)
    await seed(empty_dsn, control, world)
    source = log_source(tmp_path)
    write_log(world, source)
    quick = settings(snapshots=2, snapshot_gap=timedelta(milliseconds=20))
    now = datetime.now(UTC)
    async with (
        await Database.open(empty_dsn, read_only=True) as db,
        gateway(VENUES[0], simulator.base_url) as binance,
        gateway(VENUES[1], simulator.base_url) as bybit,
    ):
        asked = Asked(
            window=Window(now - timedelta(hours=8, minutes=5), now),
            at=now,
            demo=True,
            log=LogFiles(((source, source.paths),)),
            look=lambda: take_pass(db, [binance, bybit], quick, clock=lambda: now),
            judge=lambda: judged(world),
        )
        facts = await read_facts(db, asked)
    return world, build(facts), now


async def test_each_planted_problem_is_in_it_with_its_evidence_and_nothing_is_invented(audited, tmp_path):
    world, audit, now = audited
    saved = save(document(audit), Path(KEEP or tmp_path))
    assert audit.facts.conclusive
    by_key = {issue.key: issue for issue in audit.issues}
    owed = dict(by_key)
    _findings(world, now, by_key, owed)
    _violations(world, by_key, owed)
    _races(by_key, owed, Path(log_source(tmp_path).paths[0]))
    _errors(world, by_key, owed)
    _detected(world, by_key, owed)
    rolled = by_key["lifecycle:rolled-back"]
    assert rolled.count == sum(p.status == "rolled_back" and p.closed_at <= now for p in world.positions)
    reasons = Counter(p.exit_reason for p in world.positions if p.status == "rolled_back")
    assert len(reasons) == 2
    assert all(f"{number} for “{reason}”" in rolled.cause for reason, number in reasons.items())
    del owed["lifecycle:rolled-back"]
    _analysed(world, owed)
    assert owed == {}
    for issue in audit.issues:
        assert issue.evidence, issue.key
        assert issue.cause, issue.key
        assert issue.retest, issue.key
        assert issue.repair or issue.advice, issue.key
    _hours(world, audit)
    text = saved.markdown.read_text(encoding="utf-8")
    page = saved.html.read_text(encoding="utf-8")
    for issue in audit.issues:
        assert f"Issue {issue.number}: " in text
        assert f'id="issue-{issue.number}"' in page
    assert [n for n in range(1, 16) if f"\n## {n}. " in text] == list(range(1, 16))
    assert "\n## Appendix" in text


def _findings(world, now, by_key, owed):
    """One line of evidence for each planted finding, in the issue of its kind and severity, and no other line."""
    lines = Counter()
    for planted in world.truth.at(now):
        issue = by_key[f"{planted.kind}:{planted.severity}"]
        mine = [e for e in issue.evidence if e.where.startswith(f"{planted.symbol} on {planted.exchange}")]
        mine = [e for e in mine if all(f"#{row}" in e.where for row in planted.row_ids)]
        mine = [e for e in mine if planted.row_ids or planted.subject in e.where]
        assert len(mine) == 1, planted
        assert f"({planted.proof})" in mine[0].text
        lines[issue.key] += 1
    for key, number in lines.items():
        assert by_key[key].count == len(by_key[key].evidence) == number
        del owed[key]


def _violations(world, by_key, owed):
    told = {}
    for key, issue in by_key.items():
        if key.startswith("suite:"):
            told |= {e.where: e.text for e in issue.evidence}
            del owed[key]
    planted = {one.expectation: one.failing_keys for one in world.truth.violations}
    assert told.keys() == planted.keys()
    for expectation, keys in planted.items():
        assert f": {len(keys)} of " in told[expectation]
        assert re.findall(r"#(\d+)", told[expectation]) == list(keys[:10])


def _races(by_key, owed, log):
    races = {key: issue for key, issue in by_key.items() if key.startswith("race:")}
    kas = next(issue for key, issue in races.items() if "KASUSDT" in key)
    apt = next(issue for key, issue in races.items() if "APTUSDT" in key)
    assert len(races) == 2
    assert kas.row_ids == (275, 276)
    assert kas.cause == "unknown"
    assert 2548 in apt.row_ids
    assert "synchroniser" in apt.cause
    assert apt.location == "core/atomic_position_manager.py:311 in open_position_atomic"
    for issue in races.values():
        for one in issue.evidence[1:]:
            name, _, offset = one.where.rpartition(" at byte ")
            assert name == log.name
            record = log.read_bytes()[int(offset) :][:400].decode()
            assert re.match(r"\d{4}-\d\d-\d\d ", record), one
        del owed[issue.key]
    orphan = by_key["orphaned_db:critical"]
    assert "APTUSDT #2549: the race over APTUSDT on binance" in orphan.cause
    assert orphan.cause.endswith("the others: unknown.") or orphan.cause.endswith("the others: unknown")


def _errors(world, by_key, owed):
    """Every wording of the events' errors, counted; what a race explains is its issue's."""
    said = Counter(
        wording(e.error_message)
        for e in world.rows.events
        if e.error_message and "duplicate key" not in e.error_message
    )
    for text, number in said.items():
        assert by_key[f"error:{text}"].count == number
        del owed[f"error:{text}"]
    # the error that the bot logged without a word
    wordless = owed.pop("error:none")
    assert wordless.count == 1
    assert wordless.location == "core.exchange_manager"


def _detected(world, by_key, owed):
    written = Counter(e.event_type for e in world.rows.events)
    for name in (
        "positions_without_sl_detected",
        "emergency_stop_placed",
        "phantom_position_detected",
        "quantity_mismatch_detected",
        "zombie_orders_detected",
        "position_duplicate_prevented",
        "incomplete_position_detected",
    ):
        mine = [i for i in by_key.values() if any(e.text.endswith(f" as {name}") for e in i.evidence)]
        assert [issue.count for issue in mine] == [written[name]], name
        del owed[mine[0].key]


def _analysed(world, owed):
    """What the tables tell beside that: traded without a stop, the incident's part fill, and that stops take over a second."""
    less = [n for n, o in enumerate(world.rows.orders, 1) if o.status == "filled" and o.filled < o.size]
    (fault,) = owed.pop("orders:faults").evidence
    assert fault.where == f"monitoring.orders {', '.join(f'#{n}' for n in less)}"
    assert "filled with less than its size" in fault.text
    stopped = {e.position_id for e in world.rows.events if e.event_type == "stop_loss_placed"}
    ended = {"closed", "rolled_back", "failed", "canceled"}
    never = owed.pop("protection:never")
    bare = [
        row.id
        for row in world.positions
        if row.status in ended
        and not row.stop_loss_price
        and not row.has_stop_loss
        and row.id not in stopped
        and (row.exchange_order_id or row.status == "closed")
    ]
    assert never.count == len(bare)
    assert set(never.row_ids) <= set(bare)
    for operation in ("stop-loss placed", "signal executed"):
        slow = owed.pop(f"performance:{operation}")
        kind = operation.replace("-", "_").replace(" ", "_")
        assert slow.count == sum(e.event_type == kind for e in world.rows.events)


def _hours(world, audit):
    rows = world.positions
    for line in audit.hours:
        hour = line.hour
        opened = sum(hour.start <= row.created_at < hour.end for row in rows)
        closed = sum(
            row.status == "closed" and row.closed_at is not None and hour.start <= row.closed_at < hour.end
            for row in rows
        )
        assert (hour.get("opened"), hour.get("closed")) == (opened, closed)
        errors = sum(hour.start <= e.created_at < hour.end for e in world.rows.events)
        assert hour.get("events") == errors
    races = [text for line in audit.hours for text in line.observations if text.startswith("A race over")]
    assert len(races) == 2
    assert {issue.area for issue in audit.issues} >= {Area.PROTECTION, Area.RACES, Area.DATA}
