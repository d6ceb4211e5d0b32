"""One pass for the command line: the database, the venues that the scope covers, and what is asked for by a wrong name."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from posguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from posguard.cli.connect import Connections
    from posguard.exchange.gateway import Gateway
    from posguard.model.finding import Pass
    from posguard.model.scope import Scope
    from posguard.postgres.pool import Database


async def look(db: Database, to: Connections, scope: Scope, say: Callable[[str], None]) -> Pass:
    """A pass over what the scope covers; changes nothing.

    Raises UsageError for a symbol that neither the database nor any venue knows, and what `take_pass` raises.
    """
    from posguard.exchange.gateway import open_gateway
    from posguard.postgres.weights import open_weights
    from posguard.reconcile.run import take_pass

    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_weights(to.dsn))
        gateways = [
            await stack.enter_async_context(open_gateway(venue, to.settings, ledger=ledger))
            for venue in to.venues
            if scope.covers(venue.exchange)
        ]
        if scope.symbol and gateways and not await _known(db, gateways, scope):
            raise _unknown(scope, gateways)
        return await take_pass(db, gateways, to.settings, scope=scope, progress=say)


async def _known(db: Database, gateways: Sequence[Gateway], scope: Scope) -> bool:
    """Whether a row or a market bears the symbol; venues are asked only where no row ever did. Unknown counts as known."""
    from posguard.postgres.positions import has_symbol

    async with db.connection() as connection:
        if await has_symbol(connection, scope):
            return True
    for gateway in gateways:
        markets = (await gateway.snapshot()).markets
        if not markets or scope.symbol in markets:
            return True
    return False


def _unknown(scope: Scope, gateways: Sequence[Gateway]) -> UsageError:
    venues = " and ".join(str(gateway.venue) for gateway in gateways)
    return UsageError(
        f"Nobody knows the symbol {scope.symbol}: no row has it, and {venues} list{'s' if len(gateways) == 1 else ''} no such market. Nothing was done.",
        hint="Symbols read BTCUSDT or BTC/USDT:USDT.",
    )
