"""What the rules decide from: one finding with its key, and the words that lines share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.plan import NOW, Action, Change, LeftOut, Line, Mode, PlannedOrder, RowRef

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from posguard.model.finding import Finding
    from posguard.model.order import OrderHistory
    from posguard.model.plan import PlanOptions
    from posguard.model.position import PositionRow
    from posguard.reconcile.facts import KeyCase

PERSON = "a person has to decide; the runbook's section says what to look at"

# What it costs to be wrong, by what is done.
COSTS = {
    Action.RETIRE: "if the wrong row is kept, the bot manages the position by wrong numbers; restore brings the row back",
    Action.CLOSE_ROW: "if the position is there after all, nobody manages it until reconciliation finds it; restore brings the row back",
    Action.FAIL_ROW: "if an order was sent after all, its position is found as external; restore brings the row back",
    Action.FINISH_ROW: "the bot takes the row for open and protected; restore brings the old status back",
    Action.TAKE_QUANTITY: "the bot sizes its orders by the new quantity; restore brings the old one back",
    Action.PLACE_STOP: "a stop that fires closes the position; one whose price is through closes it now, where the line says so",
    Action.CLOSE_POSITION: "the trade stays made, at the market's price",
    Action.CANCEL_ORDERS: "the order is gone and would have to be placed anew",
    Action.ADOPT: "the bot manages a position that may be somebody else's; restore retires the row",
}


@dataclass(frozen=True, slots=True)
class About:
    """One finding in the hands of a rule.

    ordered tells whether any snapshot showed a live order of the key; history is of the orders of its symbol, where it was read.
    """

    mode: Mode
    finding: Finding
    case: KeyCase
    options: PlanOptions
    ordered: bool = False
    history: OrderHistory | None = None

    @property
    def row(self) -> PositionRow | None:
        """The row that the finding is about, None where it is about the key or the row has moved."""
        return next((row for row in self.case.rows if str(row.id) == self.finding.subject), None)

    def line(
        self,
        action: Action,
        why: str,
        *,
        row: PositionRow | None = None,
        guards: Iterable[PositionRow] = (),
        changes: Iterable[Change] = (),
        fallback: Iterable[Change] = (),
        orders: Iterable[PlannedOrder] = (),
        evidence: Iterable[str] = (),
        safe: bool = False,
        accepts_absence: bool = False,
        subject: str = "",
    ) -> Line:
        """A line of this finding's mode and key."""
        held = [*guards, *([row] if row else [])]
        return Line(
            mode=self.mode,
            action=action,
            key=self.case.key,
            why=why,
            cost=COSTS[action],
            row=ref(row) if row else None,
            guards=tuple(ref(one) for one in sorted(held, key=_by_id)),
            key_rows=tuple(sorted(one.id for one in self.case.rows)),
            changes=tuple(changes),
            fallback=tuple(fallback),
            orders=tuple(orders),
            evidence=tuple(evidence) or self.finding.evidence,
            fingerprint=self.finding.fingerprint,
            subject=subject or (str(row.id) if row else self.finding.subject),
            safe=safe,
            accepts_absence=accepts_absence,
        )

    def out(self, why: str) -> LeftOut:
        """The finding, left out of the plan."""
        return LeftOut(self.case.key, self.finding.title, why, self.finding.row_ids)


def ref(row: PositionRow) -> RowRef:
    """What a plan remembers of a row."""
    return RowRef(row.id, row.digest, row.version)


def ending(row: PositionRow, status: str, reason: str, closed_at: str = NOW) -> tuple[Change, ...]:
    """The changes that end a row."""
    return (
        Change("status", row.status, status),
        Change("exit_reason", None, reason),
        Change("closed_at", None, closed_at),
    )


def stopped(
    row: PositionRow, trigger: Decimal | None, order_id: str | None, columns: frozenset[str]
) -> list[Change]:
    """The changes that write down a live stop, as far as the deployment has columns for it."""
    had = None if row.has_stop_loss is None else str(row.has_stop_loss).lower()
    wanted = [
        Change("has_stop_loss", had, "true"),
        Change("stop_loss_price", _text(row.stop_loss_price), _text(trigger)),
        Change("stop_loss_order_id", row.stop_loss_order_id, order_id),
    ]
    return [
        change
        for change in wanted
        if change.before != change.after
        and change.after is not None
        and (change.column != "stop_loss_order_id" or change.column in columns)
    ]


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _by_id(row: PositionRow) -> int:
    return row.id
