"""Violation, error and pass are told apart, whatever Great Expectations hands over."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.model.finding import Severity
from posguard.model.quality import KEYS_KEPT, Outcome
from posguard.quality.outcome import judged, not_applicable, not_judged
from posguard.quality.suites import ROWS, Expectation, Suite

RULE = Expectation("s.r", ROWS, {}, Severity.WARNING, "Title", "bot", "Why.")
SUITE = Suite("s", "S", "monitoring.positions", "id", (RULE,))
BOOM = {"raised_exception": True, "exception_message": "(psycopg.errors.X) no such column\nLINE 1: …"}
QUIET = {"raised_exception": False, "exception_message": None, "exception_traceback": None}


def say(success, result, exceptions=None, **more):
    arguments = {"rows": 10, "query": "SELECT 1", "cleaned": str} | more
    return judged(SUITE, RULE, success=success, result=result, exceptions=exceptions or QUIET, **arguments)


def rows(*ids):
    return {"observed_value": len(ids), "details": {"unexpected_rows": [{"id": one} for one in ids]}}


def mapped(count, *ids):
    return {
        "element_count": 10,
        "unexpected_count": count,
        "partial_unexpected_index_list": [{"id": one, "c": None} for one in ids],
        "unexpected_index_query": "SELECT id, c \nFROM positions \nWHERE c IS NULL;",
    }


def test_failing_rows_of_a_query_are_a_violation():
    found = say(False, rows(12, 9))
    assert (found.result, found.failing, found.failing_keys) == (Outcome.VIOLATION, 2, ("9", "12"))
    assert found.message == "2 of 10 rows break it, id 9, 12."
    assert found.query == "SELECT 1"
    assert (found.suite, found.expectation, found.title) == ("s", "s.r", "Title")
    assert (found.severity, found.owner, found.rows_checked) == (Severity.WARNING, "bot", 10)


def test_failing_rows_of_a_built_in_rule_are_a_violation_with_its_own_query():
    found = say(False, mapped(7, 3, 1), query="", rows=None)
    assert (found.result, found.failing, found.failing_keys) == (Outcome.VIOLATION, 7, ("1", "3"))
    assert found.message == "7 rows break it, id 1, 3 and 5 more."
    assert found.query == "SELECT id, c FROM monitoring.positions WHERE c IS NULL"


def test_keys_are_bounded_and_the_count_is_not():
    many = rows(*range(KEYS_KEPT + 50))
    found = say(False, many)
    assert (found.failing, len(found.failing_keys)) == (KEYS_KEPT + 50, KEYS_KEPT)


def test_a_query_that_does_not_select_the_key_says_so():
    found = say(False, {"observed_value": 2, "details": {"unexpected_rows": [{"n": 1}, {"n": 2}]}})
    assert (found.result, found.failing, found.failing_keys) == (Outcome.VIOLATION, 2, ())
    assert found.message == "2 of 10 rows break it; the query does not give their id."


def test_text_keys_are_kept_in_order():
    assert say(False, rows("b", "a")).failing_keys == ("a", "b")


def test_no_failing_row_is_a_pass_and_needs_no_query():
    for result in (rows(), mapped(0), {"element_count": 0, "unexpected_count": None}):
        found = say(True, result)
        assert (found.result, found.failing, found.query) == (Outcome.PASS, 0, "")
        assert found.message == "10 rows checked."


@pytest.mark.parametrize(
    ("success", "result"),
    [
        (False, {}),  # nothing was counted
        (True, {}),
        (None, rows()),
        (False, rows()),  # failed without a failing row
        (True, rows(1)),  # passed with one
        (False, {"observed_value": 1.5}),
        (False, {"observed_value": True}),
        (True, {"element_count": 10, "unexpected_count": None}),
    ],
)
def test_what_is_unclear_is_an_error(success, result):
    found = say(success, result)
    assert (found.result, found.failing, found.failing_keys) == (Outcome.ERROR, 0, ())
    assert "no clear count" in found.message


@pytest.mark.parametrize("exceptions", [BOOM, {"metric one": QUIET, "metric two": BOOM}])
def test_an_exception_is_an_error_in_either_of_its_shapes(exceptions):
    found = say(False, rows(1), exceptions)
    assert (found.result, found.failing) == (Outcome.ERROR, 0)
    assert found.message == "Could not be judged: no such column."
    assert found.query == "SELECT 1"


@settings(deadline=None)
@given(
    st.sampled_from([True, False, None]),
    st.sampled_from([rows(), rows(1), mapped(0), mapped(1, 1), {}]),
    st.text(max_size=40),
)
def test_never_a_verdict_on_the_data_where_an_exception_was_raised(success, result, words):
    for exceptions in (
        {"raised_exception": True, "exception_message": words},
        {"m": BOOM | {"exception_message": words}},
    ):
        assert say(success, result, exceptions).result is Outcome.ERROR


def test_violation_if_and_only_if_rows_were_counted_and_fail():
    for success, count in product((True, False, None), (0, 1, 9)):
        found = say(success, {"unexpected_count": count})
        assert (found.result is Outcome.VIOLATION) == (success is False and count > 0)
        assert (found.result is Outcome.PASS) == (success is True and count == 0)


def test_secrets_are_taken_out_and_hints_put_in():
    boom = {"raised_exception": True, "exception_message": "permission denied for table pw"}
    found = say(False, {}, boom, cleaned=lambda text: text.replace("pw", "***"))
    assert found.message == (
        "Could not be judged: permission denied for table ***. `posguard db roles` prints the grants it needs."
    )
    late = not_judged(SUITE, RULE, "canceling statement due to statement timeout")
    assert "POSGUARD_DATABASE_TIMEOUT" in late.message
    assert not_judged(SUITE, RULE, "").message == "Could not be judged: no reason was given."


def test_not_applicable_names_what_is_lacking():
    found = not_applicable(SUITE, RULE, ["monitoring.positions.a", "monitoring.positions.b"])
    assert found.result is Outcome.NOT_APPLICABLE
    assert found.message == (
        "Does not apply: this deployment lacks monitoring.positions.a, monitoring.positions.b."
    )
    assert found.rows_checked is None
