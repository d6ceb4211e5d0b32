"""The records of the bot's logs in posguard.log_events, and what is needed to put each there once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from posguard.model.log_event import Category, LogColumns, LogEvent
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from posguard.postgres.pool import Database

_BIGINT = 2**63
_EXPONENT = 1000


class Row(NamedTuple):
    """One row of posguard.log_events: the table's columns in their order."""

    source: str
    at: datetime
    content_hash: bytes
    ordinal: int
    complete: bool
    kind: str
    category: str
    level: str
    module: str
    message: str
    pattern: str
    symbol: str | None
    exchange: str | None
    side: str | None
    status: str | None
    position_id: int | None
    order_id: str | None
    quantity: Decimal | None
    price: Decimal | None
    latency_ms: float | None
    fields: dict[str, str]
    file_id: int
    file_offset: int
    file_size: int


class Incomplete(NamedTuple):
    """The identity of a record that was the last of its file when it was read: more of it may be found elsewhere."""

    at: datetime
    content_hash: bytes
    ordinal: int


@dataclass(frozen=True, slots=True)
class StoredEdge:
    """How many equal records a file has at its first or last time."""

    head_hash: bytes
    edge: str
    count: int


# A row as it goes to the server: the values of a Row. A tuple without names is made in a fraction of the time.
Values = tuple[Any, ...]


def row_of(event: LogEvent, content_hash: bytes, ordinal: int, file_id: int, *, complete: bool = True) -> Row:
    """The row of an event; what a column cannot hold (a NUL, half a character, an id of thirty digits) is replaced or left out."""
    one = LogColumns.of((event,))
    return Row._make(rows_of(one, (content_hash,), (ordinal,), file_id)[0])._replace(complete=complete)


def rows_of(
    events: LogColumns, hashes: Sequence[bytes], ordinals: Sequence[int], file_id: int
) -> list[Values]:
    """The rows of many events, each as row_of makes it."""
    if _are_odd(events):
        events = LogColumns.of([_mended(one) for one in events.events()])
    fields = [one if type(one) is dict else dict(one) for one in events.fields]
    columns = zip(  # in the order of a Row
        events.source,
        events.at,
        hashes,
        ordinals,
        repeat(True, len(hashes)),
        events.kind,
        events.category,
        events.level,
        events.module,
        events.message,
        events.pattern,
        events.symbol,
        events.exchange,
        events.side,
        events.status,
        events.position_id,
        events.order_id,
        events.quantity,
        events.price,
        events.latency_ms,
        fields,
        repeat(file_id, len(hashes)),
        events.offset,
        events.size,
        strict=True,
    )
    return list(columns)


def _are_odd(events: LogColumns) -> bool:
    """Whether a column cannot hold something of the events; all of them at once, since next to none are odd."""
    own = (
        events.message,
        events.module,
        events.level,
        events.symbol,
        events.exchange,
        events.side,
        events.status,
        events.order_id,
    )
    others = [(*one.keys(), *one.values()) for one in events.fields if one]
    said = "".join(["".join(filter(None, texts)) for texts in (*own, *others)])
    if "\x00" in said or not (said.isascii() or _is_text(said)):
        return True
    ids = [one for one in events.position_id if one is not None]
    if ids and (min(ids) < -_BIGINT or max(ids) >= _BIGINT):
        return True
    numbers = [one for one in (*events.quantity, *events.price) if one is not None]
    return None in map(_number, numbers)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(event: LogEvent) -> LogEvent:
    position_id = event.position_id
    if position_id is not None and not -_BIGINT <= position_id < _BIGINT:
        position_id = None
    texts = {
        name: None if (text := getattr(event, name)) is None else _text(text)
        for name in ("message", "module", "level", "symbol", "exchange", "side", "status", "order_id")
    }
    return event._replace(
        position_id=position_id,
        quantity=_number(event.quantity),
        price=_number(event.price),
        fields={_text(key): _text(value) for key, value in event.fields.items()},
        **texts,  # type: ignore[arg-type]  # texts where the event has texts
    )


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _number(value: Decimal | None) -> Decimal | None:
    if value is None or not value.is_finite() or abs(value.adjusted()) > _EXPONENT:
        return None
    return value


async def make_partition(connection: Any, of_time: datetime) -> None:
    """Makes the partition of a month; again is fine."""
    await queries("log_events").make_partition(connection, of_time=of_time)


async def add_new(db: Database, rows: Sequence[Values]) -> bool:
    """Adds rows of which none is expected to be there, in one transaction; False where one is, and then none was added."""
    try:
        async with db.transaction() as connection:
            await queries("log_events").commit_later(connection)
            try:
                await connection.copy_records_to_table(
                    "log_events", schema_name="posguard", records=rows, columns=Row._fields
                )
            except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError) as error:
                raise _ThereAlreadyError from error
    except _ThereAlreadyError:
        return False
    return True


