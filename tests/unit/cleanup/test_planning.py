"""What is planned in each situation, in the words of docs/scenarios.md. Pure: no database, no venue."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from posguard.cleanup.planning import decide, make_plan, without
from posguard.model.duration import parse_duration
from posguard.model.finding import Pass
from posguard.model.order import OrderHistory, OrderState, SeenOrder
from posguard.model.plan import Choice, Mode, PlanOptions, Role
from posguard.model.plan_text import line_of, line_plain, options_of, options_plain
from posguard.model.position import PositionSide
from posguard.model.venue import OrderKind, VenueId
from posguard.reconcile.compare import compare
from posguard.reconcile.run import Observed
from tests.unit.reconcile.scenario import NOW, Line, situation

COLUMNS = frozenset(
    [
        "symbol",
        "exchange",
        "side",
        "quantity",
        "entry_price",
        "status",
        "opened_at",
        "has_stop_loss",
        "stop_loss_price",
        "exit_reason",
        "closed_at",
    ]
)
OPTIONS = PlanOptions(Mode.ALL, timedelta(hours=1), Decimal("0.05"), columns=COLUMNS)


LONG_AGO = NOW - timedelta(days=400)


def history(*orders, **more):
    """The order histories of BTCUSDT: complete, and back to long ago, unless said otherwise."""
    values = {"complete": True, "since": LONG_AGO, "unfilled_since": LONG_AGO} | more
    return {
        (VenueId("binance", "main"), "BTCUSDT"): OrderHistory(
            VenueId("binance", "main"), "BTCUSDT", orders=orders, **values
        )
    }


def an_order(state, **more):
    values = {
        "order_id": "77", "client_order_id": "bot-1", "symbol": "BTCUSDT", "position_side": PositionSide.BOTH, "buys": True,
        "kind": OrderKind.MARKET, "state": state, "quantity": Decimal(10), "filled": Decimal(0), "average_price": None,
        "trigger_price": None, "reduce_only": False, "updated_at": None,
    }  # fmt: skip
    return SeenOrder(**(values | more))


ORDERS = history()


def observed(database, venue, evidence="–"):
    sit = situation(Line(0, "planning", database, venue, evidence, ""))
    seen = compare(sit)
    result = Pass(NOW, NOW, seen.findings, seen.verdicts, seen.rows_read, seen.rows_compared)
    return Observed(result, sit, seen, ORDERS)


def planned(database, venue, evidence="–", *, orders=None, **more):
    seen = observed(database, venue, evidence)
    seen = seen if orders is None else replace(seen, orders=orders)
    lines, left = decide(seen, replace(OPTIONS, **more))
    return [told(line) for line in lines], [one.why for one in left]


def told(line):
    """`#2 retire status rolled_back; orders …` in short."""
    status = next((c.after for c in line.changes if c.column == "status"), "")
    row = f"#{line.row.id} " if line.row else ""
    orders = "".join(f"; {order.sentence}" for order in line.orders)
    return f"{row}{line.action}{' ' + status if status else ''}{orders}"


PROTECTED = "long 10; stop sell 10 @95"
SCENES = [
    # duplicates: the row that matches the venue stays, whichever is older (CLN-1)
    ("#1 active long 61.8 2h; #2 active long 61.0 2h", "long 61.0; stop sell 61 @95", "no fills", ["#1 retire rolled_back"]),
    ("#1 active long 61.0 2h; #2 active long 61.8 2h", "long 61.0; stop sell 61 @95", "no fills", ["#2 retire rolled_back"]),
    ("#1 active long 10 2h; #2 active long 10 1h; #3 active long 10 1h", PROTECTED, "no fills",
     ["#2 retire rolled_back", "#3 retire rolled_back"]),
    ("#1 active long 10 2h; #2 unresolved long 10 119m", PROTECTED, "no fills", []),
    ("#1 active short 10 2h; #2 active short 10 2h", PROTECTED, "no fills", []),
    ("#1 active long 10 2h; #2 active long 10 2h", "", "no fills", ["#1 close_row closed", "#2 close_row closed"]),
    ("#1 active long 10 2h; #2 active long 10 2h", "", "bought 10 2h", []),
    # orphans: proven only
    ("#1 active long 10 2h", "", "bought 10 2h; sold 10 1h", ["#1 close_row closed"]),
    ("#1 active long 10 2h", "", "bought 10 2h", []),
    ("#1 active long 10 2h", "", "history cut", []),
    ("#1 active long 10 2h", "incomplete: no answer", "–", []),
    # unfinished rows
    ("#1 pending_entry long 10 2h", "", "no fills", ["#1 fail_row failed"]),
    ("#1 pending_entry long 10 2h", "", "bought 10 2h; sold 10 1h", ["#1 close_row rolled_back"]),
    ("#1 pending_entry long 10 2h", "", "history cut", []),
    ("#1 pending_entry long 10 2h", "limit buy 10 @90", "no fills", []),
    ("#1 pending_entry long 10 30m", "", "no fills", []),
    ("#1 pending_entry long 10 2h", PROTECTED, "–", []),
    ("#1 entry_placed long 10 2h", "", "no fills", ["#1 fail_row failed"]),
    ("#1 entry_placed long 10 2h", PROTECTED, "–",
     ["#1 close_position closed; sell 10 at market, reduce-only; cancel order o1, once the new stop stands or the position is flat"]),
    ("#1 entry_placed long 4 2h", PROTECTED, "–", []),
    ("#1 pending_sl long 10 2h", PROTECTED, "–", ["#1 finish_row active"]),
    ("#1 pending_sl long 10 2h", "", "no fills", ["#1 close_row rolled_back"]),
    ("#1 submitting long 10 2h", "", "no fills", []),
    # quantities; a flipped side is a person's
    ("#1 active long 12 2h", PROTECTED, "–", ["#1 take_quantity"]),
    ("#1 active short 10 2h", PROTECTED, "–", []),
    # orders left behind
    ("", "stop sell 10 @95 age 2h", "no fills", ["cancel_orders; cancel order o1"]),
    # external positions need a word
    ("", PROTECTED, "–", []),
]  # fmt: skip


@pytest.mark.parametrize(("database", "venue", "evidence", "wanted"), SCENES)
def test_scene(database, venue, evidence, wanted):
    lines, left = planned(database, venue, evidence)
    assert lines == wanted, left
    assert lines or left or "incomplete" in venue


UNSENT = ("#1 pending_entry long 10 2h", "", "no fills")


@pytest.mark.parametrize("state", OrderState)
def test_any_order_that_could_be_its_entry_keeps_a_row_from_never_sent(state):
    lines, (why,) = planned(*UNSENT, orders=history(an_order(state)))
    assert lines == []
    assert "order 77 (bot-1)" in why
    assert "something was sent" in why
    filled = history(an_order(OrderState.CANCELED, filled=Decimal(3), buys=False))
    assert "was cancelled with 3 filled" in planned(*UNSENT, orders=filled)[1][0]
    for more in ({"reduce_only": True}, {"quantity": None}):
        assert planned(*UNSENT, orders=history(an_order(state, **more)))[0] == ["#1 fail_row failed"]


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({}, "its order history was not read"),
        (history(complete=False, reasons=("orders: HTTP 500",)), "orders: HTTP 500"),
        (history(since=NOW - timedelta(hours=1)), "missing: the orders before"),
    ],
    ids=str,
)
def test_without_a_whole_history_of_orders_nothing_is_never_sent(orders, words):
    lines, (why,) = planned(*UNSENT, orders=orders)
    assert (lines, words in why) == ([], True), why


def test_a_row_that_names_an_order_was_sent():
    lines, (why,) = planned("#1 pending_entry long 10 2h order:7", "", "no fills")
    assert lines == []
    assert "names the order" in why


ENDED = ("canceled", "expired", "rejected")


@pytest.mark.parametrize("status", ["entry_placed", "pending_sl"])
@pytest.mark.parametrize("state", OrderState)
def test_a_sent_entry_ends_without_a_fill_only_where_its_orders_say_so(status, state):
    """CLN-5: no fill is told, so that only what became of the order says that nothing came of it."""
    where = (f"#1 {status} long 10 2h order:77", "", "no fills")
    (ends,) = planned(*where, orders=history(an_order(OrderState.CANCELED)))[0]
    lines, left = planned(*where, orders=history(an_order(state)))
    assert lines == ([ends] if state in ENDED else []), left
    assert state in ENDED or "order 77 (bot-1)" in left[0]
    partly = history(an_order(state, filled=Decimal(1)))
    assert planned(*where, orders=partly)[0] == []
    unnamed = (f"#1 {status} long 10 2h", "", "no fills")
    assert planned(*unnamed, orders=history(an_order(state)))[0] == lines


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({}, "its order history was not read"),
        (history(complete=False, reasons=("orders: HTTP 500",)), "orders: HTTP 500"),
        (history(since=NOW - timedelta(hours=1)), "missing: the orders before"),
        (history(), "names the order 77, and the venue's order history does not hold it"),
        (history(an_order(OrderState.CANCELED, order_id="78")), "does not hold it"),
    ],
    ids=str,
)
def test_without_its_order_nothing_is_said_of_an_entry_that_was_sent(orders, words):
    lines, (why,) = planned("#1 entry_placed long 10 2h order:77", "", "no fills", orders=orders)
    assert (lines, words in why) == ([], True), why


def test_what_filled_is_never_forgotten_so_that_an_old_order_which_is_not_told_filled_nothing():
    forgotten = history(unfilled_since=NOW - timedelta(hours=1))
    lines, _ = planned("#1 entry_placed long 10 2h order:77", "", "no fills", orders=forgotten)
    assert lines == ["#1 fail_row failed"]


@pytest.mark.parametrize(
    ("database", "venue", "evidence"),
    [
        ("#1 pending_entry long 10 20m", "", "no fills"),
        ("#1 entry_placed long 10 20m", PROTECTED, "–"),
        ("#1 pending_sl long 10 2m", PROTECTED, "–"),
        ("#1 active long 10 2h", "", "bought 10 2h"),
        ("", PROTECTED, "–"),
    ],
)
def test_the_command_that_a_finding_names_takes_it_into_a_plan(database, venue, evidence):
    seen = observed(database, venue, evidence)
    (finding,) = [f for f in seen.result.findings if f.repair]
    for command in finding.commands:
        words = command.split()
        asked = {"mode": Mode(words[2]), "accept_absence": "--accept-absence" in words}
        if "--age" in words:
            asked["min_age"] = parse_duration(words[words.index("--age") + 1], bare="h")
        if "--action" in words:
            asked["choice"] = Choice(words[words.index("--action") + 1])
        lines, left = decide(seen, replace(OPTIONS, **asked))
        assert [line.fingerprint for line in lines] == [finding.fingerprint], left


def test_a_row_whose_time_has_yet_to_come_is_proven_by_no_fill():
    lines, (why,) = planned("#1 active long 10 -2h", "", "no fills", mode=Mode.ORPHANED_DB)
    assert (lines, "has yet to come" in why) == ([], True), why


def test_what_the_venue_forgets_of_unfilled_orders_is_said():
    seen = replace(observed(*UNSENT), orders=history(unfilled_since=NOW - timedelta(hours=1)))
    (line,), _ = decide(seen, OPTIONS)
    assert "orders that never traded since" in line.evidence[-1]


def test_a_stop_covers_all_stands_first_and_the_close_waits_for_a_refusal():
    (line,), _ = planned("#1 active long 10 2h stop:95", "long 10; stop sell 4 @95")
    assert line == (
        "#1 place_stop; sell stop 10 at 95, reduce-only; sell 10 at market, reduce-only, only if the venue refuses the stop"
        " because its price is through; cancel order o1, once the new stop stands or the position is flat"
    )
    (line,), _ = planned("#1 active long 10 2h stop:101", "long 10")
    assert line == "#1 close_position closed; sell 10 at market, reduce-only"
    (line,), _ = planned("#1 active long 10 2h nostop", "long 10")
    assert line.startswith("#1 place_stop; sell stop 10 at 95,")
    (line,), _ = planned("#1 active short 10 2h stop:107", "short 10")
    assert line.startswith("#1 place_stop; buy stop 10 at 107,")


def test_a_position_that_nobody_owns_gets_a_stop_and_is_never_closed_unasked():
    (line,), left = planned("", "long 10")
    assert line == "place_stop; sell stop 10 at 95, reduce-only"
    assert any("--action" in why for why in left)
    lines, _ = planned("", PROTECTED, choice=Choice.CLOSE, mode=Mode.ORPHANED_EX)
    assert lines[0].startswith("close_position; sell 10 at market, reduce-only; cancel order o1")
    lines, _ = planned("", PROTECTED, choice=Choice.ADOPT, mode=Mode.ORPHANED_EX)
    assert lines == ["adopt active"]


def test_absence_is_accepted_by_a_person_and_never_beside_a_live_order():
    gone = ("#1 active long 10 2h", "", "bought 10 2h")
    more = {"mode": Mode.ORPHANED_DB, "accept_absence": True}
    assert planned(*gone, **more)[0] == ["#1 close_row closed"]
    assert planned("#1 active long 10 2h", "limit buy 10 @90", "bought 10 2h", **more)[0] == []
    lines, _ = decide(observed(*gone), replace(OPTIONS, **more))
    assert [line.accepts_absence for line in lines] == [True]
    assert not any(line.safe for line in lines)


def test_a_schedule_takes_what_is_safe_and_the_breaker_stops_it():
    gone = "; ".join(
        f"#{n} active long 10 2h {s}" for n, s in enumerate(("BTCUSDT", "ETHUSDT", "SOLUSDT"), 1)
    )
    # Something matches, so that the account is not in doubt.
    rows, venue = f"{gone}; #9 active long 10 2h XRPUSDT", "long 10 XRPUSDT; stop sell 10 @95 XRPUSDT"
    everything, _ = planned(rows, venue, "no fills")
    lines, left = planned(rows, venue, "no fills", safe_only=True)
    assert len(everything) == 3
    assert lines == []
    assert any("more than the 2 that a schedule may close" in why for why in left)
    assert planned("#1 pending_entry long 10 2h", "", "no fills", safe_only=True)[0] == ["#1 fail_row failed"]
    assert planned("#1 active long 10 2h", "long 10", safe_only=True)[0] == []
    with_orders = "#1 active long 10 2h order:7; #2 active long 10 2h order:8"
    assert planned(with_orders, PROTECTED, "no fills", safe_only=True)[0] == []


def test_what_is_dismissed_enters_no_plan():
    seen = observed("#1 active long 10 2h", "", "no fills")
    lines, left = decide(seen, OPTIONS, frozenset(f.fingerprint for f in seen.result.findings))
    assert lines == ()
    assert "dismissed" in left[0].why


@pytest.mark.parametrize(("database", "venue", "evidence", "_"), SCENES)
def test_every_line_only_reduces_survives_json_and_is_the_same_again(database, venue, evidence, _):
    seen = observed(database, venue, evidence)
    first, _ = decide(seen, OPTIONS)
    assert first == decide(observed(database, venue, evidence), OPTIONS)[0]
    for line in first:
        assert line_of(line_plain(line)) == line
        assert line_of(line_plain(line)).decision == line.decision
        for order in line.orders:
            assert order.role is Role.CANCEL or order.quantity > 0
    rows = [line.row.id for line in first if line.row]
    assert len(rows) == len(set(rows)), "one plan changes a row once"


def test_the_code_is_made_of_everything_the_plan_says():
    def plan(**more):
        values = {
            "dismissed": (), "now": NOW, "lifetime": timedelta(minutes=15), "created_by": "t", "database_fingerprint": "a",
        }  # fmt: skip
        scene = more.pop("scene", ("#1 active long 10 2h", "", "no fills"))
        options = more.pop("options", OPTIONS)
        return make_plan(observed(*scene), options, **(values | more))

    plans = [
        plan(),
        plan(database_fingerprint="b"),
        plan(now=NOW + timedelta(seconds=1)),
        plan(lifetime=timedelta(minutes=16)),
        plan(options=replace(OPTIONS, mode=Mode.ORPHANED_DB)),
        plan(scene=("#2 active long 10 2h", "", "no fills")),
        replace(plan(), worlds={"binance": "production"}),
        without(plan(), plan().lines),
    ]
    assert plan().code == plans[0].code
    for one, other in itertools.combinations(plans, 2):
        assert one.code != other.code
    assert all(len(one.code) == 9 and one.code[4] == "-" for one in plans)
    assert options_of(options_plain(OPTIONS)) == OPTIONS
