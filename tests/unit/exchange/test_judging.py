import json
import ssl
from datetime import UTC, datetime

import aiohttp
import ccxt.async_support as ccxt
import pytest
from pydantic import SecretStr

from posguard.errors import CredentialsError, VenueUnavailableError
from posguard.exchange import tables
from posguard.exchange.answers import Heard, Trouble, shape_words
from posguard.exchange.judging import Asked, judge
from posguard.model.venue import World
from posguard.settings import VenueSettings

KEY, SECRET = "canary-key-8f1e", "canary-secret-77aa"


def asked(exchange="binance"):
    table = {"binance": tables.BINANCE, "bybit": tables.BYBIT}[exchange]
    venue = VenueSettings(
        exchange=exchange, world=World.TESTNET, api_key=SecretStr(KEY), api_secret=SecretStr(SECRET)
    )
    return Asked(venue, table, "https://venue.example", 10.0, "positions")


def heard(status, body, headers=None):
    told = Heard()
    told.hear(status, headers or {}, body if isinstance(body, str) else json.dumps(body))
    return told


def caused(error, cause):
    error.__cause__ = cause
    return error


def refused_connection():
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)
    return aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))


@pytest.mark.parametrize(
    ("exchange", "status", "body", "trouble", "words"),
    [
        ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP"}, Trouble.KEY, "POSGUARD_BINANCE_KEY"),
        ("binance", 400, {"code": -1022, "msg": "Signature"}, Trouble.KEY, "the key was refused (-1022"),
        ("binance", 401, "<html>", Trouble.KEY, "the key was refused (401)"),
        ("binance", 400, {"code": -1021, "msg": "ahead"}, Trouble.CLOCK, "clock by NTP"),
        ("binance", 429, {"code": -1003, "msg": "Too many"}, Trouble.RATE, "too many requests (HTTP 429)"),
        ("binance", 418, "", Trouble.RATE, "banned this address"),
        ("binance", 524, "<html>timeout</html>", Trouble.SHAPE, "HTTP 524 with HTML"),
        ("binance", 500, "", Trouble.SHAPE, "HTTP 500 with an empty body"),
        (
            "binance",
            503,
            {"code": -1008, "msg": "overloaded"},
            Trouble.REFUSED,
            "HTTP 503 (-1008: overloaded)",
        ),
        ("bybit", 200, {"retCode": 10003, "retMsg": "invalid"}, Trouble.KEY, "POSGUARD_BYBIT_KEY"),
        ("bybit", 200, {"retCode": 33004, "retMsg": "expired"}, Trouble.KEY, "33004: expired"),
        ("bybit", 200, {"retCode": 10002, "retMsg": "time"}, Trouble.CLOCK, "clock by NTP"),
        ("bybit", 200, {"retCode": 10006, "retMsg": "visits"}, Trouble.RATE, "too many requests (10006)"),
        ("bybit", 200, {"retCode": 10016, "retMsg": "error"}, Trouble.REFUSED, "refused it (10016: error)"),
        ("bybit", 403, "<html>", Trouble.RATE, "refuses this address"),
        ("binance", 403, "<html>", Trouble.SHAPE, "HTTP 403 with HTML"),
    ],
)
def test_each_answer_gets_its_trouble_and_a_sentence(exchange, status, body, trouble, words):
    error = judge(asked(exchange), heard(status, body), ccxt.ExchangeError("raw words of ccxt"))
    assert error is not None
    assert error.trouble is trouble
    assert error.sentence.startswith("positions: ")
    assert words in error.sentence
    assert "raw words" not in error.sentence


def test_a_good_answer_is_no_trouble():
    assert judge(asked(), heard(200, []), None) is None
    assert judge(asked("bybit"), heard(200, {"retCode": 0, "result": {}}), None) is None


def test_a_client_that_fails_on_a_200_makes_it_unusable():
    error = judge(asked(), heard(200, "<html>"), KeyError("x"))
    assert error is not None
    assert error.sentence == "positions: HTTP 200 with HTML that cannot be read"


