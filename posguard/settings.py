"""Every knob once: from the environment (prefix POSGUARD_), a .env file, or whoever fills the model (Airflow's DAGs do).

Secrets are SecretStr and never print; `redact` takes them out of foreign texts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSettingError

from posguard.alert_route import AlertRoute
from posguard.errors import SettingsError
from posguard.model.baseline import BEFORE
from posguard.model.duration import parse_duration
from posguard.model.venue import VenueId, World

ExchangeName = Literal["binance", "bybit"]
ENV_FILE = ".env"
EXCHANGES: tuple[ExchangeName, ...] = ("binance", "bybit")


# What an exchange's variables say, behind POSGUARD_BINANCE_ and POSGUARD_BYBIT_. docs/configuration.md is made from this.
VENUE_VARIABLES: Mapping[str, str] = {
    "KEY": "API key; one that can only read is enough, and better",
    "SECRET": "its secret",
    "WORLD": "`simulator`, `testnet`, `demo` or `production`; without it testnet, unless the bot's own flag is off",
    "ACCOUNT": "what posguard calls the account; `main` by default",
    "URL": "replaces the exchange's own address: a simulator, a proxy",
    "HEDGE": "`true` where the account is in hedge mode; `false` by default",
    "SETTLE_COINS": "coins whose positions are read, with commas; `USDT,USDC` by default",
    "TRADE_KEY": "API key that may trade; only trading needs it",
    "TRADE_SECRET": "its secret",
}
# The bot's own flags: they decide between testnet and a refusal where WORLD is not set.
BOT_FLAGS = ("BINANCE_TESTNET", "BYBIT_TESTNET")


def known_variables() -> frozenset[str]:
    """Every environment variable of posguard's that somebody reads."""
    own = {f"POSGUARD_{name.upper()}" for name in Settings.model_fields}
    venues = {f"POSGUARD_{exchange.upper()}_{name}" for exchange in EXCHANGES for name in VENUE_VARIABLES}
    return frozenset(own | venues | {"POSGUARD_TEST_DSN", "POSGUARD_CHROMIUM"})


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except ValueError:
        # without the text: whoever mixed up two variables may have put a secret there
        raise ValueError("it is no duration; write 90s, 15m, 8h or 1h30m") from None


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class VenueSettings(BaseModel):
    """One venue: exchange, account, world, address, credentials to read with and others to trade with. base_url replaces the exchange's own address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: ExchangeName
    account: str = "main"
    world: World
    api_key: SecretStr
    api_secret: SecretStr
    trade_key: SecretStr | None = None
    trade_secret: SecretStr | None = None
    base_url: str | None = None
    hedge: bool = False
    settle_coins: tuple[str, ...] = Field(default=("USDT", "USDC"), min_length=1)

    @property
    def id(self) -> VenueId:
        """Exchange and account."""
        return VenueId(self.exchange, self.account)


class LogSource(BaseModel):
    """One declared log of the bot: its name, which is part of each record's identity, where its files are, and the zone its clock shows.

    `paths` are files, folders or globs, local or on object storage (`s3://…`); `zone` is an IANA name such as
    `Europe/Berlin`, since the lines carry local time and no offset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")
    paths: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(min_length=1)
    zone: str

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"{zone!r} is no time zone; an IANA name such as Europe/Berlin or UTC is wanted"
            raise ValueError(message) from None
        return zone


