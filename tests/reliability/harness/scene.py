"""A database, a venue's book and some symbols; what must hold of them once all is quiet."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from posguard.model.position import Side, is_open
from posguard.race.books import add_markets, book_facts, clear, race_symbols
from posguard.race.judge import BookFact, Due, RowFact, judge
from posguard.race.venue import InProcessVenue
from posguard.simulator import Simulator
from posguard.simulator.ledger import signed
from posguard.trading import CoreSettings, OpenRequest, before_send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from posguard.simulator.records import Order

ONE = Decimal("61.8")
_numbers = itertools.count(1)


def brisk(**values: Any) -> CoreSettings:
    """Settings with every wait in proportion, and short: real leases that really run out."""
    return CoreSettings(
        **{
            "lease": timedelta(seconds=0.5),
            "settle_after": timedelta(seconds=0.4),
            "patience": timedelta(seconds=1.2),
            "poll": timedelta(milliseconds=10),
            "poll_most": timedelta(milliseconds=50),
            "fill_patience": timedelta(seconds=0.2),
            "retry_pause": timedelta(milliseconds=10),
            "row_patience": timedelta(seconds=0.3),
            "synchronise_gap": timedelta(milliseconds=5),
            **values,
        }
    )


def over(settings: CoreSettings) -> float:
    """Seconds after which a dead owner's rows may be taken over."""
    return (settings.lease + settings.settle_after).total_seconds() + 0.05


def symbols_of(count: int) -> tuple[str, ...]:
    """As many symbols as a scene needs."""
    return race_symbols(count)


def request(symbol: str, key: str | None = None, **values: Any) -> OpenRequest:
    """A request that is fine."""
    return OpenRequest(
        **{
            "request_key": key or f"k{next(_numbers)}",
            "exchange": "binance",
            "symbol": symbol,
            "side": Side.LONG,
            "quantity": ONE,
            "price": Decimal(1),
            "stop_percent": Decimal(5),
            **values,
        }
    )


@dataclass
class Scene:
    """A database (its address), a simulator, the symbols that are traded."""

    dsn: str
    simulator: Simulator
    symbols: Sequence[str]
    exchange: str = "binance"
    expects: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    def of(cls, dsn: str, count: int, *, seed: int = 1) -> Scene:
        """A scene with as many symbols."""
        simulator, symbols = Simulator(seed=seed), symbols_of(count)
        exchange: Any = "binance"
        add_markets(simulator.book, exchange, symbols)
        return cls(dsn, simulator, symbols)

    def venue(self, latency: Callable[[], Awaitable[None]] | None = None) -> InProcessVenue:
        """A gateway to the book inside this process, gated by lease and kill switch."""
        return InProcessVenue(self.simulator.book, latency=latency, before_send=before_send)

    def forget(self) -> None:
        """Clears book and tables away."""
        exchange: Any = self.exchange
        clear(self.simulator.book, exchange, self.symbols)
        with psycopg.connect(self.dsn, autocommit=True) as link:
            link.execute(
                "TRUNCATE monitoring.positions, posguard.transitions, posguard.protection_gaps,"
                " posguard.alert_outbox, posguard.alert_message_items"
            )

    # -- facts

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What a query returns."""
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as link:
            return link.execute(query, parameters or None).fetchall()

    def positions(self) -> dict[str, list[dict[str, Any]]]:
        """All rows by symbol."""
        found: dict[str, list[dict[str, Any]]] = {symbol: [] for symbol in self.symbols}
        for row in self.rows("SELECT * FROM monitoring.positions ORDER BY id"):
            found[row["symbol"]].append(row)
        return found

    def books(self) -> dict[str, BookFact]:
        """What the venue holds of each symbol."""
        exchange: Any = self.exchange
        return book_facts(self.simulator.book, exchange, self.symbols)

    def uncovered(self, symbol: str) -> list[Span]:
        """Every time, by the venue's book, at which it held more of this symbol than live stops covered; the last may have no end.

        What nobody traded (a position that was put there) counts from the first row on: nobody knows since when it stood.
        """
        exchange: Any = self.exchange
        account = self.simulator.book.account(exchange)
        fills = [fill for fill in account.fills if fill.symbol == symbol]
        traded = [(fill.time_ms, signed(fill.side, fill.qty)) for fill in fills]
        leg = self.simulator.book.position(account, symbol)
        put = (leg.amount if leg else Decimal(0)) - sum((qty for _, qty in traded), Decimal(0))
        if put:
            seen = self.rows(
                "SELECT min(inserted_at) AS at FROM monitoring.positions WHERE symbol = %s", symbol
            )
            traded.append((_milliseconds(seen[0]["at"] or datetime.now(UTC)), put))
        stops = [
            _Stop(order.created_ms, _ended(order, account.orders.get(order.child_id)), order.side, order.qty)
            for order in account.orders.values()
            if order.symbol == symbol
            and order.conditional
            and order.reduces
            and order.purpose != "take_profit"
        ]
        return list(_uncovered(traded, stops))

    # -- verdicts

    def broken(self, *, entries: int | None = None) -> list[str]:
        """Every invariant that does not hold, in words: of the judge of the races, and of what the core records.

        entries: how many entries may have traded in a symbol; as many as it has rows by default. What rows that ended had
        bought may be closed again, and nothing else.
        """
        rows, books, said = self.positions(), self.books(), self._outbox()
        found = list(self._of_records(rows))
        for symbol in self.symbols:
            mine = rows[symbol]
            done = [row for row in mine if row["status"] in {"closed", "rolled_back"}]
            due = Due(
                entries=len(mine) if entries is None else entries,
                closed=sum((row["quantity"] for row in done), Decimal(0)),
                opens=False,
            )
            breaches = judge([_fact(row) for row in mine], books[symbol], [], due, index_stands=True)
            if breaches:
                table = ", ".join(f"#{r['id']} {r['status']} {r['quantity']:f}" for r in mine) or "no row"
                found.append(f"{symbol}: {', '.join(sorted(breaches))}; {table}; {books[symbol]}")
            found += [
                f"{symbol}: row #{row['id']} is {row['status']} and nobody was told"
                for row in mine
                if (row["needs_attention"] or row["status"] == "unresolved") and row["id"] not in said
            ]
        return found

    def _outbox(self) -> set[int | None]:
        return {row["position_id"] for row in self.rows("SELECT position_id FROM posguard.alert_outbox")}

    def _of_records(self, rows: dict[str, list[dict[str, Any]]]) -> Iterable[str]:
        """Each row's last recorded change is what it is; each time without protection is on record, with its end."""
        last = {
            row["position_id"]: row["to_status"]
            for row in self.rows(
                "SELECT DISTINCT ON (position_id) position_id, to_status FROM posguard.transitions"
                " ORDER BY position_id, id DESC"
            )
        }
        gaps = defaultdict(list)
        for gap in self.rows("SELECT position_id, began, ended FROM posguard.protection_gaps ORDER BY id"):
            gaps[gap["position_id"]].append(gap)
        for row in itertools.chain.from_iterable(rows.values()):
            number, mine = row["id"], gaps[row["id"]]
            if last.get(number) != row["status"]:
                yield f"row #{number} is {row['status']}, its record says {last.get(number)}"
            if (row["unprotected_since"] is not None) != any(gap["ended"] is None for gap in mine):
                yield f"row #{number}: unprotected since {row['unprotected_since']}, gaps {mine}"
            if not is_open(row["status"]) and row["lease_owner"] is not None:
                yield f"row #{number} has ended and is leased to {row['lease_owner']}"

    def latest_cover(self, began: datetime) -> float:
        """Seconds from a moment to the end of the last recorded time without a stop that ended after it."""
        found = self.rows("SELECT max(ended) AS last FROM posguard.protection_gaps WHERE ended > %s", began)
        return (found[0]["last"] - began).total_seconds() if found[0]["last"] is not None else 0.0

    def gaps_tell(self) -> list[str]:
        """Times without a stop, by the venue's book, that are not within a protection gap on record."""
        records = defaultdict(list)
        for gap in self.rows(
            "SELECT p.symbol, g.began, g.ended FROM posguard.protection_gaps AS g"
            " JOIN monitoring.positions AS p ON p.id = g.position_id ORDER BY g.id"
        ):
            records[gap["symbol"]].append((gap["began"], gap["ended"]))
        return [
            f"{symbol}: naked from {began} to {ended}, on record {records[symbol]}"
            for symbol in self.symbols
            for began, ended in self.uncovered(symbol)
            if not any(_within(began, ended, gap) for gap in records[symbol])
        ]


