"""What holds for every log: a record's own words are never changed, and what others do changes no race."""

from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.logs.correlate import correlate
from posguard.logs.creates import creates
from posguard.logs.races import find_races
from tests.unit.logs.telling import Log, incident_1, incident_2

OTHERS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
KINDS = (
    "signal", "opening", "inserting", "created", "saved", "updated", "activated", "closed", "rollback", "stop_placed",
    "entry_placed", "emergency_close", "not_found", "sync_added", "already_exists", "duplicate_error", "recovery",
)  # fmt: skip
LINE = st.tuples(
    st.integers(-20_000, 20_000),
    st.sampled_from(KINDS),
    st.sampled_from(OTHERS),
    st.sampled_from(("binance", "bybit")),
    st.integers(5_000, 5_020),
)
ANY_LINE = st.tuples(
    st.integers(-20_000, 20_000),
    st.sampled_from(KINDS),
    st.sampled_from((*OTHERS, None)),
    st.sampled_from(("binance", "bybit", None)),
    st.one_of(st.none(), st.integers(5_000, 5_005)),
    st.sampled_from(("core.x", "database.repository", "core.position_synchronizer", "core.signal_processor")),
)


def found(log):
    told = correlate(log.events)
    return find_races(told, creates(told), {})


def essence(race):
    """A race without the places of its lines, which move when lines come between."""
    rows = [(c.at, c.actor, c.position_id) for c in race.creates]
    told = [(m.at, m.mark, m.text) for m in race.moments]
    return race.at, race.symbol, race.exchange, race.scenario, race.confidence, race.reason, rows, told


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=30), st.sampled_from((incident_1, incident_2)))
def test_lines_of_other_symbols_that_say_all_of_themselves_change_no_race(lines, incident):
    alone = incident()
    mixed = incident()
    for ms, kind, symbol, exchange, number in lines:
        if kind == "inserting" and -50 < ms < 900:
            continue  # an insert at the same moment makes it unclear whose the created line is
        mixed.say(ms, kind, module="core.other", symbol=symbol, exchange=exchange, position_id=number)
    # one line of an instant before the other, as they were written; the incident's own first
    mixed.events.sort(key=lambda e: e.at)
    (expected,) = found(alone)
    (race,) = [one for one in found(mixed) if one.symbol == expected.symbol]
    fields = ("at", "symbol", "surfaced", "scenario", "window", "row_ids")
    assert [getattr(race, f) for f in fields] == [getattr(expected, f) for f in fields]


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_LINE, max_size=40))
def test_what_a_record_says_itself_is_kept_and_what_is_added_is_named(lines):
    log = Log()
    for ms, kind, symbol, exchange, number, module in sorted(lines, key=lambda one: one[0]):
        log.say(ms, kind, module=module, symbol=symbol, exchange=exchange, position_id=number)
    by_place = {(e.source, e.path, e.offset): e for e in log.events}
    for told in correlate(log.events):
        record = by_place[told.place]
        for field in ("symbol", "exchange"):
            own, mine = getattr(record, field), getattr(told, field)
            assert own is None or own == mine
            assert (field in told.inferred) is (own is None and mine is not None)
        assert told.position_id == record.position_id


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_LINE, max_size=40))
def test_any_log_is_analysed_without_a_crash_and_its_races_are_in_order(lines):
    log = Log()
    for ms, kind, symbol, exchange, number, module in sorted(lines, key=lambda one: one[0]):
        log.say(ms, kind, module=module, symbol=symbol, exchange=exchange, position_id=number)
    races = found(log)
    assert [race.at for race in races] == sorted(race.at for race in races)
    for race in races:
        assert race.surfaced or len(race.creates) > 1
        assert len({c.position_id for c in race.creates if c.position_id is not None}) == sum(
            c.position_id is not None for c in race.creates
        )
        assert [c.at for c in race.creates] == sorted(c.at for c in race.creates)
