"""What the upgrade put into the bot's tables: it never fails the bot's old code, and holds the core to its own rules."""

from __future__ import annotations

import re
import uuid

import asyncpg
import psycopg
import pytest

from posguard.model.position import TERMINAL, Status
from posguard.model.transitions import BIRTHS, EDGES, may_become
from posguard.postgres import botupgrade
from posguard.postgres.botfacts import GUARD
from posguard.postgres.queries import queries, script
from tests.conftest import run_script
from tests.fixtures.bot_tables import position, rows

pytestmark = pytest.mark.postgres


@pytest.fixture
async def upgraded(bot_dsn):
    await botupgrade.upgrade(bot_dsn)
    return bot_dsn


@pytest.fixture
def bot(upgraded):
    """A connection in autocommit, as the bot's are."""
    with psycopg.connect(upgraded.get_secret_value(), autocommit=True, application_name="bot") as connection:
        yield connection


@pytest.fixture
def role(upgraded):
    """A role of this test's own that may do nothing yet."""
    name, dsn = f"role_{uuid.uuid4().hex[:8]}", upgraded.get_secret_value()
    run_script(dsn, f"CREATE ROLE {name}")
    yield name
    run_script(dsn, f"DROP OWNED BY {name} CASCADE")
    run_script(dsn, f"DROP ROLE {name}")


def one(connection, query, *parameters):
    return connection.execute(query, parameters or None).fetchone()


def lived(connection):
    """The bot's old code on one row: born active, entry placed, active, a tick, a stop, closed."""
    (number,) = one(connection, f"{position()} RETURNING id")
    for change in (
        "status = 'entry_placed', exchange_order_id = '53190368'",
        "status = 'active', has_stop_loss = true, stop_loss_price = 90",
        "current_price = 101, unrealized_pnl = 1, updated_at = now()",
        "status = 'closed', exit_reason = 'take profit', closed_at = now()",
    ):
        done = connection.execute(f"UPDATE monitoring.positions SET {change} WHERE id = {number}")
        assert done.rowcount == 1
    return number


RECORD = "SELECT operation, from_status, to_status, version FROM posguard.transitions WHERE position_id = %s ORDER BY id"


def test_every_change_of_a_row_of_the_old_code_is_recorded_and_ticks_are_not(bot):
    number = lived(bot)
    assert bot.execute(RECORD, [number]).fetchall() == [
        ("insert", None, "active", 0),
        ("update", "active", "entry_placed", 1),
        ("update", "entry_placed", "active", 2),
        ("update", "active", "closed", 3),
    ]
    actor, app, pid, reason, changed, managed = one(
        bot,
        "SELECT actor, app, backend_pid, reason, changed, core_managed FROM posguard.transitions ORDER BY id DESC LIMIT 1",
    )
    assert (actor, app, pid) == (bot.info.user, "bot", bot.info.backend_pid)
    assert (reason, changed, managed) == ("take profit", {"status": ["active", "closed"]}, False)
    (changed,) = one(bot, "SELECT changed FROM posguard.transitions WHERE to_status = 'entry_placed'")
    assert changed == {"status": ["active", "entry_placed"], "exchange_order_id": [None, "53190368"]}
    bot.execute("DELETE FROM monitoring.positions")
    assert one(
        bot, "SELECT operation, from_status, to_status FROM posguard.transitions ORDER BY id DESC LIMIT 1"
    ) == (
        "delete",
        "closed",
        None,
    )


def test_whoever_changes_a_row_can_say_who_from_where_and_why(bot):
    with bot.transaction():
        bot.execute(
            "SELECT set_config('posguard.actor', 'anna', true), set_config('posguard.origin', 'manual', true), "
            "set_config('posguard.reason', 'seen on the venue', true)"
        )
        bot.execute(position(status="closed"))
    bot.execute(position("ETHUSDT"))
    said = bot.execute("SELECT actor, origin, reason FROM posguard.transitions ORDER BY id").fetchall()
    assert said == [("anna", "manual", "seen on the venue"), (bot.info.user, None, None)]


@pytest.mark.parametrize(
    "broken",
    [
        "DROP TABLE posguard.transitions",
        "ALTER TABLE posguard.transitions RENAME COLUMN to_status TO other",
        "ALTER TABLE posguard.transitions ADD CONSTRAINT never CHECK (false) NOT VALID",
        "DROP FUNCTION posguard.decision_columns",
        "DROP INDEX monitoring.posguard_one_open_position; ALTER TABLE monitoring.positions DROP core_managed CASCADE",
        "ALTER TABLE monitoring.positions RENAME version TO edition",
        "ALTER TABLE monitoring.positions ALTER version SET DEFAULT 9223372036854775807",
        "ALTER FUNCTION posguard.record_transition() OWNER TO {role}",
    ],
)
def test_the_old_code_goes_on_when_the_record_cannot_be_written(bot, role, broken):
    bot.execute(f"GRANT CREATE, USAGE ON SCHEMA posguard TO {role}")
    for statement in broken.format(role=role).split(";"):
        bot.execute(statement)
    number = lived(bot)
    assert one(bot, "SELECT status FROM monitoring.positions WHERE id = %s", number) == ("closed",)
    bot.execute(position("ETHUSDT", status=None))
    bot.execute("UPDATE monitoring.positions SET status = 'phantom' WHERE status IS NULL")
    assert bot.execute("DELETE FROM monitoring.positions").rowcount == 2


