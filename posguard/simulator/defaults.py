"""What a simulator holds before anybody loads anything: some markets, one account a venue, two keys each."""

from decimal import Decimal

from posguard.simulator.book import DEFAULT_ACCOUNT, Book
from posguard.simulator.records import Key, Market, Venue

# base: last price, tick, quantity step
_COINS: dict[str, tuple[str, str, str]] = {
    "BTC": ("60000", "0.1", "0.001"),
    "ETH": ("2500", "0.01", "0.001"),
    "SOL": ("150", "0.01", "0.1"),
    "XRP": ("0.55", "0.0001", "0.1"),
    "ADA": ("0.38", "0.0001", "1"),
    "DOGE": ("0.12", "0.00001", "1"),
    "APT": ("3.2", "0.001", "0.1"),
    "KAS": ("0.055", "0.00001", "10"),
    "AKE": ("0.0011", "0.0000001", "10"),
    "BID": ("0.082", "0.00001", "1"),
    "LINK": ("12", "0.001", "0.1"),
    "AVAX": ("27", "0.001", "0.1"),
    "TEST": ("1", "0.0001", "0.1"),
}
# One coin under two names: the venues count it in thousands each in its own way.
_THOUSANDS: tuple[tuple[Venue, str, str], ...] = (
    ("binance", "1000SHIBUSDT", "1000SHIB"),
    ("bybit", "SHIB1000USDT", "SHIB1000"),
)
TRADE_KEY, TRADE_SECRET = "simulator-trade", "simulator-trade-secret"
READ_KEY, READ_SECRET = "simulator-read", "simulator-read-secret"
_TAKER: dict[Venue, Decimal] = {"binance": Decimal("0.0005"), "bybit": Decimal("0.00055")}


def fill_defaults(book: Book) -> None:
    """Markets, an account `main` with 100 000 USDT, a trading and a read-only key, for each venue."""
    for venue, taker in _TAKER.items():
        for base, (price, tick, step) in _COINS.items():
            last = Decimal(price)
            book.add_market(
                Market(
                    venue=venue,
                    symbol=f"{base}USDT",
                    base=base,
                    tick=Decimal(tick),
                    step=Decimal(step),
                    min_qty=Decimal(step),
                    taker_fee=taker,
                    last=last,
                    mark=last,
                )
            )
        book.add_account(venue)
        book.add_key(Key(venue, DEFAULT_ACCOUNT, TRADE_KEY, TRADE_SECRET))
        book.add_key(Key(venue, DEFAULT_ACCOUNT, READ_KEY, READ_SECRET, trade=False))
    for venue, symbol, base in _THOUSANDS:
        tiny = Decimal("0.012")
        book.add_market(
            Market(
                venue=venue,
                symbol=symbol,
                base=base,
                tick=Decimal("0.000001"),
                step=Decimal(1),
                min_qty=Decimal(1),
                taker_fee=_TAKER[venue],
                last=tiny,
                mark=tiny,
            )
        )
    bitcoin = book.market("bybit", "BTCUSDT")
    book.add_market(
        Market(
            venue="bybit",
            symbol="BTCPERP",
            base="BTC",
            quote="USDC",
            settle="USDC",
            tick=bitcoin.tick,
            step=bitcoin.step,
            taker_fee=bitcoin.taker_fee,
            last=bitcoin.last,
            mark=bitcoin.mark,
        )
    )
    book.account("bybit").wallet["USDC"] = Decimal(100_000)
