"""Cleanup where it matters whose an order is: two legs of a hedged account, two accounts of one exchange, an entry that was sent."""

from __future__ import annotations

from contextlib import AsyncExitStack
from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.cleanup.backup import read_backup
from posguard.cleanup.restore import look, restore
from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_trading_gateway
from posguard.model.plan import Action, Choice, Mode, PlanState
from posguard.model.scope import Scope
from posguard.postgres.pool import Database
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from posguard.trading.permit import before_send
from tests.fixtures.cleanup import QUICK, Bench
from tests.fixtures.gateways import VENUES, gateway, plant, venue_settings
from tests.program import posguard_beside

pytestmark = pytest.mark.postgres

ROW = """
INSERT INTO monitoring.positions
    (symbol, exchange, side, quantity, entry_price, status, has_stop_loss, stop_loss_price, opened_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, true, $7, now() - interval '2 h', now() - interval '2 h') RETURNING id
"""
ENTRY = {"BTCUSDT": 60000, "ETHUSDT": 2500, "SOLUSDT": 150}


def trader(exchange, base_url, **values):
    keys = {"trade_key": SecretStr(TRADE_KEY), "trade_secret": SecretStr(TRADE_SECRET)}
    venue = venue_settings(exchange, base_url, **(keys | values))
    return open_trading_gateway(venue, QUICK, before_send=before_send, budget=Budget.unlimited())


async def row(bench, exchange, symbol, side, quantity, status="active", account=None):
    entry = Decimal(ENTRY[symbol])
    stop = entry * (Decimal("0.95") if side == "long" else Decimal("1.05"))
    number = await bench.one(ROW, symbol, exchange, side, Decimal(quantity), entry, status, stop)
    if account:
        await bench.do("UPDATE monitoring.positions SET account = $2 WHERE id = $1", number, account)
    return number


async def positions(bench, account="main"):
    """What the venue holds: symbol and leg with the amount."""
    book = await bench.control.book()
    return {
        (p["symbol"], p["side"]): Decimal(p["amount"])
        for p in book["positions"]
        if p["account"] == account and Decimal(p["amount"])
    }


async def stops(bench, account="main"):
    """The live stops: symbol and leg with the quantity."""
    book = await bench.control.book()
    return sorted(
        (o["symbol"], o["position_side"], Decimal(o["qty"]))
        for o in book["orders"]
        if o["account"] == account and o["trigger"] and o["status"] in {"new", "untriggered"}
    )


@pytest.fixture
async def bench(bot_dsn, control, tmp_path):
    """An uncorrected database that lets two open rows of a symbol in, without gateways."""
    async with await Database.open(bot_dsn) as db:
        made = Bench(db, control, [], [], tmp_path)
        await made.do("DROP INDEX monitoring.idx_unique_active_position")
        yield made


@pytest.mark.parametrize("exchange", VENUES)
async def test_in_hedge_mode_each_leg_is_protected_closed_and_restored_by_itself(bench, simulator, exchange):
    """The bot's table names no leg: a row lives in the leg of its side."""
    await bench.control.load(accounts=[{"venue": exchange, "name": "main", "hedged": True}])
    held: dict = {}
    for symbol, side, amount in (
        ("BTCUSDT", "short", "-0.2"), ("ETHUSDT", "long", "1"), ("ETHUSDT", "short", "-2"),
        ("SOLUSDT", "long", "3"), ("SOLUSDT", "short", "-4"),
    ):  # fmt: skip
        plant(held, exchange, symbol, amount, entry=str(ENTRY[symbol]), side=side)
    naked = {"venue": exchange, "symbol": "BTCUSDT", "amount": "0.5", "entry": "60000", "side": "long"}
    await bench.control.load(positions=[*held["positions"], naked], orders=held["orders"])
    ids = {
        name: await row(bench, exchange, *what)
        for name, what in {
            "naked": ("BTCUSDT", "long", "0.5"),
            "beside it": ("BTCUSDT", "short", "0.2"),
            "kept": ("ETHUSDT", "long", "1"),
            "unfinished": ("ETHUSDT", "short", "2", "entry_placed"),
            "twin": ("SOLUSDT", "long", "3.5"),
            "survivor": ("SOLUSDT", "long", "3"),
            "other leg": ("SOLUSDT", "short", "4"),
        }.items()
    }
    async with AsyncExitStack() as stack:
        bench.readers = [await stack.enter_async_context(gateway(exchange, simulator.base_url, hedge=True))]
        bench.traders = [await stack.enter_async_context(trader(exchange, simulator.base_url, hedge=True))]
        before = await bench.rows()
        stored = await bench.plan(Mode.ALL)
        assert {
            (one.line.action, one.line.key.position_side.value, one.line.row.id) for one in stored.lines
        } == {
            (Action.PLACE_STOP, "long", ids["naked"]),
            (Action.CLOSE_POSITION, "short", ids["unfinished"]),
            (Action.RETIRE, "long", ids["twin"]),
        }
        done = await bench.apply(stored.code)
        assert done.state is PlanState.APPLIED, [(o.number, o.state, o.reason) for o in done.lines]
        assert all(one.verified for one in done.lines)
        assert await positions(bench) == {
            ("BTCUSDT", "long"): Decimal("0.5"), ("BTCUSDT", "short"): Decimal("-0.2"), ("ETHUSDT", "long"): Decimal(1),
            ("SOLUSDT", "long"): Decimal(3), ("SOLUSDT", "short"): Decimal(-4),
        }  # fmt: skip
        assert await stops(bench) == [
            ("BTCUSDT", "long", Decimal("0.5")), ("BTCUSDT", "short", Decimal("0.2")), ("ETHUSDT", "long", Decimal(1)),
            ("SOLUSDT", "long", Decimal(3)), ("SOLUSDT", "short", Decimal(4)),
        ]  # fmt: skip
        assert await bench.found() == set()
        after = await bench.rows()
        changed = {number for number in before if before[number] != after[number]}
        assert changed <= {ids["naked"], ids["unfinished"], ids["twin"]}
        # The other leg of the symbol holds another key: no conflict.
        backup = read_backup(bench.folder / f"{stored.code}.json")
        dry = await look(bench.db, bench.readers, backup)
        assert ([r.row_id for r in dry.rows], dry.conflicts) == ([ids["twin"]], ())
        await row(bench, exchange, "SOLUSDT", "long", "1")
        (clash,) = (await look(bench.db, bench.readers, backup)).conflicts
        assert f"holds the key of row #{ids['twin']}" in clash


