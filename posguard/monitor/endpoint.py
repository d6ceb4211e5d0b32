"""Answers a scrape with what the database holds at that moment: once as text, or over HTTP until it is stopped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.registry import Collector

from posguard.errors import PosguardError, UsageError
from posguard.monitor import exposition
from posguard.postgres.last_results import last_results
from posguard.postgres.pool import Database
from posguard.postgres.schema import require_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from prometheus_client.core import Metric
    from pydantic import SecretStr

# A scraper gives up after ten seconds by default; what takes longer than this has no answer.
SCRAPE_SECONDS = 8.0


class Scraper:
    """Reads the metrics of one database, over one connection that is opened anew where it broke."""

    def __init__(self, dsn: SecretStr, told: Callable[[str], None]) -> None:
        """`told` gets one line when the database stops answering, when it does so for another reason, and when it answers again."""
        self._dsn = dsn
        self._told = told
        self._db: Database | None = None
        self._trouble = ""
        self._turn = asyncio.Lock()

    async def scrape(self) -> list[Metric]:
        """Every metric of this moment. Where the database does not answer: posguard_up 0 alone, and nothing that is old."""
        try:
            async with asyncio.timeout(SCRAPE_SECONDS), self._turn:
                found = await self.read()
        except (PosguardError, TimeoutError) as error:
            await self.close()
            self._tell(str(error) or f"The database did not answer within {SCRAPE_SECONDS:.0f} s.")
            return [exposition.up(reachable=False)]
        self._tell("")
        return found

    async def read(self) -> list[Metric]:
        """The same. Raises PosguardError where the database cannot be read."""
        if self._db is None:
            self._db = await Database.open(
                self._dsn, application="posguard metrics", read_only=True, size=1, timeout=SCRAPE_SECONDS
            )
        async with self._db.snapshot() as connection:
            await require_schema(connection)
            known = await last_results(connection)
        return [exposition.up(reachable=True), *exposition.families(known)]

    async def close(self) -> None:
        """Gives the connection back."""
        db, self._db = self._db, None
        if db:
            await db.close()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._told(trouble or "The database answers again.")


def text_of(metrics: Iterable[Metric]) -> str:
    """Metrics in Prometheus' text form, with a line feed at the end."""
    return generate_latest(_registry(lambda: metrics)).decode()


@asynccontextmanager
async def serving(scraper: Scraper, host: str, port: int) -> AsyncIterator[str]:
    """Answers GET on host and port with the scraper's metrics, one scrape at a time; yields the address.

    Raises UsageError where the port cannot be had.
    """
    loop = asyncio.get_running_loop()

    def ask() -> Iterable[Metric]:
        return asyncio.run_coroutine_threadsafe(scraper.scrape(), loop).result()

    try:
        server, thread = start_http_server(port, host, _registry(ask))
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}. Nothing was started.",
            hint="Take another --port; 0 takes a free one.",
        ) from None
    # One scrape that hangs must not keep the program from ending.
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        # Not in the loop, which a scrape under way needs.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
        await scraper.close()


def _registry(ask: Callable[[], Iterable[Metric]]) -> CollectorRegistry:
    class Known(Collector):
        def collect(self) -> Iterable[Metric]:
            return ask()

        def describe(self) -> Iterable[Metric]:
            return ()

    registry = CollectorRegistry()
    registry.register(Known())
    return registry
