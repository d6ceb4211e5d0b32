"""Faults on demand: which request they hit, how often, and what they do to it."""

import fnmatch
import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from typing import Any

from posguard.simulator.orders import Twist
from posguard.simulator.wire import Call, Reply

HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
KINDS: dict[str, str] = {
    "latency": "wait `seconds`, before or after the request is executed",
    "timeout": "never answer; `when` says whether the request is executed",
    "late": "never answer, and execute only `seconds` later: after the client gave up",
    "reset": "break the connection, before or after the request is executed",
    "status": "answer with HTTP `status`, as `html` or JSON, with `retry_after` where given",
    "refuse": "answer with the venue's `code` and `message`",
    "html": "HTTP 200 with a web page",
    "empty_body": "HTTP 200 with nothing in it",
    "cut_json": "HTTP 200 whose JSON stops in the middle",
    "cut_body": "the connection breaks in the middle of the body",
    "empty_object": "HTTP 200 with {}",
    "null_result": "Bybit's result is null; Binance answers null",
    "empty_result": "Bybit's result is {}; Binance answers {}",
    "empty_list": "a well-formed answer whose list is empty",
    "partial_list": "a well-formed answer that keeps the first `keep` rows, or that share of them",
    "missing_page": "an empty page that claims to be the last",
    "lost_cursor": "a page that claims to be the last though more rows follow",
    "stale": "the answer given the last time, word for word",
    "no_id": "an order's answer without its id",
    "bad_key": "the venue does not know the key",
    "bad_signature": "the venue finds the signature wrong",
    "clock_skew": "the venue finds the request too old",
    "partial_fill": "the order fills no more than `ratio` of its quantity",
    "pieces": "the order fills in `pieces` executions",
    "no_fill": "the order is accepted and rests unfilled for now",
    "stop_ends": "a conditional order is accepted, then ends as `how`: rejected or expired",
    "act": "the world acts before or after the request: `action` as in the control API",
}
_AFTER_BY_DEFAULT = frozenset({"act"})
_SHAPES = frozenset(
    {
        "html",
        "empty_body",
        "cut_json",
        "cut_body",
        "empty_object",
        "null_result",
        "empty_result",
        "empty_list",
        "partial_list",
        "missing_page",
        "lost_cursor",
        "stale",
        "no_id",
    }
)


@dataclass(slots=True)
class Fault:
    """One fault: what it hits (an empty address hits everything), from which matching call on, how often."""

    kind: str
    venue: str = ""
    method: str = ""
    path: str = ""  # with * and ? as in file names
    symbol: str = ""
    account: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    nth: int = 1
    count: int | None = 1
    probability: float = 1.0
    when: str = "before"
    seconds: float = 0.0
    status: int = 502
    html: bool = True
    retry_after: int | None = None
    code: int = 0
    message: str = ""
    keep: str = "0.5"
    ratio: str = "0.5"
    pieces: int = 3
    how: str = "rejected"
    action: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    seen: int = 0
    used: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            msg = f"kind is one of {', '.join(KINDS)}, not {self.kind!r}"
            raise ValueError(msg)
        if self.when not in ("before", "after"):
            msg = f"when is before or after, not {self.when!r}"
            raise ValueError(msg)

    @property
    def spent(self) -> bool:
        """Whether it has done all it was asked for."""
        return self.count is not None and self.used >= self.count

    def hits(self, call: Call, account: str) -> bool:
        """Whether the call is one of those addressed."""
        return (
            self.venue in ("", call.venue)
            and self.method.upper() in ("", call.method)
            and (not self.path or fnmatch.fnmatchcase(call.path, self.path))
            and self.symbol in ("", call.params.get("symbol", ""))
            and self.account in ("", account)
            and all(call.params.get(name) == value for name, value in self.parameters.items())
        )


def read(row: Mapping[str, Any]) -> Fault:
    """A fault from a JSON object; a name it does not have is refused."""
    known = {f.name for f in fields(Fault)} - {"id", "seen", "used"}
    unknown = set(row) - known
    if unknown or "kind" not in row:
        msg = f"a fault has a kind and any of {', '.join(sorted(known))}; not {', '.join(sorted(unknown)) or 'nothing'}"
        raise ValueError(msg)
    values = dict(row)
    if values["kind"] in _AFTER_BY_DEFAULT:
        values.setdefault("when", "after")
    return Fault(**values)


