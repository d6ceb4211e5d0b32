"""`posguard metrics`: what posguard last found, for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import OnDemo

if TYPE_CHECKING:
    from pydantic import SecretStr


def metrics(
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="Answer scrapes until Ctrl+C; 0 takes a free one."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; it asks nobody for a password.")
    ] = "127.0.0.1",
    demo: OnDemo = False,
) -> None:
    """Print what posguard last found as Prometheus metrics, or serve it with --port.

    It reads posguard's own tables alone, under the reader or the monitor role. docs/prometheus.md lists the metrics;
    docker/ holds alert rules and a dashboard.

    \b
    Examples:
      posguard metrics
      posguard metrics --port 9464
      posguard metrics --demo
    """
    from posguard.cli.connect import database
    from posguard.cli.output import structured_log_to_stderr

    structured_log_to_stderr()
    dsn = database(demo=demo)
    asyncio.run(_print(dsn) if port is None else _serve(dsn, host, port))


async def _print(dsn: SecretStr) -> None:
    from posguard.monitor.endpoint import Scraper, text_of

    scraper = Scraper(dsn, lambda _line: None)
    try:
        found = await scraper.read()
    finally:
        await scraper.close()
    print(text_of(found), end="")


async def _serve(dsn: SecretStr, host: str, port: int) -> None:
    import signal

    from posguard.cli.output import warn
    from posguard.monitor.endpoint import Scraper, serving

    scraper, ended = Scraper(dsn, warn), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(scraper, host, port) as address:
        print(f"posguard metrics ready at {address}", flush=True)
        await ended.wait()
