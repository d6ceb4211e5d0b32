"""The sender: what waits in the outbox into messages, the messages to their receivers, and what became of each.

At least once: a message is claimed by lease, sent, and then marked. The lease is renewed for as long as its sender lives; who dies
in between loses it to time, and the message goes out again under its key. Several senders may run at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog

from posguard.alerts import channels
from posguard.alerts.minding import check_routes, forget
from posguard.alerts.routing import delay, drafts, gathered
from posguard.errors import PosguardError, RetryableError
from posguard.model.alert import overdue, overdue_ended
from posguard.postgres import alerts as outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.alert_route import AlertRoute
    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Draft, Message
    from posguard.postgres.pool import Database

log = structlog.get_logger(__name__)

# A living sender renews its leases, whatever its tries take, so that a lease can be short: what a dead one held goes out well
# within a minute.
LEASE = timedelta(seconds=30)
_RENEWALS = 3
_AT_ONCE = 8
# How often the service forgets what is too old, in passes: about once an hour.
_FORGETS = 720
# Seconds between two passes of the service: with the widest window an alert still goes out within a minute.
PACE = 5.0
_NOW = timedelta()


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one message at one try; error is empty where it was sent, and note what is to be known all the same."""

    message: Message
    error: str = ""
    note: str = ""

    @property
    def sent(self) -> bool:
        """Whether the receiver took it."""
        return not self.error


Send = Callable[["AlertRoute", "Message", "Sequence[WaitingAlert]"], Awaitable[str]]
Say = Callable[[Tried], None]


def sender_name() -> str:
    """How a process signs its leases: host, process and a number of its own."""
    return f"{socket.gethostname()}:{os.getpid()}:{random.getrandbits(32):08x}"


async def check_deadline(db: Database, limit: timedelta) -> bool:
    """Raises the alert of a reconciliation that has been silent or inconclusive for longer than `limit`, or ends it.

    Returns whether it is overdue. A limit of nothing never is. Raises PosguardError's of the database.
    """
    if limit <= _NOW:
        return False
    async with db.transaction() as connection:
        late = overdue(await outbox.watch(connection), limit)
        await outbox.put(connection, [late or overdue_ended("a run was complete in time")])
    return late is not None


async def put_together(
    db: Database, routes: Sequence[AlertRoute], *, window: timedelta = _NOW
) -> tuple[Draft, ...]:
    """Puts what has waited for `window` into one message a route, all or nothing; returns the messages.

    What no route takes is taken out of the waiting ones too, and stays in the outbox.
    """
    if not routes:
        return ()
    async with db.transaction() as connection:
        await outbox.take_turns(connection)
        waiting, age = await outbox.unrouted(connection)
        if not gathered(age, window):
            return ()
        made = tuple(drafts(waiting, routes))
        await outbox.route(connection, made, [one.id for one in waiting])
    return made


async def deliver(
    db: Database,
    routes: Sequence[AlertRoute],
    *,
    owner: str,
    send: Send = channels.send,
    say: Say | None = None,
    lease: timedelta = LEASE,
) -> list[Tried]:
    """Sends every message of these routes that is due, several at once; each is told to `say` when it is over.

    A receiver that fails keeps no other from its messages. Raises PosguardError's of the database; what was claimed then is
    sent again once its lease has run out.
    """
    by_name = {route.name: route for route in routes}
    done: list[Tried] = []
    while True:
        async with db.transaction() as connection:
            claimed = await outbox.claim(connection, by_name, owner=owner, lease=lease, limit=_AT_ONCE)
        if not claimed:
            return done
        async with _held(db, [message.id for message in claimed], owner, lease):
            tried = await asyncio.gather(
                *(_one(db, by_name[message.route], message, owner=owner, send=send) for message in claimed),
                return_exceptions=True,  # a database that breaks under one must not cut the others off in the middle
            )
        for one in tried:
            if isinstance(one, BaseException):
                raise one
            if say is not None:
                say(one)
            done.append(one)


