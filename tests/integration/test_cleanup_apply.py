"""Plans carried out on the demo world: real PostgreSQL, real ccxt over HTTP. The problem is gone afterwards, and nothing is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.cleanup.backup import read_backup
from posguard.errors import RefusedError, SettingsError
from posguard.model.plan import Choice, LineState, Mode, PlanState
from posguard.model.scope import Scope
from posguard.postgres import plans
from tests.fixtures.cleanup import FAST, QUICK

pytestmark = pytest.mark.postgres

# In an order in which each mode still finds its own problems.
STEPS = (
    (Mode.DUPLICATES, None, Scope()),
    (Mode.ORPHANED_DB, None, Scope()),
    (Mode.INCOMPLETE, None, Scope()),
    (Mode.MISMATCH, None, Scope()),
    (Mode.ZOMBIES, None, Scope()),
    (Mode.ORPHANED_EX, Choice.ADOPT, Scope("binance", "SEIUSDT")),
    (Mode.ORPHANED_EX, Choice.CLOSE, Scope("bybit", "SANDUSDT")),
    (Mode.UNPROTECTED, None, Scope()),
)


async def test_each_mode_mends_what_it_is_about_and_nothing_is_new(demo):
    before = await demo.found()
    for mode, choice, scope in STEPS:
        rows = await demo.rows()
        stored = await demo.plan(mode, choice=choice, scope=scope)
        done = await demo.apply(stored.code)
        assert done.state is PlanState.APPLIED, [
            (o.number, o.state, o.verified, o.reason) for o in done.lines
        ]
        assert all(one.verified for one in done.lines)
        after = await demo.found()
        assert not after - before, mode
        gone = {(exchange, symbol) for _, exchange, symbol, _ in before - after}
        assert gone == {(o.line.key.exchange, o.line.key.symbol) for o in done.lines}, mode
        changed = {number for number, row in (await demo.rows()).items() if rows.get(number) != row}
        mine = {o.line.row.id for o in done.lines if o.line.row and o.line.changes}
        assert changed == mine | {o.made_row for o in done.lines if o.made_row}, mode
        kept = read_backup(demo.folder / f"{stored.code}.json")
        assert {row["id"] for row in kept.said["data"]} >= mine
        assert all(rows[row["id"]] == row for row in kept.said["data"])
        before = after
    assert await demo.control.violations() == [v for v in await demo.control.violations() if "UNIUSDT" in v]


async def test_a_line_with_orders_costs_a_small_part_of_the_request_budget(demo):
    """Live orders are read by market, positions whole: the lists of all orders are asked for by backup and verification alone."""
    stored = await demo.plan(Mode.UNPROTECTED, scope=Scope("binance"))
    sending = [one for one in stored.lines if one.line.orders]
    assert len({one.line.key.symbol for one in sending}) > 2
    before = len(await demo.control.log())
    assert (await demo.apply(stored.code)).state is PlanState.APPLIED
    sent = [entry for entry in (await demo.control.log())[before:] if entry["venue"] == "binance"]
    whole = [e for e in sent if e["path"].endswith(("/openOrders", "/openAlgoOrders")) and e["weight"] == 40]
    assert len(whole) == 2 * (1 + QUICK.snapshots), len(whole)
    assert sum(entry["weight"] for entry in sent) < 200 * len(sending)


async def test_all_modes_at_once_and_a_code_is_used_once(demo):
    before = await demo.found()
    stored = await demo.plan(Mode.ALL)
    done = await demo.apply(stored.code)
    assert done.state is PlanState.APPLIED, [(o.number, o.state, o.verified, o.reason) for o in done.lines]
    after = await demo.found()
    assert not after - before
    with pytest.raises(RefusedError, match="was used"):
        await demo.apply(stored.code)
    left = await demo.plan(Mode.ALL, store=False)
    assert [line.key.symbol for line in left.lines] == ["TIAUSDT"], "what had to wait for another line"
    # Whatever was sent can only reduce, and was meant before it was sent.
    async with demo.db.connection() as connection:
        record = await plans.actions_of(connection, done.id)
    events = [action["event"] for action in record]
    assert events[:2] == ["started", "backup"]
    assert events[-1] == "finished"
    meant = [a["client_order_id"] for a in record if a["event"] == "intent"]
    assert (
        len(meant) == len(set(meant)) == len([p for p in await demo.posts() if "order" in p["path"].lower()])
    )


async def test_the_gate(demo):
    rows, stored = await demo.rows(), await demo.plan(Mode.DUPLICATES)
    with pytest.raises(RefusedError, match="no plan of the code"):
        await demo.apply("ABCD-EFGH")
    late = stored.plan.expires_at
    with pytest.raises(RefusedError, match="expired"):
        await demo.apply(stored.code, clock=lambda: late)
    only_bybit, demo.readers = demo.readers, demo.readers[1:]
    with pytest.raises(RefusedError, match="binance in its simulator world, which is not configured here"):
        await demo.apply(stored.code)
    demo.readers = only_bybit
    await demo.do("ALTER TABLE posguard.plan_lines DISABLE TRIGGER ALL")
    await demo.do(
        "UPDATE posguard.plan_lines SET detail = jsonb_set(detail, '{row,id}', '1') WHERE number = 1"
    )
    with pytest.raises(RefusedError, match="is not what it was"):
        await demo.apply(stored.code)
    orders = await demo.plan(Mode.ZOMBIES)
    traders, demo.traders = demo.traders, ()
    with pytest.raises(SettingsError, match="no key that may trade"):
        await demo.apply(orders.code)
    demo.traders = traders
    assert await demo.rows() == rows
    assert await demo.posts() == []


async def test_another_database_is_refused(demo):
    stored = await demo.plan(Mode.DUPLICATES)
    await demo.do("ALTER TABLE posguard.plans DISABLE TRIGGER ALL")
    await demo.do("UPDATE posguard.plans SET database_fingerprint = 'another'")
    with pytest.raises(RefusedError, match="for the database another"):
        await demo.apply(stored.code)


async def test_what_changed_between_plan_and_apply_is_skipped_and_said(demo):
    """A row changes, a rival appears, a position closes on the exchange, an order fills up: each line alone is skipped."""
    await demo.do("DROP INDEX monitoring.idx_unique_active_position")
    stored = await demo.plan(Mode.ALL)
    lines = {one.line.key.symbol: one.number for one in stored.lines}
    await demo.do(
        "UPDATE monitoring.positions SET quantity = quantity + 1 WHERE symbol = 'SUIUSDT' AND status = 'active'"
    )
    for symbol in ("APTUSDT", "LDOUSDT"):
        await demo.do(
            "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
            f" VALUES ('{symbol}', 'binance', 'long', 1, 1, 'entry_placed')"
        )
    await demo.control.act("close", venue="binance", symbol="WLDUSDT")
    await demo.control.act("close", venue="bybit", symbol="CHZUSDT")
    await demo.do(
        "UPDATE monitoring.positions SET status = 'active' WHERE symbol = 'INJUSDT' AND status = 'pending_sl'"
    )
    done = await demo.apply(stored.code)
    said = {one.line.key.symbol: (one.state, one.reason) for one in done.lines}
    skipped = {symbol for symbol, (state, _) in said.items() if state is LineState.SKIPPED}
    assert skipped == {"SUIUSDT", "APTUSDT", "LDOUSDT", "WLDUSDT", "CHZUSDT", "INJUSDT"}, said
    assert all(reason for state, reason in said.values() if state is LineState.SKIPPED)
    assert done.state is PlanState.PARTLY
    assert {s for s, (state, _) in said.items() if state is LineState.DONE} == lines.keys() - skipped
    for symbol in ("WLDUSDT", "CHZUSDT"):
        assert not [p for p in await demo.posts() if symbol in str(p)]


@pytest.mark.parametrize(
    ("when", "status"), [("before", "canceled"), ("after", "rejected"), ("after", "filled")], ids=str
)
async def test_an_order_in_the_venue_s_history_keeps_a_row_from_never_sent(demo, when, status):
    """No fill tells of it, so that the order alone shows that something was sent (CLN-5)."""
    first = await demo.plan(Mode.INCOMPLETE, store=False)
    line = next(line for line in first.lines if line.changes[0].before == "pending_entry")
    assert "order history" in line.why
    scope = Scope(line.key.exchange, line.key.symbol)
    (row,) = (await demo.rows(f"id = {line.row.id}")).values()
    order = {
        "venue": row["exchange"], "symbol": row["symbol"], "side": "buy" if row["side"] == "long" else "sell",
        "qty": str(row["quantity"]), "status": status, "client_id": "bot-lost",
        "filled": str(row["quantity"]) if status == "filled" else "0",
    }  # fmt: skip

    async def sent():
        await demo.control.load(orders=[order])

    if when == "before":
        await sent()
        plan = await demo.plan(Mode.INCOMPLETE, store=False, scope=scope)
        assert plan.lines == ()
        assert "bot-lost" in plan.left_out[0].why
        return
    stored = await demo.plan(Mode.INCOMPLETE, scope=scope)
    await sent()
    done = await demo.apply(stored.code)
    assert (done.lines[0].state, "bot-lost" in done.lines[0].reason) == (LineState.SKIPPED, True), done.lines
    assert (await demo.rows(f"id = {row['id']}"))[row["id"]] == row


async def test_a_row_that_changes_while_the_venue_is_read_is_left_alone(demo):
    stored = await demo.plan(Mode.DUPLICATES)

    async def meddle(name):
        if name == "decided":
            await demo.do("UPDATE monitoring.positions SET stop_loss_price = 1 WHERE symbol = 'SUIUSDT'")

    done = await demo.apply(stored.code, checkpoint=meddle)
    by_symbol = {one.line.key.symbol: one for one in done.lines}
    assert by_symbol["SUIUSDT"].state is LineState.SKIPPED
    assert "changed since the plan" in by_symbol["SUIUSDT"].reason
    assert (
        await demo.one(
            "SELECT count(*) FROM monitoring.positions WHERE symbol = 'SUIUSDT' AND status = 'active'"
        )
        == 1
    )


async def test_a_position_that_appears_behind_a_closed_row_opens_the_row_again(demo):
    """The venue filled an order in the moment between the look and the change: the row stands for a position again."""
    stored = await demo.plan(Mode.ORPHANED_DB, scope=Scope("bybit", "EGLDUSDT"))

    async def open_position(name):
        if name == "changed":
            await demo.control.act("trade", venue="bybit", symbol="EGLDUSDT", delta="4")

    done = await demo.apply(stored.code, checkpoint=open_position)
    (one,) = done.lines
    assert (done.state, one.state, one.verified) == (PlanState.PARTLY, LineState.DONE, False)
    assert "the row was opened again" in one.reason
    row = (await demo.rows(f"id = {one.line.row.id}"))[one.line.row.id]
    assert (row["status"], row["closed_at"], row["exit_reason"]) == ("active", None, None)
    assert (
        await demo.one("SELECT count(*) FROM posguard.alert_outbox WHERE kind = 'cleanup_not_verified'") == 1
    )


async def test_a_plan_that_expires_while_it_is_carried_out_leaves_what_it_did_not_begin(demo):
    stored = await demo.plan(Mode.DUPLICATES)
    times = iter([datetime.now(UTC)] * 4)
    done = await demo.apply(
        stored.code, pace=FAST, clock=lambda: next(times, stored.plan.expires_at + timedelta(seconds=1))
    )
    assert LineState.SKIPPED in {one.state for one in done.lines}
    assert {one.reason for one in done.lines if one.state is LineState.SKIPPED} == {
        "the plan expired before this line was begun"
    }
