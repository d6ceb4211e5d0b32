"""Where a command looks: the settings of this process, or the record of the running demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from posguard.demo.record import DemoRecord
    from posguard.settings import Settings, VenueSettings


@dataclass(frozen=True, slots=True)
class Connections:
    """The database and the venues a command works on, and the settings it works by."""

    dsn: SecretStr
    venues: tuple[VenueSettings, ...]
    settings: Settings


def connections(*, demo: bool) -> Connections:
    """What the environment, .env or (with `demo`) the running demo name.

    Raises SettingsError: no database named, a malformed setting, no demo running.
    """
    from posguard.settings import load_settings, venues_from_environment

    if demo:
        record = demo_record()
        return Connections(
            record.dsn,
            record.venues,
            load_settings(demo=True, dsn=record.dsn, log_sources=record.log_sources),
        )
    settings = load_settings()
    return Connections(named(settings.dsn), venues_from_environment(settings), settings)


def database(*, demo: bool) -> SecretStr:
    """The database's address alone, for commands that ask no exchange. Raises SettingsError."""
    from posguard.settings import load_settings

    return demo_record().dsn if demo else named(load_settings().dsn)


def named(dsn: SecretStr | None) -> SecretStr:
    """The address. Raises SettingsError that says how to name one."""
    if not dsn:
        from posguard.postgres.pool import NO_DSN, NO_DSN_HINT

        raise SettingsError(NO_DSN, hint=NO_DSN_HINT)
    return dsn


def demo_record() -> DemoRecord:
    """The record of the running demo. Raises SettingsError that says how to start or install one."""
    try:
        from posguard.demo.record import read_record
    except ImportError:
        raise SettingsError(
            "The demo is not installed here. Nothing was done.", hint="pip install 'posguard[demo]'."
        ) from None
    return read_record()
