"""The JSON of `posguard logs load` and `posguard logs retain`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from posguard.logs.ingest import Ingested


class LoadedFile(Shape):
    """One file that was loaded."""

    source: str = Field(description="the declared source, which is part of each record's identity")
    path: str = Field(description="the file")
    events: int = Field(description="records that a pattern knows and retention lets in")
    new_events: int = Field(description="of these, not there before")
    refused: int = Field(description="records older than retention, or of a time to come")
    bytes_read: int = Field(description="bytes, unpacked")
    bytes_skipped: int = Field(description="of these, no record")
    first_at: datetime | None = Field(description="the time of the first record, UTC")
    last_at: datetime | None = Field(description="and of the last")
    damage: tuple[str, ...] = Field(description="what could not be read as it should")

    @classmethod
    def of(cls, done: Ingested) -> LoadedFile:
        """The shape of a loaded file."""
        loaded = done.loaded
        return cls(
            source=loaded.file.source,
            path=loaded.file.path,
            events=loaded.events,
            new_events=loaded.new_events,
            refused=loaded.refused,
            bytes_read=loaded.bytes_read,
            bytes_skipped=loaded.bytes_skipped,
            first_at=loaded.first_at,
            last_at=loaded.last_at,
            damage=tuple(f"{one.what} ({one.count})" for one in done.damage),
        )


class LogLoad(Shape):
    """`posguard logs load --json`."""

    files: tuple[LoadedFile, ...] = Field(description="the files, in the order they were read")
    unread: tuple[str, ...] = Field(description="files that could not be read, and why")
    races: int = Field(description="races that the loaded stretch tells of")
    undecided_creates: int = Field(
        description="creates of one symbol near each other, of which the log does not say whether they are on one exchange"
    )
    findings: dict[str, int] = Field(description="their findings: found, changed, resolved")


class LogRetention(Shape):
    """`posguard logs retain --json`."""

    done: bool = Field(description="false: a dry run, nothing was deleted")
    before: datetime = Field(description="what is older is not kept")
    events: int = Field(description="log events that are older")
    partitions: tuple[str, ...] = Field(description="whole months that were dropped")
