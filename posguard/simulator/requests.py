"""The log of every request: what was asked, which faults hit it, what was answered."""

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from posguard.simulator.wire import SECRET_PARAMETERS, Call

_CLIENT_IDS = ("newClientOrderId", "clientAlgoId", "origClientOrderId", "orderLinkId")


@dataclass(slots=True)
class Entry:
    """One request. Signatures and keys are never kept."""

    seq: int
    time_ms: int
    venue: str
    method: str
    path: str
    params: dict[str, str]
    account: str = ""
    status: int = 0
    code: int = 0
    executed: bool = False
    weight: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def client_id(self) -> str:
        """The client's id of the order it is about."""
        return next((self.params[name] for name in _CLIENT_IDS if name in self.params), "")


class RequestLog:
    """The newest requests, oldest first; old ones fall off the end."""

    def __init__(self, limit: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._seq = 0

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, call: Call, account: str, now_ms: int) -> Entry:
        """Note a request as it comes in."""
        self._seq += 1
        params = {k: v for k, v in call.params.items() if k not in SECRET_PARAMETERS}
        entry = Entry(self._seq, now_ms, call.venue, call.method, call.path, params, account)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget all; the numbers go on."""
        self._entries.clear()

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """Entries after a number."""
        return [asdict(e) for e in self._entries if e.seq > since]

    def lines(self) -> list[str]:
        """Entries without times and numbers: two runs of one seed and one script have the same."""
        return [
            f"{e.venue} {e.account} {e.method} {e.path} {sorted(_timeless(e.params))} "
            f"{e.status} {e.code} {e.executed} {e.faults}"
            for e in self._entries
        ]


def _timeless(params: dict[str, str]) -> Iterable[tuple[str, str]]:
    return ((k, v) for k, v in params.items() if k not in ("startTime", "endTime", "cursor"))


def digest(lines: Iterable[str]) -> str:
    """A short name for the lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
