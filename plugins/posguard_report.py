"""Registers the data-quality page with Airflow: its routes, and its places in the navigation, on a DAG and on a DAG run.

Plugins load in every component, so nothing is imported here but what Airflow has loaded already: the page's own modules,
with FastAPI's routes and Airflow's security, come in with the first request to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PREFIX = "/posguard"


class ReportApp:
    """The page as an ASGI application that is built when somebody first asks for it."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answers one request."""
        if self._app is None:
            from posguard_page import build

            self._app = build()
        await self._app(scope, receive, send)


def _address(path: str) -> str:
    """A path of the page below the path that Airflow itself is served under."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + PREFIX + path


ICONS = {"icon": _address("/static/icon.svg"), "icon_dark_mode": _address("/static/icon-dark.svg")}


class PosguardReport(AirflowPlugin):
    """The page `Data quality`."""

    name = "posguard_report"
    fastapi_apps: ClassVar[list[Any]] = [
        {"app": ReportApp(), "url_prefix": PREFIX, "name": "posguard report"}
    ]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Data quality",
            "href": _address("/"),
            "destination": "nav",
            "nav_top_level": True,
            **ICONS,
            "url_route": "posguard",
        },
        {
            "name": "Data quality",
            "href": _address("/dags/{DAG_ID}"),
            "destination": "dag",
            **ICONS,
            "url_route": "posguard-dag",
        },
        {
            "name": "Data quality",
            "href": _address("/dags/{DAG_ID}/runs/{RUN_ID}"),
            "destination": "dag_run",
            **ICONS,
            "url_route": "posguard-run",
        },
    ]
