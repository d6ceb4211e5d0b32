"""`posguard db upgrade`: twice, interrupted, down and up again, refused where it must be; nothing of the bot's changes."""

from __future__ import annotations

import subprocess
import sys
import threading

import psycopg
import pytest
from pydantic import SecretStr

from posguard.errors import RefusedError, SchemaError
from posguard.postgres import migrate
from posguard.postgres.queries import script
from tests.conftest import run_script

pytestmark = pytest.mark.postgres

OUTLINE = """
SELECT n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE n.nspname = ANY(%s) ORDER BY 1, 2, 4
"""


def outline(dsn: SecretStr, *schemas: str) -> list[tuple]:
    with psycopg.connect(dsn.get_secret_value()) as connection:
        return connection.execute(OUTLINE, [list(schemas)]).fetchall()


@pytest.fixture
def bare_bot_dsn(empty_dsn):
    run_script(empty_dsn.get_secret_value(), script("bot_schema"))
    return empty_dsn


def test_up_twice_down_and_up_again_leaves_the_bots_tables_alone(bare_bot_dsn):
    bots = outline(bare_bot_dsn, "monitoring", "public")
    assert bots
    assert migrate.upgrade(bare_bot_dsn).current is None
    ours = outline(bare_bot_dsn, "posguard")
    assert migrate.upgrade(bare_bot_dsn).up_to_date
    assert outline(bare_bot_dsn, "posguard") == ours
    assert migrate.downgrade(bare_bot_dsn).up_to_date
    assert outline(bare_bot_dsn, "posguard") == []
    assert migrate.downgrade(bare_bot_dsn).current is None
    migrate.upgrade(bare_bot_dsn)
    assert outline(bare_bot_dsn, "posguard") == ours
    assert outline(bare_bot_dsn, "monitoring", "public") == bots


def test_a_database_that_is_not_the_bots_is_refused_and_stays_empty(empty_dsn):
    with pytest.raises(SchemaError, match="monitoring.positions"):
        migrate.upgrade(empty_dsn)
    assert outline(empty_dsn, "posguard") == []


def test_interrupted_in_the_middle_leaves_nothing_and_the_next_run_completes(bare_bot_dsn, monkeypatch):
    real = migrate.run_sql

    def interrupted(name):
        real(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate, "run_sql", interrupted)  # the version files are loaded anew by each upgrade
    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(bare_bot_dsn)
    monkeypatch.undo()
    assert outline(bare_bot_dsn, "posguard") == []
    migrate.upgrade(bare_bot_dsn)
    assert migrate.schema_state(bare_bot_dsn).up_to_date


def test_killed_in_the_middle_leaves_nothing_and_the_next_run_completes(bare_bot_dsn):
    dsn = bare_bot_dsn.get_secret_value()
    # A lock on the version table's schema makes the migrator wait inside its transaction, where it is killed.
    with psycopg.connect(dsn) as blocker:
        blocker.execute(script("take_turns"))
        code = "import sys; from pydantic import SecretStr; from posguard.postgres import migrate; migrate.upgrade(SecretStr(sys.argv[1]))"
        child = subprocess.Popen([sys.executable, "-c", code, dsn])
        with psycopg.connect(dsn, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posguard migrate' AND wait_event = 'advisory' AND datname = current_database()"
            while not watcher.execute(waiting).fetchone()[0]:
                assert child.poll() is None
        child.kill()
        child.wait()
    assert outline(bare_bot_dsn, "posguard") == []
    migrate.upgrade(bare_bot_dsn)
    assert migrate.schema_state(bare_bot_dsn).up_to_date


def test_two_migrators_at_once_take_turns(bare_bot_dsn):
    states = []
    workers = [
        threading.Thread(target=lambda: states.append(migrate.upgrade(bare_bot_dsn))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(state.up_to_date for state in states) == [False, True, True]


def test_downgrade_is_refused_while_the_bots_tables_carry_the_upgrade(bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD core_managed boolean NOT NULL DEFAULT false",
    )
    before = outline(bot_dsn, "posguard")
    with pytest.raises(RefusedError, match="core_managed"):
        migrate.downgrade(bot_dsn)
    assert outline(bot_dsn, "posguard") == before
