"""A bot's own core under race: posguard reproduce --core own_core:OwnCore --confirm."""

from bot_repository import AtomicPositionManager, Repository

from posguard.race.signal import Ended, Opened


class OwnCore:
    """Made with a CoreWorld: an asyncpg pool, a TradingGateway to the simulator, and how fast time runs."""

    tables = "old"  # or "upgraded": with target bot in place

    def __init__(self, world):
        self.repository = Repository(world.pool)
        self.venue = world.venue
        self.manager = AtomicPositionManager(self.repository, world.venue, settlement=3.0 * world.pace)

    async def open(self, signal):
        data = {
            "symbol": signal.symbol,
            "exchange": signal.exchange,
            "side": signal.side.value,
            "position_side": signal.side,
            "quantity": signal.quantity,
            "entry_price": signal.entry_price,
            "client_id": signal.key,
        }
        saved = await self.manager.open_position_atomic(data, signal.stop_price)
        return Opened(Ended.ACTIVE if saved else Ended.ROLLED_BACK, saved and saved["id"])

    async def synchronise(self):
        for held in (await self.venue.snapshot()).positions:
            data = {"symbol": held.symbol, "exchange": self.venue.venue.exchange, "side": held.side.value}
            await self.repository.create_position(
                data | {"quantity": held.quantity, "entry_price": held.entry_price}
            )
