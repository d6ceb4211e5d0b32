"""Plans as shown: what changes, what is irreversible, how each stands, and when its code is offered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.model.plan import Given, LineState, PlanState
from posguard.reconcile.breaker import Breaker, tripped_in
from posguard.report.plans import plan_text, show
from tests.fixtures.known import AT
from tests.fixtures.plans import order_line, plan, row_line, stored_plan

SOON, LATE = AT + timedelta(minutes=14), AT + timedelta(minutes=15)


def test_what_sends_orders_stands_apart_from_what_restore_takes_back():
    shown = show(stored_plan(row_line(), order_line()), SOON)
    assert [one.subject for one in shown.rows] == [f"#7 {row_line().key}"]
    assert [one.orders for one in shown.apart] == [
        (
            "sell stop 100 at 0.05, reduce-only",
            f"sell 100 at market, reduce-only, {Given.STOP_REFUSED}",
        )
    ]
    assert shown.apart[0].fallback == (("status", "active", "closed"),)


def test_each_change_says_from_what_to_what_and_null_is_told_from_no_row():
    shown = show(stored_plan(row_line(), row_line(8, row=None)), SOON)
    kept, new = shown.rows
    assert kept.changes == (("status", "active", "rolled_back"), ("closed_at", "NULL", "(now)"))
    assert new.changes[1] == ("closed_at", "no row", "(now)")


@pytest.mark.parametrize(
    ("state", "lines", "now", "standing", "offered"),
    [
        (PlanState.PLANNED, (row_line(),), SOON, "open", True),
        (PlanState.PLANNED, (row_line(),), LATE, "expired", False),
        (PlanState.PLANNED, (), SOON, "nothing to do", False),
        (PlanState.APPLYING, (row_line(),), LATE, "under way", True),
        (PlanState.APPLIED, (row_line(),), SOON, "applied", False),
        (PlanState.PARTLY, (row_line(),), SOON, "partly done", False),
    ],
)
def test_the_code_is_offered_while_it_opens_something_and_no_longer(state, lines, now, standing, offered):
    shown = show(stored_plan(*lines, state=state), now)
    assert (shown.standing, shown.confirmable) == (standing, offered)


@pytest.mark.parametrize(
    ("end", "tone", "words"),
    [
        ((LineState.DONE, "", True), "clear", "done, verified"),
        ((LineState.DONE, "the problem is still there", False), "critical", "done, NOT verified"),
        ((LineState.SKIPPED, "row #7 changed", None), "grey", "skipped"),
        ((LineState.UNRESOLVED, "no answer", None), "critical", "unresolved"),
        ((LineState.FAILED, "refused", None), "critical", "failed"),
    ],
)
def test_a_line_that_is_not_proven_done_is_never_green(end, tone, words):
    shown = show(stored_plan(row_line(), state=PlanState.APPLYING, ends=(end,)), SOON)
    assert (shown.lines[0].tone, shown.lines[0].standing) == (tone, words)


def test_the_text_says_everything_that_the_page_says():
    stored = stored_plan(row_line(), order_line(), world="production", inconclusive=("bybit: no answer",))
    text = plan_text(stored, lines=10)
    for said in (
        "IRREVERSIBLE",
        "status: active → rolled_back",
        "order: sell stop 100 at 0.05",
        "why: no live stop",
        "If it is wrong (line 2)",
        "Not judged, so nothing is planned there: bybit: no answer",
        "suspected only: not proven yet",
        f"confirm {stored.code}, production 0123456789abcdef",
    ):
        assert said in text
    assert stored.code not in plan_text(stored, lines=10, how=False)


def test_a_long_plan_is_cut_and_says_so_and_no_line_can_forge_another():
    lines = [row_line(number, why=f"w{number}\n  99. forged") for number in range(1, 31)]
    text = plan_text(stored_plan(*lines), lines=10)
    assert "and 20 more, on the page" in text
    assert text.count("     why:") == 10
    assert "\n  99. forged" not in text


def test_what_was_done_names_the_backup_and_the_way_back():
    stored = stored_plan(
        row_line(), state=PlanState.APPLIED, ends=((LineState.DONE, "", True),), backup="/b/x.json"
    )
    text = plan_text(stored, lines=10)
    assert "1 of 1 lines done" in text
    assert "posguard restore /b/x.json" in text
    assert stored.code not in text


def test_a_breaker_is_known_by_its_own_sentence():
    from posguard.model.venue import VenueId

    assert tripped_in(Breaker(VenueId("binance"), 9, 2).sentence)
    assert not tripped_in("suspected only: more than the two")


def test_two_plans_have_two_codes():
    assert plan(row_line()).code != plan(row_line(8)).code