def test_a_role_that_may_touch_nothing_of_posguards_is_recorded_all_the_same(bot, role):
    bot.execute(f"GRANT USAGE ON SCHEMA monitoring TO {role}")
    bot.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA monitoring TO {role}")
    bot.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA monitoring TO {role}")
    bot.execute(f"SET ROLE {role}")
    # a search path with traps: what the functions name must not be found there
    bot.execute("CREATE TEMP TABLE transitions (a int)")
    bot.execute("SET search_path = pg_temp, monitoring")
    number = lived(bot)
    bot.execute("RESET ROLE")
    assert len(bot.execute(RECORD, [number]).fetchall()) == 4


def test_a_locked_record_delays_the_old_code_for_a_moment_only(bot, upgraded):
    with psycopg.connect(upgraded.get_secret_value()) as other:
        other.execute("LOCK TABLE posguard.transitions IN ACCESS EXCLUSIVE MODE")
        bot.execute("SET statement_timeout = '10s'")
        number = lived(bot)
    assert bot.execute(RECORD, [number]).fetchall() == []


def test_the_core_gets_its_record_or_no_change(bot, upgraded):
    bot.execute(f"{position(status='pending_entry')}")
    bot.execute("UPDATE monitoring.positions SET core_managed = true")
    bot.execute("ALTER TABLE posguard.transitions RENAME TO elsewhere")
    with pytest.raises(psycopg.errors.UndefinedTable):
        bot.execute("UPDATE monitoring.positions SET status = 'submitting'")
    bot.execute("UPDATE monitoring.positions SET current_price = 5")
    assert one(bot, "SELECT status, current_price FROM monitoring.positions") == ("pending_entry", 5)


def test_version_counts_changes_and_cannot_be_written(bot):
    bot.execute(position())
    for change, wanted in (
        ("version = 77", 0),
        ("current_price = 3, unrealized_pnl = 4, fencing = 9, lease_owner = 'me'", 0),
        ("quantity = 2, version = version + 1", 1),
        ("quantity = 2", 1),
        ("stop_loss_price = 9", 2),
        ("core_managed = true", 3),
        ("request_key = 'k', entry_client_id = 'e'", 4),
    ):
        assert one(bot, f"UPDATE monitoring.positions SET {change} RETURNING version") == (wanted,), change


def test_version_counts_on_a_deployment_that_lacks_columns(bot):
    bot.execute("ALTER TABLE monitoring.positions DROP has_stop_loss, DROP stop_loss")
    bot.execute(position())
    for change, wanted in (("current_price = 3", 0), ("quantity = 2", 1), ("core_managed = true", 2)):
        assert one(bot, f"UPDATE monitoring.positions SET {change} RETURNING version") == (wanted,), change
    with pytest.raises(psycopg.errors.CheckViolation, match="posguard_legal_transition|may not become"):
        bot.execute("UPDATE monitoring.positions SET status = 'failed'")


def test_a_flag_for_a_person_is_recorded_with_its_reason(bot):
    bot.execute(position())
    bot.execute(
        "UPDATE monitoring.positions SET needs_attention = true, attention_reason = 'close is unknown'"
    )
    assert one(bot, "SELECT version, reason FROM posguard.transitions ORDER BY id DESC LIMIT 1") == (
        0,
        "close is unknown",
    )


@pytest.mark.parametrize("before", Status)
def test_the_database_allows_the_core_what_the_model_allows(bot, before):
    for after in Status:
        with bot.transaction(force_rollback=True):
            bot.execute(position(status=before))
            bot.execute("UPDATE monitoring.positions SET core_managed = true")
            change = "UPDATE monitoring.positions SET status = %s"
            if may_become(before, after):
                assert bot.execute(change, [after]).rowcount == 1
                continue
            with pytest.raises(
                psycopg.errors.CheckViolation, match=f"may not become {after} from {before}"
            ) as caught:
                bot.execute(change, [after])
            assert caught.value.diag.constraint_name == "posguard_legal_transition"


@pytest.mark.parametrize("status", [*Status, "phantom", None])
def test_birth_and_strange_statuses(bot, status):
    birth = position(status=status).replace("created_at)", "created_at, core_managed)", 1)[:-1] + ", true)"
    if status in BIRTHS:
        bot.execute(birth)
        return
    with pytest.raises(psycopg.errors.CheckViolation, match="may not become .* at its birth"):
        bot.execute(birth)
    bot.execute(position(status=status))
    if status not in set(Status):
        with pytest.raises(psycopg.errors.CheckViolation, match="posguard_known_status"):
            bot.execute("UPDATE monitoring.positions SET core_managed = true")


