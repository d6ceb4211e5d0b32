"""A made-up message by each route, so that a person sees it arrive before it matters."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.alerts import channels
from posguard.alerts.deliver import Tried
from posguard.model.alert import AlertEvent, WaitingAlert
from posguard.model.finding import Severity
from posguard.postgres.alerts import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.alert_route import AlertRoute


async def try_routes(routes: Sequence[AlertRoute]) -> list[Tried]:
    """One try of each route, all at once; stores nothing."""
    return list(await asyncio.gather(*(_try(route) for route in routes)))


async def _try(route: AlertRoute) -> Tried:
    now, key = datetime.now(UTC), secrets.token_hex(16)
    text = f"This is a test of the route {route.name}. Nothing is wrong."
    alert = WaitingAlert(
        id=1,
        key=key,
        topic="",
        event=AlertEvent.RAISED,
        severity=Severity.INFO,
        kind="test",
        owner="operations",
        text=text,
        payload={"runbook": ""},
        created_at=now,
    )
    message = Message(
        id=1,
        key=key,
        route=route.name,
        subject=f"posguard: test: {text}",
        severity=Severity.INFO,
        alerts=1,
        created_at=now,
        sent_at=None,
        attempts=1,
        next_try=now,
        last_error="",
    )
    try:
        return Tried(message, note=await channels.send(route, message, [alert]))
    except channels.DeliveryError as error:
        return Tried(message, error=error.message)
