"""What a sender minds beside sending: messages whose route is gone, and alerts that are too old to keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from posguard.errors import SchemaError
from posguard.model.alert import ALERT_ROUTE_GONE, route_gone, route_gone_ended
from posguard.postgres import alerts as outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.alert_route import AlertRoute
    from posguard.postgres.pool import Database

# For so long another sender, with more routes than this one, may still be about to send it.
GONE_AFTER = timedelta(minutes=15)
_AT_ONCE = 5_000


async def check_routes(db: Database, routes: Sequence[AlertRoute]) -> None:
    """Raises an alert for each route that is not among these though messages have waited for it for 15 minutes, and ends it.

    It ends when nothing waits for that route any more, whoever saw to that: senders that know different routes raise and end no
    alert in turns. Without any route nothing is said. Raises PosguardError's of the database.
    """
    if not routes:
        return
    known = {route.name for route in routes}
    async with db.transaction() as connection:
        unsent = await outbox.unsent_by_route(connection)
        gone = [one for one in unsent if one.route not in known and one.age > GONE_AFTER]
        told = [route_gone(one.route, one.messages, one.severity, one.oldest) for one in gone]
        waiting = {f"{ALERT_ROUTE_GONE}:{one.route}" for one in unsent}
        standing = await outbox.standing(connection, kind=ALERT_ROUTE_GONE)
        told += [route_gone_ended(one.topic) for one in standing if one.topic not in waiting]
        await outbox.put(connection, told)


async def forget(db: Database, keep: timedelta) -> str:
    """Deletes the alerts that were sent longer than `keep` ago and stand no more, and the messages of none but such.

    In pieces, each of which stays deleted where the next one fails. Returns why it could not, where the role may not delete;
    what it keeps then does no harm. Raises PosguardError's of the database.
    """
    before = datetime.now(UTC) - keep
    gone = (_AT_ONCE, _AT_ONCE)
    while max(gone) >= _AT_ONCE:
        try:
            async with db.transaction() as connection:
                gone = await outbox.forget(connection, before, _AT_ONCE)
        except SchemaError as error:
            return f"Alerts of old were not deleted. {error}"
    return ""
