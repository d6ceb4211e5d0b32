"""psycopg's errors mapped to posguard's, for the callers that do not go through the asyncpg pool."""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from posguard.errors import (
    CredentialsError,
    DatabaseUnavailableError,
    PosguardError,
    SchemaError,
    SettingsError,
)
from posguard.settings import redact

# At login libpq reports no SQLSTATE, only the server's words.
_REFUSED = re.compile(
    r'authentication failed|no password supplied|no pg_hba.conf entry|not permitted to log in|role "[^"]*" does not exist'
)


def secrets_of(dsn: SecretStr) -> tuple[SecretStr, ...]:
    """The secrets an address carries, as the server would see them (percent signs decoded)."""
    try:
        known = conninfo_to_dict(dsn.get_secret_value())
    except psycopg.Error:
        return ()
    return tuple(SecretStr(str(known[name])) for name in ("password", "sslpassword") if known.get(name))


def driver_error(error: BaseException) -> BaseException | None:
    """The driver's own error behind what a library raised; None where no driver had a part in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, psycopg.Error):
            return cause
        if isinstance(driver := getattr(cause, "orig", None), BaseException):
            return driver
        cause = cause.__cause__ or cause.__context__
    return None


def mapped_driver_error(error: BaseException | None, dsn: SecretStr) -> PosguardError:
    """The posguard error that a driver's error stands for, one line and without the address's secrets."""
    said = (redact(str(error or "").strip(), dsn, *secrets_of(dsn)).splitlines() or ["no word from it"])[0]
    code = getattr(error, "sqlstate", None) or ""
    if not code and (isinstance(error, psycopg.ProgrammingError) or "connection is bad" in said):
        # libpq could not read the address; what it says may quote parts of it
        return SettingsError(
            "The database address cannot be read. Nothing was done.",
            hint="It reads postgresql://user:password@host:5432/database.",
        )
    if code == "42501":
        return SchemaError(
            f"The database role may not do this: {said}. Nothing was changed.",
            hint="`posguard db roles` prints the grants it needs.",
        )
    if code.startswith("28") or _REFUSED.search(said):
        return CredentialsError(
            f"The database refused the login: {said}. Nothing was changed.",
            hint="Check user and password in POSGUARD_DSN or the connection posguard_db.",
        )
    if code == "3D000" or 'database "' in said:
        return SettingsError(
            f"The server has no such database: {said}. Nothing was changed.",
            hint="Check the name in POSGUARD_DSN or the connection posguard_db.",
        )
    if code == "55P03":
        return DatabaseUnavailableError(
            f"A table stayed locked: {said}. Nothing was changed.", hint="Run it again when it is quieter."
        )
    return DatabaseUnavailableError(
        f"The database did not carry it out: {said}. Nothing was changed.",
        hint="Check that it runs, then run it again.",
    )
