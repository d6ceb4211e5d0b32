"""The table of each exchange. A third exchange adds one here, and a file with its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from posguard.exchange import outcomes
from posguard.exchange.table import VenueTable

_MINUTE = 60.0


def _binance_pause(headers: Mapping[str, str], now_ms: int) -> tuple[float, str] | None:
    """The seconds to leave to the bot, where all users of this address together are close to the venue's limit."""
    used = headers.get("x-mbx-used-weight-1m", "")
    if not used.isdigit() or int(used) < BINANCE.limit * 0.9:
        return None
    rest = _MINUTE - now_ms / 1000 % _MINUTE + 1
    return rest, f"{used} of {BINANCE.limit} of this minute's request weight are used up, mostly by others"


BINANCE = VenueTable(
    exchange="binance",
    title="Binance",
    ccxt_class="binanceusdm",
    limit=2400,
    window=_MINUTE,
    weights={
        "fapiPublicGetTime": (1, 1),
        "fapiPrivateV3GetPositionRisk": (5, 5),
        "fapiPrivateV3GetAccount": (5, 5),
        "fapiPrivateGetOpenOrders": (1, 40),
        "fapiPrivateGetOpenAlgoOrders": (1, 40),
        "fapiPrivateGetUserTrades": (5, 5),
        "fapiPrivateGetAllOrders": (5, 40),
        "fapiPrivateGetAllAlgoOrders": (5, 40),
        "fapiPrivateGetForceOrders": (20, 50),
        "fapiPrivateGetAccountConfig": (5, 5),
        "fapiPrivateGetOrder": (1, 1),
        "fapiPrivateGetAlgoOrder": (1, 1),
        "fapiPrivatePostOrder": (1, 1),
        "fapiPrivatePostAlgoOrder": (1, 1),
        "fapiPrivateDeleteOrder": (1, 1),
        "fapiPrivateDeleteAlgoOrder": (1, 1),
        "sapiGetAccountApiRestrictions": (1, 1),
    },
    market_list=("symbols",),
    key_codes=frozenset({"-1002", "-1005", "-1022", "-1099", "-2008", "-2014", "-2015"}),
    clock_codes=frozenset({"-1021", "-5028"}),
    rate_codes=frozenset({"-1003", "-1015"}),
    history=timedelta(days=180),
    span=timedelta(days=7),
    orders=timedelta(days=90),
    unfilled=timedelta(days=3),
    outcomes=outcomes.BINANCE,
    pause=_binance_pause,
    options={
        "fetchCurrencies": False,
        "fetchMargins": False,
        "fetchMarkets": {"types": ["linear"]},
        "disableFuturesSandboxWarning": True,
    },
)


def _bybit_pause(headers: Mapping[str, str], now_ms: int) -> tuple[float, str] | None:
    """The rest of the second, where all users of this account together have used most of an endpoint's limit."""
    limit, left = headers.get("x-bapi-limit", ""), headers.get("x-bapi-limit-status", "")
    reset = headers.get("x-bapi-limit-reset-timestamp", "")
    if not (limit.isdigit() and left.isdigit() and reset.isdigit()) or int(left) > int(limit) // 10:
        return None
    rest = min(max(int(reset) - now_ms, 0) / 1000, 5.0)
    return (rest, f"{left} of {limit} requests are left for this second") if rest else None


BYBIT = VenueTable(
    exchange="bybit",
    title="Bybit",
    ccxt_class="bybit",
    limit=600,
    window=5.0,
    weights={
        "publicGetV5MarketTime": (1, 1),
        "privateGetV5PositionList": (1, 1),
        "privateGetV5OrderRealtime": (1, 1),
        "privateGetV5OrderHistory": (1, 1),
        "privateGetV5ExecutionList": (1, 1),
        "privateGetV5UserQueryApi": (1, 1),
        "privateGetV5AccountWalletBalance": (1, 1),
        "privatePostV5OrderCreate": (1, 1),
        "privatePostV5OrderCancel": (1, 1),
    },
    market_list=("result", "list"),
    key_codes=frozenset({"10003", "10004", "10005", "10007", "10008", "10009", "10010", "33004"}),
    clock_codes=frozenset({"10002"}),
    rate_codes=frozenset({"10006", "10018"}),
    history=timedelta(days=730),
    span=timedelta(days=7),
    orders=timedelta(days=730),
    unfilled=timedelta(days=1),
    outcomes=outcomes.BYBIT,
    pause=_bybit_pause,
    options={"fetchMarkets": {"types": ["linear"]}},
    has={"fetchCurrencies": False},
)