def test_a_row_of_the_cores_is_not_freed_and_changed_in_one_step(bot):
    bot.execute(position(status="pending_entry"))
    bot.execute("UPDATE monitoring.positions SET core_managed = true")
    for bad in (
        "status = 'active'",
        "status = 'active', core_managed = false",
        "status = NULL",
        "status = 'phantom'",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            bot.execute(f"UPDATE monitoring.positions SET {bad}")
    bot.execute("UPDATE monitoring.positions SET core_managed = false")
    bot.execute("UPDATE monitoring.positions SET status = 'active'")


def test_enum_check_edges_and_index_predicate_say_the_same(upgraded):
    def words(text):
        return set(re.findall(r"'([a-z_]*)'", text))

    ((check,),) = rows(
        upgraded,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'posguard_known_status'",
    )
    assert words(check) == set(Status)
    ((predicate,),) = rows(
        upgraded,
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = %s::regclass",
        f"monitoring.{GUARD}",
    )
    assert words(predicate) == TERMINAL | {""}
    ((source,),) = rows(upgraded, "SELECT prosrc FROM pg_proc WHERE proname = 'guard_position'")
    edges = re.findall(r"\('([a-z_]+)', '([a-z_]+)'\)", source)
    assert len(edges) == len(set(edges))
    assert set(edges) == {(before, after) for before, ways in EDGES.items() for after in ways}
    births = re.search(r"NEW.status IN \(([^)]*)\)", source)[1]
    assert words(births) == BIRTHS


def test_what_a_digest_covers_is_what_the_version_counts(upgraded):
    digest = script("positions").split("jsonb_build_array(")[1].split(")::text")[0]
    read = set(re.findall(r"j -> '(\w+)'", digest))
    ((names,),) = rows(upgraded, "SELECT posguard.decision_columns()")
    assert read
    counted = set(names)
    assert read <= counted
    ((source,),) = rows(upgraded, "SELECT prosrc FROM pg_proc WHERE proname = 'guard_position'")
    pairs = re.findall(r"OLD\.(\w+) IS DISTINCT FROM NEW\.(\w+)", source.split("NEW.version :=")[1])
    assert {before for before, after in pairs if before == after} == counted
    assert len(pairs) == len(counted)


def test_the_functions_run_as_the_tables_owner_and_see_no_other_schema(upgraded):
    found = rows(
        upgraded,
        "SELECT proname, prosecdef, proconfig, pg_get_userbyid(proowner) FROM pg_proc "
        "WHERE pronamespace = 'posguard'::regnamespace "
        "AND proname IN ('guard_position', 'is_restored', 'record_transition') ORDER BY 1",
    )
    ((owner,),) = rows(upgraded, "SELECT tableowner FROM pg_tables WHERE tablename = 'transitions'")
    assert [row[:2] for row in found] == [
        ("guard_position", True),
        ("is_restored", True),
        ("record_transition", True),
    ]
    assert all("search_path=pg_catalog, pg_temp" in row[2] for row in found)
    assert {row[3] for row in found} == {owner}


YIELDS = """
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)
VALUES ($1, $2, 'long', 1, 1, 'active')
ON CONFLICT (
    lower(btrim(exchange) COLLATE "C"), account,
    upper(translate(split_part(symbol, ':', 1), E'/_- \\t\\n\\r\\f\\x0B', '') COLLATE "C"), position_side
) WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', {last})
DO NOTHING RETURNING id
"""


async def test_on_conflict_with_literals_holds_for_ten_executions(upgraded):
    connection = await asyncpg.connect(upgraded.get_secret_value())
    literal = await connection.prepare(YIELDS.format(last="'canceled'"))
    got = [await literal.fetchval("BTC/USDT:USDT", "binance") for _ in range(10)]
    assert got == [1, *[None] * 9]
    # with a parameter in it the generic plan of the sixth execution finds no index any more
    parameter = await connection.prepare(YIELDS.format(last="$3"))
    for _ in range(5):
        assert await parameter.fetchval("BTCUSDT", "binance", "canceled") is None
    with pytest.raises(asyncpg.InvalidColumnReferenceError):
        await parameter.fetchval("BTCUSDT", "binance", "canceled")
    await connection.close()


async def test_the_clause_that_the_upgrade_proves_is_the_one_of_db_2(upgraded):
    clause = queries("botupgrade").arbiter.sql.split("ON CONFLICT")[1].split("DO NOTHING")[0]
    assert "".join(clause.split()) == "".join(
        YIELDS.format(last="'canceled'").split("ON CONFLICT")[1].split("DO NOTHING")[0].split()
    )
