"""Request weight: counted always and shown in the headers, enforced where a limit is set."""

from collections import deque
from dataclasses import dataclass, field

from posguard.simulator.records import Venue
from posguard.simulator.wire import Call, Reply

MINUTE_MS = 60_000
DEFAULT_LIMITS: dict[Venue, int] = {"binance": 2400, "bybit": 600}
# Binance: path, weight with a symbol, weight without one. What is not listed weighs 1, orders nothing.
_WEIGHTS: dict[str, tuple[int, int]] = {
    "/fapi/v1/ticker/24hr": (1, 40),
    "/fapi/v1/premiumIndex": (1, 10),
    "/fapi/v3/account": (5, 5),
    "/fapi/v2/account": (5, 5),
    "/fapi/v1/accountConfig": (5, 5),
    "/fapi/v3/positionRisk": (5, 5),
    "/fapi/v1/openOrders": (1, 40),
    "/fapi/v1/openAlgoOrders": (1, 40),
    "/fapi/v1/allOrders": (5, 5),
    "/fapi/v1/allAlgoOrders": (5, 5),
    "/fapi/v1/userTrades": (5, 5),
    "/fapi/v1/forceOrders": (20, 50),
}
_FREE = frozenset({("POST", "/fapi/v1/order"), ("POST", "/fapi/v1/algoOrder")})


def weight_of(call: Call) -> int:
    """What the request costs: Binance by endpoint, Bybit one each."""
    if call.venue == "bybit":
        return 1
    if (call.method, call.path) in _FREE:
        return 0
    with_symbol, without = _WEIGHTS.get(call.path, (1, 1))
    return with_symbol if call.params.get("symbol") else without


@dataclass(slots=True)
class Meter:
    """The weight of the last minute; `limit` None counts only."""

    venue: Venue
    limit: int | None = None
    used: int = 0
    _spent: deque[tuple[int, int]] = field(default_factory=deque)

    def spend(self, now_ms: int, weight: int) -> bool:
        """Count a request; whether it is within the limit."""
        while self._spent and self._spent[0][0] <= now_ms - MINUTE_MS:
            self.used -= self._spent.popleft()[1]
        self._spent.append((now_ms, weight))
        self.used += weight
        return self.limit is None or self.used <= self.limit

    def headers(self, now_ms: int) -> dict[str, str]:
        """What the venue tells of it."""
        if self.venue == "binance":
            return {"X-MBX-USED-WEIGHT-1M": str(self.used)}
        limit = self.limit or DEFAULT_LIMITS["bybit"]
        return {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(max(limit - self.used, 0)),
            "X-Bapi-Limit-Reset-Timestamp": str(now_ms + 1000),
        }

    def refusal(self, now_ms: int) -> Reply:
        """The answer beyond the limit, with the seconds until there is room again."""
        first = self._spent[0][0] if self._spent else now_ms
        wait = {"Retry-After": str(max(1, (first + MINUTE_MS - now_ms + 999) // 1000))}
        if self.venue == "binance":
            text = f"Too many requests; current limit is {self.limit} request weight per 1 MINUTE."
            return Reply({"code": -1003, "msg": text}, 429, wait)
        text = "Too many visits. Exceeded the API Rate Limit."
        return Reply(
            {"retCode": 10006, "retMsg": text, "result": {}, "retExtInfo": {}, "time": now_ms}, 200, wait
        )