Span = tuple[datetime, datetime | None]
_TICK = timedelta(milliseconds=1)  # what the book's clock leaves off


@dataclass(frozen=True)
class _Stop:
    """From when to when a stop was live, and what it would have closed."""

    began: int
    ended: int | None
    side: str
    quantity: Decimal


def _ended(order: Order, child: Order | None) -> int | None:
    """A stop that fired covers until what it became has traded."""
    return None if order.waiting else max(order.updated_ms, child.updated_ms if child else 0)


def _uncovered(traded: Sequence[tuple[int, Decimal]], stops: Sequence[_Stop]) -> Iterator[Span]:
    """The spans between the moments at which anything changed, joined."""
    ends = [stop.ended for stop in stops if stop.ended is not None]
    moments = sorted({at for at, _ in traded} | {stop.began for stop in stops} | set(ends))
    since: int | None = None
    for at in moments:
        amount = sum((quantity for when, quantity in traded if when <= at), Decimal(0))
        closing = "sell" if amount > 0 else "buy"
        covered = sum(
            (
                stop.quantity
                for stop in stops
                if stop.began <= at and (stop.ended is None or stop.ended > at) and stop.side == closing
            ),
            Decimal(0),
        )
        if covered < abs(amount):
            since = at if since is None else since
        elif since is not None:
            yield _moment(since), _moment(at)
            since = None
    if since is not None:
        yield _moment(since), None


def _within(began: datetime, ended: datetime | None, gap: Span) -> bool:
    first, last = gap
    return first <= began + _TICK and (last is None or (ended is not None and ended <= last + _TICK))


def _fact(row: dict[str, Any]) -> RowFact:
    told = row["needs_attention"] or row["status"] == "unresolved"
    return RowFact(row["id"], row["status"], row["quantity"], row["inserted_at"], row["closed_at"], told)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def lease_over(settings: CoreSettings) -> None:
    """Waits until a dead owner's rows may be taken over."""
    await asyncio.sleep(over(settings))
