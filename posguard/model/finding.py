"""A finding: one thing that is wrong, how sure that is, what it is about, and what mends it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.position import PositionSide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from posguard.model.venue import VenueId, World


class Kind(StrEnum):
    """What can be wrong. The value is the stable id in the database, in JSON and in the runbook."""

    INCOMPLETE_POSITION = "incomplete_position"  # D1
    DUPLICATE_POSITION = "duplicate_position"  # D2
    ORPHANED_DB = "orphaned_db"  # D3: an open row without a position on the venue
    EXTERNAL_POSITION = "external_position"  # D3: a position on the venue that no open row owns
    QUANTITY_MISMATCH = "quantity_mismatch"  # D3
    SIDE_MISMATCH = "side_mismatch"  # D3
    STOP_NOT_RECORDED = "stop_not_recorded"  # D4, in the database
    UNPROTECTED_POSITION = "unprotected_position"  # D4, on the venue: no live protective order
    STOP_UNDERSIZED = "stop_undersized"  # D4
    STOP_WRONG_SIDE = "stop_wrong_side"  # D4
    DUPLICATE_STOP = "duplicate_stop"  # REC-4
    ZOMBIE_ORDER = "zombie_order"  # D7
    AGED_POSITION = "aged_position"  # D8
    UNKNOWN_STATUS = "unknown_status"
    UNRESOLVED_SYMBOL = "unresolved_symbol"


class Severity(StrEnum):
    """How much it hurts while nobody looks."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst, for sorting."""
        return ("critical", "warning", "info").index(self.value)


class Proof(StrEnum):
    """Suspected at first sight, proven by evidence. Only a proven finding enters a plan."""

    SUSPECTED = "suspected"
    PROVEN = "proven"


class FindingState(StrEnum):
    """The life of a finding."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


def fingerprint(
    kind: Kind, *, exchange: str, account: str, symbol: str, position_side: PositionSide, subject: str
) -> str:
    """The stable identity of a problem: the same problem seen again has the same one, whatever its numbers say by then.

    32 hexadecimal digits. `subject` tells two problems of one kind and key apart: a row id, an order id, or empty.
    """
    text = f"{kind}\x1f{exchange}\x1f{account}\x1f{symbol}\x1f{position_side}\x1f{subject}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem as one pass saw it.

    `database` and `venue` are the two sides, as lists of field → text (one mapping per row, position or order);
    `differing` names the fields that do not agree. They hold nothing that changes while the world stands still (no age, no
    mark price), so that an unchanged pass finds equal findings. `evidence` says, a sentence each, what proves or what is
    missing. `repair` is the exact command, empty where there is no automatic repair; `repair_built` is False while that
    command does not exist yet. `runbook` is the section of docs/runbook.md.
    """

    kind: Kind
    exchange: str
    account: str
    symbol: str
    position_side: PositionSide
    severity: Severity
    proof: Proof
    title: str
    subject: str = ""
    row_ids: tuple[int, ...] = ()
    order_ids: tuple[str, ...] = ()
    database: tuple[Mapping[str, str], ...] = ()
    venue: tuple[Mapping[str, str], ...] = ()
    differing: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    repair: str = ""
    repair_built: bool = False

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(
            self.kind,
            exchange=self.exchange,
            account=self.account,
            symbol=self.symbol,
            position_side=self.position_side,
            subject=self.subject,
        )

    @property
    def runbook(self) -> str:
        """The section of docs/runbook.md."""
        return self.kind.value.replace("_", "-")


class VerdictKind(StrEnum):
    """What one pass can say of one venue."""

    CONCLUSIVE = "conclusive"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class VenueVerdict:
    """Whether a venue could be judged in one pass, and why not."""

    venue: VenueId
    world: World
    verdict: VerdictKind
    reasons: tuple[str, ...]
    snapshots: int
    positions: int
    orders: int
    clock_skew_ms: int | None
    looked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows that one pass left out, and why."""

    reason: str
    row_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """The whole result of one reconciliation pass, before it is stored."""

    started_at: datetime
    finished_at: datetime
    findings: tuple[Finding, ...]
    venues: tuple[VenueVerdict, ...]
    rows_read: int
    rows_compared: int
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    inconclusive_keys: frozenset[str] = field(default_factory=frozenset)

    @property
    def conclusive(self) -> bool:
        """Whether every venue could be judged."""
        return all(v.verdict is VerdictKind.CONCLUSIVE for v in self.venues)

    def count(self, severity: Severity) -> int:
        """How many findings of one severity."""
        return sum(f.severity is severity for f in self.findings)