class Settings(BaseSettings):
    """The settings of one process. Field names in capitals behind POSGUARD_ are the environment's; docs/configuration.md lists them."""

    model_config = SettingsConfigDict(
        env_prefix="POSGUARD_", env_file=ENV_FILE, extra="ignore", frozen=True, env_ignore_empty=True
    )

    dsn: SecretStr | None = Field(None, description="PostgreSQL address of the bot's database")
    venues: tuple[VenueSettings, ...] = Field((), description="further venues, as a JSON list")

    grace: Duration = Field(
        timedelta(seconds=60), description="age under which an unfinished row is no finding"
    )
    incomplete_critical_after: Duration = Field(
        timedelta(hours=1), description="age from which it is critical"
    )
    aged_after: Duration = Field(
        timedelta(hours=3), description="age from which an open position counts as aged"
    )
    snapshots: int = Field(3, ge=2, le=5, description="consecutive complete snapshots that absence needs")
    snapshot_gap: Duration = Field(timedelta(seconds=1.5), description="time between two of them")
    resolve_after: int = Field(2, ge=1, description="clean complete passes until a finding is resolved")
    max_skipped_share: float = Field(
        0.2, ge=0, le=1, description="share of moving rows that makes a pass inconclusive"
    )
    weight_share: float = Field(
        0.25, gt=0, le=1, description="share of a venue's request budget posguard may use"
    )
    venue_timeout: Duration = Field(timedelta(seconds=10), description="time-out of one request to a venue")
    max_clock_skew: Duration = Field(
        timedelta(seconds=2), description="clock skew that makes a venue inconclusive"
    )
    database_timeout: Duration = Field(timedelta(seconds=30), description="time-out of one statement")
    plan_lifetime: Duration = Field(
        timedelta(minutes=15), description="time in which a cleanup plan may be confirmed"
    )
    stop_distance: Decimal = Field(
        Decimal("0.05"),
        gt=0,
        lt=1,
        description="share of the entry price at which a stop is placed that no row records",
    )
    log_sources: tuple[LogSource, ...] = Field(
        (), description="the bot's logs, as a JSON list of name, paths and zone"
    )
    log_patterns: str = Field(
        "", description="a file of patterns for the bot's logs, beside the shipped ones; docs/logs.md"
    )
    log_retention_days: int = Field(
        90, ge=7, le=3650, description="days that loaded log events are kept; older records are not loaded"
    )
    error_hours: int = Field(24, ge=1, le=744, description="hours over which errors are counted by the hour")
    monitor_error_rate: int = Field(
        10, ge=1, description="errors a minute on one exchange from which the monitor warns"
    )
    monitor_price_silence: Duration = Field(
        timedelta(minutes=3), description="time without a price from which the monitor warns"
    )
    monitor_bot_silence: Duration = Field(
        timedelta(minutes=10), description="time without an event of the bot from which the monitor warns"
    )
    monitor_retention_days: int = Field(
        90, ge=1, le=3650, description="days that ended runs of the monitor are kept in the database"
    )
    baseline: str = Field(BEFORE, description="name of the baseline that success is measured against")
    alert_routes: tuple[AlertRoute, ...] = Field(
        (), description="where alerts go, as a JSON list; docs/alerts.md"
    )
    alert_window: Duration = Field(
        timedelta(seconds=15), description="time in which alerts gather before they go out together"
    )
    alert_deadline: Duration = Field(
        timedelta(hours=2, minutes=10),
        description="time without a complete reconciliation after which an alert says so; 0 never does",
    )
    alert_retention_days: int = Field(
        365, ge=30, le=3650, description="days that alerts which were sent and stand no more are kept"
    )
    heartbeat_url: SecretStr | None = Field(
        None,
        description="address that each complete run asks for, so that a watcher outside notices a silence",
    )
    backup_folder: str = Field("backups", description="where cleanup keeps its backups")
    demo: bool = Field(False, description="set by the demo for its own processes: the world is made up")

    @field_validator("alert_routes", "log_sources")
    @classmethod
    def _names_once(cls, named: tuple[AlertRoute | LogSource, ...]) -> tuple[AlertRoute | LogSource, ...]:
        if len({one.name for one in named}) < len(named):
            message = "two of them have the same name"
            raise ValueError(message)
        return named

    @field_validator("alert_window")
    @classmethod
    def _within_a_minute(cls, window: timedelta) -> timedelta:
        if not timedelta() <= window <= timedelta(seconds=45):
            message = "0s to 45s are possible: an alert goes out within a minute"
            raise ValueError(message)
        return window

    @field_validator("heartbeat_url")
    @classmethod
    def _over_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("https://", "http://")):
            message = "it does not begin with https:// or http://"
            raise ValueError(message)
        return url

    @property
    def log_retention(self) -> timedelta:
        """log_retention_days as a time."""
        return timedelta(days=self.log_retention_days)

    @property
    def alert_retention(self) -> timedelta:
        """alert_retention_days as a time."""
        return timedelta(days=self.alert_retention_days)

    @property
    def used_weight_share(self) -> float:
        """weight_share; all of it in the demo, whose exchanges nobody else asks."""
        return 1.0 if self.demo else self.weight_share


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. Raises SettingsError that names the variable and never its value."""
    try:
        return Settings(**overrides)
    except UnreadableSettingError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = f"POSGUARD_{found[1].upper()}" if found else "POSGUARD_…"
        raise SettingsError(
            f"The setting {name} is no JSON that can be read. Nothing was done.",
            hint="See docs/configuration.md.",
        ) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "POSGUARD_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"The setting {name} is wrong: {first['msg']}. Nothing was done.",
            hint="See docs/configuration.md.",
        ) from None


def venues_from_environment(
    settings: Settings, env: dict[str, str] | None = None
) -> tuple[VenueSettings, ...]:
    """The venues that the environment names: POSGUARD_BINANCE_KEY, _SECRET, _WORLD, _URL, the same for BYBIT, and POSGUARD_VENUES.

    Credentials that may trade are apart, POSGUARD_BINANCE_TRADE_KEY and _TRADE_SECRET, and needed for trading alone.
    Without a world the bot's own BINANCE_TESTNET / BYBIT_TESTNET decides between testnet and a refusal: production is
    used only where POSGUARD_<EXCHANGE>_WORLD says `production`. Raises SettingsError.
    """
    env = {**_env_file(), **os.environ} if env is None else env
    found = [venue for name in EXCHANGES if (venue := _venue_from_environment(name, env)) is not None]
    return (*found, *settings.venues)


def _env_file() -> dict[str, str]:
    """The .env file of the present folder, which Settings reads too; what the environment says goes before it."""
    return {name: value for name, value in dotenv_values(ENV_FILE).items() if value is not None}


def unread_variables(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Variables named as posguard's that nobody reads, from the environment and .env: most often a slip of the pen."""
    named = {**_env_file(), **os.environ} if env is None else env
    return tuple(sorted(n for n in named if n.startswith("POSGUARD_") and n not in known_variables()))


