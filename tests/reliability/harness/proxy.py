"""A TCP proxy before PostgreSQL that knows where a message ends, and so can cut, stall or reset at a chosen point of one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_SSL, _CANCEL, _GSS = 80877103, 80877102, 80877104
_HEAD = struct.Struct("!cI")


class Point(StrEnum):
    """How far a statement gets before the connection breaks, and so what the client can know of it."""

    BEFORE = "before"  # the server never sees it
    HALF = "half"  # the server sees half a message and no end of it
    SENT = "sent"  # the server has it, and nobody waits for the answer
    ANSWERED = "answered"  # the server has done it and acknowledged; the acknowledgement is lost


class Way(StrEnum):
    """What the client sees."""

    CUT = "cut"  # the connection ends
    RESET = "reset"  # the connection ends with a reset
    STALL = "stall"  # nothing at all, until the proxy lets go: then the connection ends


@dataclass(slots=True)
class Unit:
    """What a client sends in one go and wants an answer to: the messages up to a Sync, a Flush or a simple query."""

    text: str
    executes: bool
    data: bytes


@dataclass
class Break:
    """One fault, once: at the first matching unit after `skip` others."""

    point: Point
    way: Way = Way.CUT
    match: Callable[[Unit], bool] = lambda unit: unit.executes
    skip: int = 0
    stall: float = 0.2
    hit: Unit | None = None
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, unit: Unit) -> bool:
        """Whether this unit is the one."""
        if self.hit is not None or not self.match(unit):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.hit = unit
        self.fired.set()
        return True


def commits(unit: Unit) -> bool:
    """Whether the unit is the COMMIT of a transaction of several statements."""
    return unit.executes and unit.text.strip().upper().startswith("COMMIT")


class PostgresProxy:
    """Listens on a port of its own and hands everything on to `host:port`; `arm` has the next matching statement break."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.target = host, port
        self.port = 0
        self.armed: list[Break] = []
        self.units = 0
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._refusing = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()
        await asyncio.gather(*(link.done.wait() for link in list(self._links)))
        await self._server.wait_closed()

    def arm(self, fault: Break) -> Break:
        """The fault happens to the next statement it matches, on whichever connection that comes."""
        self.armed.append(fault)
        return fault

    def disarm(self) -> None:
        """What has not happened yet does not happen."""
        self.armed.clear()

    def refuse(self) -> None:
        """The database is away: every connection ends and none is taken."""
        self._refusing = True
        self.cut_all()

    def accept(self) -> None:
        """The database is back."""
        self._refusing = False

    def cut_all(self) -> None:
        """Every connection that stands ends with a reset."""
        for link in list(self._links):
            link.end(Way.RESET)

    def fault_for(self, unit: Unit) -> Break | None:
        """The fault that this unit meets."""
        self.units += 1
        found = next((each for each in self.armed if each.takes(unit)), None)
        if found is not None:
            self.armed.remove(found)
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far = await asyncio.open_connection(self.host, self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, reader, writer, *far)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One client and its server connection."""

    def __init__(
        self,
        proxy: PostgresProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        self.proxy = proxy
        self.reader, self.writer = reader, writer
        self.far_reader, self.far_writer = far_reader, far_writer
        self.done = asyncio.Event()
        self._texts: dict[str, str] = {}
        self._held: Break | None = None
        self._ready = asyncio.Event()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Until either side ends."""
        ways = [asyncio.create_task(each) for each in (self._forth(), self._back(), self._over.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.end(Way.CUT)
            for each in (self.writer, self.far_writer):
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await each.wait_closed()
            self.done.set()

    def end(self, way: Way) -> None:
        """Both connections end, the client's as told."""
        self._over.set()
        if way is Way.RESET:
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self.writer.transport.abort()
        else:
            self.writer.close()
        self.far_writer.close()

    async def _forth(self) -> None:
        try:
            await self._start()
            while True:
                unit = await self._unit()
                fault = self.proxy.fault_for(unit) if unit.executes else None
                if fault is None:
                    self.far_writer.write(unit.data)
                    await self.far_writer.drain()
                else:
                    await self._break(unit, fault)
                    return
        except (asyncio.IncompleteReadError, OSError):
            return

    async def _start(self) -> None:
        """Hands on what comes before the first message proper."""
        while True:
            size = await self.reader.readexactly(4)
            body = await self.reader.readexactly(int.from_bytes(size) - 4)
            self.far_writer.write(size + body)
            await self.far_writer.drain()
            if int.from_bytes(body[:4]) not in {_SSL, _GSS, _CANCEL}:
                return

    async def _unit(self) -> Unit:
        data, text, executes = b"", "", False
        while True:
            head = await self.reader.readexactly(5)
            kind, size = _HEAD.unpack(head)
            body = await self.reader.readexactly(size - 4)
            data += head + body
            match kind:
                case b"Q":
                    return Unit(_until_nul(body), executes=True, data=data)
                case b"P":
                    name = _until_nul(body)
                    text = self._texts[name] = _until_nul(body[len(name.encode()) + 1 :])
                case b"B":
                    portal = _until_nul(body)
                    name = _until_nul(body[len(portal.encode()) + 1 :])
                    text = self._texts.get(name, "")
                case b"E":
                    executes = True
                case b"S" | b"H" | b"X" | b"p":
                    return Unit(text, executes=executes, data=data)

    async def _break(self, unit: Unit, fault: Break) -> None:
        match fault.point:
            case Point.BEFORE:
                pass
            case Point.HALF:
                self.far_writer.write(unit.data[: max(len(unit.data) // 2, 1)])
            case Point.SENT:
                self._held = fault
                self.far_writer.write(unit.data)
            case Point.ANSWERED:
                self._held = fault
                self.far_writer.write(unit.data)
                await self._ready.wait()
        with contextlib.suppress(OSError):
            await self.far_writer.drain()
        if fault.way is Way.STALL:
            await asyncio.sleep(fault.stall)
        self.end(fault.way)

    async def _back(self) -> None:
        """Answers go back as they come; those to a statement that is to break are swallowed up to ReadyForQuery."""
        try:
            while self._held is None:
                data = await self.far_reader.read(65536)
                if self._held is not None:
                    break
                if not data:
                    return
                self.writer.write(data)
                await self.writer.drain()
            else:
                data = b""
            await self._swallow(data)
        except OSError:
            return

    async def _swallow(self, data: bytes) -> None:
        """The connection was idle when the statement came, so its first byte opens a message."""
        while True:
            while len(data) >= 5 and len(data) >= (size := 1 + int.from_bytes(data[1:5])):
                if data[:1] == b"Z":
                    self._ready.set()
                data = data[size:]
            more = await self.far_reader.read(65536)
            if not more:
                self._ready.set()
                await asyncio.Event().wait()  # the other way ends the connection
            data += more


def _until_nul(body: bytes) -> str:
    return body[: body.index(0)].decode(errors="replace")
