from datetime import timedelta

import pytest

from posguard.model.race import Actor, Confidence, Mark, Scenario, race_from_plain
from tests.unit.logs.telling import Log, incident_1, incident_2

SIGNAL, REPOSITORY, SYNC = "core.signal_processor", "database.repository", "core.position_synchronizer"


def test_incident_1_comes_out_as_one_race_with_its_window():
    (race,) = incident_1().races()
    assert (race.symbol, race.exchange, race.surfaced) == ("APTUSDT", "binance", True)
    assert race.scenario is Scenario.B
    assert race.confidence is Confidence.HIGH  # both creates' lines are of a module that names its actor
    assert race.window == timedelta(milliseconds=3756)
    assert race.concurrent
    assert [(c.actor, c.position_id) for c in race.creates] == [(Actor.SIGNAL, 2548), (Actor.SYNC, None)]
    assert race.row_ids == (2548,)
    assert "left the unique index as entry_placed 2.756 s before" in race.reason
    assert len(race.errors) == 4


def test_incident_1_is_told_line_by_line():
    (race,) = incident_1().races()
    assert race.at == race.moments[-1].at
    marks = [(m.mark, m.position_id) for m in race.moments if m.mark is not Mark.NONE]
    assert marks == [
        (Mark.CREATE, 2548),
        (Mark.LEAVES_INDEX, 2548),
        (Mark.SYNC, None),
        (Mark.SYNC, None),
        (Mark.CREATE, None),
        (Mark.SYNC, None),
        (Mark.ENTERS_INDEX, 2548),
        (Mark.ERROR, None),
    ]
    assert race.zone == "Europe/Berlin"


def test_incident_2_is_found_though_no_error_surfaced():
    (race,) = incident_2().races()
    assert (race.symbol, race.surfaced, race.row_ids) == ("KASUSDT", False, (275, 276))
    assert race.window == timedelta(milliseconds=34)
    assert race.concurrent
    assert race.scenario is Scenario.UNKNOWN
    assert "One open inserted 2 rows" in race.reason


def test_a_race_survives_being_stored():
    for race in (*incident_1().races(), *incident_2().races()):
        assert race_from_plain(race.to_plain()) == race


def _opened(log, ms, number, *, symbol="APTUSDT", exchange="binance"):
    log.say(ms, "opening", symbol=symbol, exchange=exchange, module=SIGNAL)
    log.say(ms + 10, "created", symbol=symbol, position_id=number, module=SIGNAL)
    return log


def _error(log, ms, module=SIGNAL, **fields):
    return log.say(ms, "duplicate_error", "duplicate key value", module=module, level="ERROR", **fields)


def test_two_signals_are_scenario_a():
    log = _opened(_opened(Log(), 0, 1), 40, 2)
    (race,) = _error(log, 90, symbol="APTUSDT", exchange="binance").races()
    assert (race.scenario, race.confidence) == (Scenario.A, Confidence.HIGH)
    assert race.row_ids == (1, 2)


def test_a_second_signal_whose_insert_hit_the_index_is_scenario_a():
    log = _opened(Log(), 0, 1)
    log.say(30, "opening", symbol="APTUSDT", exchange="binance", module=SIGNAL)
    log.say(35, "inserting", symbol="APTUSDT", module=SIGNAL)
    (race,) = _error(log, 40, symbol="APTUSDT", exchange="binance").races()
    assert race.scenario is Scenario.A
    assert race.window is None
    assert not race.concurrent


def test_a_retry_within_a_rollback_is_scenario_c():
    log = _opened(Log(), 0, 1)
    log.say(900, "rollback", symbol="APTUSDT", module="core.atomic_position_manager")
    log.say(1400, "created", symbol="APTUSDT", position_id=2, module=SIGNAL)
    (race,) = log.races()
    assert race.scenario is Scenario.C
    assert "500 ms after its rollback began" in race.reason


def test_a_rollback_that_ended_before_the_first_create_makes_two_signals_no_retry():
    log = Log()
    log.say(-3000, "rollback", symbol="APTUSDT", module="core.atomic_position_manager")
    log = _opened(_opened(log, 0, 1), 40, 2)
    (race,) = _error(log, 90, symbol="APTUSDT", exchange="binance").races()
    assert race.scenario is Scenario.A


def test_an_error_of_the_only_create_after_a_rollback_is_scenario_c():
    log = Log()
    log.say(-3000, "rollback", symbol="APTUSDT", module="core.atomic_position_manager")
    (race,) = _error(_opened(log, 0, 1), 90, symbol="APTUSDT", exchange="binance").races()
    assert race.scenario is Scenario.C


def test_recovery_beside_a_signal_is_scenario_d():
    log = _opened(Log(), 0, 1)
    log.say(100, "recovery", symbol="APTUSDT", module="core.recovery")
    log.say(160, "created", symbol="APTUSDT", position_id=2, module="core.recovery")
    (race,) = _error(log, 300, symbol="APTUSDT").races()
    assert race.scenario is Scenario.D


