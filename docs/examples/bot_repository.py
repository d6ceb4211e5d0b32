"""A repository and an opener of the kind the bot has: what docs/examples/own_core.py wraps."""

from __future__ import annotations

import asyncio
from typing import Any


class Repository:
    """Rows of monitoring.positions, each call a transaction of its own."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def create_position(self, data: dict[str, Any]) -> int:
        """The id of the active row of that symbol, or of a new one."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", hash(data["symbol"]) % (2**31 - 1))
            there = await connection.fetchval(
                "SELECT id FROM monitoring.positions WHERE symbol = $1 AND exchange = $2 AND status = 'active'",
                data["symbol"],
                data["exchange"],
            )
            return there or await connection.fetchval(
                "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
                "VALUES ($1, $2, $3, $4, $5, 'active') RETURNING id",
                *(data[name] for name in ("symbol", "exchange", "side", "quantity", "entry_price")),
            )

    async def update_position(self, position_id: int, *, status: str) -> None:
        """A new status, whatever the old one was."""
        await self.pool.execute(
            "UPDATE monitoring.positions SET status = $2, updated_at = now() WHERE id = $1",
            position_id,
            status,
        )


class AtomicPositionManager:
    """Opens a position: row, entry, settlement, stop-loss, active."""

    def __init__(self, repository: Repository, exchange: Any, *, settlement: float = 3.0) -> None:
        self.repository, self.exchange, self.settlement = repository, exchange, settlement

    async def open_position_atomic(self, data: dict[str, Any], stop_price: Any) -> dict[str, Any] | None:
        """The row's id, or None where it was rolled back."""
        position_id = await self.repository.create_position(data)
        symbol, side, quantity = data["symbol"], data["position_side"], data["quantity"]
        name = f"{data['client_id']}"
        try:
            await self.exchange.place_entry(symbol, side, quantity, client_order_id=f"{name}-in")
            await self.repository.update_position(position_id, status="entry_placed")
            await asyncio.sleep(self.settlement)
            await self.exchange.place_stop(symbol, side, quantity, stop_price, client_order_id=f"{name}-sl")
            await self.repository.update_position(position_id, status="active")
        except Exception:  # noqa: BLE001 - as the bot did
            await self.exchange.close_reduce_only(symbol, side, quantity, client_order_id=f"{name}-out")
            await self.repository.update_position(position_id, status="rolled_back")
            return None
        return {"id": position_id}
