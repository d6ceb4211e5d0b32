"""Cross margin of one account in one settle coin: values in, values out."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from posguard.simulator.records import ZERO, Account, Market, Order, Position

MarketOf = Callable[[str], Market]


@dataclass(slots=True, frozen=True)
class Totals:
    """What an account is worth in one coin."""

    wallet: Decimal
    unrealized: Decimal
    position_margin: Decimal
    order_margin: Decimal
    maintenance: Decimal

    @property
    def balance(self) -> Decimal:
        """Wallet and unrealized profit together."""
        return self.wallet + self.unrealized

    @property
    def initial(self) -> Decimal:
        """Margin that is bound."""
        return self.position_margin + self.order_margin

    @property
    def available(self) -> Decimal:
        """What a new order may bind; never below zero."""
        return max(self.balance - self.initial, ZERO)


def unrealized(position: Position, market: Market) -> Decimal:
    """Profit at the mark price."""
    return (market.mark - position.entry) * position.amount


def position_margin(account: Account, position: Position, market: Market) -> Decimal:
    """Initial margin of a position at the mark price."""
    return abs(position.amount) * market.mark / account.leverage_of(position.symbol)


def maintenance(position: Position, market: Market) -> Decimal:
    """Maintenance margin of a position at the mark price."""
    return abs(position.amount) * market.mark * market.maintenance_rate


def order_margin(account: Account, order: Order, market: Market) -> Decimal:
    """Initial margin of a resting order; none for conditional and reduce-only ones."""
    if order.conditional or order.reduce_only or not order.live:
        return ZERO
    return order.remaining * order.price / account.leverage_of(market.symbol)


def totals(account: Account, market_of: MarketOf, coin: str) -> Totals:
    """The account's totals in one settle coin."""
    profit = margin = keep = orders = ZERO
    for position in account.positions.values():
        if position.amount == ZERO:
            continue
        market = market_of(position.symbol)
        if market.settle == coin:
            profit += unrealized(position, market)
            margin += position_margin(account, position, market)
            keep += maintenance(position, market)
    for order in account.open_orders.values():
        market = market_of(order.symbol)
        if market.settle == coin:
            orders += order_margin(account, order, market)
    return Totals(account.wallet.get(coin, ZERO), profit, margin, orders, keep)


def liquidation_price(position: Position, market: Market, whole: Totals) -> Decimal:
    """Where this position alone would bring the account to its maintenance margin; zero for never."""
    size = abs(position.amount)
    if size == ZERO:
        return ZERO
    others_keep = whole.maintenance - maintenance(position, market)
    others_profit = whole.unrealized - unrealized(position, market)
    cushion = whole.wallet + others_profit - others_keep
    rate = market.maintenance_rate
    if position.amount > ZERO:
        price = (position.entry * size - cushion) / (size * (1 - rate))
    else:
        price = (position.entry * size + cushion) / (size * (1 + rate))
    return max(price, ZERO)
