"""Where Airflow and posguard meet: Connections become settings, posguard's errors become Airflow's, each task calls posguard.

Importable by the DAGs and the page alike, and light: Airflow itself, ccxt and Great Expectations are imported inside the
functions that need them.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode
from weakref import WeakSet

from pydantic import SecretStr, ValidationError

from posguard.errors import OperatorError, PosguardBugError, RetryableError, SettingsError
from posguard.model.venue import World
from posguard.settings import EXCHANGES, ExchangeName, Settings, VenueSettings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

log = logging.getLogger(__name__)

DAG_ID = "posguard_reconcile"
CLEANUP = "posguard_cleanup"
SCHEDULED_CLEANUP = "posguard_cleanup_scheduled"
CLEANUPS = (CLEANUP, SCHEDULED_CLEANUP)
AUDIT = "posguard_audit"
DAG_IDS = (DAG_ID, *CLEANUPS, AUDIT)
INGEST_LOGS = "posguard_ingest_logs"
INGEST_ARCHIVE = "posguard_ingest_archive"
DATABASE = "posguard_db"
# What may change something: read by the tasks `apply` alone.
WRITER = "posguard_db_cleanup"
VENUES = {name: f"posguard_{name}" for name in EXCHANGES}
TRADERS = {name: f"posguard_{name}_trade" for name in EXCHANGES}
OWNER = "posguard"

# What asyncpg and libpq both read from an address; anything else in a Connection's extra is Airflow's own.
_ADDRESS_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "target_session_attrs")
_VENUE_OPTIONS = {"world", "account", "hedge"}
_TRADE_OPTIONS = {"world", "account"}

Said = TypeVar("Said", bound=Exception)
_said: WeakSet[Exception] = WeakSet()  # what the task's log has in its one line already


class Connection(Protocol):
    """The fields of an Airflow Connection, whichever class brings them."""

    host: str | None
    port: int | None
    login: str | None
    password: str | None
    schema: str | None
    extra: str | None


def database_address(connection: Connection, name: str = DATABASE) -> SecretStr:
    """The asyncpg address of a PostgreSQL Connection, TLS options of its extra included.

    Airflow's own get_uri() drops sslmode and speaks a scheme that asyncpg refuses. Raises SettingsError.
    """
    if not connection.host or not connection.schema:
        lacks = "host" if not connection.host else "database (the field 'Database' or 'schema')"
        raise wrong_connection(name, f"has no {lacks}", "Set host, port, login, password and database.")
    extra = extra_of(name, connection)
    login = quote(connection.login or "", safe="")
    if login and connection.password:
        login += ":" + quote(connection.password, safe="")
    host = f"[{connection.host}]" if ":" in connection.host else quote(connection.host, safe="")
    place = f"{host}:{connection.port or 5432}/{quote(connection.schema, safe='')}"
    options = urlencode({name: extra[name] for name in _ADDRESS_OPTIONS if extra.get(name)})
    return SecretStr(f"postgresql://{login + '@' if login else ''}{place}{'?' + options if options else ''}")


def venue_settings(exchange: ExchangeName, connection: Connection) -> VenueSettings:
    """The venue of a Connection: login the key, password the secret, host the address, extra world, account and hedge.

    Raises SettingsError that names the Connection and never a value of it that may be secret.
    """
    name = VENUES[exchange]
    extra = extra_of(name, connection)
    if unknown := sorted(set(extra) - _VENUE_OPTIONS):
        raise wrong_connection(
            name, f"has the unknown option {unknown[0]}", "Its extra takes world, account and hedge."
        )
    if not connection.login or not connection.password:
        lacks = "login (the API key)" if not connection.login else "password (the API secret)"
        raise wrong_connection(name, f"has no {lacks}", "Set both, from a key that can only read.")
    try:
        world = World(str(extra.get("world", "")).strip().lower())
    except ValueError:
        hint = f'Put {{"world": "testnet"}} into its extra; the worlds are {", ".join(World)}.'
        raise wrong_connection(name, "names no world that exists", hint) from None
    address = base_url(connection)
    if world is World.SIMULATOR and address is None:
        raise wrong_connection(
            name, "means a simulator and has no host", "Set host to the simulator's address."
        )
    try:
        return VenueSettings.model_validate(
            {
                "exchange": exchange,
                "account": extra.get("account") or "main",
                "world": world,
                "api_key": connection.login,
                "api_secret": connection.password,
                "base_url": address,
                "hedge": extra.get("hedge", False),
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise wrong_connection(
            name, f"is wrong at {first['loc'][0]}: {first['msg']}", "Correct it."
        ) from None


def read_connections(*, venues: bool = True) -> Settings:
    """The settings of a task: the environment's POSGUARD_…, with database and venues from the Connections.

    An exchange without a Connection is left out, and a pass over its rows is then inconclusive. Raises SettingsError.
    """
    connection = find_connection(DATABASE)
    if connection is None:
        raise SettingsError(
            f"The Airflow connection {DATABASE} is not there. Nothing was done.",
            hint="Add it under Admin, Connections, type Postgres, or set AIRFLOW_CONN_POSGUARD_DB.",
        )
    dsn = database_address(connection)
    found: tuple[VenueSettings, ...] = ()
    if venues:
        named = {exchange: find_connection(name) for exchange, name in VENUES.items()}
        found = tuple(venue_settings(exchange, one) for exchange, one in named.items() if one is not None)
        if not found:
            raise SettingsError(
                f"None of the Airflow connections {', '.join(VENUES.values())} is there. Nothing was done.",
                hint='Add one for each exchange: login the key, password the secret, extra {"world": "testnet"}.',
            )
    return load_settings(dsn=dsn, venues=found)


def read_writer() -> SecretStr | None:
    """The address of `posguard_db_cleanup`, the role that may change the bot's rows; None where there is no such Connection.

    Raises SettingsError.
    """
    connection = find_connection(WRITER)
    return None if connection is None else database_address(connection, WRITER)


def with_trade_key(venue: VenueSettings) -> VenueSettings:
    """The venue with the key that may trade on it, from `posguard_<exchange>_trade`: login the key, password the secret.

    Address and world are those of the Connection that reads. Raises SettingsError where there is no such Connection, or it
    is for another world or account.
    """
    name = TRADERS[venue.exchange]
    connection = find_connection(name)
    if connection is None or not connection.login or not connection.password:
        lacks = (
            "is not there" if connection is None else "has no login (the API key) or no password (its secret)"
        )
        raise SettingsError(
            f"The plan sends orders to {venue.id}, and the Airflow connection {name} {lacks}. Nothing was changed.",
            hint="Its login is an API key that may trade, its password the secret; docs/connect.md.",
        )
    extra = extra_of(name, connection)
    if connection.host or (unknown := sorted(set(extra) - _TRADE_OPTIONS)):
        what = "a host" if connection.host else f"the unknown option {unknown[0]}"
        raise wrong_connection(
            name, f"has {what}", f"Address and world are those of {VENUES[venue.exchange]}."
        )
    for option, here in (("world", venue.world.value), ("account", venue.account)):
        if str(extra.get(option, here)).strip().lower() != here.lower():
            raise wrong_connection(
                name, f"is for another {option}", f"{VENUES[venue.exchange]} reads {option} {here}."
            )
    keys = {"trade_key": SecretStr(connection.login), "trade_secret": SecretStr(connection.password)}
    return venue.model_copy(update=keys)


def run_mark(run_id: str) -> str:
    """What ends the name of everybody who does something in a DAG run, so that what was done in it is found again."""
    return f"Airflow run {run_id}"


@contextmanager
def one_line() -> Iterator[None]:
    """Turns posguard's errors into Airflow's, one line each: retried where a retry can cure, else failed at once.

    The line in the task's log is all that is said of them; a bug keeps its traceback.
    """
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    try:
        yield
    except PosguardBugError:
        raise
    except RetryableError as error:
        raise said(AirflowException(str(error))) from None
    except OperatorError as error:
        raise said(AirflowFailException(str(error))) from None


def said(error: Said) -> Said:
    """Logs the error's line; the task runner, which logs a traceback of whatever ends a task, adds nothing to it."""
    import structlog

    log.error("%s", error)
    _said.add(error)
    processors = structlog.get_config()["processors"]
    # In place: the runner's logger was bound long ago and holds this very list.
    if isinstance(processors, list) and _drop_said not in processors:
        processors.insert(0, _drop_said)
    return error


