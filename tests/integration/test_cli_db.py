"""`posguard db` as a person types it, against a real server."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest

from posguard.errors import ExitCode
from posguard.postgres.queries import script
from tests.conftest import run_script
from tests.program import posguard

pytestmark = pytest.mark.postgres

PASSWORD = "hunter2-canary"


@pytest.fixture
def bare_bot_dsn(empty_dsn):
    run_script(empty_dsn.get_secret_value(), script("bot_schema"))
    return empty_dsn.get_secret_value()


def name_of(dsn):
    return urlsplit(dsn).path.lstrip("/")


def test_upgrade_twice_check_and_down_again(bare_bot_dsn, tmp_path):
    def db(*words):
        return posguard("db", *words, folder=tmp_path, POSGUARD_DSN=bare_bot_dsn)

    db("check").fails_with(ExitCode.INCONCLUSIVE, "absent", "posguard db upgrade")
    first = db("upgrade", "--json")
    assert (first.code, first.err) == (0, "")
    assert first.json["before"] is None
    newest = first.json["after"]
    assert "nothing was changed" in db("upgrade").out
    assert db("check", "--json").json == {
        "target": "posguard",
        "current": newest,
        "newest": newest,
        "up_to_date": True,
    }
    warned = db("downgrade")
    assert warned.code == 0
    assert "posguard.findings" in warned.out
    assert f"posguard db downgrade --confirm {name_of(bare_bot_dsn)}" in warned.out
    assert db("check").code == 0
    db("downgrade", "--confirm", "other").fails_with(
        ExitCode.REFUSED, name_of(bare_bot_dsn), "Nothing was changed"
    )
    assert db("check").code == 0
    assert db("downgrade", "--confirm", name_of(bare_bot_dsn)).code == 0
    db("check").fails_with(ExitCode.INCONCLUSIVE, "absent")
    assert "nothing was changed" in db("downgrade").out


def test_downgrade_counts_what_would_be_lost(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    run_script(
        dsn,
        "INSERT INTO posguard.runs (started_at, source, world, database_fingerprint) "
        "SELECT now(), 'cli', 'testnet', 'x' FROM generate_series(1, 3)",
    )
    told = posguard("db", "downgrade", "--json", folder=tmp_path, POSGUARD_DSN=dsn)
    assert told.json["rows"]["runs"] == 3
    assert told.json["confirm"] == name_of(dsn)
    assert told.json["before"] == told.json["after"]


def test_downgrade_is_refused_while_the_bots_tables_carry_the_upgrade(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    run_script(dsn, "ALTER TABLE monitoring.positions ADD core_managed boolean")
    for words in ((), ("--confirm", name_of(dsn))):
        ended = posguard("db", "downgrade", *words, folder=tmp_path, POSGUARD_DSN=dsn)
        ended.fails_with(ExitCode.REFUSED, "core_managed", "Nothing was changed")


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        (None, "POSGUARD_DSN"),
        (f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", "Check that it runs"),
        (f"mysql://u:{PASSWORD}@h/x", "postgresql://user:password@host"),
        (f"u:{PASSWORD}@nothing at all", "postgresql://user:password@host"),
    ],
)
def test_wrong_or_no_address_is_one_line(tmp_path, dsn, says):
    given = {} if dsn is None else {"POSGUARD_DSN": dsn}
    ended = posguard("db", "upgrade", folder=tmp_path, **given)
    ended.fails_with(ExitCode.INCONCLUSIVE, says)
    assert PASSWORD not in ended.err


def test_a_server_without_that_database_is_one_line(server_dsn, tmp_path):
    dsn = urlsplit(server_dsn)._replace(path="/not_there").geturl()
    for words in (("check",), ("upgrade",), ("downgrade",)):
        ended = posguard("db", *words, folder=tmp_path, POSGUARD_DSN=dsn)
        ended.fails_with(ExitCode.INCONCLUSIVE, "no such database")


def test_a_database_that_is_not_the_bots_is_refused(empty_dsn, tmp_path):
    ended = posguard("db", "upgrade", folder=tmp_path, POSGUARD_DSN=empty_dsn.get_secret_value())
    ended.fails_with(ExitCode.INCONCLUSIVE, "monitoring.positions", "Nothing was changed")


def test_a_newer_schema_than_this_program_knows_is_one_line(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    run_script(dsn, "UPDATE posguard.schema_version SET version_num = '9999'")
    for words in (("upgrade",), ("downgrade", "--confirm", name_of(dsn)), ("check",)):
        posguard("db", *words, folder=tmp_path, POSGUARD_DSN=dsn).fails_with(ExitCode.INCONCLUSIVE, "9999")


def test_no_demo_is_one_line(tmp_path):
    ended = posguard("db", "check", "--demo", folder=tmp_path)
    ended.fails_with(ExitCode.INCONCLUSIVE, "No demo runs here", "make demo")


def test_a_password_of_the_wrong_role_never_shows(server_dsn, tmp_path):
    """A role that may not log in, so that the server refuses whatever its authentication is."""
    role = f"r_{uuid.uuid4().hex[:8]}"
    run_script(server_dsn, f"CREATE ROLE {role} NOLOGIN PASSWORD '{PASSWORD}'")
    parts = urlsplit(server_dsn)
    dsn = parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()
    try:
        ended = posguard("db", "check", folder=tmp_path, POSGUARD_DSN=dsn)
    finally:
        run_script(server_dsn, f"DROP ROLE {role}")
    ended.fails_with(ExitCode.INCONCLUSIVE, "refused the login")
    assert PASSWORD not in ended.err


@pytest.fixture
def roles(server_dsn):
    """A prefix of role names of this test's own; what bears it is dropped afterwards."""
    prefix = f"p{uuid.uuid4().hex[:8]}"
    yield prefix
    for role in ("cleanup", "core", "reader", "migration"):
        run_script(server_dsn, f"DROP ROLE IF EXISTS {prefix}_{role}")


