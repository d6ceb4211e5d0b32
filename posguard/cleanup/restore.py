"""Taking a cleanup back: dry run and code first, then all rows in one transaction, or none (K8, CLN-6).

Invariants: rows come back whole, all columns but version, time of change and the core's lease; a row that was added is retired, not
removed; with one conflict nothing is restored; orders never come back, and the lines that sent any are named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from posguard.errors import ConflictError, RefusedError, VenueUnavailableError
from posguard.model.plan import Action, Change, StoredPlan, code_of, digest_of, spelled_code
from posguard.model.position import PositionSide, Status, is_open, parse_side
from posguard.model.symbol import canonical_symbol
from posguard.model.venue import VenueId
from posguard.postgres import cleanup, plans, runs
from posguard.postgres.plans import Note
from posguard.postgres.schema import require_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.cleanup.backup import Backup
    from posguard.exchange.gateway import Gateway
    from posguard.model.plan import StoredLine
    from posguard.postgres.cleanup import Recorded
    from posguard.postgres.pool import Database

# What makes a row another one; prices, PnL and times of change never count.
_DECISIVE = (
    "symbol", "exchange", "account", "position_side", "status", "side", "quantity", "entry_price", "exchange_order_id",
    "stop_loss_order_id", "stop_loss_price", "stop_loss", "has_stop_loss",
)  # fmt: skip
_TAKEN_BACK = "adoption taken back"
_NOTHING = "Nothing was restored."


@dataclass(frozen=True)
class Restore:
    """What a backup would bring back now. rows are changed back, retired were added by the plan; gone says what cannot come back."""

    backup: Backup
    plan: StoredPlan
    rows: tuple[Recorded, ...]
    retired: tuple[Recorded, ...]
    gone: tuple[str, ...]
    conflicts: tuple[str, ...]
    fingerprint: str
    done: bool = False

    @property
    def code(self) -> str:
        """The code that carries out exactly this; another one as soon as anything of it is different."""
        said = [[r.row_id, r.line_id, str(r.after.get("status"))] for r in (*self.rows, *self.retired)]
        return code_of(digest_of(["restore", self.backup.checksum, self.fingerprint, said]))


async def look(db: Database, gateways: Iterable[Gateway], backup: Backup) -> Restore:
    """What restoring a backup would do; changes nothing.

    Raises RefusedError for the backup of another database or of no plan here, VenueUnavailableError where a venue whose
    positions decide cannot be read.
    """
    async with db.snapshot() as connection:
        await require_schema(connection)
        fingerprint = await runs.database_fingerprint(connection)
        stored = await plans.by_code(connection, backup.code)
        if backup.said["plan"].get("database") != fingerprint or stored is None:
            raise RefusedError(f"{backup.path} is the backup of another database. {_NOTHING}")
        found = await cleanup.recorded(connection, stored.id)
    lines = {one.id: one for one in stored.lines}
    whole = {row["id"]: row for row in backup.said["data"]}
    back = tuple(r for r in found if r.before is not None and lines[r.line_id].line.reversible)
    added = tuple(r for r in found if r.before is None)
    held = await _held(gateways, back, lines)
    conflicts = [*_differs(back, whole), *_positions_gone(backup, back, lines, held)]
    async with db.snapshot() as connection:
        conflicts += await _moved(connection, (*back, *added), lock=False)
        conflicts += await _taken(connection, back, stored, lines)
    return Restore(
        backup=backup,
        plan=stored,
        rows=tuple(replace(r, before=whole.get(r.row_id, r.before)) for r in back),
        retired=added,
        gone=_gone(stored, found),
        conflicts=tuple(conflicts),
        fingerprint=fingerprint,
    )


async def restore(
    db: Database, gateways: Iterable[Gateway], backup: Backup, code: str, *, actor: str
) -> Restore:
    """Brings back what the dry run showed under this code, in one transaction.

    Raises RefusedError for a wrong code or where nothing is left to restore, ConflictError that names every conflict; then
    nothing was restored.
    """
    seen = await look(db, gateways, backup)
    if not seen.rows and not seen.retired:
        raise RefusedError(f"Nothing of {backup.path} is left to restore. {_NOTHING}")
    if seen.conflicts:
        raise conflict(seen.conflicts)
    if spelled_code(code) != seen.code:
        raise RefusedError(
            f"{spelled_code(code)} is not the code of what would be restored now. {_NOTHING}",
            hint=f"`posguard restore {backup.path}` shows it.",
        )
    async with db.transaction() as connection:
        moved = await _moved(connection, (*seen.rows, *seen.retired), lock=True)
        if moved:
            raise conflict(moved)
        # What was added goes first: it may hold the key of a row that comes back.
        for one in (*seen.retired, *seen.rows):
            await _one(connection, seen.plan, one, actor)
    return replace(seen, done=True)


def conflict(conflicts: Sequence[str]) -> ConflictError:
    """The refusal that names every conflict."""
    return ConflictError(
        f"{'; '.join(conflicts)}. {_NOTHING}", hint="Look at these rows, and mend them one by one."
    )


async def _one(connection: Any, plan: StoredPlan, one: Recorded, actor: str) -> None:
    managed = bool(one.after.get("core_managed"))
    if one.before is None:
        changes = (
            Change("status", None, Status.ROLLED_BACK),
            Change("exit_reason", None, _TAKEN_BACK),
            Change("closed_at", None, "(now)"),
        )
        after = await cleanup.change_row(
            connection,
            one.row_id,
            one.after,
            changes,
            actor=actor,
            reason=f"cleanup {plan.code}: {_TAKEN_BACK}",
        )
    else:
        after = await cleanup.restore_row(
            connection, plan.id, one.row_id, one.before, actor=actor, managed=managed
        )
    note = Note("restored", one.line_id, row_id=one.row_id, before=one.after, after=after)
    await plans.note(connection, plan.id, actor, note)


def _differs(rows: Iterable[Recorded], whole: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Rows of which backup and record do not tell the same: the row had moved before it was changed."""
    return [
        f"row #{r.row_id} was not as the backup has it when it was changed"
        for r in rows
        if (kept := whole.get(r.row_id)) is None or decisive(kept) != decisive(r.before or {})
    ]


