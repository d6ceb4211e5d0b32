from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from posguard.errors import SettingsError
from posguard.model.venue import World
from posguard.settings import Settings, load_settings, redact, venues_from_environment

CANARY = "canary-7f3a"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # no .env of the repository's
    for name in list(__import__("os").environ):
        if name.startswith(("POSGUARD_", "BINANCE_", "BYBIT_")):
            monkeypatch.delenv(name)


def venue_env(**more):
    return {"POSGUARD_BINANCE_KEY": "k", "POSGUARD_BINANCE_SECRET": CANARY, **more}


def test_durations_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("POSGUARD_GRACE", "90s")
    monkeypatch.setenv("POSGUARD_AGED_AFTER", "4h")
    settings = load_settings()
    assert (settings.grace, settings.aged_after) == (timedelta(seconds=90), timedelta(hours=4))


def test_a_wrong_setting_is_named_and_its_value_is_not(monkeypatch):
    monkeypatch.setenv("POSGUARD_GRACE", CANARY)
    with pytest.raises(SettingsError, match="POSGUARD_GRACE") as caught:
        load_settings()
    assert CANARY not in str(caught.value)


def test_testnet_is_the_default_world():
    (venue,) = venues_from_environment(Settings(), venue_env())
    assert (venue.exchange, venue.account, venue.world) == ("binance", "main", World.TESTNET)


def test_production_is_used_only_when_named():
    with pytest.raises(SettingsError, match="production is used only when named"):
        venues_from_environment(Settings(), venue_env(BINANCE_TESTNET="false"))
    (venue,) = venues_from_environment(Settings(), venue_env(POSGUARD_BINANCE_WORLD="production"))
    assert venue.world is World.PRODUCTION


def test_an_unknown_world_is_refused():
    with pytest.raises(SettingsError, match="simulator, testnet, demo, production"):
        venues_from_environment(Settings(), venue_env(POSGUARD_BINANCE_WORLD="live"))


def test_half_a_credential_is_refused():
    with pytest.raises(SettingsError, match="POSGUARD_BYBIT_SECRET"):
        venues_from_environment(Settings(), {"POSGUARD_BYBIT_KEY": "k"})


def test_no_credentials_no_venue():
    assert venues_from_environment(Settings(), {}) == ()


def test_secrets_do_not_print():
    (venue,) = venues_from_environment(Settings(dsn=f"postgresql://u:{CANARY}@h/d"), venue_env())
    assert CANARY not in repr(venue) + str(venue) + repr(Settings(dsn=f"postgresql://u:{CANARY}@h/d"))


@pytest.mark.parametrize(
    "text",
    [
        f"could not connect to postgresql://bot:{CANARY}@db:5432/x",
        f"password={CANARY} host=db",
        f"GET /fapi/v1/order?signature={CANARY}&x=1",
        f"api_key: {CANARY}",
        f"the key {CANARY} was refused",
    ],
)
def test_foreign_texts_are_redacted(text):
    assert CANARY not in redact(text, SecretStr(CANARY))


def test_hedge_and_settle_coins_are_read_or_refused():
    (venue,) = venues_from_environment(
        Settings(_env_file=None),
        venue_env(POSGUARD_BINANCE_HEDGE="on", POSGUARD_BINANCE_SETTLE_COINS="usdt, bnfcr"),
    )
    assert (venue.hedge, venue.settle_coins) == (True, ("USDT", "BNFCR"))
    with pytest.raises(SettingsError, match="hedge") as caught:
        venues_from_environment(Settings(_env_file=None), venue_env(POSGUARD_BINANCE_HEDGE="perhaps"))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            '[{"name": "a", "paths": ["x"], "zone": "UTC"}, {"name": "a", "paths": ["y"], "zone": "Asia/Dubai"}]',
            "same name",
        ),
        ('[{"name": "a", "paths": [""], "zone": "UTC"}]', "PATHS_0"),
        ('[{"name": "a", "paths": ["x"], "zone": "Europe"}]', "no time zone"),
    ],
)
def test_a_log_source_that_would_be_read_as_another_is_refused(sources, said, monkeypatch):
    monkeypatch.setenv("POSGUARD_LOG_SOURCES", sources)
    with pytest.raises(SettingsError, match=said):
        load_settings()
