"""What the analysis tells of the database itself, as it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DatabaseLine:
    """The database's counters since `since`; sizes in bytes."""

    version: str
    size_bytes: int
    connections: int
    max_connections: int
    commits: int
    rollbacks: int
    cache_hit_share: float | None
    deadlocks: int
    temp_files: int
    temp_bytes: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class TableLine:
    """A table: its size with and without indexes, and the dead rows that vacuum has yet to take away."""

    schema: str
    name: str
    total_bytes: int
    table_bytes: int
    index_bytes: int
    live_rows: int
    dead_rows: int
    dead_share: float | None
    sequential_scans: int
    index_scans: int
    last_vacuum: datetime | None
    last_analyze: datetime | None


@dataclass(frozen=True, slots=True)
class IndexLine:
    """An index of the bot's tables; scans count since the statistics were reset."""

    table_name: str
    name: str
    bytes: int
    scans: int
    rows_read: int
    is_unique: bool
    valid: bool
    definition: str


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A statement by pg_stat_statements, its constants left out."""

    role: str | None
    query: str | None
    calls: int
    total_seconds: float
    mean_seconds: float
    max_seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class LockLine:
    """A session that waits for a lock, or keeps a transaction open for more than a minute."""

    pid: int
    application: str | None
    role: str | None
    state: str | None
    blocked_by: tuple[int, ...]
    transaction_seconds: float | None
    state_seconds: float | None
    wait_event_type: str | None
    query: str | None