class _ThereAlreadyError(Exception):
    """Undoes the transaction of add_new."""


async def add_missing(db: Database, rows: Sequence[Values]) -> int:
    """Adds the rows that are not there in one transaction, and returns how many that were."""
    async with db.transaction() as connection:
        await queries("log_events").commit_later(connection)
        return await _insert(connection, rows)


async def _insert(connection: Any, rows: Sequence[Values]) -> int:
    await queries("log_events").make_staging(connection)
    await connection.copy_records_to_table("log_events_staging", records=rows, columns=Row._fields)
    return _affected(await queries("log_events").take_over(connection))


async def insert_last(connection: Any, rows: Sequence[Row]) -> int:
    """Adds the rows that are not there, and completes what was the end of a file before and is known better now.

    Returns how many were added; call it in a transaction, once.
    """
    added = await _insert(connection, rows)
    await queries("log_events").complete(connection)
    return added


def _affected(status: str) -> int:
    return int(status.rpartition(" ")[2])


async def incomplete(connection: Any, source: str) -> list[Incomplete]:
    """The records of a source that were the last of their files."""
    return [Incomplete(**dict(r)) async for r in queries("log_events").incomplete(connection, source=source)]


async def take_source_turn(connection: Any, source: str) -> None:
    """Waits until no other load puts the ends of a file of this source in place; the turn ends with the transaction."""
    await queries("log_events").take_source_turn(connection, source=source)


async def keep_edges(
    connection: Any,
    source: str,
    head_hash: bytes,
    edges: Collection[tuple[str, datetime, bytes, int]],
    bytes_read: int,
) -> None:
    """Keeps what a file has at its first and last time: edge, time, content and count of each.

    Where a longer sight of the file is known its end lies there, and the end of this one is not kept.
    """
    asked = queries("log_events")
    known: dict[str, Any] = {"source": source, "head_hash": head_hash, "bytes_read": bytes_read}
    await asked.drop_outgrown_edges(connection, **known)
    outgrown = await asked.is_outgrown(connection, **known)
    for edge, at, content_hash, count in edges:
        if edge == "first" or not outgrown:
            await asked.add_edge(
                connection, **known, edge=edge, at=at, content_hash=content_hash, count=count
            )


async def edges_at(connection: Any, source: str, at: datetime, content_hash: bytes) -> list[StoredEdge]:
    """What all files of a source have of one content at one time at which they begin or end."""
    found = queries("log_events").edges_at(connection, source=source, at=at, content_hash=content_hash)
    return [StoredEdge(**dict(r)) async for r in found]


async def events_between(
    connection: Any, start: datetime, end: datetime, sources: Sequence[str] = ()
) -> list[LogEvent]:
    """The events of a stretch of time, its end left out, in order of time; of all sources by default."""
    found = queries("log_events").between(connection, start=start, end=end, sources=list(sources))
    return [_event(record) async for record in found]


def _event(record: Any) -> LogEvent:
    return LogEvent(
        at=record["at"],
        kind=record["kind"],
        category=Category(record["category"]),
        level=record["level"],
        module=record["module"],
        message=record["message"],
        source=record["source"],
        offset=record["file_offset"],
        size=record["file_size"],
        pattern=record["pattern"],
        symbol=record["symbol"],
        exchange=record["exchange"],
        side=record["side"],
        status=record["status"],
        position_id=record["position_id"],
        order_id=record["order_id"],
        quantity=record["quantity"],
        price=record["price"],
        latency_ms=record["latency_ms"],
        fields=record["fields"],
        path=record["path"],
    )


async def count_before(connection: Any, before: datetime) -> int:
    """How many records are older than a time."""
    count: int = await queries("log_events").count_before(connection, before=before)
    return count


async def oldest(connection: Any) -> datetime | None:
    """The time of the oldest record; None where there is none."""
    found: datetime | None = await queries("log_events").oldest(connection)
    return found


async def drop_months_before(connection: Any, before: datetime) -> list[str]:
    """Drops the months that lie wholly before a time, and returns the names of their partitions."""
    dropped: list[str] = await queries("log_events").drop_partitions(connection, before=before)
    return dropped


async def delete_before(connection: Any, before: datetime) -> int:
    """Deletes what is older than a time and returns how many records that were."""
    deleted = _affected(await queries("log_events").delete_before(connection, before=before))
    await queries("log_events").delete_edges_before(connection, before=before)
    return deleted
