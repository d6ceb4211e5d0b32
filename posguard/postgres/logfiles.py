"""What was loaded from which file of the bot's logs (posguard.log_files), and which intervals are covered (posguard.log_intervals)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as the longest look at it found it: its size as it lies there, its bytes uncompressed, the times of its events."""

    head_hash: bytes
    path: str
    size: int | None
    bytes_read: int
    earliest: datetime | None
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class NewestEvent:
    """How far a source has been loaded: the time of its newest event, and when a load of it ended last."""

    source: str
    newest: datetime | None
    read_at: datetime | None


async def begin(
    connection: Any,
    *,
    source: str,
    path: str,
    head_hash: bytes,
    size: int | None,
    interval: Interval | None,
    program: str,
    external_id: str,
) -> int:
    """Writes a load under way and returns its number; program is `cli` or `airflow`."""
    start, end = interval or (None, None)
    file_id: int = await queries("log_files").begin(
        connection,
        source=source,
        path=path,
        head_hash=head_hash,
        size=size,
        interval_start=start,
        interval_end=end,
        program=program,
        external_id=external_id,
    )
    return file_id


async def finish(
    connection: Any,
    file_id: int,
    *,
    bytes_read: int,
    bytes_skipped: int,
    first_at: datetime | None,
    last_at: datetime | None,
    earliest: datetime | None,
    latest: datetime | None,
    events: int,
    new_events: int,
    refused: int,
) -> None:
    """Ends a load under way."""
    await queries("log_files").finish(
        connection,
        id=file_id,
        bytes_read=bytes_read,
        bytes_skipped=bytes_skipped,
        first_at=first_at,
        last_at=last_at,
        earliest=earliest,
        latest=latest,
        events=events,
        new_events=new_events,
        refused=refused,
    )


async def read_up_to(connection: Any, source: str, head_hash: bytes) -> int:
    """The byte of a file, uncompressed, up to which loads that ended have read it; 0 for a file that none has."""
    found: int | None = await queries("log_files").read_up_to(connection, source=source, head_hash=head_hash)
    return found or 0


async def known_files(connection: Any, source: str) -> dict[bytes, KnownFile]:
    """The files of a source that some load has read, by the hash of their heads."""
    found = queries("log_files").known(connection, source=source)
    return {record["head_hash"]: KnownFile(**dict(record)) async for record in found}


async def covered(connection: Any, source: str) -> Sequence[Interval]:
    """The stretches of time of a source that loading has covered, in order, apart from each other."""
    found = queries("log_files").covered(connection, source=source)
    return [(record["interval_start"], record["interval_end"]) async for record in found]


async def cover(connection: Any, source: str, interval: Interval, external_id: str) -> None:
    """Remembers that the loading of an interval ended well; again is fine."""
    await queries("log_files").cover(
        connection,
        source=source,
        interval_start=interval[0],
        interval_end=interval[1],
        external_id=external_id,
    )


async def newest(connection: Any) -> dict[str, NewestEvent]:
    """How far each source has been loaded, by its name."""
    found = queries("log_files").newest(connection)
    return {record["source"]: NewestEvent(**dict(record)) async for record in found}


async def forget_before(connection: Any, before: datetime) -> None:
    """Deletes the record of loads and intervals that lie before a time."""
    await queries("log_files").delete_files_before(connection, before=before)
    await queries("log_files").delete_intervals_before(connection, before=before)
