"""How long the 14 sections of the analysis take on a large database of the bot: each part, each section, all of them.

The rows are made by generate_series: positions over 180 days on 400 symbols and two exchanges, ten events and two orders each, at times
to the microsecond. The bar is 20 s for all sections of an audit's eight hours, on a million positions and ten million events; longer
windows up to everything at once are measured beside it. Parts run two at a time, so that the seconds of all are fewer than their sum.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

import psycopg
from pydantic import SecretStr

from posguard.model.analysis import SECTIONS
from posguard.postgres.analysis import analyse
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import Database
from posguard.postgres.queries import script

BAR = 20.0
DAYS = 180
UNTIL = datetime(2025, 10, 22, 22, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=DAYS)
FILL = """
SET TIME ZONE 'UTC';
INSERT INTO monitoring.positions
    (id, symbol, exchange, side, quantity, entry_price, status, created_at, opened_at, updated_at, closed_at, exit_reason,
     realized_pnl, fees, has_stop_loss, stop_loss_price, exchange_order_id, has_trailing_stop)
SELECT
    n, 'COIN' || n % 400 || 'USDT', CASE n % 2 WHEN 0 THEN 'binance' ELSE 'bybit' END,
    CASE n % 3 WHEN 0 THEN 'long' ELSE 'short' END, 1 + n % 100, 100, status, at, at, ended, ended,
    CASE status WHEN 'closed' THEN (ARRAY['take_profit', 'stop_loss', 'trailing_stop', 'signal'])[1 + n % 4] END,
    CASE status WHEN 'closed' THEN (n * 7919::bigint % 2001 - 1000) / 100.0 END, 0.05, true,
    CASE n % 3 WHEN 0 THEN 98 ELSE 102 END, 'e' || n, n % 3 = 0
FROM (
    SELECT n, at, status, CASE WHEN status IN ('active', 'pending_entry') THEN NULL ELSE at + span END AS ended
    FROM (
        SELECT
            n,
            timestamptz '{since}' + interval '{days} days' * (n::float8 / {size}) AS at,
            CASE
                WHEN n > {size} - 60 THEN 'active'
                WHEN n % 20 = 7 THEN 'rolled_back' WHEN n % 50 = 3 THEN 'failed' WHEN n % 97 = 5 THEN 'canceled' ELSE 'closed'
            END AS status,
            least(interval '1 minute' * (1 + n * 7907::bigint % 150), interval '{days} days' * (380.0 / {size})) AS span
        FROM generate_series(1, {size}) AS n
    ) AS made
) AS dated;
INSERT INTO monitoring.events (event_type, event_data, correlation_id, position_id, symbol, exchange, severity, error_message, created_at)
SELECT
    k.event_type, '{{"quantity": "1", "side": "long"}}', 'open-' || p.id, p.id, p.symbol, p.exchange, k.severity, k.error,
    p.created_at + interval '1 microsecond' * (1000 * (k.after + p.id * k.after::bigint % 977) + p.id * 7919::bigint % 1000)
FROM monitoring.positions AS p
CROSS JOIN LATERAL (
    VALUES
    ('position_created', 2, 'INFO', NULL), ('order_placed', 200, 'INFO', NULL), ('order_filled', 500, 'INFO', NULL),
    ('stop_loss_placed', 900, 'INFO', NULL), ('position_updated', 1300, 'INFO', NULL), ('signal_executed', 1400, 'INFO', NULL),
    (CASE p.id % 3 WHEN 0 THEN 'trailing_stop_created' ELSE 'sync_completed' END, 1450, 'INFO', NULL),
    (CASE p.id % 3 WHEN 0 THEN 'trailing_stop_sl_updated' ELSE 'sync_started' END, 30000, 'INFO', NULL),
    (
        CASE WHEN p.id % 40 = 0 THEN 'order_error' WHEN p.id % 2 = 0 THEN 'stop_loss_updated' ELSE 'wave_detected' END, 45000,
        CASE WHEN p.id % 40 = 0 THEN 'ERROR' ELSE 'INFO' END,
        CASE WHEN p.id % 4000 = 0 THEN 'duplicate key value violates unique constraint'
            WHEN p.id % 40 = 0 THEN 'Binance error -2019: Margin is insufficient for ' || p.id END
    ),
    ('position_closed', 60000, 'INFO', NULL)
) AS k (event_type, after, severity, error)
ORDER BY p.id;
INSERT INTO monitoring.orders
    (position_id, exchange, symbol, order_id, type, side, size, status, filled, fee, fee_currency, created_at, updated_at)
