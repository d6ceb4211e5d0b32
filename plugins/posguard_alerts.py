"""The notifier that ends a DAG run: it tells of a run that failed, and sends what waits in the outbox of alerts.

Receivers are Airflow Connections, so that their secrets live where Airflow keeps secrets; what is sent, how often, and how it is
known again is posguard.alerts' work, the same as `posguard alerts send` does.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from posguard_airflow import (
    Connection,
    base_url,
    extra_of,
    find_connection,
    read_connections,
    wrong_connection,
)
from pydantic import ValidationError

from posguard.alert_route import AlertRoute
from posguard.errors import PosguardError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posguard.alerts.deliver import Tried
    from posguard.settings import Settings

log = logging.getLogger(__name__)

SLACK, WEBHOOK, EMAIL = "posguard_alerts_slack", "posguard_alerts_webhook", "posguard_alerts_email"
# The DAG processor ends a callback after 50 s by default; what is left then is sent by the next one.
PATIENCE = 40.0
_COMMON = {"severities", "owners"}


class OutboxNotifier(BaseNotifier):
    """Sends the alerts that wait, after a DAG run; `failed` says how the run ended. Whatever goes wrong is logged in one line."""

    def __init__(self, *, failed: bool) -> None:
        super().__init__()
        self.failed = failed

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """There are none; and `airflow dags test` hands over a DAG that cannot render any."""

    def notify(self, context: Any) -> None:
        """What Airflow calls with the context of the DAG run."""
        dag_id, run_id = str(context["dag"].dag_id), str(context["run_id"])
        try:
            settings = read_connections(venues=False)
            routes = alert_routes(settings)
            tried = asyncio.run(_after_run(settings, routes, dag_id, run_id, failed=self.failed))
        except PosguardError as error:
            log.error("The alerts were not sent: %s", error)  # noqa: TRY400 - one line is what an operator needs
            return
        except TimeoutError:
            log.warning("The receivers took too long; what is left is sent after the next run.")
            return
        if not routes:
            log.info("No route for alerts is set; what there is to tell waits in the outbox.")
        for one in tried:
            log.log(
                logging.INFO if one.sent else logging.ERROR,
                "%s: %s %s [%s] %s",
                one.message.route,
                "sent" if one.sent else "NOT SENT, it is tried again:",
                one.message.subject,
                one.message.key,
                one.error or one.note,
            )


def alert_routes(settings: Settings) -> tuple[AlertRoute, ...]:
    """The routes of the three Connections that are there, named slack, webhook and email; then those of POSGUARD_ALERT_ROUTES.

    A Connection goes before a route of the same name. Raises SettingsError that names the Connection and no value of it.
    """
    found = [
        _route(name, kind, fields(connection))
        for name, kind, fields in (
            (SLACK, "slack", _slack),
            (WEBHOOK, "webhook", _webhook),
            (EMAIL, "email", _email),
        )
        if (connection := find_connection(name)) is not None
    ]
    names = {route.name for route in found}
    return (*found, *(route for route in settings.alert_routes if route.name not in names))


def _route(name: str, kind: str, fields: Mapping[str, Any]) -> AlertRoute:
    try:
        return AlertRoute.model_validate({"name": kind, "kind": kind, **fields})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = f" at {first['loc'][0]}" if first["loc"] else ""
        said = first["msg"].removeprefix("Value error, ")
        raise wrong_connection(
            name, f"is wrong{where}: {said}", "Correct it; docs/alerts.md has its fields."
        ) from None


def _slack(connection: Connection) -> dict[str, Any]:
    """As Airflow's Slack provider has it: the host, and in the password the rest of the webhook's address, or all of it."""
    rest = connection.password or ""
    base = base_url(connection) or "https://hooks.slack.com/services"
    url = rest if "://" in rest or not rest else f"{base}/{rest.lstrip('/')}"
    return {"url": url or base, **_chosen(SLACK, connection, _COMMON)}


def _webhook(connection: Connection) -> dict[str, Any]:
    fields = {"url": base_url(connection) or "", **_chosen(WEBHOOK, connection, _COMMON)}
    return fields | ({"token": connection.password} if connection.password else {})


def _email(connection: Connection) -> dict[str, Any]:
    """As Airflow's SMTP provider has it, with `to` beside its from_email, disable_ssl and disable_tls."""
    from urllib.parse import quote

    known = _COMMON | {"from_email", "to", "disable_ssl", "disable_tls"}
    extra = _chosen(EMAIL, connection, known)
    scheme = "smtp" if extra.pop("disable_ssl", False) else "smtps"
    query = "?starttls=off" if extra.pop("disable_tls", False) else ""
    login = quote(connection.login or "", safe="")
    if login:
        login += f":{quote(connection.password or '', safe='')}@"
    port = f":{connection.port}" if connection.port else ""
    to = extra.pop("to", ())
    return {
        "url": f"{scheme}://{login}{connection.host or ''}{port}{query}",
        "sender": extra.pop("from_email", None),
        "to": [one.strip() for one in to.split(",")] if isinstance(to, str) else to,
        **extra,
    }


def _chosen(name: str, connection: Connection, known: set[str]) -> dict[str, Any]:
    extra = dict(extra_of(name, connection))
    if unknown := sorted(set(extra) - known):
        raise wrong_connection(
            name, f"has the unknown option {unknown[0]}", f"Its extra takes {', '.join(sorted(known))}."
        )
    return extra


async def _after_run(
    settings: Settings, routes: tuple[AlertRoute, ...], dag_id: str, run_id: str, *, failed: bool
) -> list[Tried]:
    from posguard.alerts.deliver import send_all
    from posguard.model.alert import dag_run_alert
    from posguard.postgres import alerts, runs
    from posguard.postgres.pool import Database

    async with await Database.open(settings.dsn, application="posguard dag", size=2) as db:
        async with db.transaction() as connection:
            # a run that is on record as inconclusive has told of that itself
            recorded = await runs.run_of_dag_run(connection, run_id) if failed else None
            told = None if recorded is None else await runs.run_by_id(connection, recorded)
            if told is None or told.conclusive:
                await alerts.put(connection, [dag_run_alert(dag_id, run_id, failed=failed)])
        if not routes:
            return []
        async with asyncio.timeout(PATIENCE):
            return await send_all(db, routes, deadline=settings.alert_deadline)
