"""How the suites reach the database: nothing secret leaks, sslmode is kept, sockets work, nothing is written or sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from pydantic import SecretStr

from posguard.errors import CredentialsError, DatabaseUnavailableError, SettingsError
from posguard.model.quality import Outcome
from posguard.postgres.embedded import free_port
from posguard.postgres.frozen import frozen_view
from posguard.quality.run import run_suites
from posguard.settings import Settings
from tests.conftest import run_script
from tests.fixtures.suite_cases import CASES

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

# Signs that an address, a shell, a template or a format string would read as something else.
CANARY = "c4nary$HOME%41{batch}\\$x&y"
SETTINGS = Settings(_env_file=None)
LIMIT = timedelta(seconds=20)


def changed(dsn: SecretStr, *, user=None, password=None, port=None, query=None) -> SecretStr:
    parts = urlsplit(dsn.get_secret_value())
    login = quote(user or parts.username, safe="")
    if secret := password or (parts.password if user is None else None):
        login += f":{quote(secret, safe='')}"
    netloc = f"{login}@{parts.hostname}:{port or parts.port}"
    return SecretStr(urlunsplit(parts._replace(netloc=netloc, query=query or parts.query)))


@pytest.fixture
def canary_dsn(bot_dsn):
    """A login with a password that must be seen nowhere, and rights on positions only."""
    role = f"r_{uuid.uuid4().hex[:12]}"
    plain = bot_dsn.get_secret_value()
    with psycopg.connect(plain, autocommit=True) as connection:
        literal = psycopg.sql.Literal(CANARY).as_string(connection)
        connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD {literal}; GRANT USAGE ON SCHEMA monitoring TO {role}; "
            f"GRANT SELECT ON monitoring.positions TO {role}"
        )
    yield changed(bot_dsn, user=role, password=CANARY)
    run_script(plain, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_password_is_seen_nowhere(canary_dsn, bot_dsn, tmp_path, capfd, caplog):
    caplog.set_level("DEBUG")
    run_script(bot_dsn.get_secret_value(), CASES["positions.side_known"].sql)
    results = run_suites(canary_dsn, settings=SETTINGS)
    outcomes = {one.result for one in results}
    assert {Outcome.ERROR, Outcome.VIOLATION, Outcome.PASS} <= outcomes
    seen = [repr(results), caplog.text, *capfd.readouterr()]
    for wrong in (
        changed(canary_dsn, port=free_port()),
        SecretStr(canary_dsn.get_secret_value().replace("postgresql://", "mysql://")),
        SecretStr(canary_dsn.get_secret_value().replace("@", "@@", 1)),
    ):
        with pytest.raises((DatabaseUnavailableError, SettingsError, CredentialsError)) as caught:
            run_suites(wrong, settings=SETTINGS)
        seen += [str(caught.value), repr(caught.value), caplog.text, *capfd.readouterr()]
    for text in seen:
        assert "c4nary" not in text


def test_no_address_and_a_wrong_one_are_one_clear_error_each(bot_dsn):
    with pytest.raises(SettingsError, match="No database is named"):
        run_suites(None, settings=SETTINGS)
    with pytest.raises(DatabaseUnavailableError, match="Connection refused"):
        run_suites(changed(bot_dsn, port=free_port()), settings=SETTINGS)
    with pytest.raises(SettingsError, match="cannot be read"):
        run_suites(SecretStr("nonsense"), settings=SETTINGS)
    with pytest.raises(CredentialsError, match="refused the login"):
        run_suites(changed(bot_dsn, user="nobody_here"), settings=SETTINGS)
    elsewhere = urlsplit(bot_dsn.get_secret_value())._replace(path="/no_such_database")
    with pytest.raises(SettingsError, match="no such database"):
        run_suites(SecretStr(urlunsplit(elsewhere)), settings=SETTINGS)


def test_a_login_that_is_out_of_connections_is_one_clear_error(canary_dsn, bot_dsn):
    role = urlsplit(canary_dsn.get_secret_value()).username
    run_script(bot_dsn.get_secret_value(), f"ALTER ROLE {role} CONNECTION LIMIT 1")
    with pytest.raises(DatabaseUnavailableError, match="too many connections") as caught:
        run_suites(canary_dsn, settings=SETTINGS)
    assert "c4nary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_sslmode_is_kept(bot_dsn):
    with psycopg.connect(bot_dsn.get_secret_value()) as connection:
        (offered,) = connection.execute("SHOW ssl").fetchone()
    demanding = changed(bot_dsn, query="sslmode=require")
    if offered == "off":
        with pytest.raises(DatabaseUnavailableError, match="SSL"):
            run_suites(demanding, settings=SETTINGS)
        return
    with frozen_view(demanding, limit=LIMIT) as view, view.connect() as connection:
        in_use = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert in_use == (True,)


def test_a_socket_address_works(bot_dsn):
    with psycopg.connect(bot_dsn.get_secret_value()) as connection:
        (folders,) = connection.execute("SHOW unix_socket_directories").fetchone()
    folder = Path(folders.split(",")[0].strip())
    parts = urlsplit(bot_dsn.get_secret_value())
    if not os.access(folder / f".s.PGSQL.{parts.port}", os.W_OK):
        pytest.skip("the server's socket is not within reach")
    socket = (
        f"postgresql://{parts.username}@{parts.path}?host={quote(str(folder), safe='')}&port={parts.port}"
    )
    results = run_suites(SecretStr(socket), settings=SETTINGS)
    assert {one.result for one in results} == {Outcome.PASS}


def test_connections_only_read_and_all_are_given_back(bot_dsn):
    with psycopg.connect(bot_dsn.get_secret_value(), autocommit=True) as watcher:
        watching = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posguard suites' AND datname = current_database()"
        with frozen_view(bot_dsn, limit=LIMIT) as view, view.connect() as connection:
            assert watcher.execute(watching).fetchone() == (2,)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("DELETE FROM monitoring.positions")
        run_suites(bot_dsn, settings=SETTINGS, suites=["orders"])
        # a backend ends a moment after its client has said good-bye
        until = time.monotonic() + 60
        while watcher.execute(watching).fetchone() != (0,):
            assert time.monotonic() < until, "a connection was kept"


QUIET = """
import json, socket, sys
def refuse(*a): raise AssertionError(f"network: {a[1:]}")
socket.socket.connect = refuse  # libpq has sockets of its own
socket.getaddrinfo = refuse
from pydantic import SecretStr
from posguard.settings import Settings
from posguard.quality.run import run_suites
results = run_suites(SecretStr(sys.argv[1]), settings=Settings(_env_file=None))
print(json.dumps([one.result.value for one in results]))
"""


def test_it_writes_no_file_asks_no_network_prints_nothing_and_warns_of_nothing(bot_dsn, tmp_path):
    home, work, temporary = (tmp_path / name for name in ("home", "work", "tmp"))
    for folder in (home, work, temporary):
        folder.mkdir()
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET, bot_dsn.get_secret_value()],
        capture_output=True,
        text=True,
        check=False,
        cwd=work,
        env=environment,
    )
    assert done.stderr == ""
    assert set(json.loads(done.stdout)) == {"pass"}
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []
