"""Whether the venue holds an external position where a row is about to be born: one that no open row owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.postgres import managed

if TYPE_CHECKING:
    from posguard.exchange.gateway import TradingGateway
    from posguard.model.managed import Birth
    from posguard.trading.ports import Ports


async def external_reason(ports: Ports, gateway: TradingGateway, birth: Birth) -> str:
    """Why nothing is opened: an external position of the key, or a venue that cannot be read. Empty where nothing speaks against it.

    A key that a row holds, and a request that is known, are not looked for: they are answered from the database. Raises
    DatabaseUnavailableError.
    """
    if await _answered(ports, birth):
        return ""
    await ports.checkpoint("before snapshot")
    look = await gateway.snapshot()
    if not look.complete:
        return f"the venue cannot be read, so nobody knows what it holds: {'; '.join(look.reasons)}"
    leg = (birth.key.symbol, birth.key.position_side)
    held = next((one for one in look.positions if (one.symbol, one.position_side) == leg), None)
    if held is None or await _answered(ports, birth):  # born and opened since the first question
        return ""
    return f"the venue holds {held.side} {plain(held.quantity)} of {birth.key} that no open row owns"


async def _answered(ports: Ports, birth: Birth) -> bool:
    async with ports.database.connection() as connection:
        there = await managed.standing(connection, birth.key, birth.request_key)
    return there.asked is not None or there.held is not None or there.engaged
