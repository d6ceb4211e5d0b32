"""The rows that the trading core manages: born under three layers of guards, changed by compare and set, claimed by lease.

Every function is one statement on a connection that is given, so that whoever gives it decides about the transaction. The
guards are functions of their own: `lock_key` and `standing` (layer 1), the guard's index in `give_birth` (layer 2), `rivals`
and `activate` (layer 3).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from posguard.model.managed import ManagedRow, OwnedRow, Rival
from posguard.model.position import TERMINAL, PositionSide, Side, Status, parse_side
from posguard.model.transitions import Origin
from posguard.postgres.queries import Statement

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from posguard.model.managed import Alert, Birth
    from posguard.model.position import PositionKey
    from posguard.model.venue import VenueId

_LOCK = Statement("managed", "lock_key")
_STANDING = Statement("managed", "standing")
_BIRTH = Statement("managed", "give_birth")
_GAP = Statement("managed", "open_gap")
_ADVANCE = Statement("managed", "advance")
_RIVALS = Statement("managed", "rivals")
_OTHERS_ORDERS = Statement("managed", "others_orders")
_ROW = Statement("managed", "row")
_CLAIM = Statement("managed", "claim")
_RENEW = Statement("managed", "renew")
_GIVE_BACK = Statement("managed", "give_back")
_DUE = Statement("managed", "due")
_ID_OF_REQUEST = Statement("managed", "id_of_request")
_SWITCH = Statement("managed", "switch")
_THROW = Statement("managed", "throw_switch")
_TELL = Statement("managed", "tell")
_OWNED = Statement("managed", "owned")
_NOW = Statement("managed", "now")


class Standing(NamedTuple):
    """What stands in the way of a new row: the row of the same request, the open row of the key, the kill switch."""

    asked: int | None
    held: int | None
    engaged: bool
    switch_reason: str


class Moved(NamedTuple):
    """A change that was made: the row as it is now, and whether the kill switch was engaged at that moment."""

    row: ManagedRow
    engaged: bool


class Due(NamedTuple):
    """The ids of the rows that are due, oldest first; whether the kill switch was engaged then, and why."""

    ids: tuple[int, ...]
    engaged: bool
    switch_reason: str


def lock_key(key: PositionKey) -> int:
    """The 64-bit advisory lock of a position key: the same in every process, in a name space of posguard's own."""
    text = f"posguard.open\x1f{key.exchange}\x1f{key.account}\x1f{key.symbol}\x1f{key.position_side.value}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


async def take_lock(connection: Any, key: PositionKey) -> None:
    """Layer 1: waits until no other transaction inserts a row of the key; held until this one ends."""
    await _LOCK.row(connection, lock_key=lock_key(key))


async def standing(connection: Any, key: PositionKey, request_key: str) -> Standing:
    """Layer 1: what stands in the way of a new row of the key. Sees every open status, unknown ones and NULL included."""
    return Standing(*await _STANDING.row(connection, request_key=request_key, **_of(key)))


async def give_birth(
    connection: Any, birth: Birth, *, actor: str, lease: timedelta, lease_owner: str
) -> ManagedRow | None:
    """Layer 2: the new row, leased to its maker; None where the guard's index holds another open row of the key.

    None too where the request key is another row's: `standing` tells.
    """
    made = await _or_none(
        _BIRTH,
        connection,
        actor=actor,
        reason=birth.reason,
        origin=birth.origin.value,
        side=birth.side.value,
        quantity=birth.quantity,
        entry_price=birth.entry_price,
        status=birth.status.value,
        request_key=birth.request_key,
        attempt=_first_attempt(birth),
        entry_client_id=birth.entry_client_id,
        stop_client_id=birth.stop_client_id,
        stop_loss_order_id=birth.stop_loss_order_id,
        stop_loss_price=birth.stop_loss_price,
        stop_percent=birth.stop_percent,
        signal_id=birth.signal_id,
        unseen_since=birth.unseen_since,
        lease=lease,
        lease_owner=lease_owner,
        **_of(birth.key),
    )
    if made is None:
        return None
    if made["unprotected_since"] is not None:
        await _GAP.do(connection, id=made["id"], began=made["unprotected_since"], reason=birth.reason)
    return _born(birth, made, lease_owner)


