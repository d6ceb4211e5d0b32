"""The JSON of `posguard cleanup` and `posguard restore`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from posguard.cleanup.restore import Restore
    from posguard.model.plan import StoredLine, StoredPlan


class ChangeShape(Shape):
    """One column of a row."""

    column: str = Field(description="its name")
    before: str | None = Field(description="the value that the plan saw")
    after: str | None = Field(description="the value that it writes")


class LineShape(Shape):
    """One line of a plan."""

    number: int = Field(description="its place in the plan")
    mode: str = Field(description="the mode it belongs to")
    action: str = Field(description="retire, close_row, fail_row, finish_row, take_quantity, place_stop …")
    exchange: str = Field(description="the exchange")
    account: str = Field(description="its account")
    symbol: str = Field(description="canonical symbol")
    position_side: str = Field(description="both, long or short")
    row_id: int | None = Field(description="the row that changes; null: none, or a new one")
    why: str = Field(description="the reason, in a sentence")
    evidence: tuple[str, ...] = Field(description="what proves it")
    cost_if_wrong: str = Field(description="what it costs to be wrong")
    changes: tuple[ChangeShape, ...] = Field(description="columns, before and after")
    orders: tuple[str, ...] = Field(description="every order that may be sent, in order")
    reversible: bool = Field(description="whether restore takes all of it back")
    accepts_absence: bool = Field(description="whether it stands on the operator's word alone")
    state: str = Field(description="planned, intended, done, skipped, failed or unresolved")
    reason: str = Field(description="why it was skipped, failed or is unresolved")
    verified: bool | None = Field(description="whether it was seen afterwards; null: not looked yet")

    @classmethod
    def of(cls, stored: StoredLine) -> Self:
        """The shape of a line."""
        line = stored.line
        return cls(
            number=stored.number,
            mode=line.mode,
            action=line.action,
            exchange=line.key.exchange,
            account=line.key.account,
            symbol=line.key.symbol,
            position_side=line.key.position_side,
            row_id=line.row.id if line.row else stored.made_row,
            why=line.why,
            evidence=line.evidence,
            cost_if_wrong=line.cost,
            changes=tuple(ChangeShape(column=c.column, before=c.before, after=c.after) for c in line.changes),
            orders=tuple(order.sentence for order in line.orders),
            reversible=line.reversible,
            accepts_absence=line.accepts_absence,
            state=stored.state,
            reason=stored.reason,
            verified=stored.verified,
        )


class LeftOutShape(Shape):
    """A problem that the plan does nothing about."""

    exchange: str = Field(description="the exchange")
    symbol: str = Field(description="canonical symbol")
    what: str = Field(description="the problem")
    why: str = Field(description="why it is left out")
    row_ids: tuple[int, ...] = Field(description="its rows")


class PlanReport(Shape):
    """`posguard cleanup --json`, planning and applying alike."""

    demo: bool = Field(description="whether the world is made up")
    exit_code: int = Field(description="what the command ends with")
    plan_id: int | None = Field(description="the plan's number; null where there is nothing to do")
    code: str | None = Field(description="what --confirm has to say; null where there is nothing to do")
    mode: str = Field(description="the mode that was asked for")
    state: str = Field(description="planned, applying, applied or partly; empty without a plan")
    created_at: datetime = Field(description="when it was made")
    expires_at: datetime = Field(description="until when its code may be confirmed")
    database: str = Field(description="the fingerprint of the database it is for")
    worlds: dict[str, str] = Field(description="each venue in it and its world")
    rows_to_type: int = Field(description="what --rows has to say; 0: nothing")
    found: int = Field(description="lines and problems left out")
    lines: tuple[LineShape, ...] = Field(description="what is done, in order")
    left_out: tuple[LeftOutShape, ...] = Field(description="what is not, and why")
    inconclusive: tuple[str, ...] = Field(
        description="venues that could not be judged: nothing is planned there"
    )
    notes: tuple[str, ...] = Field(description="what else has to be known")
    backup: str = Field(description="the backup's file; empty before applying")
    restore: str = Field(
        description="the command that takes back what can be taken back; empty without a backup"
    )

    @classmethod
    def of(cls, stored: StoredPlan, *, exit_code: int, demo: bool) -> Self:
        """The report of a stored plan."""
        plan = stored.plan
        return cls(
            demo=demo,
            exit_code=exit_code,
            plan_id=plan.id,
            code=stored.code if plan.id is not None else None,
            mode=plan.options.mode,
            state=stored.state if plan.id is not None else "",
            created_at=plan.created_at,
            expires_at=plan.expires_at,
            database=plan.database_fingerprint,
            worlds=dict(plan.worlds),
            rows_to_type=plan.accepted_absences,
            found=len(plan.lines) + len(plan.left_out),
            lines=tuple(LineShape.of(line) for line in stored.lines),
            left_out=tuple(
                LeftOutShape(
                    exchange=one.key.exchange,
                    symbol=one.key.symbol,
                    what=one.what,
                    why=one.why,
                    row_ids=one.row_ids,
                )
                for one in plan.left_out
            ),
            inconclusive=plan.inconclusive,
            notes=plan.notes,
            backup=stored.backup,
            restore=f"posguard restore {stored.backup}" if stored.backup else "",
        )


class RestoreReport(Shape):
    """`posguard restore --json`."""

    demo: bool = Field(description="whether the world is made up")
    done: bool = Field(description="whether this run brought anything back")
    backup: str = Field(description="the file")
    checksum: str = Field(description="its checksum, which holds")
    plan_code: str = Field(description="the code of the plan that it was made for")
    rows: tuple[int, ...] = Field(description="rows that come back")
    retired: tuple[int, ...] = Field(description="adopted rows that are retired")
    cannot_come_back: tuple[str, ...] = Field(description="lines whose orders stay as they are")
    conflicts: tuple[str, ...] = Field(description="what stands in the way; nothing is restored then")
    code: str | None = Field(description="what --confirm has to say; null where there is nothing to confirm")

    @classmethod
    def of(cls, seen: Restore, *, demo: bool) -> Self:
        """The report of a dry run or of a restore."""
        waits = not seen.done and not seen.conflicts and bool(seen.rows or seen.retired)
        return cls(
            demo=demo,
            done=seen.done,
            backup=str(seen.backup.path),
            checksum=seen.backup.checksum,
            plan_code=seen.plan.code,
            rows=tuple(row.row_id for row in seen.rows),
            retired=tuple(row.row_id for row in seen.retired),
            cannot_come_back=seen.gone,
            conflicts=seen.conflicts,
            code=seen.code if waits else None,
        )
