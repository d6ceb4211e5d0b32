"""The form of the cleanup DAG, what its tasks take of it, and the approval's clock: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.errors import OperatorError, RefusedError, UsageError
from posguard.model.plan import Choice, LineState, Mode, PlanState
from tests.fixtures.plans import key, order_line, row_line, stored_plan

pytestmark = pytest.mark.airflow

DEFAULTS = {
    "mode": "duplicates",
    "exchange": "all",
    "symbol": None,
    "min_age_hours": 1,
    "action": "none",
    "confirm": None,
    "production": None,
}
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def work():
    import posguard_cleanup_tasks

    return posguard_cleanup_tasks


@pytest.fixture
def form():
    import posguard_cleanup_params

    return posguard_cleanup_params


@pytest.fixture
def approval():
    import posguard_approval

    return posguard_approval


def test_the_form_says_what_each_field_is_and_offers_choices_as_choices(dag_bag, form):
    dag = dag_bag.dags["posguard_cleanup"]
    assert tuple(sorted(dag.params)) == tuple(sorted(form.PARAMS))
    assert dag.params.dump() == DEFAULTS  # what a click on Trigger sends: a plan, and nothing changes
    for name in ("confirm", "symbol", "production"):
        # an empty text would count as missing, and the button Trigger stay grey
        assert dag.params.get_param(name).schema["type"] == ["null", "string"]
    for name in form.PARAMS:
        param = dag.params.get_param(name)
        assert param.schema["title"], name
        assert len(param.description) > 20, name
    assert dag.params.get_param("mode").schema["enum"] == [mode.value for mode in Mode]
    assert set(dag.params.get_param("mode").schema["values_display"]) == set(Mode)
    assert dag.params.get_param("exchange").schema["enum"] == ["all", "binance", "bybit"]
    assert dag.params.get_param("action").schema["enum"] == ["none", "close", "adopt"]


def test_what_is_asked_for_reaches_the_plan(form):
    asked = form.read_params(
        DEFAULTS | {"mode": "orphaned-ex", "exchange": "bybit", "symbol": "kas/usdt:usdt", "action": "adopt"},
        {},
    )
    assert (asked.mode, asked.choice, str(asked.scope)) == (
        Mode.ORPHANED_EX,
        Choice.ADOPT,
        "KASUSDT on bybit",
    )
    assert form.read_params(DEFAULTS, None).scope.whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "BTCUSDT\n"},
        {"confirm": "ABCD-EFGH\n"},
        {"production": "0123456789abcdef\n"},
        {"symbol": "BTC'; DROP TABLE"},
        {"symbol": 5},
        {"mode": "everything"},
        {"exchange": "kraken"},
        {"action": "keep"},
        {"action": "close"},  # not of the mode duplicates
        {"min_age_hours": -1},
        {"min_age_hours": "1"},
        {"min_age_hours": True},
        {"min_age_hours": float("nan")},
        {"mode": ["all"]},
    ],
)
def test_what_airflow_lets_through_is_refused_by_the_task_and_named(form, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))) as raised:
        form.read_params(DEFAULTS | wrong, {})
    assert "Nothing was done" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_param_that_does_not_exist_is_no_slip_that_passes(form):
    with pytest.raises(UsageError, match="confrim"):
        form.read_params(DEFAULTS, {"confrim": "ABCD-EFGH"})


def test_a_slip_in_the_variable_opens_no_door(form, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_POSGUARD_CLEANUP_APPROVAL", "duplicats")
    with pytest.raises(UsageError, match="duplicats"):
        form.approval_modes()
    monkeypatch.setenv("AIRFLOW_VAR_POSGUARD_CLEANUP_APPROVAL", "Orphaned-EX , all")
    assert form.approval_modes() == {Mode.ORPHANED_EX, Mode.ALL}
    monkeypatch.delenv("AIRFLOW_VAR_POSGUARD_CLEANUP_APPROVAL")
    assert form.approval_modes() == frozenset()


def test_an_approval_waits_until_a_minute_before_the_plan_expires(approval):
    assert approval.waiting_time(NOW + timedelta(minutes=15), NOW) == timedelta(minutes=14)
    with pytest.raises(RefusedError, match="too soon for an approval"):
        approval.waiting_time(NOW + timedelta(seconds=89), NOW)


def test_silence_and_a_no_end_the_run_and_say_which(approval, dag_bag):
    task = dag_bag.dags["posguard_cleanup"].get_task("approve")
    assert task.defaults == ["Reject"]
    assert "Nobody approved" in approval.refusal({"chosen_options": ["Reject"], "responded_by_user": None})
    boss = {"id": "1", "name": "boss"}
    assert "rejected by boss" in approval.refusal({"chosen_options": ["Reject"], "responded_by_user": boss})
    from airflow.sdk.exceptions import AirflowFailException

    for event in (
        {"chosen_options": ["Reject"], "responded_by_user": None},
        {"chosen_options": ["Reject"], "responded_by_user": boss},
        {"chosen_options": [], "responded_by_user": boss},
        {"chosen_options": ["Approve", "Reject"], "responded_by_user": boss},
    ):
        with pytest.raises(AirflowFailException):
            task.execute_complete({}, event)


@pytest.mark.parametrize(
    ("ends", "strict", "lenient"),
    [
        ([(LineState.DONE, "", True)], "", ""),
        ([(LineState.DONE, "", None)], "", ""),
        ([(LineState.SKIPPED, "row #7 changed", None)], "line 1 skipped (row #7 changed)", ""),
        ([(LineState.DONE, "still there", False)], "not verified", "not verified"),
        ([(LineState.FAILED, "refused", None)], "failed (refused)", "failed (refused)"),
        ([(LineState.UNRESOLVED, "no answer", None)], "unresolved", "unresolved"),
    ],
)
def test_the_last_task_is_red_for_what_went_wrong(work, ends, strict, lenient):
    stored = stored_plan(row_line(), state=PlanState.PARTLY, ends=ends)
    for how, says in ((True, strict), (False, lenient)):
        line = work.troubles(stored, strict=how)
        assert (says in line) if says else not line


def test_a_plan_is_no_failure_unless_nothing_could_be_judged(work):
    lost = ("binance: no answer",)
    assert work.troubles(stored_plan(row_line(), order_line()), strict=True) == ""
    assert work.troubles(stored_plan(row_line(), inconclusive=lost), strict=True) == ""
    assert work.troubles(stored_plan(left_out=()), strict=True) == ""
    assert "no answer" in work.troubles(stored_plan(inconclusive=lost), strict=True)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (None, "posguard_binance_trade is not there"),
        ({"login": "k"}, "no password"),
        ({"login": "k", "password": "canary", "host": "https://other"}, "has a host"),
        ({"login": "k", "password": "canary", "extra": {"hedge": True}}, "unknown option hedge"),
        ({"login": "k", "password": "canary", "extra": {"world": "production"}}, "is for another world"),
        ({"login": "k", "password": "canary", "extra": {"account": "second"}}, "is for another account"),
    ],
)
def test_a_trade_key_of_another_place_is_refused(connect, fields, says):
    import posguard_airflow as glue
    from pydantic import SecretStr

    from posguard.settings import VenueSettings

    key = SecretStr("r")
    venue = VenueSettings(exchange="binance", world="testnet", api_key=key, api_secret=key)
    connect(**({"posguard_binance_trade": fields} if fields else {}))
    with pytest.raises(OperatorError) as raised:
        glue.with_trade_key(venue)
    assert says in str(raised.value)
    assert "canary" not in str(raised.value)
    connect(posguard_binance_trade={"login": "k", "password": "s", "extra": {"world": "testnet"}})
    keyed = glue.with_trade_key(venue)
    assert keyed.trade_key.get_secret_value() == "k"
    assert keyed.api_key == key


def test_an_approval_shows_a_line_for_each_line_and_takes_every_sign_at_its_word(work):
    text = work.as_markdown("Plan 1: a_b → c\n  1. #7 [x](http://y): retire\n     why: <b>`*`")
    assert text == (
        "\nPlan 1\\: a\\_b → c\n\n- 1\\. \\#7 \\[x\\]\\(http\\:\\/\\/y\\)\\: retire\n  - why\\: \\<b\\>\\`\\*\\`"
    )


def test_a_breaker_that_tripped_is_red_whatever_else_was_done(work):
    from posguard.model.plan import LeftOut
    from posguard.model.venue import VenueId
    from posguard.reconcile.breaker import Breaker

    left = (LeftOut(key(), "row #9", Breaker(VenueId("bybit"), 9, 2).sentence),)
    for state, lines, ends in (
        (PlanState.PLANNED, (), ()),
        (PlanState.APPLIED, (row_line(),), [(LineState.DONE, "", True)]),
    ):
        line = work.troubles(stored_plan(*lines, state=state, ends=ends, left_out=left), strict=False)
        assert line.startswith("BREAKER: ")
        assert "posguard cleanup orphaned-db --exchange bybit" in line