class FaultPlan:
    """The faults that stand, tried in the order they came; chances are drawn from the seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed ^ 0x5EED)  # noqa: S311 - a simulation
        self._ids = itertools.count(1)
        self.faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Let a fault stand; it is numbered."""
        fault.id = next(self._ids)
        self.faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> int:
        """Drop one fault or all; answers how many."""
        before = len(self.faults)
        self.faults = [] if fault_id is None else [f for f in self.faults if f.id != fault_id]
        return before - len(self.faults)

    def pick(self, call: Call, account: str) -> list[Fault]:
        """The faults that hit this call, counted as used."""
        picked = []
        for fault in self.faults:
            if fault.spent or not fault.hits(call, account):
                continue
            fault.seen += 1
            if fault.seen >= fault.nth and self._random.random() < fault.probability:
                fault.used += 1
                picked.append(fault)
        return picked

    def rows(self) -> list[dict[str, Any]]:
        """All faults with how often each was seen and used."""
        return [asdict(f) for f in self.faults]


def twist_of(faults: list[Fault]) -> Twist:
    """How the order of this request misbehaves."""
    ratio: Decimal | None = None
    ends, defer, pieces = "", False, 1
    for fault in faults:
        if fault.kind == "partial_fill":
            ratio = Decimal(fault.ratio)
        elif fault.kind == "pieces":
            pieces = fault.pieces
        elif fault.kind == "stop_ends":
            ends = fault.how
        elif fault.kind == "no_fill":
            defer = True
    return Twist(fill_ratio=ratio, pieces=pieces, stop_ends=ends, defer=defer)


def misshape(reply: Reply, faults: list[Fault], venue: str, previous: str | None) -> Reply:
    """The reply as the faults leave it."""
    for fault in faults:
        if fault.kind in _SHAPES:
            reply = _shape(reply, fault, venue, previous)
    return reply


def _shape(reply: Reply, fault: Fault, venue: str, previous: str | None) -> Reply:
    raw: dict[str, tuple[str, str]] = {
        "html": (HTML.format("Service"), "text/html"),
        "empty_body": ("", "application/json"),
        "empty_object": ("{}", "application/json"),
        "cut_json": (reply.text()[: max(1, len(reply.text()) // 2)], "application/json"),
    }
    if fault.kind in raw:
        text, content_type = raw[fault.kind]
        return Reply(None, reply.status, dict(reply.headers), text, content_type)
    if fault.kind == "cut_body":
        return Reply(
            reply.payload, reply.status, {**reply.headers, "X-Cut": "1"}, reply.raw, reply.content_type
        )
    if fault.kind == "stale":
        return Reply(None, reply.status, dict(reply.headers), previous) if previous is not None else reply
    payload = json.loads(reply.text())
    return Reply(_change(payload, fault, venue), reply.status, dict(reply.headers))


def _change(payload: Any, fault: Fault, venue: str) -> Any:
    if fault.kind in ("null_result", "empty_result"):
        blank: Any = None if fault.kind == "null_result" else {}
        return {**payload, "result": blank} if venue == "bybit" else blank
    if fault.kind == "no_id":
        body = payload.get("result", payload) if isinstance(payload, dict) else payload
        for name in ("orderId", "algoId"):
            if isinstance(body, dict):
                body.pop(name, None)
        return payload
    if isinstance(payload, list):
        return _fewer(payload, fault)
    result = payload.get("result")
    if isinstance(result, dict) and isinstance(result.get("list"), list):
        result["list"] = _fewer(result["list"], fault)
        if fault.kind in ("empty_list", "missing_page", "lost_cursor"):
            result["nextPageCursor"] = ""
    return payload


def _fewer(rows: list[Any], fault: Fault) -> list[Any]:
    if fault.kind in ("empty_list", "missing_page"):
        return []
    if fault.kind == "partial_list":
        keep = Decimal(fault.keep)
        return rows[: int(keep * len(rows)) if keep < 1 else int(keep)]
    return rows