@pytest.mark.parametrize("exchange", VENUES)
async def test_two_accounts_of_one_exchange_are_cleaned_up_each_by_its_own_key(bench, simulator, exchange):
    await bench.do("ALTER TABLE monitoring.positions ADD account text NOT NULL DEFAULT 'main'")
    pair = {"second": "k2", "second-read": "k3"}
    await bench.control.load(
        accounts=[{"venue": exchange, "name": "second"}],
        keys=[
            {"venue": exchange, "account": "second", "key": key, "secret": "s", "trade": name == "second"}
            for name, key in pair.items()
        ],
    )
    held = plant({}, exchange, "BTCUSDT", "0.5", entry="60000")
    plant(held, exchange, "ETHUSDT", "2", entry="2500")
    plant(held, exchange, "ETHUSDT", "3", entry="2500", account="second")
    held["orders"][-1]["account"] = "second"
    naked = {"venue": exchange, "account": "second", "symbol": "BTCUSDT", "amount": "0.7", "entry": "60000"}
    lost = {"venue": exchange, "account": "second", "symbol": "SOLUSDT", "amount": "4", "entry": "150"}
    await bench.control.load(positions=[*held["positions"], naked, lost], orders=held["orders"])
    healthy = [
        await row(bench, exchange, s, "long", q, account="main")
        for s, q in (("BTCUSDT", "0.5"), ("ETHUSDT", "2"))
    ]
    bare = await row(bench, exchange, "BTCUSDT", "long", "0.7", account="second")
    twin = await row(bench, exchange, "ETHUSDT", "long", "9", account="second")
    kept = await row(bench, exchange, "ETHUSDT", "long", "3", account="second")
    second = {"account": "second", "api_key": SecretStr(pair["second-read"]), "api_secret": SecretStr("s")}
    trades = second | {"trade_key": SecretStr(pair["second"]), "trade_secret": SecretStr("s")}
    async with AsyncExitStack() as stack:
        bench.readers = [
            await stack.enter_async_context(gateway(exchange, simulator.base_url, **more))
            for more in ({}, second)
        ]
        bench.traders = [
            await stack.enter_async_context(trader(exchange, simulator.base_url, **more))
            for more in ({}, trades)
        ]
        before, mains = await bench.rows(), (await positions(bench), await stops(bench))
        stored = await bench.plan(Mode.ALL)
        assert {
            (one.line.action, one.line.key.account, one.line.row and one.line.row.id) for one in stored.lines
        } == {
            (Action.PLACE_STOP, "second", bare),
            (Action.PLACE_STOP, "second", None),
            (Action.RETIRE, "second", twin),
        }
        done = await bench.apply(stored.code)
        assert done.state is PlanState.APPLIED, [(o.number, o.state, o.reason) for o in done.lines]
        close = await bench.plan(Mode.ORPHANED_EX, choice=Choice.CLOSE, scope=Scope(exchange))
        assert [one.line.key.symbol for one in close.lines] == ["SOLUSDT"]
        assert (await bench.apply(close.code)).state is PlanState.APPLIED
        assert (await positions(bench), await stops(bench)) == mains, "the other account was not touched"
        assert await positions(bench, "second") == {
            ("BTCUSDT", "both"): Decimal("0.7"),
            ("ETHUSDT", "both"): Decimal(3),
        }
        assert await stops(bench, "second") == [
            ("BTCUSDT", "both", Decimal("0.7")),
            ("ETHUSDT", "both", Decimal(3)),
        ]
        assert {r["account"] for r in await bench.posts()} == {"second"}
        assert await bench.found() == set()
        after = await bench.rows()
        assert [before[n] for n in (*healthy, kept)] == [after[n] for n in (*healthy, kept)]
        backup = read_backup(bench.folder / f"{stored.code}.json")
        dry = await look(bench.db, bench.readers, backup)
        assert [r.row_id for r in dry.rows] == [twin]
        assert (await restore(bench.db, bench.readers, backup, dry.code, actor="t")).done


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("became", ["canceled", "filled", "forgotten"])
async def test_an_entry_that_was_sent_fails_only_where_its_order_is_told_as_ended_unfilled(
    bench, simulator, exchange, became
):
    """CLN-5, on the venues' real lists: no fill tells of it and no position is there; the order alone decides."""
    sent = {
        "venue": exchange, "symbol": "BTCUSDT", "side": "buy", "qty": "0.5", "kind": "market", "id": "4711",
        "status": "filled" if became == "filled" else "canceled", "filled": "0.5" if became == "filled" else "0",
    }  # fmt: skip
    healthy = plant({}, exchange, "ETHUSDT", "2", entry="2500")
    if became != "forgotten":
        healthy["orders"].append(sent)
    await bench.control.load(**healthy)
    await row(bench, exchange, "ETHUSDT", "long", "2")
    number = await row(bench, exchange, "BTCUSDT", "long", "0.5", "entry_placed")
    await bench.do(
        "UPDATE monitoring.positions SET exchange_order_id = '4711', opened_at = now() - interval '20 min', created_at = now() - interval '20 min' WHERE id = $1",
        number,
    )
    async with gateway(exchange, simulator.base_url) as reading:
        bench.readers = [reading]
        drawn = await bench.plan(Mode.INCOMPLETE, store=became == "canceled")
        if became != "canceled":
            assert drawn.lines == ()
            wanted = "was filled with 0.5 filled" if became == "filled" else "does not hold it"
            assert wanted in drawn.left_out[0].why
            return
        (line,) = drawn.plan.lines
        assert "order 4711" in line.why
        assert line.why.endswith("was cancelled, with nothing filled")
        done = await bench.apply(drawn.code)
        assert (done.state, done.lines[0].verified) == (PlanState.APPLIED, True), done.lines
        ended = (await bench.rows(f"id = {number}"))[number]
        assert (ended["status"], ended["exit_reason"]) == ("failed", "no fill of its entry")