def _drop_said(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    import structlog

    given = event.get("exc_info")
    if isinstance(given, tuple):
        given = given[1]
    raised = sys.exc_info()[1] if given is True else given
    if isinstance(raised, Exception) and raised in _said:
        raise structlog.DropEvent
    return event


def find_connection(name: str) -> Connection | None:
    """A Connection by its name, wherever Airflow keeps it; None where there is none. Airflow's logs mask its login from then on."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection: Connection = PostgresHook.get_connection(name)
    except AirflowNotFoundException:
        return None
    if connection.login and name not in {DATABASE, WRITER}:
        from airflow.sdk.log import mask_secret

        mask_secret(connection.login)  # Airflow masks passwords; an API key is half a secret too
    return connection


def extra_of(name: str, connection: Connection) -> Mapping[str, Any]:
    """The extra of a Connection. Raises SettingsError where it is no JSON object."""
    if not connection.extra:
        return {}
    try:
        extra = json.loads(connection.extra)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise wrong_connection(
            name, "has an extra that is no JSON object", 'Write it like {"world": "testnet"}.'
        )
    return extra


def base_url(connection: Connection) -> str | None:
    """The address of an HTTP Connection, without a slash at its end; None where it has no host."""
    if not connection.host:
        return None
    if "://" in connection.host:
        return connection.host.rstrip("/")
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'https'}://{connection.host.rstrip('/')}{port}"


def wrong_connection(name: str, what: str, hint: str) -> SettingsError:
    """The error of a Connection that cannot be used as it is."""
    return SettingsError(f"The Airflow connection {name} {what}. Nothing was done.", hint=hint)
