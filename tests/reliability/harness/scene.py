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
from posguard.trading import CoreSettings, OpenRequest, before_send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

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
                " posguard.alert_outbox"
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

    def uncovered(self, symbol: str) -> tuple[datetime, datetime | None] | None:
        """From when to when the venue held a position of this symbol that no stop covered; None where it never did.

        From the entry's own time, as the venue tells it: between two readings of a clock a busy machine may take its time.
        """
        exchange: Any = self.exchange
        account = self.simulator.book.account(exchange)
        mine = [order for order in account.orders.values() if order.symbol == symbol]
        entries = [o.updated_ms for o in mine if o.filled and not o.reduces and o.origin == "user"]
        if not entries:
            return None
        began = min(entries)
        stops = [order.created_ms for order in mine if order.conditional]
        gone = [f.time_ms for f in account.fills if f.symbol == symbol and f.closed]
        ended = min((ms for ms in stops + gone if ms >= began), default=None)
        return _moment(began), None if ended is None else _moment(ended)

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
        """Positions whose time without a stop, by the venue's book, is not within what is on record."""
        records = defaultdict(list)
        for gap in self.rows(
            "SELECT p.symbol, g.began, g.ended FROM posguard.protection_gaps AS g"
            " JOIN monitoring.positions AS p ON p.id = g.position_id ORDER BY g.id"
        ):
            records[gap["symbol"]].append(gap)
        wrong = []
        for symbol in self.symbols:
            naked = self.uncovered(symbol)
            if naked is None or naked[1] is None:
                continue
            mine = records[symbol]
            if not mine or mine[0]["began"] > naked[0] + _TICK or mine[-1]["ended"] + _TICK < naked[1]:
                wrong.append(f"{symbol}: naked {naked[0]} to {naked[1]}, on record {mine}")
        return wrong


_TICK = timedelta(milliseconds=1)  # what the book's clock leaves off


def _fact(row: dict[str, Any]) -> RowFact:
    told = row["needs_attention"] or row["status"] == "unresolved"
    return RowFact(row["id"], row["status"], row["quantity"], row["inserted_at"], row["closed_at"], told)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def lease_over(settings: CoreSettings) -> None:
    """Waits until a dead owner's rows may be taken over."""
    await asyncio.sleep(over(settings))
