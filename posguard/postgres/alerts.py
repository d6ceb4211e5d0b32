"""The outbox of alerts, posguard.alert_outbox, and the messages they go out in.

Whoever has something to tell puts it in here in the transaction of what it tells of (`put`; the trading core by `managed`).
Whoever sends claims messages by lease, so that two senders do not double one; a message whose sender died is sent again under
the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model.alert import (
    AlertEvent,
    Newest,
    WaitingAlert,
    Watch,
    key_after,
    severity_told,
    worth_telling,
)
from posguard.model.finding import Severity
from posguard.postgres.queries import queries
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from posguard.model.alert import TopicAlert

# Characters of an alert's text that are kept; what a venue says may be long.
LONGEST = 1000
# How often a message is tried before those behind it, on its route, go past it.
PATIENCE = 4
# Alerts that one message tells of at most.
MOST = 10_000


async def put(connection: Any, alerts: Iterable[TopicAlert]) -> int:
    """Puts into the outbox what its topics' last alerts did not say already; returns how many. Call it inside a transaction.

    Of several alerts of one topic the last one counts.
    """
    given = {alert.topic: alert for alert in alerts}
    if not given:
        return 0
    found = queries("alerts").newest(connection, topics=list(given))
    newest = {record["topic"]: _newest(record) async for record in found}
    told = [one for topic, one in given.items() if worth_telling(newest.get(topic), one)]
    if not told:
        return 0
    written = queries("alerts").put(
        connection,
        keys=[key_after(newest.get(one.topic), one) for one in told],
        severities=[severity_told(newest.get(one.topic), one).value for one in told],
        kinds=[one.kind for one in told],
        texts=[_line(one.text) for one in told],
        payloads=[dict(one.payload) for one in told],
        topics=[one.topic for one in told],
        events=[one.event.value for one in told],
        owners=[one.owner for one in told],
    )
    return len([record async for record in written])


async def standing(connection: Any, kind: str = "", limit: int = 1000) -> list[WaitingAlert]:
    """The alerts of topics that were raised and not resolved since, of one kind or all; the worst first."""
    return [_alert(r) async for r in queries("alerts").standing(connection, kind=kind, limit=limit)]


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to one route at once, with its tries. key is the same at every try; sent_at None where it is not sent.

    given_up_at None where nobody decided that it is not to be sent any more; given_up_by is who did.
    """

    id: int
    key: str
    route: str
    subject: str
    severity: Severity
    alerts: int
    created_at: datetime
    sent_at: datetime | None
    attempts: int
    next_try: datetime
    last_error: str
    given_up_at: datetime | None = None
    given_up_by: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it is stored: which alerts go to which route."""

    key: str
    route: str
    subject: str
    severity: Severity
    alert_ids: tuple[int, ...]


async def take_turns(connection: Any) -> None:
    """Waits until no other sender puts alerts into messages; the turn ends with the transaction."""
    await queries("alerts").take_turns(connection)


async def unrouted(connection: Any) -> tuple[tuple[WaitingAlert, ...], timedelta | None]:
    """The alerts that are in no message yet, oldest first and 10 000 at most, and for how long the oldest has waited."""
    found = [record async for record in queries("alerts").unrouted(connection, limit=MOST)]
    return tuple(_alert(record) for record in found), found[0]["age"] if found else None


async def route(connection: Any, drafts: Iterable[Draft], taken: Collection[int]) -> int:
    """Stores messages and marks the alerts that were taken for them, those of no message too; returns how many are new."""
    new = 0
    for draft in drafts:
        message_id = await queries("alerts").add_message(
            connection,
            key=draft.key,
            route=draft.route,
            subject=draft.subject,
            severity=draft.severity.value,
            alerts=len(draft.alert_ids),
        )
        if message_id is not None:
            new += 1
            await queries("alerts").add_items(
                connection, message_id=message_id, alert_ids=list(draft.alert_ids)
            )
    await queries("alerts").mark_routed(connection, ids=list(taken))
    return new


async def claim(
    connection: Any, routes: Collection[str], *, owner: str, lease: timedelta, limit: int
) -> list[Message]:
    """The messages of some routes that are due, leased to the caller; the worst first.

    A route gets its messages in order. One that has failed PATIENCE times is passed by those behind it: it may be that the
    receiver takes this one never.
    """
    found = queries("alerts").claim(
        connection, routes=list(routes), owner=owner, lease=lease, limit=limit, patience=PATIENCE
    )
    claimed = [_message(record) async for record in found]
    return sorted(claimed, key=lambda one: (one.severity.rank, one.id))


async def renew(connection: Any, ids: Collection[int], *, owner: str, lease: timedelta) -> None:
    """Holds the messages that the caller still leases for `lease` from now on."""
    await queries("alerts").renew(connection, ids=list(ids), owner=owner, lease=lease)


async def alerts_of(connection: Any, message_id: int, limit: int) -> list[WaitingAlert]:
    """What a message tells of, at most `limit` of it: the worst first, beginnings before ends."""
    found = queries("alerts").alerts_of(connection, message_id=message_id, limit=limit)
    return [_alert(record) async for record in found]


async def mark_sent(connection: Any, message_id: int, *, owner: str, note: str = "") -> bool:
    """Remembers that a message was sent, with what is to be known of that; False where the lease is no longer the caller's. Call it inside a transaction."""
    if await queries("alerts").mark_sent(connection, id=message_id, owner=owner, note=note) is None:
        return False
    await queries("alerts").mark_alerts_sent(connection, id=message_id)
    return True