async def advance(
    connection: Any,
    before: ManagedRow,
    after: ManagedRow,
    *,
    reason: str,
    actor: str,
    origin: Origin,
    lease: timedelta,
    keeps: bool,
    alert: Alert | None = None,
    unprotected: bool = False,
    since: datetime | None = None,
    alone: bool = False,
) -> Moved | None:
    """Compare and set: `after` where the row still is `before` (status, version, fencing); None where it is not.

    keeps says whether the lease is renewed or given back. unprotected says whether the position stands without a stop
    from now on, or since `since`: the gap is opened, or ended, in the same transaction. alone: only where no rival's row
    comes first.
    """
    done = await _or_none(
        _ADVANCE,
        connection,
        **_of(before.key),
        alone=alone,
        id=before.id,
        from_status=before.status.value,
        version=before.version,
        fencing=before.fencing,
        actor=actor,
        said_origin=origin.value,
        reason=reason,
        status=after.status.value,
        quantity=after.quantity,
        entry_price=after.entry_price,
        exchange_order_id=after.exchange_order_id,
        attempt=after.attempt,
        stop_client_id=after.stop_client_id,
        stop_loss_order_id=after.stop_loss_order_id,
        stop_loss_price=after.stop_loss_price,
        has_stop_loss=after.status is Status.ACTIVE,
        needs_attention=after.needs_attention,
        attention_reason=after.attention_reason,
        exit_reason=after.exit_reason,
        ended=after.status in TERMINAL,
        unprotected=unprotected,
        since=since,
        keeps=keeps,
        lease=lease,
        alert_key=alert.key if alert else None,
        alert_severity=alert.severity if alert else None,
        alert_kind=alert.kind if alert else None,
        alert_text=alert.text if alert else None,
    )
    if done is None:
        return None
    row = after.but(
        version=done["version"],
        unprotected_since=done["unprotected_since"],
        lease_owner=before.lease_owner if keeps else None,
    )
    return Moved(row, engaged=done["engaged"])


async def activate(connection: Any, before: ManagedRow, after: ManagedRow, **told: Any) -> Moved | None:
    """Layer 3, safe activation: `advance`, and None too where a rival's row of the key comes first; never an exception for it."""
    return await advance(connection, before, after, alone=True, **told)


async def rivals(connection: Any, row: ManagedRow) -> tuple[Rival, ...]:
    """Layer 3: the other open rows of a row's key, by id."""
    return tuple(
        Rival(
            id=found["id"],
            status=found["status"],
            side=parse_side(found["side"]),
            quantity=found["quantity"],
            core_managed=found["core_managed"],
        )
        for found in await _RIVALS.rows(connection, id=row.id, **_of(row.key))
    )


async def others_orders(connection: Any, row: ManagedRow, order_ids: Collection[str]) -> frozenset[str]:
    """Which of some of the venue's order ids are those of other rows of the row's market, ended ones included."""
    found = await _OTHERS_ORDERS.rows(
        connection,
        id=row.id,
        exchange=row.exchange,
        account=row.account,
        symbol=row.symbol,
        order_ids=list(order_ids),
    )
    return frozenset(order_ids) & {order for one in found for order in one}


async def read_row(connection: Any, position_id: int) -> ManagedRow | None:
    """The row of an id; None where there is none that the core manages."""
    return _managed(await _ROW.row(connection, id=position_id))


async def claim(
    connection: Any, position_id: int, *, lease_owner: str, lease: timedelta, settle: timedelta
) -> ManagedRow | None:
    """The row, leased to the caller with the next fencing token; None where somebody works on it, or it is not open.

    A lease that was not given back is taken over `settle` after it ran out: until then an order of its owner may still
    be executed.
    """
    return _managed(
        await _CLAIM.row(connection, id=position_id, lease_owner=lease_owner, lease=lease, settle=settle)
    )


async def renew(connection: Any, row: ManagedRow, lease: timedelta) -> bool:
    """Whether the lease is still the caller's, and longer by now."""
    return await _RENEW.row(connection, id=row.id, fencing=row.fencing, lease=lease) is not None


async def give_back(connection: Any, row: ManagedRow, *, settled: bool) -> None:
    """The lease ends; unless everything that was sent is settled, a successor waits as he would for a dead owner."""
    await _GIVE_BACK.do(connection, id=row.id, fencing=row.fencing, settled=settled)


async def due(connection: Any, settle: timedelta) -> Due:
    """The rows that somebody has to go on with, oldest first, and the kill switch where there is any."""
    found = await _DUE.rows(connection, settle=settle)
    if not found:
        return Due((), engaged=False, switch_reason="")
    return Due(tuple(one["id"] for one in found), bool(found[0]["engaged"]), str(found[0]["reason"]))