def under(dsn, role):
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


@pytest.fixture
def with_roles(bare_bot_dsn, roles, tmp_path):
    """The printed SQL run twice by the server's owner; yields (dsn of the owner, prefix)."""
    printed = posguard("db", "roles", "--prefix", roles, folder=tmp_path)
    assert (printed.code, printed.err) == (0, "")
    for _ in range(2):
        run_script(bare_bot_dsn, printed.out)
    for role in ("migration", "reader", "core", "cleanup"):
        run_script(bare_bot_dsn, f"ALTER ROLE {roles}_{role} PASSWORD '{PASSWORD}'")
    yield bare_bot_dsn, roles
    for role in ("cleanup", "core", "reader", "migration"):
        run_script(bare_bot_dsn, f"DROP OWNED BY {roles}_{role} CASCADE")


def refused(dsn, statement):
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_printed_roles_work_and_may_no_more_than_they_say(with_roles, tmp_path):
    dsn, prefix = with_roles
    upgraded = posguard("db", "upgrade", folder=tmp_path, POSGUARD_DSN=under(dsn, f"{prefix}_migration"))
    assert upgraded.code == 0, upgraded.err
    reader, cleanup = under(dsn, f"{prefix}_reader"), under(dsn, f"{prefix}_cleanup")
    with psycopg.connect(reader) as connection:
        connection.execute(
            "INSERT INTO posguard.runs (started_at, source, world, database_fingerprint) VALUES (now(), 'cli', 'x', 'x')"
        )
        for table in ("positions", "orders", "events", "trailing_stop_state"):
            connection.execute(f"SELECT count(*) FROM monitoring.{table}")
        connection.execute("SELECT posguard.make_log_partition(now())")
        connection.execute("SELECT posguard.drop_log_partitions(now() - interval '90 days')")
    for taken in ("make_log_partition(now())", "drop_log_partitions(now() - interval '90 days')"):
        refused(under(dsn, f"{prefix}_core"), f"SELECT posguard.{taken}")
    assert posguard("db", "check", folder=tmp_path, POSGUARD_DSN=reader).code == 0
    log = tmp_path / "bot.log"
    log.write_text(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S},000 - core - INFO - Created position #1 for APTUSDT\n"
    )
    words = ("logs", "load", str(log), "--source", "bot", "--tz", "UTC")
    loaded = posguard(*words, folder=tmp_path, POSGUARD_DSN=reader)
    assert "1 new events" in loaded.out, loaded.err
    assert posguard("logs", "retain", "--confirm", folder=tmp_path, POSGUARD_DSN=reader).code == 0
    change = "UPDATE monitoring.positions SET status = 'closed'"
    add = "INSERT INTO monitoring.events (event_type) VALUES ('x')"
    for statement in (change, add, "DELETE FROM monitoring.positions", "CREATE TABLE posguard.mine ()"):
        refused(reader, statement)
    refused(under(dsn, f"{prefix}_migration"), change)
    with psycopg.connect(cleanup) as connection:
        connection.execute(change)
        connection.execute(add)
    refused(cleanup, "DELETE FROM monitoring.positions")
    posguard("db", "upgrade", folder=tmp_path, POSGUARD_DSN=reader).fails_with(
        ExitCode.INCONCLUSIVE, "db roles"
    )


def test_roles_come_one_by_one_and_odd_prefixes_are_refused(tmp_path):
    one = posguard("db", "roles", "--role", "reader", folder=tmp_path)
    assert "CREATE ROLE posguard_reader" in one.out
    assert "CREATE ROLE posguard_cleanup" not in one.out
    posguard("db", "roles", "--prefix", 'x"; DROP', folder=tmp_path).fails_with(ExitCode.USAGE, "prefix")
