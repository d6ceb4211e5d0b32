"""The log is followed as it is written: whole lines only, over rotation and truncation, in UTC, and broken is not quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.errors import LogError
from posguard.model.metrics import Measure
from posguard.monitor.logwatch import LogWatch
from posguard.settings import LogSource

AT = datetime(2025, 10, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def line(seconds, text, *, hours=2):
    at = AT + timedelta(hours=hours, seconds=seconds)
    return f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d} - bot - INFO - {text}\n"


def price(seconds, exchange="binance", **zone):
    return line(seconds, f"Price update: APTUSDT 3.2 {exchange}", **zone)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "bot.log"


def watch(log, zone="Europe/Berlin"):
    source = LogSource(name="bot", paths=(str(log),), zone=zone)
    made = LogWatch(source, source.paths, AT)
    made.begin()
    return made


def prices(watched, at, length=MINUTE):
    return dict(watched.counts.window(at, length)[Measure.PRICE_UPDATES].by_exchange)


def test_lines_are_counted_once_in_utc_and_in_their_window(log):
    log.write_text(price(-1) + price(1) + price(59.5) + price(60) + price(61))
    watched = watch(log)
    assert prices(watched, AT + MINUTE) == {"binance": 3}
    watched.poll(AT + MINUTE)
    assert prices(watched, AT + 2 * MINUTE) == {"binance": 1}
    assert watched.counts.all_time()[Measure.PRICE_UPDATES].number == 5
    assert sum(watched.counts.hours[0][Measure.PRICE_UPDATES].values()) == 4
    watched.close()


def test_half_a_line_counts_when_the_rest_is_there(log):
    whole = price(10)
    log.write_text(whole[:40])
    watched = watch(log)
    assert prices(watched, AT + MINUTE) == {}
    with log.open("a") as file:
        file.write(whole[40:])
    watched.poll(AT + MINUTE)
    assert prices(watched, AT + MINUTE) == {"binance": 1}
    watched.close()


def test_a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_beginning(log):
    log.write_text(price(1))
    watched = watch(log)
    with log.open("a") as file:
        file.write(price(2))
    log.rename(log.with_name("bot.log.1"))
    log.write_text(price(3, "bybit"))
    watched.poll(AT + MINUTE)
    assert prices(watched, AT + MINUTE) == {"binance": 2, "bybit": 1}
    watched.close()


def test_a_log_that_was_cut_to_nothing_is_read_anew(log):
    log.write_text(price(1) + price(2))
    watched = watch(log)
    log.write_text(price(3))
    watched.poll(AT + MINUTE)
    assert prices(watched, AT + MINUTE) == {"binance": 3}
    watched.close()


def test_a_log_that_is_gone_is_broken_and_not_quiet_until_it_is_back(log):
    log.write_text(price(1))
    watched = watch(log)
    log.unlink()
    watched.poll(AT + MINUTE)
    assert str(log) in watched.broken
    log.write_text(price(30))
    watched.poll(AT + MINUTE)
    assert watched.broken == ""
    assert prices(watched, AT + MINUTE) == {"binance": 2}
    watched.close()


def test_a_log_that_was_never_there_or_is_packed_is_refused(log):
    with pytest.raises(LogError, match="no log at"):
        watch(log)
    log.write_bytes(b"\x1f\x8b" + b"0" * 20)
    with pytest.raises(LogError, match="packed"):
        watch(log)


def test_reconnects_are_connections_after_a_loss_and_errors_have_their_exchange(log):
    log.write_text(
        line(1, "✅ WebSocket connected to binance")
        + line(2, "⚠️ WebSocket disconnected from binance")
        + line(3, "✅ WebSocket connected to bybit")
        + line(4, "✅ WebSocket connected to binance")
        + line(5, "✅ WebSocket reconnected to bybit")
        + line(6, "❌ Binance error -1021: Timestamp for this request is outside of the recvWindow.")
        + line(7, "Bybit error: retCode=10001, retMsg=params error")
        + line(8, "🚦 Rate limit exceeded")
        + line(9, "✅ Emergency close executed: 53190999")
    )
    watched = watch(log)
    found = watched.counts.window(AT + MINUTE, MINUTE)
    assert found[Measure.WEBSOCKET_RECONNECTS].by_exchange == {"binance": 1, "bybit": 1}
    assert found[Measure.API_ERRORS].by_exchange == {"binance": 1, "bybit": 1, "unknown": 1}
    assert found[Measure.EMERGENCY_LOGGED].number == 1
    watched.close()


@pytest.mark.parametrize(("utc_hour", "local"), [(0, "02:30:00"), (1, "02:30:00")])
def test_in_the_hour_that_comes_twice_a_line_just_written_is_of_the_pass_that_is_now(log, utc_hour, local):
    log.write_text("")
    source = LogSource(name="bot", paths=(str(log),), zone="Europe/Berlin")
    watched = LogWatch(source, source.paths, datetime(2025, 10, 25, 12, tzinfo=UTC))
    watched.begin()
    log.write_text(f"2025-10-26 {local},000 - bot - INFO - Price update: APTUSDT 3.2 binance\n")
    now = datetime(2025, 10, 26, utc_hour, 30, 20, tzinfo=UTC)
    watched.poll(now)
    assert watched.counts.prices == {"binance": datetime(2025, 10, 26, utc_hour, 30, tzinfo=UTC)}
    watched.close()