@asynccontextmanager
async def _held(db: Database, ids: Sequence[int], owner: str, lease: timedelta) -> AsyncIterator[None]:
    """Renews the leases of messages while they are sent; where the database cannot be asked they run out, as if we had died."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(lease.total_seconds() / _RENEWALS)
            try:
                async with db.connection() as connection:
                    await outbox.renew(connection, ids, owner=owner, lease=lease)
            except PosguardError as error:
                log.warning("lease_not_renewed", error=type(error).__name__)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def _one(db: Database, route: AlertRoute, message: Message, *, owner: str, send: Send) -> Tried:
    async with db.connection() as connection:
        told = await outbox.alerts_of(connection, message.id, outbox.MOST)
    try:
        note = await send(route, message, told)
    except channels.DeliveryError as error:
        return await _failed(db, message, owner=owner, error=error)
    except Exception as error:  # noqa: BLE001 - a message that cannot be put into words must not hold the others up
        log.error("message_not_sent", key=message.key, route=route.name, error=type(error).__name__)  # noqa: TRY400 - a traceback may show an address
        bug = channels.DeliveryError(f"a bug of posguard, please report it ({type(error).__name__})")
        return await _failed(db, message, owner=owner, error=bug)
    async with db.transaction() as connection:
        await outbox.mark_sent(connection, message.id, owner=owner, note=note)
    return Tried(message, note=note)


async def _failed(db: Database, message: Message, *, owner: str, error: channels.DeliveryError) -> Tried:
    wait = max(delay(message.attempts, random.random()), error.pause or _NOW)  # noqa: S311 - spreads tries
    async with db.transaction() as connection:
        await outbox.mark_failed(connection, message.id, owner=owner, error=error.message, delay=wait)
    return Tried(message, error=error.message)


async def send_all(
    db: Database,
    routes: Sequence[AlertRoute],
    *,
    deadline: timedelta,
    window: timedelta = _NOW,
    owner: str = "",
    say: Say | None = None,
) -> list[Tried]:
    """One pass: the deadline, routes that are gone, what waits into messages, the messages that are due to their receivers."""
    await check_deadline(db, deadline)
    await check_routes(db, routes)
    await put_together(db, routes, window=window)
    return await deliver(db, routes, owner=owner or sender_name(), say=say)


async def keep_sending(
    db: Database,
    routes: Sequence[AlertRoute],
    *,
    deadline: timedelta,
    window: timedelta,
    keep: timedelta,
    say: Say,
    trouble: Callable[[str], None],
    pace: float = PACE,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> None:
    """Passes until it is cancelled, and about once an hour what was sent longer than `keep` ago is forgotten.

    A database that does not answer is told once to `trouble` and asked again at each pass.
    """
    owner, known = sender_name(), ""
    for number in count():
        try:
            await send_all(db, routes, deadline=deadline, window=window, owner=owner, say=say)
            if number % _FORGETS == 0 and (why := await forget(db, keep)):
                trouble(why)
            known = ""
        except RetryableError as error:
            if (said := str(error)) != known:
                trouble(said)
            known = said
        await sleep(pace)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a pass would send now: new messages, and older ones that are not sent yet.

    waiting counts the alerts that are in no message yet, left_out those of them that no route takes.
    """

    new: tuple[Draft, ...]
    unsent: tuple[Message, ...]
    waiting: int
    left_out: int


async def outlook(db: Database, routes: Sequence[AlertRoute]) -> Outlook:
    """What a pass would send now. Reads only."""
    async with db.snapshot() as connection:
        waiting, _ = await outbox.unrouted(connection)
        unsent = await outbox.messages(connection)
    new = tuple(drafts(waiting, routes))
    taken = {alert_id for draft in new for alert_id in draft.alert_ids}
    return Outlook(new, tuple(unsent), len(waiting), len(waiting) - len(taken))