async def test_as_typed_an_account_that_the_plan_does_not_touch_is_read_too(
    bench, bot_dsn, simulator, tmp_path
):
    """Whose a row without an account is depends on how many accounts there are: plan and application must count alike."""
    await bench.control.load(
        accounts=[{"venue": "bybit", "name": "second"}],
        keys=[{"venue": "bybit", "account": "second", "key": "k2", "secret": "s", "trade": True}],
        positions=[
            {"venue": "bybit", "account": "second", "symbol": "SOLUSDT", "amount": "4", "entry": "150"}
        ],
    )
    held = plant({}, "bybit", "SOLUSDT", "4", entry="150")
    await bench.control.load(**held)
    mine = await row(bench, "bybit", "SOLUSDT", "long", "4")
    second = {
        "exchange": "bybit", "account": "second", "world": "simulator", "api_key": "k2", "api_secret": "s",
        "trade_key": "k2", "trade_secret": "s", "base_url": simulator.base_url,
    }  # fmt: skip
    import json

    from posguard.simulator.defaults import READ_KEY, READ_SECRET

    env = {
        "POSGUARD_DSN": bot_dsn.get_secret_value(), "POSGUARD_SNAPSHOTS": "2", "POSGUARD_SNAPSHOT_GAP": "0.02s",
        "POSGUARD_WEIGHT_SHARE": "1", "POSGUARD_BYBIT_KEY": READ_KEY, "POSGUARD_BYBIT_SECRET": READ_SECRET,
        "POSGUARD_BYBIT_WORLD": "simulator", "POSGUARD_BYBIT_URL": simulator.base_url,
        "POSGUARD_VENUES": json.dumps([second]),
    }  # fmt: skip
    words = ("cleanup", "orphaned-ex", "--exchange", "bybit", "--action", "close", "--json")
    plan = (await posguard_beside(*words, folder=tmp_path, **env)).json
    assert [line["account"] for line in plan["lines"]] == ["second"]
    done = await posguard_beside("cleanup", "--confirm", plan["code"], "--json", folder=tmp_path, **env)
    assert done.code == 0, (done.out, done.err)
    assert done.json["lines"][0]["state"] == "done"
    assert await positions(bench) == {("SOLUSDT", "both"): Decimal(4)}
    assert await positions(bench, "second") == {}
    assert (await bench.rows(f"id = {mine}"))[mine]["status"] == "active"
