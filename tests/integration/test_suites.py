"""The shipped suites on a real PostgreSQL: each expectation finds what is planted for it, and nothing where all is well."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from posguard.model.quality import KEYS_KEPT, Outcome
from posguard.postgres import botupgrade
from posguard.quality import run
from posguard.quality.run import run_suites
from posguard.quality.suites import FOLDER, load_suites
from posguard.settings import Settings
from tests.conftest import run_script
from tests.fixtures.suite_cases import CASES, HEALTHY, WITHOUT_GRACE

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

IDS = [rule.id for suite in load_suites() for rule in suite.expectations]
# What every deployment has, the oldest known included.
OLD_COLUMNS = (
    "id",
    "symbol",
    "exchange",
    "side",
    "quantity",
    "entry_price",
    "current_price",
    "status",
    "exchange_order_id",
    "stop_loss_price",
    "has_trailing_stop",
    "realized_pnl",
    "unrealized_pnl",
    "exit_reason",
    "error_details",
    "created_at",
    "updated_at",
    "opened_at",
    "closed_at",
)


@pytest.fixture
def healthy_dsn(bot_dsn):
    """A fresh bot database in which nothing is wrong; made for each test, since its rows are seconds old."""
    run_script(bot_dsn.get_secret_value(), HEALTHY)
    return bot_dsn


def settings(**overrides) -> Settings:
    return Settings(_env_file=None, **overrides)


def judge(dsn: SecretStr, **arguments) -> dict:
    overrides = arguments.pop("overrides", {})
    results = run_suites(dsn, settings=settings(**overrides), **arguments)
    by_id = {one.expectation: one for one in results}
    assert len(by_id) == len(results)
    return by_id


def violated(results: dict) -> dict[str, set[str]]:
    return {name: set(one.failing_keys) for name, one in results.items() if one.result is Outcome.VIOLATION}


def of(results: dict, outcome: Outcome) -> set[str]:
    return {name for name, one in results.items() if one.result is outcome}


def test_nothing_is_found_where_nothing_is_wrong(healthy_dsn):
    results = judge(healthy_dsn)
    assert list(results) == IDS
    assert {one.expectation: one.message for one in results.values() if one.result is not Outcome.PASS} == {}
    counted = {one.suite: one.rows_checked for one in results.values()}
    assert counted == {
        "events": 5,
        "freshness": 13,
        "log_events": 25,
        "orders": 6,
        "positions": 13,
        "trailing_stops": 6,
    }


def test_an_empty_database_passes(bot_dsn):
    assert of(judge(bot_dsn), Outcome.PASS) == set(IDS)


def test_every_expectation_has_its_planted_case():
    assert sorted(CASES) == sorted(IDS)


@pytest.mark.parametrize("name", IDS)
def test_the_planted_violation_is_found_by_its_keys_and_nothing_else_is(name, healthy_dsn):
    case = CASES[name]
    run_script(healthy_dsn.get_secret_value(), case.sql)
    results = judge(healthy_dsn)
    assert violated(results) == {name: case.keys} | case.besides
    assert of(results, Outcome.ERROR) == set()
    found = results[name]
    assert found.failing == len(case.keys)
    numbers = all(key.isdecimal() for key in case.keys)
    assert found.failing_keys == tuple(sorted(case.keys, key=int if numbers else None))
    assert all(key in found.message for key in case.keys)
    with psycopg.connect(healthy_dsn.get_secret_value()) as connection:
        again = connection.execute(found.query.encode()).fetchall()
    assert {str(row[0]) for row in again} == case.keys


def test_rows_on_the_move_are_let_be_for_the_grace_of_the_settings_and_no_longer(healthy_dsn):
    results = judge(healthy_dsn, overrides={"grace": timedelta(0)})
    assert violated(results) == WITHOUT_GRACE


@pytest.mark.parametrize("name", ["positions.quantity_positive", "positions.symbol_canonical"])
def test_all_failing_rows_are_counted_and_the_first_keys_kept(name, healthy_dsn):
    run_script(
        healthy_dsn.get_secret_value(),
        "INSERT INTO monitoring.positions (id, symbol, exchange, side, quantity, entry_price, status, opened_at, created_at, updated_at, closed_at) "
        "SELECT n, 'x', 'bybit', 'long', 0, 1, 'closed', now(), now(), now(), now() FROM generate_series(1000, 1300) AS n",
    )
    found = judge(healthy_dsn, suites=["positions"])[name]
    assert (found.failing, len(found.failing_keys)) == (301, KEYS_KEPT)
    assert set(found.failing_keys) <= {str(n) for n in range(1000, 1301)}
    assert "and 296 more" in found.message


def test_an_older_column_set_is_judged_by_what_it_has(healthy_dsn):
    dsn = healthy_dsn.get_secret_value()
    with psycopg.connect(dsn, autocommit=True) as connection:
        had = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'monitoring.positions'::regclass AND attnum > 0"
        ).fetchall()
        connection.execute("ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100)")
        connection.execute("UPDATE monitoring.positions SET stop_loss_order_id = 's' || id WHERE id < 5")
        for (column,) in had:
            if column not in OLD_COLUMNS:
                connection.execute(f"ALTER TABLE monitoring.positions DROP COLUMN {column}")
    newer = {"positions.take_profit_not_negative", "positions.leverage_positive"}
    results = judge(healthy_dsn)
    assert of(results, Outcome.NOT_APPLICABLE) == newer
    assert of(results, Outcome.PASS) == set(IDS) - newer
    leverage = results["positions.leverage_positive"]
    assert leverage.message == "Does not apply: this deployment lacks monitoring.positions.leverage."
    run_script(dsn, "UPDATE monitoring.positions SET stop_loss_order_id = '' WHERE id IN (1, 2)")
    assert violated(judge(healthy_dsn)) == {"positions.stop_recorded": {"1", "2"}}


def test_the_upgrade_of_the_bots_tables_changes_no_verdict(healthy_dsn):
    # the opening of a second row, still within its grace, is no finding and yet in the way of a unique index
    run_script(
        healthy_dsn.get_secret_value(),
        "UPDATE monitoring.positions SET status = 'failed', closed_at = now() WHERE id = 4",
    )
    asyncio.run(botupgrade.upgrade(healthy_dsn))
    assert of(judge(healthy_dsn), Outcome.PASS) == set(IDS)


def test_a_deployment_without_a_table_is_not_judged_by_it(healthy_dsn):
    run_script(
        healthy_dsn.get_secret_value(),
        "DROP TABLE monitoring.orders, monitoring.events, monitoring.trailing_stop_state",
    )
    results = judge(healthy_dsn)
    unaffected = {name for name in IDS if name.startswith(("positions.", "freshness.prices", "log_events."))}
    assert of(results, Outcome.PASS) == unaffected
    assert of(results, Outcome.NOT_APPLICABLE) == set(IDS) - unaffected


def test_without_positions_nothing_about_them_is_called_good(empty_dsn):
    run_script(empty_dsn.get_secret_value(), "CREATE SCHEMA monitoring")
    results = judge(empty_dsn, suites=["positions"])
    assert set(results) == {name for name in IDS if name.startswith("positions.")}
    without_newer = results.keys() - {"positions.take_profit_not_negative", "positions.leverage_positive"}
    assert of(results, Outcome.ERROR) == without_newer
    assert 'relation "positions" does not exist' in results["positions.side_known"].message


@pytest.fixture
def limited(server_dsn, healthy_dsn):
    """An address of the healthy database for a role that may read positions and the names of columns alone."""
    role = f"r_{uuid.uuid4().hex[:12]}"
    run_script(
        healthy_dsn.get_secret_value(),
        f"CREATE ROLE {role} LOGIN PASSWORD 'c4nary'; GRANT USAGE ON SCHEMA monitoring, posguard TO {role}; "
        f"GRANT SELECT ON monitoring.positions TO {role}",
    )
    yield _as(healthy_dsn, role, "c4nary"), role
    run_script(healthy_dsn.get_secret_value(), f"DROP OWNED BY {role}; DROP ROLE {role}")


def _as(dsn: SecretStr, user: str, password: str) -> SecretStr:
    from urllib.parse import quote, urlsplit, urlunsplit

    parts = urlsplit(dsn.get_secret_value())
    netloc = f"{user}:{quote(password)}@{parts.hostname}:{parts.port}"
    return SecretStr(urlunsplit(parts._replace(netloc=netloc)))


def test_a_missing_permission_is_an_error_and_never_a_violation(limited, healthy_dsn):
    dsn, _ = limited
    # with violations planted that the role cannot see
    run_script(
        healthy_dsn.get_secret_value(), CASES["orders.side_known"].sql + CASES["events.type_known"].sql
    )
    results = judge(dsn)
    assert violated(results) == {}
    unreadable = {
        name for name in IDS if name.split(".")[0] in {"orders", "events", "trailing_stops", "log_events"}
    }
    assert of(results, Outcome.ERROR) == unreadable | {"freshness.events"}
    for name in unreadable:
        assert "permission denied" in results[name].message
        assert "posguard db roles" in results[name].message
        assert (results[name].failing, results[name].failing_keys) == (0, ())


def test_a_permission_missing_for_one_expectation_leaves_the_others_judged(limited, healthy_dsn):
    dsn, role = limited
    run_script(
        healthy_dsn.get_secret_value(),
        f"REVOKE ALL ON monitoring.positions FROM {role}; GRANT SELECT ON monitoring.orders TO {role};"
        + CASES["orders.side_known"].sql,
    )
    results = judge(dsn, suites=["orders"])
    assert of(results, Outcome.ERROR) == {"orders.position_exists", "orders.market_matches_position"}
    assert violated(results) == {"orders.side_known": CASES["orders.side_known"].keys}


def _rule(name: str, query: str) -> dict:
    meta = {"id": f"custom.{name}", "title": name, "owner": "tests", "why": "a test"}
    kwargs = {"unexpected_rows_query": query}
    return {"type": "unexpected_rows_expectation", "severity": "info", "kwargs": kwargs, "meta": meta}


def _column_rule(name: str, column: str) -> dict:
    rule = _rule(name, "") | {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": column}}
    return rule | {"meta": rule["meta"] | {"id": f"custom.{name}"}}


@pytest.fixture
def custom(tmp_path):
    def write(*rules: dict, table: str = "monitoring.positions"):
        meta = {"title": "t", "table": table, "key": "id"}
        suite = {"name": "custom", "meta": meta, "expectations": list(rules)}
        (tmp_path / "custom.json").write_text(json.dumps(suite))
        return tmp_path

    return write


def test_broken_rules_are_errors_and_broken_data_violations_side_by_side(healthy_dsn, custom):
    folder = custom(
        _rule("misspelt", "SELECT id FROM {batch} WHERE symbl = ''"),
        _rule("no_sql", "SELEC id FROM {batch}"),
        _rule("divides_by_zero", "SELECT id FROM {batch} WHERE 1 / (id - id) = 1"),
        _column_rule("no_column", "nosuch"),
        _rule("finds_one", "SELECT id FROM {batch} WHERE id = 1"),
        _column_rule("finds_empty", "signal_id"),
        _rule("finds_none", "SELECT id FROM {batch} WHERE id = -1"),
        _column_rule("finds_full", "symbol"),
        _rule("brace", "SELECT id FROM {batch} WHERE id = 2 AND '{{1}}'::int [] = ARRAY[1] ORDER BY id"),
        _rule("percent", "SELECT id FROM {batch} WHERE symbol LIKE '%ETH%' OR id % 100 = 98"),
    )
    results = judge(healthy_dsn, folder=folder)
    said = {name.split(".")[1]: (one.result.value, one.failing) for name, one in results.items()}
    assert said == {
        "misspelt": ("error", 0),
        "no_sql": ("error", 0),
        "divides_by_zero": ("error", 0),
        "no_column": ("error", 0),
        "finds_one": ("violation", 1),
        "finds_empty": ("violation", 13),
        "finds_none": ("pass", 0),
        "finds_full": ("pass", 0),
        "brace": ("violation", 1),
        "percent": ("violation", 2),
    }
    assert "'{1}'::int []" in results["custom.brace"].query
    assert results["custom.misspelt"].message == 'Could not be judged: column "symbl" does not exist.'
    assert "nosuch" in results["custom.no_column"].message


def test_a_table_of_another_schema_is_the_one_that_is_judged(healthy_dsn, custom):
    run_script(
        healthy_dsn.get_secret_value(),
        "CREATE SCHEMA archive; CREATE TABLE archive.positions (id int, note text); INSERT INTO archive.positions VALUES (7, NULL)",
    )
    with_note = _column_rule("noted", "note")
    with_note["meta"]["applies_when_columns"] = ["archive.positions.note"]
    rules = (with_note, _rule("seven", "SELECT id FROM {batch} WHERE id = 7"))
    results = judge(healthy_dsn, folder=custom(*rules, table="archive.positions"))
    assert violated(results) == {"custom.noted": {"7"}, "custom.seven": {"7"}}
    with psycopg.connect(healthy_dsn.get_secret_value()) as connection:
        for one in results.values():
            assert [row[0] for row in connection.execute(one.query.encode()).fetchall()] == [7]


def test_a_rule_that_takes_too_long_is_an_error_and_the_next_ones_are_judged(healthy_dsn, custom):
    folder = custom(
        _rule("slow", "SELECT id FROM {batch} WHERE pg_sleep(300) IS NULL"),
        _rule("quick", "SELECT id FROM {batch} WHERE id = 1"),
    )
    judge(healthy_dsn, folder=folder, overrides={"database_timeout": timedelta(seconds=5)}, suites=["custom"])
    results = judge(healthy_dsn, folder=folder, overrides={"database_timeout": timedelta(seconds=0.5)})
    assert results["custom.slow"].result is Outcome.ERROR
    assert "POSGUARD_DATABASE_TIMEOUT" in results["custom.slow"].message
    assert results["custom.quick"].result is Outcome.VIOLATION


def test_a_rule_cannot_write(healthy_dsn, custom):
    folder = custom(_rule("writes", "SELECT nextval('monitoring.positions_id_seq') AS id FROM {batch}"))
    found = judge(healthy_dsn, folder=folder)["custom.writes"]
    assert found.result is Outcome.ERROR
    assert "read-only transaction" in found.message


def test_all_expectations_see_one_instant(healthy_dsn, monkeypatch):
    counted = run._row_count

    def meanwhile(batch):
        if not moved:
            moved.append(1)
            run_script(
                healthy_dsn.get_secret_value(),
                CASES["positions.quantity_positive"].sql + "DELETE FROM monitoring.orders;",
            )
        return counted(batch)

    moved: list[int] = []
    monkeypatch.setattr(run, "_row_count", meanwhile)
    before = judge(healthy_dsn)
    assert moved
    assert violated(before) == {}
    assert before["orders.side_known"].rows_checked == 6
    monkeypatch.undo()
    after = judge(healthy_dsn)
    assert set(violated(after)) == {"positions.quantity_positive"}
    assert after["orders.side_known"].rows_checked == 0


def test_a_connection_that_breaks_in_the_middle_leaves_errors_and_no_verdict(healthy_dsn, monkeypatch):
    counted = run._row_count

    def cut_off(batch):
        rows = counted(batch)
        run_script(
            healthy_dsn.get_secret_value(),
            CASES["positions.side_known"].sql + "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'posguard suites' AND datname = current_database()",
        )
        return rows

    monkeypatch.setattr(run, "_row_count", cut_off)
    results = judge(healthy_dsn, suites=["positions"])
    assert of(results, Outcome.ERROR) == set(results)
    assert len(results) == 18


def test_great_expectations_loads_every_file_as_it_is():
    from great_expectations.core import ExpectationSuite

    for suite in load_suites():
        loaded = ExpectationSuite(**json.loads((FOLDER / f"{suite.name}.json").read_text()))
        assert [one.meta["id"] for one in loaded.expectations] == [rule.id for rule in suite.expectations]
        assert [str(one.severity.value) for one in loaded.expectations] == [
            rule.severity.value for rule in suite.expectations
        ]


def test_time_of_all_suites_is_reported(healthy_dsn, capsys):
    rows = 100_000
    run_script(
        healthy_dsn.get_secret_value(),
        "INSERT INTO monitoring.positions (id, symbol, exchange, side, quantity, entry_price, status, closed_at) "
        f"SELECT 1000 + n, 'T' || n || 'USDT', 'bybit', 'long', 1, 1, 'closed', now() FROM generate_series(1, {rows}) AS n;"
        "INSERT INTO monitoring.events (id, event_type, position_id) "
        f"SELECT 1000 + n, 'position_updated', 1 FROM generate_series(1, {rows}) AS n; ANALYZE;",
    )
    judge(healthy_dsn, suites=["freshness"])  # the import is not what is measured
    started = time.monotonic()
    results = judge(healthy_dsn)
    took = time.monotonic() - started
    with capsys.disabled():  # the figure is for people, no machine is held to it
        print(f"\n{len(results)} expectations on {rows} positions and {rows} events: {took:.1f} s")  # noqa: T201
    assert of(results, Outcome.PASS) == set(IDS)
