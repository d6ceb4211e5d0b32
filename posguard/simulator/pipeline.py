"""One request on its way: noted, struck by its faults, executed by the venue, misshapen, answered."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

from posguard.simulator import actions, binance, binance_orders, bybit, faults
from posguard.simulator.book import Book
from posguard.simulator.faults import Fault, FaultPlan
from posguard.simulator.limits import Meter, weight_of
from posguard.simulator.records import VENUES, Refused
from posguard.simulator.requests import Entry, RequestLog
from posguard.simulator.wire import SECRET_PARAMETERS, Call, Reply

_HELD_AT_MOST = 120.0
_KEY_HEADER = {"binance": "x-mbx-apikey", "bybit": "x-bapi-api-key"}


class Broken(Exception):  # noqa: N818 - it is what the client is to see
    """The connection breaks instead of an answer; `sent` is what goes out before."""

    def __init__(self, sent: Reply | None = None) -> None:
        super().__init__("connection broken on purpose")
        self.sent = sent


@dataclass
class Pipeline:
    """The venues behind the server; `closing` releases whoever is kept waiting."""

    book: Book
    plan: FaultPlan
    log: RequestLog = field(default_factory=RequestLog)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    meters: dict[str, Meter] = field(default_factory=lambda: {venue: Meter(venue) for venue in VENUES})
    _previous: dict[tuple[str, ...], str] = field(default_factory=dict)
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, call: Call) -> Reply:
        """The answer, or Broken."""
        account = self._account(call)
        now = self.book.now()
        entry = self.log.add(call, account, now)
        meter = self.meters[call.venue]
        meter.limit = self.book.weight_limits[call.venue]
        entry.weight = weight_of(call)
        within = meter.spend(now, entry.weight)
        reply = await self._answer(call, entry, account) if within else self._noted(entry, meter.refusal(now))
        reply.headers = {**meter.headers(now), **reply.headers}
        return reply

    async def _answer(self, call: Call, entry: Entry, account: str) -> Reply:
        picked = self.plan.pick(call, account)
        entry.faults = [f.kind for f in picked]
        if not picked:
            return self._finish(call, entry, self._execute(call, entry), [])
        call.twist = faults.twist_of(picked)
        early = await self._before(call, entry, picked)
        if early is not None:
            return self._noted(entry, early)
        reply = self._execute(call, entry)
        await self._after(picked)
        late = _answer_in(picked, "after", call)
        return self._noted(entry, late) if late is not None else self._finish(call, entry, reply, picked)

    async def stop(self) -> None:
        """Release all who wait and drop late executions."""
        self.closing.set()
        for task in list(self._late):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # -- the steps

    def _account(self, call: Call) -> str:
        key = self.book.keys.get((call.venue, call.headers.get(_KEY_HEADER[call.venue], "")))
        return key.account if key else ""

    def _execute(self, call: Call, entry: Entry) -> Reply:
        entry.executed = True
        return binance.answer(call) if call.venue == "binance" else bybit.answer(call)

    async def _before(self, call: Call, entry: Entry, picked: list[Fault]) -> Reply | None:
        for fault in picked:
            if fault.kind == "late":
                task = asyncio.create_task(self._execute_late(call, entry, fault.seconds))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                await self._hold()
            if fault.when == "before":
                await self._suffer(fault)
        return _answer_in(picked, "before", call)

    async def _after(self, picked: list[Fault]) -> None:
        for fault in picked:
            if fault.when == "after":
                await self._suffer(fault)

    async def _suffer(self, fault: Fault) -> None:
        if fault.kind == "act":
            self._act(fault)
        elif fault.kind == "latency":
            await self._wait(fault.seconds)
        elif fault.kind == "timeout":
            await self._hold()
        elif fault.kind == "reset":
            raise Broken

    def _act(self, fault: Fault) -> None:
        """What the world cannot do any more (its position is gone) it leaves."""
        with contextlib.suppress(Refused):
            actions.act(self.book, fault.action)

    async def _execute_late(self, call: Call, entry: Entry, seconds: float) -> None:
        await asyncio.sleep(seconds)
        reply = self._execute(call, entry)
        self._noted(entry, reply)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    async def _hold(self) -> None:
        """Keep the client waiting until it goes or the simulator stops."""
        await self._wait(_HELD_AT_MOST)
        raise Broken

    def _finish(self, call: Call, entry: Entry, reply: Reply, picked: list[Fault]) -> Reply:
        self._noted(entry, reply)
        place = _place(call)
        previous = self._previous.get(place)
        if call.method == "GET" and not any(f.kind == "stale" for f in picked):
            self._previous[place] = reply.text()
        shaped = faults.misshape(reply, picked, call.venue, previous)
        if "X-Cut" in shaped.headers:
            raise Broken(shaped)
        return shaped

    def _noted(self, entry: Entry, reply: Reply) -> Reply:
        entry.status = reply.status
        if isinstance(reply.payload, dict):
            code = str(reply.payload.get("retCode", reply.payload.get("code", "0")))
            entry.code = int(code) if code.lstrip("-").isdigit() else 0
        return reply


def _place(call: Call) -> tuple[str, ...]:
    kept = sorted(f"{k}={v}" for k, v in call.params.items() if k not in SECRET_PARAMETERS)
    return (call.venue, call.headers.get(_KEY_HEADER[call.venue], ""), call.path, *kept)


def _answer_in(picked: list[Fault], when: str, call: Call) -> Reply | None:
    """The answer a fault gives instead of the venue's, at its time."""
    for fault in picked:
        if fault.when != when:
            continue
        if fault.kind == "status":
            return _status(call, fault)
        if fault.kind == "refuse":
            return _refuse(call, fault.code, fault.message or "refused on purpose", fault.status)
        if fault.kind == "bad_key":
            return _named(
                call,
                (-2015, "Invalid API-key, IP, or permissions for action.", 401),
                (10003, "API key is invalid."),
            )
        if fault.kind == "bad_signature":
            return _named(
                call, (-1022, "Signature for this request is not valid.", 400), (10004, "error sign!")
            )
        if fault.kind == "clock_skew":
            return _named(
                call,
                (-1021, "Timestamp for this request is outside of the recvWindow.", 400),
                (10002, "invalid request, please check your server timestamp or recv_window param."),
            )
    return None


def _status(call: Call, fault: Fault) -> Reply:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.html:
        return Reply(None, fault.status, headers, faults.HTML.format(f"{fault.status} Error"), "text/html")
    if call.venue == "bybit":
        return replace(
            bybit.envelope(call, None, fault.code, fault.message), status=fault.status, headers=headers
        )
    return Reply({"code": fault.code, "msg": fault.message}, fault.status, headers)


def _refuse(call: Call, code: int, message: str, status: int) -> Reply:
    if call.venue == "bybit":
        return bybit.envelope(call, {}, code, message)
    # 502 is the default of a fault's status; Binance refuses with 400 unless another status is named.
    return binance_orders.error(code, message, 400 if status == 502 else status)


def _named(call: Call, at_binance: tuple[int, str, int], at_bybit: tuple[int, str]) -> Reply:
    return (
        binance_orders.error(*at_binance) if call.venue == "binance" else bybit.envelope(call, {}, *at_bybit)
    )
