"""The demo world: the bot's database and both venues' books of the incident, anchored to now, and the truth about them. Pure.

The same (now, seed) gives the same world, id for id. About 700 positions lie in the last eight hours: ordinary trades, of which 34 are
open and healthy; both incidents; one planted problem of every kind; rows that only the suites can find. The bot's tables are those of
the newer deployments (no stop_loss_order_id). Row ids follow the time of insertion; the serial jumped once between the incidents,
so that #275 and #2548 both have their own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from posguard.demo.case import Case, Desk, Expected
from posguard.demo.events import events_of, housekeeping
from posguard.demo.history import HOURS, healthy_and_ended
from posguard.demo.incidents import (
    FIRST_ROW,
    TWIN_ROW,
    race_time,
    signal_against_synchroniser,
    twin_time,
    two_inserts_in_one_open,
)
from posguard.demo.markets import price_at
from posguard.demo.planted import planted
from posguard.demo.records import BotRows, PositionRecord, VenueSide
from posguard.demo.spoiled import spoil, spoiled_positions, violations
from posguard.demo.trade import Trade, VenueIds, order_records, position_record, trailing_record, venue_side
from posguard.demo.truth import PlantedFinding, Truth
from posguard.model.finding import Kind, Severity
from posguard.model.position import INTERMEDIATE, is_open

AGED_AFTER = timedelta(hours=3)
DEFAULT_SEED = 7
_JUMP_AFTER = timedelta(minutes=55)  # of the serial, after incident 2


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that the demo starts from.

    reserved names the (exchange, symbol) of all planted cases: neither history nor demo bot trades there.
    planted_rows are the ids that the demo bot leaves alone; healthy_rows those it keeps.
    """

    now: datetime
    seed: int
    rows: BotRows
    venue: VenueSide
    truth: Truth
    reserved: frozenset[tuple[str, str]]
    planted_rows: frozenset[int]
    healthy_rows: frozenset[int]

    @property
    def positions(self) -> tuple[PositionRecord, ...]:
        """The rows of monitoring.positions by id."""
        return self.rows.positions

    def truth_json(self) -> str:
        """The text of truth.json."""
        return self.truth.to_json()


def make_world(now: datetime, seed: int = DEFAULT_SEED) -> DemoWorld:
    """The world at a time, which must be aware; ValueError otherwise."""
    if now.tzinfo is None:
        raise ValueError("the demo world needs a time with its zone")
    now = now.astimezone(UTC)
    desk = Desk(now, seed, VenueIds(race_time(now) + timedelta(milliseconds=500)))
    case = signal_against_synchroniser(desk)
    case += two_inserts_in_one_open(desk)
    case += planted(desk)
    case += spoiled_positions(desk)
    healthy, ended = healthy_and_ended(desk, case.reserved)
    ordinary = [*healthy, *ended]
    numbered = _numbered([*case.trades, *ordinary], now)
    named = {trade.name: (row_id, trade) for row_id, trade in numbered if trade.name}
    ids = {name: row_id for name, (row_id, _) in named.items()}
    rows = _sorted(spoil(desk, _rows(desk, numbered, case, ids), named))
    venue = sum((venue_side(trade, desk.ids) for trade in ordinary), case.venue)
    kept = {id(trade) for trade in healthy}
    return DemoWorld(
        now=now,
        seed=seed,
        rows=rows,
        venue=venue,
        truth=Truth(
            anchored_at=now,
            seed=seed,
            healthy=len(healthy),
            findings=_findings(case, ids),
            violations=violations(rows, ids),
        ),
        reserved=frozenset(case.reserved),
        planted_rows=frozenset(ids.values()),
        healthy_rows=frozenset(row_id for row_id, trade in numbered if id(trade) in kept),
    )


def _numbered(trades: list[Trade], now: datetime) -> list[tuple[int, Trade]]:
    """Ids in order of insertion, both incidents at theirs, one jump of the serial between them."""
    trades = sorted(trades, key=lambda trade: trade.created_at)
    times = [trade.created_at for trade in trades]
    early, late = TWIN_ROW - times.index(twin_time(now)), FIRST_ROW - times.index(race_time(now))
    jump = twin_time(now) + _JUMP_AFTER
    return [(n + (early if trade.created_at < jump else late), trade) for n, trade in enumerate(trades)]


def _rows(desk: Desk, numbered: list[tuple[int, Trade]], case: Case, ids: dict[str, int]) -> BotRows:
    positions, orders, events, trailing = [], [], [], []
    for row_id, trade in numbered:
        price = price_at(trade.market, desk.now, desk.seed)
        seen = desk.now - timedelta(seconds=row_id % 20)
        positions.append(position_record(trade, row_id, price=price, updated_at=seen))
        orders += order_records(trade, row_id)
        events += events_of(trade, row_id)
        if trade.trailing and trade.closed_at is None:
            trailing.append(trailing_record(trade, row_id, price=price, at=seen))
    events += [make(ids) for make in case.events]
    since = desk.now - timedelta(hours=HOURS, minutes=2)
    dice = random.Random(f"events/{desk.seed}")  # noqa: S311 - a made-up log
    events += housekeeping(desk.now, since, dice)
    return BotRows(tuple(positions), tuple(orders), tuple(events), tuple(trailing))


def _sorted(rows: BotRows) -> BotRows:
    """Each table as it grew: in order of time, so that the serials of orders and events are the places."""
    return replace(
        rows,
        orders=tuple(sorted(rows.orders, key=lambda row: row.created_at)),
        events=tuple(sorted(rows.events, key=lambda row: row.created_at)),
        trailing=tuple(sorted(rows.trailing, key=lambda row: row.created_at)),
    )


def _findings(case: Case, ids: dict[str, int]) -> tuple[PlantedFinding, ...]:
    found = [_planted(expected, ids) for expected in case.expected]
    found += [_aged(trade, ids[trade.name]) for trade in case.trades if _ages(trade)]
    return tuple(found)


def _planted(expected: Expected, ids: dict[str, int]) -> PlantedFinding:
    row_ids = tuple(ids[name] for name in expected.rows)
    return PlantedFinding(
        kind=expected.kind,
        exchange=expected.market.exchange,
        symbol=expected.market.symbol,
        severity=expected.severity,
        why=expected.why,
        subject=str(row_ids[0]) if expected.per_row else expected.subject,
        proof=expected.proof,
        row_ids=row_ids if expected.per_row or expected.kind is Kind.DUPLICATE_POSITION else (),
        since=expected.since,
        until=expected.until,
    )


def _ages(trade: Trade) -> bool:
    return is_open(trade.status) and trade.status not in INTERMEDIATE


def _aged(trade: Trade, row_id: int) -> PlantedFinding:
    return PlantedFinding(
        kind=Kind.AGED_POSITION,
        exchange=trade.market.exchange,
        symbol=trade.market.symbol,
        severity=Severity.INFO,
        why=f"open since {trade.created_at:%H:%M} UTC",
        subject=str(row_id),
        row_ids=(row_id,),
        since=trade.created_at + AGED_AFTER,
    )
