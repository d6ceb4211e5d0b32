"""A finding: one thing that is wrong, how sure that is, what it is about, and what mends it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from posguard.model.position import PositionKey, PositionSide
from posguard.model.scope import Scope

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
    DUPLICATE_KEY_RACE = (
        "duplicate_key_race"  # L3, in the bot's log: two writers, and the unique index refused one
    )
    SILENT_DOUBLE_CREATE = "silent_double_create"  # L4, likewise: two writers, and nothing refused either


# What the bot's log tells of. It happened: no look at the present finds it again, or finds it gone.
RACE_KINDS = frozenset({Kind.DUPLICATE_KEY_RACE, Kind.SILENT_DOUBLE_CREATE})
# What a reconciliation pass looks for.
RECONCILED_KINDS = frozenset(Kind) - RACE_KINDS


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


# What has to be known before a command is typed that takes a person's word for it.
WHOSE = "Only one of them, and only once it is known whose the position is."
ABSENT = "Nothing proves that the position is gone. Only once you have seen on the exchange that it is: a row that is closed over a live position leaves it to nobody."


def caution_of(repair: str) -> str:
    """What to make sure of before the commands of a repair are typed; empty where nothing."""
    if "--accept-absence" in repair:
        return ABSENT
    return WHOSE if "\n" in repair else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem as one pass saw it.

    `database` and `venue` are the two sides, as lists of field → text (one mapping per row, position or order);
    `differing` names the fields that do not agree. They hold nothing that changes while the world stands still (no age, no
    mark price), so that an unchanged pass finds equal findings. `evidence` says, a sentence each, what proves or what is
    missing. `repair` is the exact command, one a line where a person has to choose, empty where there is no automatic repair;
    `repair_built` is False while that command does not exist yet. `runbook` is the section of docs/runbook.md.
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
    def key(self) -> PositionKey:
        """The key it is about."""
        return PositionKey(self.exchange, self.account, self.symbol, self.position_side)

    @property
    def commands(self) -> tuple[str, ...]:
        """The complete commands of `repair`; of several a person chooses one."""
        return tuple(self.repair.splitlines())

    @property
    def caution(self) -> str:
        """See `caution_of`."""
        return caution_of(self.repair)

    @property
    def runbook(self) -> str:
        """The section of docs/runbook.md."""
        return self.kind.value.replace("_", "-")


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding with its life, as the desk shows it.

    `finding` is what the last pass that saw it said. clean_passes counts the passes since then that looked and did not
    see it. decided_by, reason and until belong to the last acknowledgement or dismissal; until None has no end.
    """

    id: int
    finding: Finding
    state: FindingState
    first_seen: datetime
    last_seen: datetime
    first_run: int
    last_run: int
    clean_passes: int = 0
    resolved_at: datetime | None = None
    reopened: int = 0
    decided_by: str = ""
    reason: str = ""
    until: datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether it counts in totals and exit codes: everything that is neither dismissed nor resolved."""
        return self.state in {FindingState.OPEN, FindingState.ACKNOWLEDGED}


class EventKind(StrEnum):
    """What can happen to a finding."""

    FOUND = "found"
    PROVEN = "proven"
    SUSPECTED = "suspected"
    CHANGED = "changed"
    ACKNOWLEDGED = "acknowledged"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class FindingEvent:
    """One thing that happened to a finding; run_id is None where a person did it."""

    finding_id: int
    at: datetime
    event: EventKind
    run_id: int | None
    actor: str
    note: str


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """Positions traded by hand: findings of this account and symbol are dismissed. until None has no end."""

    id: int
    exchange: str
    account: str
    symbol: str
    reason: str
    created_by: str
    created_at: datetime
    until: datetime | None = None

    @property
    def actor(self) -> str:
        """How the rule signs what it dismisses."""
        return f"ignore rule #{self.id}"

    def matches(self, finding: Finding, at: datetime) -> bool:
        """Whether the rule is in force for a finding at a time."""
        mine = (self.exchange, self.account, self.symbol) == (
            finding.exchange,
            finding.account,
            finding.symbol,
        )
        return mine and (self.until is None or self.until > at)


class VerdictKind(StrEnum):
    """What one pass can say of one venue."""

    CONCLUSIVE = "conclusive"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class VenueVerdict:
    """Whether a venue could be judged in one pass, and why not; world is None where no venue is configured."""

    venue: VenueId
    world: World | None
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


@dataclass(frozen=True)
class Pass:
    """The whole result of one reconciliation pass, before it is stored.

    inconclusive_keys are the keys that could not be judged although their venue could: rows that moved, rows within
    grace, symbols the venue does not list. statistics is what posguard.reconcile.statistics read, as plain JSON.
    resolve_after is how many passes that no longer see a finding resolve it. positions counts the venue positions whose
    protection was judged, protected those whose live stops cover all of them.
    """

    started_at: datetime
    finished_at: datetime
    findings: tuple[Finding, ...]
    venues: tuple[VenueVerdict, ...]
    rows_read: int
    rows_compared: int
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    inconclusive_keys: frozenset[PositionKey] = field(default_factory=frozenset)
    scope: Scope = field(default_factory=Scope)
    statistics: Mapping[str, object] = field(default_factory=dict)
    resolve_after: int = 2
    positions: int = 0
    protected: int = 0

    @property
    def conclusive(self) -> bool:
        """Whether every venue could be judged, and at least one was."""
        return bool(self.venues) and all(v.verdict is VerdictKind.CONCLUSIVE for v in self.venues)

    def judged(self, finding: Finding) -> bool:
        """Whether this pass could have seen a finding: its venue conclusive, its key judged, its filter covering it.

        What the log tells of is none of a pass's findings.
        """
        if finding.kind in RACE_KINDS or not self.scope.covers(finding.exchange, finding.symbol):
            return False
        if finding.key.market in self._inconclusive_markets:
            return False
        return any(
            v.verdict is VerdictKind.CONCLUSIVE
            and (v.venue.exchange, v.venue.account) == (finding.exchange, finding.account)
            for v in self.venues
        )

    @cached_property
    def _inconclusive_markets(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(key.market for key in self.inconclusive_keys)

    def count(self, severity: Severity) -> int:
        """How many findings of one severity."""
        return sum(f.severity is severity for f in self.findings)