@pytest.mark.parametrize(
    "close",
    [
        {"kind": "closed", "symbol": "APTUSDT"},
        {"kind": "emergency_close", "symbol": "APTUSDT"},
        {"kind": "stop_triggered", "symbol": "APTUSDT"},
        {"kind": "updated", "position_id": 1, "status": "rolled_back"},
    ],
)
def test_a_close_between_two_creates_makes_them_no_race(close):
    log = _opened(Log(), 0, 1)
    log.say(500, **close)
    assert _opened(log, 900, 2).races() == ()


def test_a_row_that_only_left_the_index_is_not_closed():
    log = _opened(Log(), 0, 1)
    log.say(500, "updated", position_id=1, status="entry_placed")
    assert len(_opened(log, 900, 2).races()) == 1


def test_two_exchanges_do_not_race():
    log = _opened(Log(), 0, 1)
    assert _opened(log, 40, 2, exchange="bybit").races() == ()


def test_an_exchange_that_only_a_line_elsewhere_names_does_not_make_two_opens_a_race():
    log = _opened(_opened(Log(), 0, 1, exchange=None), 40, 2, exchange=None)
    assert (len(log.races()), len(log.undecided())) == (0, 1)
    log.say(90_000, "already_exists", symbol="APTUSDT", exchange="binance", module=REPOSITORY)
    assert {c.exchange for race in log.undecided() for c in race.creates} == {"binance"}
    assert log.races() == ()


def test_an_exchange_that_the_signal_or_the_insert_of_each_open_names_makes_them_a_race():
    log = Log()
    for ms, number in ((0, 1), (40, 2)):
        log.say(ms, "signal", symbol="APTUSDT", exchange="binance", module=SIGNAL)
        _opened(log, ms + 5, number, exchange=None)
    assert (len(log.races()), log.undecided()) == (1, ())
    log = Log()
    for ms, number in ((0, 1), (40, 2)):
        log.say(ms, "opening", symbol="APTUSDT", module=SIGNAL)
        log.say(ms + 5, "inserting", symbol="APTUSDT", exchange="binance", module=SIGNAL)
        log.say(ms + 10, "created", symbol="APTUSDT", position_id=number, module=SIGNAL)
    assert (len(log.races()), log.undecided()) == (1, ())
    # the exchange of the open before says nothing of the next one
    log = _opened(_opened(Log(), 0, 1), 40, 2, exchange=None)
    assert (log.races(), len(log.undecided())) == ((), 1)


def test_a_pass_of_the_synchroniser_tells_the_exchange_of_what_it_adds():
    log = Log().say(0, "sync_started", exchange="binance", module=SYNC)
    log.say(5, "sync_added", symbol="APTUSDT", module=SYNC)
    assert (len(_opened(log, 900, 2).races()), log.undecided()) == (1, ())


def test_creates_a_minute_apart_are_not_held_against_each_other():
    assert _opened(_opened(Log(), 0, 1), 60_100, 2).races() == ()


def test_the_records_of_one_error_are_one_race_and_those_of_two_are_two():
    log = _opened(_opened(Log(), 0, 1), 40, 2)
    for ms in (90, 300):
        _error(log, ms, module=REPOSITORY, symbol="APTUSDT", exchange="binance")
        _error(log, ms + 2, module=SIGNAL)
    first, second = log.races()
    assert (len(first.errors), len(second.errors)) == (2, 2)
    assert (second.at - first.at) == timedelta(milliseconds=210)


def test_two_records_of_one_module_are_one_error_where_their_words_differ():
    log = _opened(_opened(Log(), 0, 1), 40, 2)
    for ms, words in ((90, "Failed to update position #2: "), (91, "update_position failed: "), (93, "")):
        log.say(
            ms,
            "duplicate_error",
            f"{words}duplicate key value violates …",
            module=REPOSITORY,
            pattern="duplicate_key",
        )
    log.say(
        200,
        "duplicate_error",
        "Failed to update position #7: duplicate key value violates …",
        module=REPOSITORY,
        pattern="duplicate_key",
    )
    first, second = log.races()
    assert (len(first.errors), len(second.errors)) == (3, 1)


@pytest.mark.parametrize(
    ("constraint", "counts"),
    [
        ("idx_unique_active_position", 1),
        ("uq_symbol_exchange", 1),
        ("", 1),
        ("positions_pkey", 0),
        ("orders_client_order_id_key", 0),
        ("trailing_stop_state_symbol_exchange_key", 0),
    ],
)
def test_a_duplicate_key_of_another_table_is_no_race(constraint, counts):
    log = Log()
    log.say(0, "duplicate_error", "duplicate key value", symbol="APTUSDT", fields={"constraint": constraint})
    assert len(log.races()) == counts


