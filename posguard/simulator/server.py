"""The simulator as an HTTP server: both venues and the control API on one port."""

import asyncio
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from posguard.simulator import actions, control, documents
from posguard.simulator.book import Book
from posguard.simulator.defaults import fill_defaults
from posguard.simulator.faults import FaultPlan
from posguard.simulator.loopback import Authority
from posguard.simulator.pipeline import Broken, Pipeline
from posguard.simulator.records import Clock, Venue
from posguard.simulator.requests import digest
from posguard.simulator.wire import VENUE_OF_HOST, Call, Reply, parse_parameters

_VENUE_OF_PATH: tuple[tuple[str, Venue], ...] = (
    ("/fapi/", "binance"),
    ("/sapi/", "binance"),
    ("/v5/", "bybit"),
)


def venue_of(host: str, path: str) -> Venue | None:
    """The venue by the path; a real venue's host name must agree with it."""
    by_path = next((venue for start, venue in _VENUE_OF_PATH if path.startswith(start)), None)
    by_host = VENUE_OF_HOST.get(host.partition(":")[0])
    return None if by_host is not None and by_host != by_path else by_path


class Simulator:
    """Both venues on one port of this machine.

    `book` is theirs to read and to set up; start it, point clients at `base_url`, stop it. The same seed, clock
    and requests give the same request log and book (`digests`). Without a clock the machine's is used.
    """

    def __init__(self, *, seed: int = 0, clock: Clock | None = None, defaults: bool = True) -> None:
        self.seed = seed
        self.book = Book(seed=seed, clock=clock)
        if defaults:
            fill_defaults(self.book)
        self.plan = FaultPlan(seed)
        self.pipeline = Pipeline(self.book, self.plan)
        self.log = self.pipeline.log
        self._runner: web.AppRunner | None = None
        self._authority: Authority | None = None
        self.base_url = ""

    async def start(
        self, port: int = 0, host: str = "127.0.0.1", ssl_context: ssl.SSLContext | None = None
    ) -> str:
        """Listen and return the base address; port 0 takes a free one. OSError where the port is taken."""
        app = web.Application(client_max_size=256 * 1024 * 1024)
        control.add_routes(app, self)
        app.router.add_route("*", "/{anything:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        scheme = "https" if ssl_context else "http"
        self.base_url = f"{scheme}://{host}:{runner.addresses[0][1]}"
        return self.base_url

    async def start_tls(self, port: int = 0) -> str:
        """Listen with certificates for the venues' real hosts; `session` then makes clients that reach it."""
        self._authority = Authority()
        return await self.start(port, ssl_context=self._authority.server())

    def session(self) -> aiohttp.ClientSession:
        """A session that finds the venues' real addresses here; hand it to ccxt, and close it."""
        if self._authority is None:
            msg = "the simulator was not started with start_tls"
            raise RuntimeError(msg)
        return self._authority.session(self.port)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.base_url.rpartition(":")[2])

    async def stop(self) -> None:
        """Release who waits, close the port; stopping twice does nothing more."""
        await self.pipeline.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def digests(self) -> dict[str, str]:
        """Short names of the request log and of the book, times left out."""
        return {"log": digest(self.log.lines()), "book": digest(documents.digest_rows(self.book))}

    def drift(self) -> None:
        """The next step of the price script, else one seeded step of every price."""
        actions.act(self.book, {"do": "step" if self.book.script else "drift"})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        venue = venue_of(request.host, path)
        if venue is None:
            return web.Response(status=404, text="no venue has this path")
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(
            venue=venue,
            method=request.method,
            path=path,
            query=query,
            body=body,
            headers=headers,
            params=parse_parameters(query, body, request.content_type),
            book=self.book,
            host=request.host.partition(":")[0],
        )
        try:
            reply = await self.pipeline.serve(call)
        except Broken as broken:
            return await _break(request, broken.sent)
        return web.Response(
            body=reply.text().encode(),
            status=reply.status,
            headers=reply.headers,
            content_type=reply.content_type,
            charset="utf-8",
        )


async def _break(request: web.Request, reply: Reply | None) -> web.StreamResponse:
    """Send half of a reply, if there is one, then cut the connection."""
    response = web.StreamResponse()
    if reply is not None:
        body = reply.text().encode()
        response.content_type = reply.content_type
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.abort() if reply is None else request.transport.close()
    return response