SELECT
    p.id::text, p.exchange, p.symbol, k.type || p.id, k.type, 'buy', p.quantity, k.status,
    CASE k.status WHEN 'filled' THEN p.quantity ELSE 0 END, 0.05, 'USDT', p.created_at + interval '1 second', p.created_at + interval '2 seconds'
FROM monitoring.positions AS p
CROSS JOIN LATERAL (
    VALUES ('market', 'filled'), ('stop_market', CASE WHEN p.closed_at IS NULL OR p.id % 50000 = 0 THEN 'open' ELSE 'canceled' END)
) AS k (type, status);
INSERT INTO monitoring.trailing_stop_state
    (symbol, exchange, position_id, state, is_activated, entry_price, side, quantity, update_count, last_update_time)
SELECT symbol, exchange, id, 'active', true, 100, side, quantity, 3, created_at FROM monitoring.positions WHERE closed_at IS NULL;
"""
INDEXES = """
CREATE INDEX posguard_positions_by_creation ON monitoring.positions (created_at);
CREATE INDEX posguard_positions_by_closing ON monitoring.positions (closed_at);
CREATE INDEX posguard_events_by_type ON monitoring.events (event_type, created_at);
"""


def main() -> int:
    """Prints a line for each part; 1 where the bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=1_000_000, help="positions; ten events each")
    options.add_argument(
        "--dsn", default="", help="an empty database of one's own; the embedded server by default"
    )
    options.add_argument(
        "--slow", action="store_true", help="without the indexes of `posguard db upgrade --target bot`"
    )
    asked = options.parse_args()
    folder = Path(mkdtemp(prefix="posguard-bench-"))
    server = None
    try:
        if not asked.dsn:
            server = EmbeddedServer.start(
                folder / "server", options={"max_wal_size": "4GB", "synchronous_commit": "off"}
            )
            server.ensure_database("bench")
        dsn = SecretStr(asked.dsn or server.dsn("bench"))  # type: ignore[union-attr]
        fill(dsn, asked.size, indexes=not asked.slow)
        return asyncio.run(bench(dsn, asked.size))
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def fill(dsn: SecretStr, size: int, *, indexes: bool) -> None:
    """Makes the rows."""
    begun = perf_counter()
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(script("bot_schema"))
        for statement in FILL.format(size=size, days=DAYS, since=SINCE.isoformat()).split(";\n"):
            connection.execute(statement)
        for statement in INDEXES.split(";\n") if indexes else ():
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
        version = connection.execute("SHOW server_version").fetchone()
    made = f"{size:,} positions, {size * 10:,} events, {size * 2:,} orders"
    print(f"PostgreSQL {version[0] if version else '?'}: {made}, made in {perf_counter() - begun:.0f} s")


async def bench(dsn: SecretStr, size: int) -> int:
    """From the longest window to the eight hours of an audit."""
    took = 0.0
    async with await Database.open(dsn, read_only=True, timeout=600, size=2) as db:
        for hours in (DAYS * 24, 30 * 24, 7 * 24, 8):
            took = await measure(db, UNTIL - timedelta(hours=hours), f"{hours} hours until the end")
    print(f"\nThe bar is {BAR:.0f} s for all sections of eight hours at 1,000,000 positions.")
    if size < 1_000_000:
        return 0
    print("met" if took <= BAR else "MISSED")
    return 0 if took <= BAR else 1


async def measure(db: Database, since: datetime, name: str) -> float:
    """One window; the seconds of all sections."""
    begun = perf_counter()
    told = await analyse(db, since, UNTIL)
    whole = perf_counter() - begun
    print(f"\n{name}: {whole:.2f} s")
    for section in SECTIONS:
        parts = {part: told.part(part) for part in section.parts}
        took = sum(part.seconds for part in parts.values())
        each = ", ".join(
            f"{part} {one.seconds:.2f} s ({one.no_source or f'{len(one.rows)} rows'})"
            for part, one in parts.items()
        )
        print(f"  {section.number:2}. {section.title:32} {took:6.2f} s   {each}")
    return whole


if __name__ == "__main__":
    sys.exit(main())
