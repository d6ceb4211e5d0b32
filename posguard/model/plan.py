"""A plan: what a cleanup will do, row by row and order by order, and what names it.

Invariants. A plan says everything that applying it can change or send; what is not in it is not done. Its code is made from what
it says, from the database and from the venues' worlds, so that a code fits one plan only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.position import PositionKey, Side
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Younger unfinished rows are left out of a plan unless another age is asked for.
MIN_AGE = timedelta(hours=1)
# What stands for a value that is known only when a line is carried out.
NOW = "(now)"
NEW_STOP = "(the new stop's order id)"
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that reads like another sign
CODE_LENGTH = 8


class Mode(StrEnum):
    """What a plan is about, in the order in which `all` is safe: what protects comes first, what touches the venue last."""

    UNPROTECTED = "unprotected"
    DUPLICATES = "duplicates"
    ORPHANED_DB = "orphaned-db"
    INCOMPLETE = "incomplete"
    MISMATCH = "mismatch"
    ZOMBIES = "zombies"
    ORPHANED_EX = "orphaned-ex"
    ALL = "all"


class Choice(StrEnum):
    """What becomes of an external position."""

    CLOSE = "close"
    ADOPT = "adopt"


class Action(StrEnum):
    """What one line does."""

    RETIRE = "retire"
    CLOSE_ROW = "close_row"
    FAIL_ROW = "fail_row"
    FINISH_ROW = "finish_row"
    TAKE_QUANTITY = "take_quantity"
    PLACE_STOP = "place_stop"
    CLOSE_POSITION = "close_position"
    CANCEL_ORDERS = "cancel_orders"
    ADOPT = "adopt"


class Role(StrEnum):
    """What an order of a line is for."""

    STOP = "stop"
    CLOSE = "close"
    CANCEL = "cancel"


class Given(StrEnum):
    """When an order of a line is sent."""

    ALWAYS = "always"
    STOP_REFUSED = "only if the venue refuses the stop because its price is through"
    DONE = "once the new stop stands or the position is flat"


class LineState(StrEnum):
    """The life of a line. `intended` and `unresolved` are taken up again by applying the plan once more."""

    PLANNED = "planned"
    INTENDED = "intended"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNRESOLVED = "unresolved"


class PlanState(StrEnum):
    """The life of a plan."""

    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    PARTLY = "partly"


@dataclass(frozen=True, slots=True)
class RowRef:
    """A row as the plan saw it: `digest` covers its decision columns, `version` is None where the deployment counts none."""

    id: int
    digest: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A column of the row, before and after, as text; None is NULL."""

    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order that a line sends: a stop, a reduce-only market close, or the cancelling of `order_id`.

    side is the position's, quantity in base units. Stops and closes can only reduce.
    """

    role: Role
    side: Side | None = None
    quantity: Decimal | None = None
    trigger: Decimal | None = None
    order_id: str = ""
    conditional: bool = True
    given: Given = Given.ALWAYS

    @property
    def sentence(self) -> str:
        """What is sent, for a person."""
        when = "" if self.given is Given.ALWAYS else f", {self.given}"
        if self.role is Role.CANCEL:
            return f"cancel order {self.order_id}{when}"
        verb = "sell" if self.side is Side.LONG else "buy"
        if self.role is Role.STOP:
            return f"{verb} stop {plain(self.quantity)} at {plain(self.trigger)}, reduce-only{when}"
        return f"{verb} {plain(self.quantity)} at market, reduce-only{when}"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing a plan does, to one key.

    row is the row that changes, None where the line changes none or adds one. guards are rows that have to be as the plan saw
    them, the changed one included; key_rows are the ids of all open rows that the key may have. changes are made when the line
    succeeds, fallback when its stop was refused, its price being through, and the position was closed instead.
    """

    mode: Mode
    action: Action
    key: PositionKey
    why: str
    cost: str
    row: RowRef | None = None
    guards: tuple[RowRef, ...] = ()
    key_rows: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()
    fallback: tuple[Change, ...] = ()
    orders: tuple[PlannedOrder, ...] = ()
    evidence: tuple[str, ...] = ()
    fingerprint: str = ""
    subject: str = ""
    safe: bool = False
    accepts_absence: bool = False

    @property
    def reversible(self) -> bool:
        """Whether `restore` can take all of it back: orders never come back."""
        return not self.orders

    @property
    def name(self) -> tuple[str, str, PositionKey, str]:
        """What tells the lines of a plan apart, whatever their numbers say."""
        return self.mode.value, self.action.value, self.key, self.subject

    @property
    def decision(self) -> str:
        """The digest of everything this line decides; two lines with the same one do the same to the same rows."""
        return digest_of(
            [
                *self.name[:2],
                [self.key.exchange, self.key.account, self.key.symbol, self.key.position_side],
                self.subject,
                [_row_said(ref) for ref in (self.row, *self.guards) if ref is not None],
                [[c.column, c.before, c.after] for c in (*self.changes, *self.fallback)],
                [_order_said(order) for order in self.orders],
                self.accepts_absence,
            ]
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A problem that the plan does nothing about, and why."""

    key: PositionKey
    what: str
    why: str
    row_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What was asked for. stop_distance is a share of the entry price, for stops that no row records.

    columns are those of monitoring.positions. safe_only leaves in what a schedule may do by itself.
    """

    mode: Mode
    min_age: timedelta
    stop_distance: Decimal
    scope: Scope = field(default_factory=Scope)
    choice: Choice | None = None
    accept_absence: bool = False
    safe_only: bool = False
    columns: frozenset[str] = frozenset()

    @property
    def said(self) -> list[object]:
        """Everything that was asked for, as plain texts and numbers."""
        return [
            self.mode.value,
            self.min_age.total_seconds(),
            plain(self.stop_distance),
            self.scope.exchange,
            self.scope.symbol,
            self.choice.value if self.choice else "",
            self.accept_absence,
            self.safe_only,
            sorted(self.columns),
        ]


@dataclass(frozen=True)
class Plan:
    """Everything that `--confirm` of its code will do. worlds maps each venue in it to its world."""

    options: PlanOptions
    created_at: datetime
    expires_at: datetime
    created_by: str
    database_fingerprint: str
    worlds: Mapping[str, str]
    lines: tuple[Line, ...]
    left_out: tuple[LeftOut, ...] = ()
    inconclusive: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    id: int | None = None
    source: str = "cli"

    @property
    def digest(self) -> str:
        """The digest of what the plan says, of its database and its venues' worlds."""
        return digest_of(
            [
                self.options.said,
                [line.decision for line in self.lines],
                self.database_fingerprint,
                sorted(self.worlds.items()),
                self.created_at.isoformat(),
                self.expires_at.isoformat(),
            ]
        )

    @property
    def code(self) -> str:
        """The short code that names this plan, as `ABCD-EFGH`."""
        return code_of(self.digest)

    @property
    def irreversible(self) -> tuple[Line, ...]:
        """The lines that nothing takes back."""
        return tuple(line for line in self.lines if not line.reversible)

    @property
    def accepted_absences(self) -> int:
        """How many rows are closed on the operator's word alone."""
        return sum(line.accepts_absence for line in self.lines)


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line with its number and what became of it. fencing counts the claims of it, made_row is the row that it added."""

    id: int
    number: int
    line: Line
    state: LineState = LineState.PLANNED
    reason: str = ""
    verified: bool | None = None
    fencing: int = 0
    made_row: int | None = None


@dataclass(frozen=True)
class StoredPlan:
    """A plan as posguard.plans keeps it."""

    plan: Plan
    code: str
    digest: str
    state: PlanState
    lines: tuple[StoredLine, ...]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    backup: str = ""

    @property
    def id(self) -> int:
        """Its number."""
        assert self.plan.id is not None
        return self.plan.id


def digest_of(said: object) -> str:
    """64 hexadecimal digits of plain lists, texts and numbers."""
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def code_of(digest: str) -> str:
    """The short code of a digest: eight unambiguous signs, `ABCD-EFGH`."""
    number = int(hashlib.sha256(f"posguard plan {digest}".encode()).hexdigest(), 16)
    signs = ""
    for _ in range(CODE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        signs += _LETTERS[place]
    return f"{signs[:4]}-{signs[4:]}"


def spelled_code(text: str) -> str:
    """A code as it is stored, from what a person typed: case, blanks and the dash do not matter."""
    signs = "".join(sign for sign in text.upper() if sign.isalnum())
    return f"{signs[:4]}-{signs[4:]}"


def _row_said(ref: RowRef) -> list[object]:
    return [ref.id, ref.digest, ref.version]


def _order_said(order: PlannedOrder) -> list[str]:
    return [
        order.role,
        order.side or "",
        plain(order.quantity),
        plain(order.trigger),
        order.order_id,
        str(order.conditional),
        order.given,
    ]
