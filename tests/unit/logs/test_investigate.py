"""Each explanation of incident 2, held, refuted and open, as one line or row decides it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from posguard.logs.investigate import investigate, make_case
from posguard.model.incident import (
    DatabaseFacts,
    EventFact,
    RowFact,
    TransitionFact,
    TriggerFact,
    UniqueIndexFact,
)
from posguard.model.scope import Scope
from tests.unit.logs.telling import Log

AT = datetime(2025, 10, 22, 23, 21, 12, tzinfo=UTC)
FIRST, SECOND = AT + timedelta(milliseconds=819), AT + timedelta(milliseconds=853, microseconds=600)
NARROW = UniqueIndexFact(
    "idx_unique_active_position",
    True,
    "CREATE UNIQUE INDEX idx_unique_active_position ON monitoring.positions USING btree (symbol, exchange) WHERE (status = 'active')",
)
REPOSITORY, ATOMIC = "database.repository", "core.atomic_position_manager"
OPEN_NAMES = {
    "retry",
    "create called twice",
    "one create inserting twice",
    "two tasks past one check",
    "stream handler as second writer",
}


def row(number, at, **changes):
    fact = RowFact(
        number,
        "KASUSDT",
        b"KASUSDT".hex(),
        "bybit",
        b"bybit".hex(),
        "long",
        Decimal(900),
        "active",
        None,
        at,
        at,
        None,
    )
    return replace(fact, **changes)


def facts(**changes):
    found = DatabaseFacts(
        read_at=AT + timedelta(days=1),
        rows=(row(275, FIRST), row(276, SECOND, status="pending_entry")),
        events=(),
        transitions=(),
        indexes=(NARROW,),
        triggers=(),
    )
    return replace(found, **changes)


def log(*, start=True):
    """What the log of incident 2 holds; times are milliseconds after 23:21:12 UTC."""
    told = Log(start=AT)
    if start:
        told.say(-3_600_000, "process_started", module="main", fields={"pid": "41822"})
        told.say(-3_599_990, "process_lock", module="main", fields={"pid": "41822", "lock": "acquired"})
    told.say(-400_000, "sync_started", module="core.position_synchronizer", exchange="bybit")
    told.say(-399_000, "sync_completed", module="core.position_synchronizer")
    told.say(-1_500, "wave", module="core.wave", fields={"wave": "2025-10-22T23:15"})
    for ms, symbol in ((-836, "AKEUSDT"), (155, "KASUSDT"), (1_160, "BIDUSDT")):
        told.say(ms, "signal", module="core.signal_processor", symbol=symbol)
    told.say(164, "opening", "Opening position", module=ATOMIC, symbol="KASUSDT")
    told.say(3_086, "saved", module=ATOMIC, symbol="KASUSDT", position_id=275)
    told.say(408_000, "sync_started", module="core.position_synchronizer", exchange="bybit")
    return told


def standing(told, found):
    told.events.sort(key=lambda e: e.at)
    case = make_case(told.events, found, Scope("", "KASUSDT"), AT, timedelta(minutes=2))
    return {one.name: one for one in investigate(case).hypotheses}


def test_the_incident_as_written_up():
    told = standing(log(), facts())
    assert {name for name, one in told.items() if one.standing == "open"} == OPEN_NAMES
    assert {one.standing for name, one in told.items() if name not in OPEN_NAMES} == {"refuted"}
    for one in told.values():
        assert one.why
        assert bool(one.missing) is (one.name in OPEN_NAMES)


def test_nothing_known_leaves_all_open_that_a_line_would_decide():
    told = standing(Log(start=AT), facts(rows=()))
    decided = {name for name, one in told.items() if one.standing != "open"}
    assert decided == {"trigger", "index missing or invalid"}
    assert all(one.missing for one in told.values() if one.standing == "open")


def test_one_row_with_one_insert_was_not_inserted_twice():
    told = log()
    told.say(819, "created", module=ATOMIC, symbol="KASUSDT", position_id=275, pattern="created")
    found = standing(told, facts(rows=(row(275, FIRST),)))
    for name in ("one create inserting twice", "two tasks past one check"):
        assert found[name].standing == "refuted", name
    told.say(854, "created", module=ATOMIC, symbol="KASUSDT", position_id=276, pattern="created")
    found = standing(told, facts(rows=(row(275, FIRST),)))
    assert found["one create inserting twice"].standing == "open"


def _second_process(told):
    told.say(-50_000, "process_started", module="main", fields={"pid": "50001"})


def _second_open(told):
    told.say(170, "opening", module=ATOMIC, symbol="KASUSDT")


def _wave_again(told):
    told.say(-900, "wave", module="core.wave", fields={"wave": "2025-10-22T23:15"})


def _added(told):
    told.say(853, "sync_added", module="core.position_synchronizer", symbol="KASUSDT")


def _failed(told):
    told.say(
        840, "error", "connection was closed in the middle of operation", module=REPOSITORY, level="ERROR"
    )


def _called_twice(told):
    for ms in (815, 850):
        told.say(
            ms,
            "inserting",
            "create_position() called for KASUSDT",
            module=REPOSITORY,
            symbol="KASUSDT",
            pattern="create_called",
        )


def _called_once(told):
    told.say(
        815,
        "inserting",
        "create_position() called for KASUSDT",
        module=REPOSITORY,
        symbol="KASUSDT",
        pattern="create_called",
    )


def _stream(told):
    told.say(
        850, "inserting", "Executing INSERT for KASUSDT", module="websocket.user_stream", symbol="KASUSDT"
    )


@pytest.mark.parametrize(
    ("change", "held"),
    [
        (_second_process, {"second process", "lock key that differs between processes"}),
        (_second_open, {"parallel signals"}),
        (_wave_again, {"wave run twice"}),
        (_added, {"synchroniser"}),
        (_failed, {"retry"}),
        (_called_twice, {"create called twice"}),
        (_called_once, {"one create inserting twice"}),
        (_stream, {"stream handler as second writer"}),
    ],
)
def test_a_line_that_speaks_for_an_explanation_holds_it(change, held):
    told = log()
    change(told)
    found = standing(told, facts())
    assert {name for name, one in found.items() if one.standing == "held"} == held
    for name in held:
        assert found[name].evidence


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"indexes": ()}, {"index missing or invalid"}),
        ({"indexes": (replace(NARROW, valid=False),)}, {"index missing or invalid"}),
        ({"rows": (row(275, FIRST), row(276, SECOND, symbol_bytes="efbbbf"))}, {"symbol not byte-equal"}),
        (
            {
                "transitions": tuple(
                    TransitionFact(n, FIRST, 274 + n, "insert", None, "active", 900 + n, "bot")
                    for n in (1, 2)
                )
            },
            {"two tasks past one check"},
        ),
        (
            {"events": (EventFact(1, SECOND, "missing_position_added", 276, "KASUSDT", "bybit", ""),)},
            {"synchroniser"},
        ),
    ],
)
def test_a_row_that_speaks_for_an_explanation_holds_it(changes, held):
    found = standing(log(), facts(**changes))
    assert {name for name, one in found.items() if one.standing == "held"} == held


def test_a_foreign_trigger_is_open_and_posguards_own_are_not():
    ours = TriggerFact("posguard_guard", True, "posguard.guard_position", "CREATE TRIGGER …")
    theirs = TriggerFact("mirror", True, "monitoring.mirror", "CREATE TRIGGER …")
    assert standing(log(), facts(triggers=(ours,)))["trigger"].standing == "refuted"
    assert (
        standing(log(), facts(triggers=(ours, replace(theirs, enabled=False))))["trigger"].standing
        == "refuted"
    )
    told = standing(log(), facts(triggers=(ours, theirs)))["trigger"]
    assert (told.standing, told.missing) == (
        "open",
        ("what monitoring.mirror does: \\sf monitoring.mirror in psql",),
    )


def test_a_process_that_ended_before_is_no_second_one():
    told = log(start=False)
    told.say(-9_000_000, "process_started", module="main", fields={"pid": "1"})
    told.say(-8_000_000, "process_stopped", module="main", fields={"pid": "1"})
    told.say(-7_000_000, "process_started", module="main", fields={"pid": "2"})
    told.say(-6_999_990, "process_lock", module="main", fields={"pid": "2"})
    assert standing(told, facts())["second process"].standing == "refuted"


def test_a_created_line_of_the_caller_refutes_a_retry_and_the_repositorys_own_does_not():
    for pattern, module, expected in (
        ("record_created", ATOMIC, "refuted"),
        ("insert_completed", ATOMIC, "open"),
        ("created", REPOSITORY, "open"),
    ):
        told = log()
        told.say(821, "created", module=module, symbol="KASUSDT", position_id=275, pattern=pattern)
        assert standing(told, facts())["retry"].standing == expected, (pattern, module)


def _by_the_synchroniser(told, *, calls):
    """The signal's row at 819 ms, the synchroniser's 3 s later, an unrelated error between."""
    if calls:
        told.say(815, "inserting", module=REPOSITORY, symbol="KASUSDT", pattern="create_called")
    told.say(819, "created", module=ATOMIC, symbol="KASUSDT", position_id=275, pattern="record_created")
    told.say(2_000, "api_error", "rate limited", module="core.exchange_manager", level="ERROR")
    told.say(3_500, "sync_started", module="core.position_synchronizer", exchange="bybit")
    if calls > 1:
        told.say(3_815, "inserting", module=REPOSITORY, symbol="KASUSDT", pattern="create_called")
    told.say(3_816, "inserting", module=REPOSITORY, symbol="KASUSDT", pattern="insert")
    told.say(3_820, "sync_added", module="core.position_synchronizer", symbol="KASUSDT")


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_the_synchronisers_row_is_no_second_one_of_the_open(calls):
    told = log()
    _by_the_synchroniser(told, calls=calls)
    later = row(276, FIRST + timedelta(seconds=3))
    found = standing(told, facts(rows=(row(275, FIRST), later)))
    assert {name for name, one in found.items() if one.standing == "held"} == {"synchroniser"}
    for name in ("retry", "create called twice", "one create inserting twice", "two tasks past one check"):
        assert found[name].standing == "refuted", name


def test_a_pass_at_the_time_does_not_make_the_second_row_the_synchronisers():
    told = log()
    told.say(100, "sync_started", module="core.position_synchronizer", exchange="bybit")
    for ms, number in ((819, 275), (854, 276)):
        told.say(
            ms, "created", module=REPOSITORY, symbol="KASUSDT", position_id=number, pattern="insert_completed"
        )
    found = standing(told, facts())
    assert {name for name, one in found.items() if one.standing == "held"} == set()
    for name in ("synchroniser", "retry", "create called twice", "one create inserting twice"):
        assert found[name].standing == "open", name


def test_a_pass_that_began_before_and_is_not_over_leaves_the_synchroniser_open():
    told = log()
    told.say(-39_000, "sync_started", module="core.position_synchronizer", exchange="bybit")
    assert standing(told, facts())["synchroniser"].standing == "open"
    told.say(-31_000, "sync_completed", module="core.position_synchronizer")
    assert standing(told, facts())["synchroniser"].standing == "refuted"


def test_a_log_that_ends_before_refutes_no_second_process():
    told = log()
    told.events = [e for e in told.events if e.at < AT - timedelta(minutes=30)]
    found = standing(told, facts())
    for name in ("second process", "lock key that differs between processes"):
        assert found[name].standing == "open", name


def test_the_lock_of_one_host_says_nothing_of_another():
    told, other = log(), Log("other", start=AT)
    other.say(-3_500_000, "process_started", module="main", fields={"pid": "7"})
    other.say(-3_499_990, "process_lock", module="main", fields={"pid": "7", "lock": "acquired"})
    told.events += other.events
    assert standing(told, facts())["second process"].standing == "held"
    told, other = log(), Log("other", start=AT)
    other.say(-3_500_000, "saved", symbol="BTCUSDT")
    told.events += other.events
    assert standing(told, facts())["second process"].standing == "open"


def test_inserts_in_two_logs_are_two_processes_or_one_that_writes_both():
    told, other = log(), Log("other", start=AT)
    told.say(819, "created", module=ATOMIC, symbol="KASUSDT", position_id=275, pattern="created")
    other.say(854, "created", module=ATOMIC, symbol="KASUSDT", position_id=276, pattern="created")
    told.events += other.events
    assert standing(told, facts())["second process"].standing == "open"


def test_a_row_on_another_exchange_is_another_position():
    elsewhere = row(277, SECOND, exchange="Binance", exchange_bytes=b"Binance".hex())
    told = log()
    told.events.sort(key=lambda e: e.at)
    case = make_case(
        told.events, facts(rows=(row(275, FIRST), elsewhere)), Scope("", "KASUSDT"), AT, timedelta(minutes=2)
    )
    assert ([r.id for r in case.rows], [r.id for r in case.elsewhere], case.exchange) == (
        [275],
        [277],
        "bybit",
    )
    by_name = {one.name: one for one in investigate(case).hypotheses}
    assert by_name["symbol not byte-equal"].standing == "open"


def test_two_opens_on_two_exchanges_are_no_parallel_signals():
    told = log()
    told.say(-5_000, "signal", module="core.signal_processor", symbol="KASUSDT", exchange="binance")
    told.say(-4_900, "opening", module=ATOMIC, symbol="KASUSDT")
    told.say(163, "signal", module="core.signal_processor", symbol="KASUSDT", exchange="bybit")
    assert standing(told, facts())["parallel signals"].standing == "open"


GUARD = UniqueIndexFact(
    "posguard_one_open_position",
    True,
    "CREATE UNIQUE INDEX posguard_one_open_position ON monitoring.positions USING btree (lower((btrim((exchange)::text) COLLATE "
    "\"C\")), account, upper((translate(split_part((symbol)::text, ':'::text, 1), '/_-'::text, ''::text) COLLATE \"C\")), "
    "position_side) WHERE ((COALESCE(status, ''::character varying))::text <> ALL ((ARRAY['closed'::character varying])::text[]))",
)


@pytest.mark.parametrize(
    ("index", "expected", "narrow"),
    [
        (NARROW, "refuted", True),
        (GUARD, "refuted", False),
        (
            replace(NARROW, definition=NARROW.definition.replace("exchange)", "exchange, opened_at)")),
            "held",
            False,
        ),
        (replace(NARROW, definition=NARROW.definition.replace("active", "closed")), "held", False),
    ],
)
def test_what_an_index_keeps_apart(index, expected, narrow):
    found = standing(log(), facts(indexes=(index,)))["index missing or invalid"]
    assert (found.standing, "status active alone" in found.why) == (expected, narrow)


def test_the_clocks_are_compared_by_the_rows_that_both_name():
    told = log()
    told.say(821, "created", module=REPOSITORY, symbol="KASUSDT", position_id=275)
    told.events.sort(key=lambda e: e.at)
    case = make_case(told.events, facts(), Scope("", "KASUSDT"), AT, timedelta(minutes=2))
    assert investigate(case).skew == timedelta(milliseconds=2)