async def owned(connection: Any, venue: VenueId) -> tuple[OwnedRow, ...]:
    """Every open row of a venue, of the bot's old code too, by id."""
    return tuple(
        OwnedRow(
            id=found["id"],
            symbol=found["symbol"],
            position_side=found["position_side"],
            side=parse_side(found["side"]),
            quantity=found["quantity"],
            status=found["status"],
            request_key=found["request_key"] or "",
            stop_loss_order_id=found["stop_loss_order_id"],
            core_managed=found["core_managed"],
            leased=found["leased"],
        )
        for found in await _OWNED.rows(connection, exchange=venue.exchange, account=venue.account)
    )


async def server_time(connection: Any) -> datetime:
    """The server's clock, aware UTC."""
    found: datetime = (await _NOW.row(connection))[0]
    return found


async def id_of_request(connection: Any, request_key: str) -> int | None:
    """The row of a request key, open or not."""
    found = await _ID_OF_REQUEST.row(connection, request_key=request_key)
    return None if found is None else int(found["id"])


async def switch(connection: Any) -> tuple[bool, str]:
    """Whether the kill switch is engaged, and why."""
    found = await _SWITCH.row(connection)
    return bool(found["engaged"]), str(found["reason"])


async def throw_switch(connection: Any, *, engaged: bool, reason: str, actor: str) -> None:
    """Engages or releases the kill switch for every process on this database."""
    await _THROW.do(connection, engaged=engaged, reason=reason, actor=actor)


async def tell(connection: Any, alert: Alert) -> None:
    """Puts an alert into the outbox that belongs to no change of a row; the same key twice is one alert."""
    await _TELL.do(
        connection,
        key=alert.key,
        severity=alert.severity,
        kind=alert.kind,
        position_id=alert.position_id,
        text=alert.text,
    )


async def _or_none(statement: Statement, connection: Any, **values: Any) -> Any:
    """A row that a unique index refuses is no row; which one stands in the way is asked afterwards."""
    try:
        return await statement.row(connection, **values)
    except asyncpg.UniqueViolationError:
        return None


def _of(key: PositionKey) -> dict[str, str]:
    return {
        "exchange": key.exchange,
        "account": key.account,
        "symbol": key.symbol,
        "position_side": key.position_side.value,
    }


def _first_attempt(birth: Birth) -> int:
    """Orders are numbered from one on; a row is born with its first one's number where that is an entry."""
    return 1 if birth.entry_client_id else 0


def _born(birth: Birth, made: Any, lease_owner: str) -> ManagedRow:
    return ManagedRow(
        id=made["id"],
        exchange=birth.key.exchange,
        account=birth.key.account,
        symbol=birth.key.symbol,
        position_side=birth.key.position_side,
        side=birth.side,
        quantity=birth.quantity,
        entry_price=birth.entry_price,
        status=birth.status,
        version=made["version"],
        fencing=1,
        request_key=birth.request_key,
        attempt=_first_attempt(birth),
        entry_client_id=birth.entry_client_id,
        stop_client_id=birth.stop_client_id,
        exchange_order_id=None,
        stop_loss_order_id=birth.stop_loss_order_id,
        stop_loss_price=birth.stop_loss_price,
        stop_percent=birth.stop_percent,
        needs_attention=False,
        attention_reason=None,
        exit_reason=None,
        origin=birth.origin,
        unprotected_since=made["unprotected_since"],
        inserted_at=made["inserted_at"],
        lease_owner=lease_owner,
    )


def _managed(found: Any) -> ManagedRow | None:
    if found is None or not found["core_managed"]:
        return None
    return ManagedRow(
        id=found["id"],
        exchange=found["exchange"],
        account=found["account"],
        symbol=found["symbol"],
        position_side=PositionSide(found["position_side"]),
        side=Side(found["side"]),
        quantity=found["quantity"],
        entry_price=found["entry_price"],
        status=Status(found["status"]),
        version=found["version"],
        fencing=found["fencing"],
        request_key=found["request_key"] or f"row:{found['id']}",
        attempt=found["attempt"] or 0,
        entry_client_id=found["entry_client_id"],
        stop_client_id=found["stop_client_id"],
        exchange_order_id=found["exchange_order_id"],
        stop_loss_order_id=found["stop_loss_order_id"],
        stop_loss_price=found["stop_loss_price"],
        stop_percent=found["signal_stop_loss_percent"],
        needs_attention=found["needs_attention"],
        attention_reason=found["attention_reason"],
        exit_reason=found["exit_reason"],
        origin=Origin(found["origin"] or Origin.MANUAL),
        unprotected_since=found["unprotected_since"],
        inserted_at=found["inserted_at"],
        lease_owner=found["lease_owner"],
    )
