"""What a key may do; and that no key ever leaves the gateway in words."""

from __future__ import annotations

import io
import logging
import traceback
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from pydantic import SecretStr

from posguard.errors import CredentialsError, VenueUnavailableError
from posguard.exchange.answers import AnswerError
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from tests.fixtures.gateways import VENUES, gateway, settings

KEY, SECRET = "canary-4d1f0c9a7e", "canary-5e2a1b8f6d-secret"
CANARY = {"api_key": SecretStr(KEY), "api_secret": SecretStr(SECRET)}


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_reading_key_and_a_trading_key(sim, exchange):
    trading = {"api_key": SecretStr(TRADE_KEY), "api_secret": SecretStr(TRADE_SECRET)}
    async with gateway(exchange, sim.base_url) as reads, gateway(exchange, sim.base_url, **trading) as trades:
        may_read, may_trade = await reads.permissions(), await trades.permissions()
    assert (may_read.can_read, may_read.can_trade, may_read.can_withdraw) == (True, False, False)
    assert (may_trade.can_read, may_trade.can_trade, may_trade.can_withdraw) == (True, True, False)
    assert may_read.ip_restricted is False


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_refused_key_and_a_broken_venue_are_different_errors(sim, control, exchange):
    async with gateway(exchange, sim.base_url, **CANARY) as venue:
        with pytest.raises(CredentialsError, match="check POSGUARD_"):
            await venue.permissions()
    async with gateway(exchange, sim.base_url) as venue:
        await control.fault("html", venue=exchange, count=None)
        with pytest.raises(VenueUnavailableError, match="HTTP 200 with HTML"):
            await venue.clock_skew_ms()


def trace_of_everything(error, *, own=False):
    """A traceback as the most talkative handler prints it: chained errors, and every local of every frame."""
    texts = ["".join(traceback.format_exception(error))]
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frame = error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename != __file__ or own:
                texts += [f"{name}={value!r}" for name, value in frame.tb_frame.f_locals.items()]
            frame = frame.tb_next
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"kind": "html"},
        {"kind": "cut_json"},
        {"kind": "reset", "count": 2},
        {"kind": "timeout"},
        {"kind": "status", "status": 524},
        {"kind": "status", "status": 429, "retry_after": 100},
        {"kind": "bad_key"},
        {"kind": "bad_signature"},
        {"kind": "clock_skew"},
        {"kind": "refuse", "code": -2014, "message": f"API-key {KEY} {SECRET} format invalid."},
    ],
    ids=str,
)
async def test_the_canary_never_sings(sim, control, exchange, fault, capsys):
    """Not in a reason, an error, a traceback with locals, a log line at any level, a repr, or on the terminal."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
    told = []
    try:
        await control.load(
            keys=[{"venue": exchange, "account": "main", "key": KEY, "secret": SECRET, "trade": False}]
        )
        quick = settings(venue_timeout=timedelta(seconds=0.3))
        async with gateway(exchange, sim.base_url, settings_=quick, **CANARY) as venue:
            for path in (
                "/*/positionRisk",
                "/*/position/list",
                "/*/userTrades",
                "/*/execution/list",
                "/*/query-api",
            ):
                if fault:
                    await control.fault(venue=exchange, path=path, **fault)
            if fault:
                await control.fault(venue=exchange, path="/sapi/*", **fault)
            told += [repr(await venue.snapshot()), repr(venue), str(venue), repr(vars(venue))]
            told.append(repr(await venue.fills(["BTCUSDT"], datetime.now(UTC) - timedelta(days=1))))
            try:
                told.append(repr(await venue.permissions()))
            except (CredentialsError, VenueUnavailableError) as error:
                told.append(trace_of_everything(error))
                told.append(repr(error))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()
    captured = capsys.readouterr()
    everything = "\n".join([*told, log.getvalue(), captured.out, captured.err])
    assert len(told) >= 6
    assert KEY not in everything
    assert SECRET not in everything
    assert "signature=" not in everything.replace("signature=***", "")


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("kind", ["reset", "status", "bad_key"])
async def test_what_ccxt_raised_is_not_chained(sim, control, exchange, kind):
    """Its text holds the signed address, and its frames hold the headers with the key."""
    method, path = {
        "binance": ("fapiPrivateV3GetPositionRisk", "/fapi/v3/positionRisk"),
        "bybit": ("privateGetV5UserQueryApi", "/v5/user/query-api"),
    }[exchange]
    await control.load(
        keys=[{"venue": exchange, "account": "main", "key": KEY, "secret": SECRET, "trade": False}]
    )
    async with gateway(exchange, sim.base_url, **CANARY) as venue:
        await control.fault(kind, venue=exchange, path=path, count=2)
        with pytest.raises(AnswerError) as caught:
            await venue._client.get(method, {}, what="key")
    assert caught.value.__cause__ is None
    told = trace_of_everything(caught.value)
    assert KEY not in told
    assert SECRET not in told
    assert "signature=" not in told


def fail_with_the_key_in_a_local():
    api_key = KEY
    raise ValueError(len(api_key))


def test_the_net_would_catch_it():
    with pytest.raises(ValueError, match="\\d+") as caught:
        fail_with_the_key_in_a_local()
    assert KEY in trace_of_everything(caught.value, own=True)