async def mark_failed(connection: Any, message_id: int, *, owner: str, error: str, delay: timedelta) -> None:
    """Remembers why a message was not sent and gives it back for a later try."""
    await queries("alerts").mark_failed(connection, id=message_id, owner=owner, error=error, delay=delay)


async def messages(connection: Any, *, sent_too: bool = False, limit: int = 100) -> Sequence[Message]:
    """The messages that are not sent, the worst first; then, where asked for, those that are or were given up, the newest first."""
    found = queries("alerts").messages(connection, sent_too=sent_too, limit=limit)
    return [_message(record) async for record in found]


@dataclass(frozen=True, slots=True)
class Totals:
    """Alerts in no message yet; messages not sent, those among them that failed at least once, and when the oldest of these was made."""

    waiting: int
    unsent: int
    failing: int
    oldest_failing: datetime | None


async def totals(connection: Any) -> Totals:
    """How much is on its way."""
    return Totals(**dict(await queries("alerts").totals(connection)))


@dataclass(frozen=True, slots=True)
class Unsent:
    """The messages of a route that are not sent: how many, the worst severity, since when and for how long the oldest has waited."""

    route: str
    messages: int
    severity: Severity
    oldest: datetime
    age: timedelta


async def unsent_by_route(connection: Any) -> list[Unsent]:
    """What is not sent of each route, the one that has waited longest first."""
    return [
        Unsent(r["route"], r["messages"], Severity(r["severity"]), r["oldest"], r["age"])
        async for r in queries("alerts").unsent_by_route(connection)
    ]


async def reroute(connection: Any, route: str, to: str) -> list[Message]:
    """Lets what is not sent of a route go by another one, at once and under the keys it has; returns it.

    What a sender holds at this moment stays where it is.
    """
    found = queries("alerts").reroute(connection, route=route, to=to, note=f"moved from the route {route}")
    return [_message(record) async for record in found]


async def give_up(connection: Any, route: str, by: str) -> list[Message]:
    """Remembers that what is not sent of a route is not to be sent any more, and who says so; returns it. Call it inside a transaction.

    The alerts stay, and those that another route's message told are sent.
    """
    found = [_message(r) async for r in queries("alerts").give_up(connection, route=route, by=by)]
    await queries("alerts").mark_rest_sent(connection, ids=[one.id for one in found])
    return found


async def forget(connection: Any, before: datetime, limit: int) -> tuple[int, int]:
    """Deletes alerts that were sent before a time, `limit` at most, and as many messages left without any; returns how many of each.

    Nothing that stands, waits, was given up or was taken by no route.
    """
    asked = queries("alerts")
    alerts = [record async for record in asked.forget_alerts(connection, before=before, limit=limit)]
    messages = [record async for record in asked.forget_messages(connection, before=before, limit=limit)]
    return len(alerts), len(messages)


async def watch(connection: Any) -> Watch:
    """When the reconciliation was last heard of. Writes the begin of the watch where there is none."""
    await queries("alerts").begin_watch(connection)
    return Watch(**dict(await queries("alerts").watch(connection)))


def _line(text: str) -> str:
    line = " ".join(redact(text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _newest(record: Mapping[str, Any]) -> Newest:
    return Newest(record["id"], record["topic"], AlertEvent(record["event"]), Severity(record["severity"]))


def _alert(record: Mapping[str, Any]) -> WaitingAlert:
    return WaitingAlert(
        id=record["id"],
        key=record["key"],
        topic=record["topic"] or "",
        event=AlertEvent(record["event"]),
        severity=Severity(record["severity"]),
        kind=record["kind"],
        owner=record["owner"],
        text=record["text"],
        payload=record["payload"],
        created_at=record["created_at"],
        position_id=record["position_id"],
        later=AlertEvent(record["later"]) if record["later"] else None,
    )


def _message(record: Mapping[str, Any]) -> Message:
    fields = {name: record[name] for name in Message.__slots__}
    return Message(**fields | {"severity": Severity(record["severity"])})
