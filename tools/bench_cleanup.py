"""How long 10 000 findings take to be planned and stored: the rules, the code, and the rows in PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from posguard.cleanup.planning import make_plan
from posguard.cleanup.plans import store_plan
from posguard.model.finding import Pass
from posguard.model.plan import Mode, PlanOptions
from posguard.model.position import PositionRow, PositionSide, Side
from posguard.model.venue import FillHistory, MarketRule, VenueId, VenuePosition, VenueSnapshot, World
from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import Database
from posguard.postgres.queries import script
from posguard.reconcile.compare import compare
from posguard.reconcile.facts import Limits, Situation, VenueLook
from posguard.reconcile.run import Observed
from posguard.settings import Settings

NUMBER = 10_000
BAR = 5.0
NOW = datetime(2026, 11, 21, tzinfo=UTC)
HERE = VenueId("binance")


def world(number: int) -> Situation:
    """As many rows whose position never was, and one that is there, so that the account is not in doubt."""
    since = NOW - timedelta(hours=2)
    names = [f"C{n}USDT" for n in range(number + 1)]
    rows = tuple(
        PositionRow(
            n + 1,
            "binance",
            "main",
            name,
            PositionSide.BOTH,
            "long",
            Side.LONG,
            Decimal(10),
            Decimal(100),
            "active",
            None,
            None,
            Decimal(95),
            True,
            False,
            since,
            since,
            since,
            f"digest {n}",
        )
        for n, name in enumerate(names)
    )
    markets = {
        n: MarketRule(n, n, Decimal("0.1"), Decimal("0.01"), Decimal("0.1"), Decimal(5)) for n in names
    }
    held = (
        VenuePosition(
            names[-1], PositionSide.BOTH, Side.LONG, Decimal(10), Decimal(100), Decimal(100), Decimal(95)
        ),
    )
    one = VenueSnapshot(HERE, World.SIMULATOR, NOW, NOW, complete=True, positions=held, markets=markets)
    history = FillHistory(HERE, NOW - timedelta(days=7), frozenset(names), (), complete=True)
    look = VenueLook(HERE, World.SIMULATOR, (one, one, one), fills=dict.fromkeys(names, history))
    return Situation(rows, rows, {HERE: look}, Limits.of(Settings(_env_file=None)), NOW)


async def stored(dsn: SecretStr, observed: Observed) -> tuple[int, float, float]:
    """Lines, seconds to plan, seconds to store."""
    began = time.perf_counter()
    plan = make_plan(
        observed,
        PlanOptions(Mode.ALL, timedelta(hours=1), Decimal("0.05"), columns=frozenset({"status"})),
        dismissed=(),
        now=datetime.now(UTC),
        lifetime=timedelta(minutes=15),
        created_by="bench",
        database_fingerprint="bench",
    )
    assert plan.code
    planned = time.perf_counter() - began
    async with await Database.open(dsn) as db:
        began = time.perf_counter()
        await store_plan(db, plan)
        return len(plan.lines), planned, time.perf_counter() - began


def main() -> int:
    """Prints the figures; 1 where the bar is missed."""
    situation = world(NUMBER)
    comparison = compare(situation)
    result = Pass(NOW, NOW, comparison.findings, comparison.verdicts, NUMBER, NUMBER)
    with TemporaryDirectory(prefix="posguard-bench-") as folder:
        server = EmbeddedServer.start(Path(folder))
        try:
            server.ensure_database("bench")
            dsn = SecretStr(server.dsn("bench"))
            server.psql("bench", script("bot_schema"))
            migrate.upgrade(dsn)
            lines, planned, kept = asyncio.run(stored(dsn, Observed(result, situation, comparison)))
        finally:
            server.stop()
    print(
        f"{len(comparison.findings)} findings, {lines} lines: planned in {planned:.2f} s, stored in {kept:.2f} s (bar {BAR} s)"
    )
    return int(planned + kept > BAR or lines < NUMBER)


if __name__ == "__main__":
    sys.exit(main())
