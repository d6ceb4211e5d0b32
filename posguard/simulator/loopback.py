"""The venues' real addresses, answered by this machine: a local certificate authority and a resolver.

ccxt picks Binance's error table by the address, so only a client that keeps the real addresses shows the real
errors. A session made here reaches the simulator alone: a host that is no venue's does not resolve.
"""

import socket
import ssl
from typing import Any

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver

from posguard.simulator.wire import VENUE_OF_HOST


class Loopback(AbstractResolver):
    """Every venue's host is this machine at the simulator's port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002 - the interface asks for it
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the interface asks for it
    ) -> list[Any]:
        """The simulator's address; OSError for any host that is no venue's."""
        if host not in VENUE_OF_HOST:
            msg = f"{host} is no venue's host; nothing leaves this machine"
            raise OSError(msg)
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Authority:
    """A certificate authority of this process; what it signs is trusted by its own sessions only."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self) -> ssl.SSLContext:
        """The simulator's side, with a certificate for every venue's host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*sorted(VENUE_OF_HOST)).configure_cert(context)
        return context

    def session(self, port: int) -> aiohttp.ClientSession:
        """A session to hand to ccxt; whoever asked for it closes it."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Loopback(port), ssl=context))