async def _moved(connection: Any, rows: Sequence[Recorded], *, lock: bool) -> list[str]:
    """Rows that were changed again since the cleanup."""
    ids = [r.row_id for r in rows]
    if lock:
        now = {number: held.whole for number, held in (await cleanup.lock_rows(connection, ids)).items()}
    else:
        now = {row["id"]: row for row in await cleanup.whole_rows(connection, ids)}
    return [
        f"row #{r.row_id} has changed since the cleanup"
        for r in rows
        if r.row_id not in now or decisive(now[r.row_id]) != decisive(r.after)
    ]


async def _taken(
    connection: Any, rows: Sequence[Recorded], plan: StoredPlan, lines: Mapping[int, StoredLine]
) -> list[str]:
    """Keys that open rows outside the plan hold by now; in hedge mode a row that names no leg lives in the leg of its side."""
    mine = {ref.id for one in plan.lines for ref in one.line.guards} | {
        one.made_row for one in plan.lines if one.made_row
    }
    said = []
    for r in rows:
        before = r.before or {}
        if not is_open(before.get("status")):
            continue
        for other in await cleanup.open_rows_of(connection, str(before["exchange"]), str(before["symbol"])):
            legs = lines[r.line_id].line.key.position_side is not PositionSide.BOTH
            if other["id"] not in mine and _place(other, legs=legs) == _place(before, legs=legs):
                said.append(f"row #{other['id']} holds the key of row #{r.row_id} by now")
    return said


def _place(row: Mapping[str, Any], *, legs: bool) -> tuple[object, object]:
    """The account and leg of a whole row."""
    leg = row.get("position_side")
    if legs and leg in {None, PositionSide.BOTH.value}:
        leg = parse_side(row.get("side")) or leg
    return row.get("account"), leg


async def _held(
    gateways: Iterable[Gateway], rows: Sequence[Recorded], lines: Mapping[int, StoredLine]
) -> dict[VenueId, set[tuple[str, str]]]:
    """The positions that the venues of the rows hold now, by symbol and leg."""
    wanted = {VenueId(lines[r.line_id].line.key.exchange, lines[r.line_id].line.key.account) for r in rows}
    held: dict[VenueId, set[tuple[str, str]]] = {}
    for gateway in gateways:
        if gateway.venue in wanted:
            snapshot = await gateway.snapshot()
            if snapshot.complete:
                held[gateway.venue] = {(p.symbol, p.position_side.value) for p in snapshot.positions}
    if missing := sorted(wanted - held.keys()):
        raise VenueUnavailableError(
            f"{missing[0]} cannot be read, so that it is not known whether its positions are still there. {_NOTHING}",
            hint="Run it again.",
        )
    return held


def _positions_gone(
    backup: Backup,
    rows: Iterable[Recorded],
    lines: Mapping[int, StoredLine],
    held: Mapping[VenueId, set[tuple[str, str]]],
) -> list[str]:
    """Positions that the backup recorded and the venue no longer holds."""
    recorded = {
        (p["exchange"], p["account"], canonical_symbol(str(p["symbol"])), p["position_side"])
        for p in backup.said["venue"]["positions"]
    }
    said = []
    for r in rows:
        key = lines[r.line_id].line.key
        had = (key.exchange, key.account, key.symbol, key.position_side.value) in recorded
        has = (key.symbol, key.position_side.value) in held[VenueId(key.exchange, key.account)]
        if had and not has and is_open((r.before or {}).get("status")):
            said.append(
                f"the position of {key} was there at the cleanup and is gone, so that row #{r.row_id} would be an orphan"
            )
    return said


def _gone(plan: StoredPlan, found: Iterable[Recorded]) -> tuple[str, ...]:
    """What was sent, which nothing takes back."""
    changed = {r.line_id for r in found}
    return tuple(
        f"line {one.number}, {one.line.key}: {one.line.action.replace('_', ' ')}; its orders stay as they are"
        for one in plan.lines
        if one.line.orders
        and (one.id in changed or one.state == "done")
        and one.line.action is not Action.ADOPT
    )


def decisive(row: Mapping[str, Any]) -> list[object]:
    """The decision columns of a whole row; one that is missing is null."""
    return [None if (value := row.get(name)) is None else str(value) for name in _DECISIVE]