def _venue_from_environment(exchange: ExchangeName, env: dict[str, str]) -> VenueSettings | None:
    said = {name: env.get(f"POSGUARD_{exchange.upper()}_{name}", "").strip() for name in VENUE_VARIABLES}
    if not said["KEY"] and not said["SECRET"]:
        return None
    if not said["KEY"] or not said["SECRET"]:
        missing = f"POSGUARD_{exchange.upper()}_{'SECRET' if said['KEY'] else 'KEY'}"
        raise SettingsError(
            f"{missing} is not set while its other half is. Nothing was done.", hint=f"Set {missing}."
        )
    fields = {
        "account": said["ACCOUNT"],
        "base_url": said["URL"],
        "hedge": said["HEDGE"],
        "settle_coins": [coin.strip().upper() for coin in said["SETTLE_COINS"].split(",") if coin.strip()],
    }
    try:
        return VenueSettings(
            exchange=exchange,
            world=world_from_environment(exchange, env),
            api_key=SecretStr(said["KEY"]),
            api_secret=SecretStr(said["SECRET"]),
            trade_key=_secret(said["TRADE_KEY"]),
            trade_secret=_secret(said["TRADE_SECRET"]),
            **{name: value for name, value in fields.items() if value},  # type: ignore[arg-type]  # pydantic reads texts
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = f" ({first['loc'][0]})" if first["loc"] else ""
        raise SettingsError(
            f"The settings POSGUARD_{exchange.upper()}_… are wrong{where}: {first['msg']}. Nothing was done.",
            hint="See docs/configuration.md.",
        ) from None


def world_of(exchange: str) -> World:
    """The world that the environment and .env name for an exchange, its key set or not. Raises SettingsError."""
    return world_from_environment(exchange, {**_env_file(), **os.environ})


def _secret(text: str | None) -> SecretStr | None:
    return SecretStr(text) if text else None


def world_from_environment(exchange: str, env: dict[str, str]) -> World:
    """The world of an exchange. Raises SettingsError where only the bot's flag points to production."""
    name = f"POSGUARD_{exchange.upper()}_WORLD"
    if text := env.get(name):
        try:
            return World(text.strip().lower())
        except ValueError:
            raise SettingsError(
                f"{name} is '{text}', which is none of {', '.join(World)}. Nothing was done."
            ) from None
    if env.get(f"{exchange.upper()}_TESTNET", "true").strip().lower() in {"0", "false", "no"}:
        raise SettingsError(
            f"{exchange.upper()}_TESTNET is off, and production is used only when named. Nothing was done.",
            hint=f"Set {name}=production, or testnet.",
        )
    return World.TESTNET


_PASSWORD_IN_URL = re.compile(r"(?P<head>[a-z0-9+]+://[^:/?#\s@]*:)[^@\s]*@", re.IGNORECASE)
_PASSWORD_IN_WORDS = re.compile(
    r"(?P<head>(?:password|secret|signature|api[-_]?key)\s*[=:]\s*)[^\s&,;'\"]+", re.IGNORECASE
)


def redact(text: str, *secrets: SecretStr | None) -> str:
    """`text` without passwords in addresses, key=value secrets, and the given secrets wherever they stand."""
    for secret in secrets:
        if secret and (value := secret.get_secret_value()):
            text = text.replace(value, "***")
    text = _PASSWORD_IN_URL.sub(r"\g<head>***@", text)
    return _PASSWORD_IN_WORDS.sub(r"\g<head>***", text)
