"""The suite files say all they must, agree with the model, and what is written wrongly is refused with its place."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from posguard.errors import SuiteError
from posguard.model.position import INTERMEDIATE, TERMINAL, Status
from posguard.postgres.queries import script
from posguard.quality.suites import FOLDER, ROWS, load_suites, parse_suite

SUITES = load_suites()
RULES = [rule for suite in SUITES for rule in suite.expectations]
BY_ID = {rule.id: rule for rule in RULES}


def test_every_file_is_a_suite():
    assert [suite.name for suite in SUITES] == sorted(path.stem for path in FOLDER.glob("*.json"))
    assert {"positions", "orders", "events", "trailing_stops", "freshness"} <= {s.name for s in SUITES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_expectation_tells_whose_it_is_and_why(rule):
    assert rule.owner in {"bot", "trading", "operations"}
    assert rule.title[0].isupper()
    assert not rule.title.endswith(".")
    assert rule.why.endswith(".")


def test_ids_are_unique_and_begin_with_their_suite():
    assert len(BY_ID) == len(RULES)
    for suite in SUITES:
        assert all(rule.id.startswith(f"{suite.name}.") for rule in suite.expectations)


def test_statuses_in_the_files_are_those_of_the_model():
    assert set(BY_ID["positions.status_known"].kwargs["value_set"]) == set(Status)
    filled = frozenset({Status.PENDING_SL, Status.ACTIVE, Status.CLOSED})
    meant = {TERMINAL, INTERMEDIATE, TERMINAL | INTERMEDIATE, filled}
    lists = re.findall(
        r"(?<![(.\w])(?:p\.)?status (?:NOT )?IN \(([^)]*)\)",
        _queries("positions", "freshness", "trailing_stops"),
    )
    assert len(lists) >= 7
    for one in lists:
        assert frozenset(re.findall(r"'(\w+)'", one)) in meant


def test_symbols_are_made_canonical_by_the_rule_of_the_reading_queries():
    def rules(text):
        return set(re.findall(r"upper\(translate\(split_part\([\w.]*symbol, (.*?) COLLATE \"C\"\)", text))

    used = rules(_queries("positions", "orders", "trailing_stops"))
    assert used == rules(script("positions"))
    assert len(used) == 1


def _queries(*names):
    return "\n".join(rule.query for suite in SUITES if suite.name in names for rule in suite.expectations)


def test_a_query_is_made_concrete_for_one_instant():
    now = datetime(2026, 1, 2, 3, 4, 5, 600, UTC)
    rule = BY_ID["positions.closed_has_closed_at"]
    query = rule.query_at("monitoring.positions", now, timedelta(minutes=1.5))
    assert "{" not in query
    assert "FROM monitoring.positions AS subselect" in query
    assert "<= timestamptz '2026-01-02 03:04:05.000600+00:00' - interval '90 seconds'" in query
    kwargs = rule.kwargs_at(now, timedelta(seconds=0.25))
    assert "FROM {batch}" in kwargs["unexpected_rows_query"]
    assert "interval '0.25 seconds'" in kwargs["unexpected_rows_query"]
    built_in = BY_ID["positions.quantity_positive"]
    assert built_in.kwargs_at(now, timedelta()) == built_in.kwargs
    assert built_in.query_at("monitoring.positions", now, timedelta()) == ""


GOOD = {
    "name": "mine",
    "meta": {"title": "Mine", "table": "monitoring.positions", "key": "id"},
    "expectations": [
        {
            "type": ROWS,
            "severity": "info",
            "kwargs": {"unexpected_rows_query": "SELECT id FROM {batch} WHERE id < 0"},
            "meta": {"id": "mine.ids", "title": "Ids", "owner": "me", "why": "Because."},
        }
    ],
}
RULE = ("expectations", 0)
QUERY = (*RULE, "kwargs", "unexpected_rows_query")


def broken(path, value):
    raw = copy.deepcopy(GOOD)
    *way, last = path
    place = raw
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("name",), None, "'name' is missing"),
        (("meta",), None, "'meta' is missing"),
        (("meta", "title"), " ", "'title' is missing"),
        (("meta", "key"), None, "'key' is missing"),
        (("meta", "table"), "positions", "no schema.table"),
        (("meta", "table"), "monitoring.positions; DROP TABLE x", "no schema.table"),
        (("meta", "applies_when_columns"), ["leverage"], "no list of schema.table.column"),
        (("expectations",), [], "no expectations"),
        ((*RULE, "severity"), "fatal", "none of critical, warning, info"),
        ((*RULE, "severity"), None, "'severity' is missing"),
        ((*RULE, "kwargs"), None, "'kwargs' is missing"),
        ((*RULE, "meta", "id"), None, "expectation 1 cannot be used: 'id' is missing"),
        ((*RULE, "meta", "id"), "Ids", "suite.rule"),
        ((*RULE, "meta", "title"), None, "mine.ids cannot be used: 'title'"),
        ((*RULE, "meta", "owner"), None, "'owner' is missing"),
        ((*RULE, "meta", "why"), None, "'why' is missing"),
        ((*RULE, "type"), "expect_table_row_count_to_equal", "gives no failing rows"),
        ((*RULE, "type"), "expect_column_max_to_be_between", "gives no failing rows"),
        (QUERY, None, "'unexpected_rows_query' is missing"),
        (QUERY, "SELECT 1", "{batch} exactly once"),
        (QUERY, "SELECT id FROM {batch} UNION SELECT id FROM {batch}", "{batch} exactly once"),
        (QUERY, "SELECT id FROM {batch} WHERE id = {limit}", "other placeholders"),
        (QUERY, "SELECT id FROM {batch} WHERE note = '{'", "stray brace"),
        (QUERY, "SELECT id FROM {batch} AS a Join orders AS o ON true", "JOIN"),
        (QUERY, "SELECT id FROM {batch}; DELETE FROM monitoring.positions", "semicolon"),
    ],
)
def test_what_is_written_wrongly_is_refused_with_its_place(path, value, said):
    with pytest.raises(SuiteError, match=re.escape(said)) as caught:
        parse_suite(broken(path, value), "mine.json")
    assert "mine.json" in str(caught.value)
    assert "Nothing was checked" in str(caught.value)


def test_a_built_in_rule_takes_no_row_condition():
    condition = {"type": "nullity", "column": {"name": "id"}, "is_null": False}
    text = json.loads(broken((*RULE, "type"), "expect_column_values_to_not_be_null"))
    text["expectations"][0]["kwargs"] = {"column": "id"}
    parse_suite(json.dumps(text), "mine.json")
    text["expectations"][0]["kwargs"]["row_condition"] = condition
    with pytest.raises(SuiteError, match="row_condition is not supported"):
        parse_suite(json.dumps(text), "mine.json")


def test_needs_of_suite_and_expectation_add_up():
    text = json.loads(broken(("meta", "applies_when_columns"), ["monitoring.positions.a"]))
    text["expectations"][0]["meta"]["applies_when_columns"] = ["monitoring.positions.b"]
    (rule,) = parse_suite(json.dumps(text), "mine.json").expectations
    assert rule.needs == ("monitoring.positions.a", "monitoring.positions.b")


def test_no_json_no_folder_wrong_name_and_twins_are_refused(tmp_path):
    with pytest.raises(SuiteError, match="is no JSON"):
        parse_suite("{", "mine.json")
    with pytest.raises(SuiteError, match="no suites in"):
        load_suites(folder=tmp_path)
    (tmp_path / "other.json").write_text(json.dumps(GOOD))
    with pytest.raises(SuiteError, match="its name 'mine' is not the file's"):
        load_suites(folder=tmp_path)
    (tmp_path / "other.json").write_text(json.dumps(GOOD | {"name": "other"}))
    (tmp_path / "mine.json").write_text(json.dumps(GOOD))
    with pytest.raises(SuiteError, match=r"mine and other both have the expectation mine\.ids"):
        load_suites(folder=tmp_path)


def test_suites_are_chosen_by_name():
    assert [suite.name for suite in load_suites(["orders", "events"])] == ["events", "orders"]
    with pytest.raises(SuiteError, match="no suite nonsense"):
        load_suites(["orders", "nonsense"])


def test_importing_the_runner_loads_nothing_heavy():
    code = (
        "import sys, posguard.quality.run, posguard.quality.suites, posguard.quality.outcome, posguard.postgres.results\n"
        "print([name for name in ('great_expectations', 'pandas', 'ccxt', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_great_expectations_one_line_says_what_to_install():
    code = (
        "import sys; sys.modules['great_expectations'] = None\n"
        "from posguard.errors import SettingsError\n"
        "from posguard.quality.run import run_suites\n"
        "from posguard.settings import Settings\n"
        "try: run_suites(None, settings=Settings(_env_file=None))\n"
        "except SettingsError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'posguard[quality]'" in done.stdout
    assert "no suite was run" in done.stdout
