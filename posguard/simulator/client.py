"""The control API for other processes: async, thin, one method per thing it can do."""

from types import TracebackType
from typing import Any, Self

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=60)


class SimulatorError(Exception):
    """The simulator refused a control request or could not be reached; its message says why."""


class SimulatorControl:
    """Speaks to a running simulator; use it as an async context manager or close it.

    Rows are JSON objects as posguard.simulator.documents reads them, actions as posguard.simulator.actions,
    faults as posguard.simulator.faults. Every method raises SimulatorError where the simulator refuses.
    """

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._session.request(
                method, f"{self._base}/control/{path}", json=body, params=query
            ) as response:
                found = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as bad:
            msg = f"the simulator at {self._base} gave no answer to {method} {path}: {bad}"
            raise SimulatorError(msg) from bad
        if response.status != 200:
            msg = f"the simulator refused {method} {path}: {found.get('error', response.status)}"
            raise SimulatorError(msg)
        return found

    async def health(self) -> dict[str, Any]:
        """Seed, time, accounts, counts."""
        found: dict[str, Any] = await self._send("GET", "health")
        return found

    async def load(self, *, replace: bool = False, **rows: Any) -> dict[str, int]:
        """Load markets, accounts, keys, positions, orders, fills, prices; `replace` empties the accounts named."""
        found: dict[str, int] = await self._send("POST", "load", rows, replace=str(replace).lower())
        return found

    async def reset(self) -> None:
        """Empty every account, drop faults and log; markets and keys stay."""
        await self._send("POST", "reset")

    async def book(self, venue: str = "", account: str = "") -> dict[str, Any]:
        """The book as a document, of one venue or account where they are named; no secrets."""
        query = {name: value for name, value in (("venue", venue), ("account", account)) if value}
        found: dict[str, Any] = await self._send("GET", "book", **query)
        return found

    async def act(self, do: str, **parameters: Any) -> Any:
        """One action of the world: price, trade, close, flip, liquidate, adl, fire_stop, end_stop, fill, …."""
        return await self._send("POST", "act", {"do": do, **parameters})

    async def price(self, venue: str, symbol: str, last: object, mark: object | None = None) -> list[str]:
        """Move a price; the ids of the stops that fired."""
        found: list[str] = (
            await self.act("price", venue=venue, symbol=symbol, last=str(last), mark=_text(mark))
        )["fired"]
        return found

    async def fault(self, kind: str, **address: Any) -> int:
        """Let a fault stand; its number."""
        found: int = (await self._send("POST", "faults", {"kind": kind, **address}))["ids"][0]
        return found

    async def faults(self) -> list[dict[str, Any]]:
        """The faults that stand, with how often each was seen and used."""
        found: list[dict[str, Any]] = await self._send("GET", "faults")
        return found

    async def clear_faults(self, number: int | None = None) -> int:
        """Drop one fault or all; how many."""
        path = "faults" if number is None else f"faults/{number}"
        found: int = (await self._send("DELETE", path))["cleared"]
        return found

    async def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests after a number, oldest first."""
        found: list[dict[str, Any]] = await self._send("GET", "log", since=str(since))
        return found

    async def violations(self, intent: str = "") -> list[str]:
        """What does not hold on the venues' books; see posguard.simulator.invariants."""
        query = {"intent": intent} if intent else {}
        found: list[str] = (await self._send("GET", "invariants", **query))["violations"]
        return found

    async def digests(self) -> dict[str, str]:
        """Short names of the request log and the book, times left out."""
        found: dict[str, str] = await self._send("GET", "digests")
        return found


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