@pytest.mark.parametrize(
    ("failure", "trouble", "words"),
    [
        (caused(ccxt.ExchangeNotAvailable("x"), refused_connection()), Trouble.UNREACHED, "no connection to"),
        (ccxt.RequestTimeout("x"), Trouble.SILENT, "no answer within 10 s"),
        (
            caused(ccxt.ExchangeNotAvailable("x"), aiohttp.ServerDisconnectedError()),
            Trouble.SILENT,
            "broke the connection",
        ),
        (ssl.SSLError("x"), Trouble.SILENT, "SSLError"),
        (caused(ccxt.RequestTimeout("x"), TimeoutError()), Trouble.SILENT, "no answer within"),
    ],
)
def test_silence_and_what_was_never_sent_are_told_apart(failure, trouble, words):
    error = judge(asked(), Heard(), failure)
    assert error is not None
    assert error.trouble is trouble
    assert words in error.sentence


def test_a_venue_that_echoes_the_key_does_not_get_it_into_our_sentence():
    body = {"code": -2014, "msg": f"API-key {KEY} with {SECRET} format invalid. signature=abcdef"}
    error = judge(asked(), heard(401, body), None)
    assert error is not None
    for text in (error.sentence, str(error), repr(error), str(error.as_error())):
        assert KEY not in text
        assert SECRET not in text
        assert "abcdef" not in text


def test_what_the_rest_of_posguard_sees():
    key = judge(asked(), heard(401, {"code": -2015, "msg": "no"}), None)
    away = judge(asked(), heard(502, "<html>"), None)
    assert key is not None
    assert away is not None
    assert isinstance(key.as_error(), CredentialsError)
    assert isinstance(away.as_error(), VenueUnavailableError)
    assert "Nothing was changed" in str(away.as_error())


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("7", 7.0), ("Wed, 21 Oct 2026 07:28:10 GMT", 10.0), ("soon", None), (None, None)],
)
def test_retry_after_in_seconds_or_as_a_date(raw, seconds):
    told = heard(429, "", {"Retry-After": raw} if raw else {})
    assert told.retry_after(datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC)) == seconds


def test_what_a_venue_wrote_is_not_in_the_repr_of_what_was_heard():
    told = heard(401, {"code": -2014, "msg": KEY}, {"X-Echo": SECRET})
    assert KEY not in repr(told)
    assert SECRET not in repr(told)


def test_a_bad_answer_is_not_hidden_by_a_good_one_after_it():
    told = heard(524, "<html>")
    told.hear(200, {}, "{}")
    assert (told.status, told.body, told.requests) == (524, "<html>", 2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (" ", "an empty body"),
        ("<!doctype", "HTML"),
        ("[1, 2", "cut JSON"),
        ("no", "plain text"),
        ("null", "null"),
        ("{}", "an empty object"),
        ('{"a": 1}', "an object"),
        ("[]", "a list"),
        ("3", "a single value"),
    ],
)
def test_the_shape_of_a_body_in_words(body, words):
    assert shape_words(body) == words


@pytest.mark.parametrize(
    ("exchange", "headers", "pauses"),
    [
        ("binance", {"x-mbx-used-weight-1m": "2159"}, False),
        ("binance", {"x-mbx-used-weight-1m": "2160"}, True),
        ("binance", {}, False),
        ("bybit", {"x-bapi-limit": "50", "x-bapi-limit-status": "49"}, False),
        (
            "bybit",
            {"x-bapi-limit": "50", "x-bapi-limit-status": "5", "x-bapi-limit-reset-timestamp": "1000800"},
            True,
        ),
        (
            "bybit",
            {"x-bapi-limit": "50", "x-bapi-limit-status": "5", "x-bapi-limit-reset-timestamp": "999000"},
            False,
        ),
    ],
)
def test_the_venues_own_counter_of_all_users_makes_posguard_pause(exchange, headers, pauses):
    pause = {"binance": tables.BINANCE, "bybit": tables.BYBIT}[exchange].pause(headers, 1_000_000)
    assert (pause is not None) is pauses
    if pause:
        assert 0 < pause[0] <= 61