def test_an_ending_of_another_row_ends_none_of_which_the_id_is_unknown():
    log = Log()
    log.say(0, "sync_added", symbol="APTUSDT", exchange="binance", module=SYNC)
    log.say(500, "updated", position_id=1, status="rolled_back", symbol="APTUSDT")
    assert len(_opened(log, 900, 2).races()) == 1


def test_a_create_after_an_error_is_a_race_of_its_own():
    log = _opened(_opened(Log(), 0, 1), 40, 2)
    _error(log, 90, symbol="APTUSDT", exchange="binance")
    surfaced, silent = _opened(log, 900, 3).races()
    assert surfaced.row_ids == (1, 2)
    assert silent.row_ids == (2, 3)


def test_one_row_that_two_sources_tell_of_is_no_race():
    log, other = _opened(Log(), 0, 1), _opened(Log("host2"), 3, 1)
    log.events += other.events
    assert log.races() == ()


def test_errors_of_two_symbols_in_one_instant_stay_apart():
    log = Log()
    _error(log, 0, module=REPOSITORY, symbol="APTUSDT", exchange="binance")
    _error(log, 1, module=REPOSITORY, symbol="KASUSDT", exchange="binance")
    assert [race.symbol for race in log.races()] == ["APTUSDT", "KASUSDT"]


def test_an_error_without_a_create_says_that_its_lines_are_missing():
    (race,) = _error(Log(), 0, symbol="APTUSDT", exchange="binance").races()
    assert (race.scenario, race.confidence) == (Scenario.UNKNOWN, Confidence.LOW)
    assert "no create" in race.reason


def test_the_lines_of_one_insert_are_one_create():
    log = Log()
    log.say(0, "opening", symbol="APTUSDT", exchange="binance", module=SIGNAL)
    log.say(1, "inserting", "create_position() called for APTUSDT", symbol="APTUSDT", module=REPOSITORY)
    log.say(2, "inserting", "Executing INSERT for APTUSDT", symbol="APTUSDT", module=REPOSITORY)
    log.say(4, "created", "INSERT completed", symbol="APTUSDT", position_id=7, module=REPOSITORY)
    log.say(
        5, "created", "Position record created: ID=7", position_id=7, module="core.atomic_position_manager"
    )
    (create,) = log.creates()
    assert (create.position_id, create.symbol, create.exchange) == (7, "APTUSDT", "binance")
    assert create.at - create.started == timedelta(milliseconds=3)


def test_a_created_line_takes_its_symbol_from_the_one_insert_that_waits():
    log = Log()
    log.say(0, "inserting", symbol="APT/USDT:USDT", module=REPOSITORY)
    log.say(2, "created", position_id=7, module="core.atomic_position_manager")
    told = log.correlated()[-1]
    assert (told.symbol, told.inferred) == ("APTUSDT", ("symbol",))


def test_two_waiting_inserts_leave_the_symbol_open_unless_another_line_names_it():
    log = Log()
    log.say(0, "inserting", symbol="APTUSDT", module=REPOSITORY)
    log.say(1, "inserting", symbol="KASUSDT", module=REPOSITORY)
    log.say(2, "created", position_id=7, module="core.atomic_position_manager")
    assert log.correlated()[-1].symbol is None
    log.say(900, "saved", symbol="KASUSDT", position_id=7)
    assert log.correlated()[2].symbol == "KASUSDT"


def test_of_two_waiting_inserts_the_fresh_one_lends_its_symbol():
    log = Log()
    log.say(-2000, "inserting", symbol="KASUSDT", module=REPOSITORY)
    log.say(0, "inserting", symbol="APTUSDT", module=REPOSITORY)
    log.say(3, "created", position_id=7, module="core.atomic_position_manager")
    told = log.correlated()[-1]
    assert (told.symbol, told.inferred) == ("APTUSDT", ("symbol",))


def test_an_insert_that_found_a_row_is_no_create():
    log = Log()
    log.say(0, "inserting", symbol="APTUSDT", module=REPOSITORY)
    log.say(2, "already_exists", symbol="APTUSDT", position_id=7, module=REPOSITORY)
    assert log.creates() == ()


def test_an_insert_without_an_end_counts_and_says_that_its_outcome_is_inferred():
    log = Log()
    log.say(0, "inserting", symbol="APTUSDT", module=REPOSITORY)
    (create,) = log.creates()
    assert "outcome" in create.inferred


def test_what_another_source_says_lends_nothing():
    log, other = Log(), Log("host2")
    other.say(0, "inserting", symbol="APTUSDT", module=REPOSITORY)
    log.say(2, "created", position_id=7, module="core.atomic_position_manager")
    log.events = [*other.events, *log.events]
    assert log.correlated()[-1].symbol is None
