"""The demo bot's reads and writes. Only for databases that bear the demo's mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OwnRow:
    """An open row of the demo bot; quantity in base units, times aware UTC."""

    id: int
    symbol: str
    exchange: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    status: str
    created_at: datetime
    stop_loss_price: Decimal | None
    exchange_order_id: str | None
    has_trailing_stop: bool | None

    @property
    def key(self) -> tuple[str, str]:
        """Exchange and symbol."""
        return self.exchange, self.symbol


async def own_rows(connection: Any, planted: Collection[int]) -> tuple[OwnRow, ...]:
    """The open rows that are not planted, by id."""
    rows = queries("demobot").own_rows(connection, planted=list(planted))
    return tuple([OwnRow(**row) async for row in rows])


async def begin(
    connection: Any,
    *,
    symbol: str,
    exchange: str,
    side: str,
    quantity: Decimal,
    price: Decimal,
    at: datetime,
) -> int:
    """Inserts a row in pending_entry; returns its id."""
    row_id: int = await queries("demobot").begin_position(
        connection,
        symbol=symbol,
        exchange=exchange,
        side=side,
        quantity=quantity,
        price=price,
        at=at,
        signal_id=int(at.timestamp()) % 1_000_000_000,
    )
    return row_id


async def entry_filled(connection: Any, row_id: int, order_id: str, at: datetime) -> None:
    """The row goes on to entry_placed."""
    await queries("demobot").entry_filled(connection, id=row_id, order_id=order_id, at=at)


async def activate(connection: Any, row_id: int, *, stop: Decimal, trailing: bool, at: datetime) -> None:
    """The row is active, with its stop recorded."""
    await queries("demobot").activate(connection, id=row_id, stop=stop, trailing=trailing, at=at)


async def give_up(connection: Any, row_id: int, at: datetime) -> None:
    """A row for which nothing was bought fails."""
    await queries("demobot").give_up(connection, id=row_id, at=at)


async def close(
    connection: Any, row_id: int, *, price: Decimal, profit: Decimal, reason: str, at: datetime
) -> None:
    """The row is closed, in one statement of its own, so that it follows the venue at once."""
    await queries("demobot").close_position(
        connection, id=row_id, price=price, profit=profit, reason=reason, at=at
    )


async def clear_away(connection: Any, row_id: int, at: datetime) -> None:
    """The stop-loss orders of a closed row are cancelled, its trailing stop is gone."""
    await queries("demobot").end_stops(connection, id=row_id, at=at)
    await queries("demobot").end_trailing(connection, id=row_id)


async def move_prices(connection: Any, prices: Mapping[int, Decimal], at: datetime) -> None:
    """New prices by row id: current_price, unrealized_pnl and what trailing stops have seen."""
    moved = {"ids": list(prices), "prices": list(prices.values()), "at": at}
    await queries("demobot").move_prices(connection, **moved)
    await queries("demobot").move_trailing(connection, **moved)
