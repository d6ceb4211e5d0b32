"""Records are taken by thousands; what comes out is what each rule says of each record alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posguard.logs import identity, sieve
from posguard.logs.identity import TOGETHER, Identity, content_hash, edge_of, identified
from posguard.logs.sieve import Sieve, Wanted
from posguard.model.log_event import Category, LogColumns, LogEvent
from posguard.postgres.logevents import Row, row_of, rows_of

AT = datetime(2025, 10, 31, 23, 59, 57, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAIN = LogEvent(AT, "saved", Category.POSITIONS, "INFO", "core", "Position saved", "bot", 0, 1, "saved")
FULL = PLAIN._replace(
    symbol="BTCUSDT",
    exchange="binance",
    side="long",
    status="active",
    position_id=7,
    order_id="5",
    quantity=Decimal("61.8"),
    price=Decimal("0E-8"),
    latency_ms=3.5,
    fields={"number": "1"},
    path="bot.log",
)
ANY = st.text(st.characters(exclude_categories=())) | st.text("a \n\r\x00\x1f\ud800é", max_size=8)


# ---- what each rule says of one record


def plain_hash(event):
    line = event.message.partition("\n")[0].rstrip()
    if not line:
        line = next((one.rstrip() for one in event.message.split("\n") if one.strip()), "")
    said = f"{event.level}\x1f{event.module}\x1f{line}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def plain_identities(events):
    """Equal records of one time are numbered; a time too far behind the newest begins the log anew."""
    counts, newest, last_offset = Counter(), None, None
    for event in events:
        if event.offset == last_offset:
            continue
        last_offset = event.offset
        if newest is not None and newest - event.at > TOGETHER:
            counts, newest = Counter(), event.at
        newest = max(newest or event.at, event.at)
        said = plain_hash(event)
        yield Identity(event.at, said, counts[event.at, said]), event
        counts[event.at, said] += 1


def plain_text(text):
    return "".join("\ufffd" if one == "\x00" else "?" if "\ud800" <= one <= "\udfff" else one for one in text)


def plain_row(event, said, ordinal, file_id):
    texts = {
        name: None if getattr(event, name) is None else plain_text(getattr(event, name))
        for name in ("level", "module", "message", "symbol", "exchange", "side", "status", "order_id")
    }
    numbers = {
        name: value if value is not None and value.is_finite() and abs(value.adjusted()) <= 1000 else None
        for name, value in (("quantity", event.quantity), ("price", event.price))
    }
    number = event.position_id
    values = event._asdict() | texts | numbers
    values |= {
        "position_id": number if number is not None and -(2**63) <= number < 2**63 else None,
        "fields": {plain_text(key): plain_text(value) for key, value in event.fields.items()},
        "content_hash": said,
        "ordinal": ordinal,
        "complete": True,
        "file_id": file_id,
        "file_offset": event.offset,
        "file_size": event.size,
    }
    return Row(**{name: values[name] for name in Row._fields})


# ---- columns


def test_columns_are_the_fields_of_an_event_and_give_the_events_again():
    events = [PLAIN, FULL, PLAIN._replace(offset=3)]
    assert LogColumns._fields == LogEvent._fields
    assert LogColumns.of(events).events() == events
    assert LogColumns.of(events).offset == (0, 0, 3)
    assert LogColumns.of([]).events() == []


# ---- identity


@pytest.mark.parametrize(
    ("event", "digest"),
    [
        (PLAIN, "3623b55c6a8f64116361929748cefd2c"),
        (PLAIN._replace(message="\n  \n Позиция 🚀 \r\nDETAIL: x"), "c7f6bac6518ac25dfdd76989a7253d34"),
        (PLAIN._replace(level="", module="", message="\ud800"), "8e0f34d488ae72a8a406643664f88864"),
    ],
)
def test_the_hash_is_the_one_that_databases_hold(event, digest):
    assert content_hash(event).hex() == digest


@given(st.lists(st.tuples(ANY, ANY, ANY), max_size=6))
def test_the_hash_is_the_same_alone_and_among_others(said):
    events = [
        PLAIN._replace(level=level, module=module, message=message, offset=n)
        for n, (level, module, message) in enumerate(said)
    ]
    assert [one.content_hash for one, _ in identified(events)] == [plain_hash(one) for one in events]
    assert [content_hash(one) for one in events] == [plain_hash(one) for one in events]


# milliseconds since the record before, its words, and its bytes: a record of none is the same one as another pattern sees it
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 900, 2000, 2001, -1, -2000, -2001, 5000]),
        st.sampled_from("xxy"),
        st.sampled_from([10, 10, 10, 0]),
    ),
    max_size=30,
)
BACK = [(0, "x", 10), (2000, "y", 10), (-2000, "x", 10), (0, "x", 10), (2000, "y", 10), (-2001, "x", 10)]


def events_of(steps):
    at, offset = AT, 0
    for ms, said, size in steps:
        at, offset = at + timedelta(milliseconds=ms), offset + size
        yield PLAIN._replace(at=at, message=said, offset=offset, size=10)


@given(STEPS, st.sampled_from([1, 2, 3, 1000]))
@example(BACK, 1)
@example(BACK, 1000)
def test_records_are_numbered_alike_however_many_are_looked_at_together(steps, together):
    events = list(events_of(steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "STRETCH", together)
        assert list(identified(events)) == list(plain_identities(events))


# ---- rows

ODD = [
    *[
        {name: text}
        for name in ("message", "module", "level", "symbol", "exchange")
        for text in ("\x00", "a\udfff")
    ],
    *[{name: text} for name in ("side", "status", "order_id") for text in ("b\x00c", "\ud83d")],
    *[
        {"fields": {key: value}}
        for key, value in (("a\x00", "b"), ("a", "\x00"), ("\ud800", "b"), ("a", "\ud800"))
    ],
    *[{"position_id": number} for number in (2**63, -(2**63) - 1, 10**30)],
    *[
        {name: Decimal(number)}
        for name in ("quantity", "price")
        for number in ("NaN", "sNaN", "Infinity", "-Infinity", "1E+1001", "1E-1001", "0E+5000")
    ],
]
FINE = [
    {"message": "цена 🚀 é \ufffd"},
    {"fields": MappingProxyType({"ключ": "\n"})},
    {"fields": MappingProxyType({})},
    {"position_id": 2**63 - 1},
    {"position_id": -(2**63)},
    {"position_id": 0, "latency_ms": float("inf")},
    {"quantity": Decimal("1E+1000"), "price": Decimal("0E-1000")},
    {"symbol": "", "order_id": ""},
]


@pytest.mark.parametrize(
    ("change", "stays"), [*((one, False) for one in ODD), *((one, True) for one in FINE)]
)
def test_a_row_holds_what_its_columns_can_hold_alone_and_among_others(change, stays):
    event = FULL._replace(**change)
    others = [PLAIN, FULL]
    hashes, ordinals = [b"a" * 16, b"b" * 16, b"c" * 16], [0, 1, 2]
    for events in ([event, *others], [*others, event]):
        rows = rows_of(LogColumns.of(events), hashes, ordinals, 5)
        assert rows == [
            plain_row(one, said, number, 5)
            for one, said, number in zip(events, hashes, ordinals, strict=True)
        ]
        assert all(type(row[Row._fields.index("fields")]) is dict for row in rows)
    alone = row_of(event, b"a" * 16, 4, 9, complete=False)
    assert alone == plain_row(event, b"a" * 16, 4, 9)._replace(complete=False)
    assert all((str(getattr(alone, name)) == str(_plain(value))) is stays for name, value in change.items())


def _plain(value):
    return dict(value) if isinstance(value, MappingProxyType) else value


def test_no_events_are_no_rows():
    assert rows_of(LogColumns.of([]), [], [], 1) == []


# ---- the sieve


@dataclass
class Given:
    """Events as a file that was read."""

    events: list[LogEvent]
    first_at: datetime | None
    last_at: datetime | None
    bytes_read: int
    bytes_skipped: int = 0

    def __iter__(self):
        return iter(self.events)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_each_record_goes_in_is_held_back_or_is_left_out_by_its_own_rules(data):
    events = list(events_of(data.draw(STEPS)))
    told = list(plain_identities(events))
    times = sorted({event.at for event in events}) or [AT]
    moment = st.sampled_from(times)
    reading = Given(
        events,
        data.draw(st.sampled_from([None, times[0], times[0] - TOGETHER])) if events else None,
        data.draw(st.sampled_from([None, times[-1], times[-1] + TOGETHER])) if events else None,
        max((one.offset + one.size for one in events), default=0) + data.draw(st.sampled_from([0, 5])),
    )
    interval = data.draw(st.sampled_from([None, None, (data.draw(moment), data.draw(moment))]))
    wanted = Wanted(interval, [(data.draw(moment), data.draw(moment))], data.draw(st.sampled_from([0, 50])))
    incomplete = (
        set(data.draw(st.lists(st.sampled_from([one for one, _ in told]), max_size=2))) if told else set()
    )
    middle = times[len(times) // 2]
    oldest, newest = data.draw(
        st.sampled_from([(AT - HOUR, AT + HOUR), (middle, AT + HOUR), (AT - HOUR, middle)])
    )
    batch, stretch = data.draw(st.sampled_from([(1000, 1000), (1000, 3), (4, 3), (1, 1)]))
    tried = Sieve(1, wanted, oldest, newest, incomplete)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sieve, "BATCH", batch)
        patch.setattr(sieve, "STRETCH", stretch)
        batches = list(tried.batches(reading))

    # a record is known here by its offset: a log that begins anew has one identity twice
    wished = [(one, event) for one, event in told if wanted.takes(event)]
    refused = [one.at for one, _ in wished if not oldest <= one.at <= newest]
    taken = [(one, event) for one, event in wished if oldest <= one.at <= newest]
    at_start = {event.offset for one, event in taken if one.at == taken[0][0].at or one in incomplete}
    first, last = reading.first_at or sieve.LATEST, reading.last_at or sieve.EARLIEST
    at_end = {
        event.offset
        for one, event in taken
        if edge_of(one.at, first, last) or event.offset + event.size >= reading.bytes_read
    }
    held = {event.offset for _, event in tried.held}
    assert at_start <= held <= at_start | at_end
    if batch == 1000:  # a batch that went in before cannot be held back any more
        assert held == at_start | at_end
    assert sorted(tried.held, key=_offset) == [one for one in taken if one[1].offset in held]
    assert [tuple(row) for one in batches for row in one.rows] == [
        plain_row(event, one.content_hash, one.ordinal, 1) for one, event in taken if event.offset not in held
    ]
    assert (tried.events, tried.refused) == (len(taken), len(refused))
    assert tried.oldest_refused == min(refused, default=None)
    assert (tried.earliest, tried.latest) == _span(told)
    assert (tried.since, tried.until) == _span(taken)
    for one in batches:
        named = [Row._make(row) for row in one.rows]
        assert one.months == {(row.at.year, row.at.month) for row in named}
        assert one.end == named[-1].file_offset + named[-1].file_size


def _offset(told):
    return told[1].offset


def _span(told):
    times = [one.at for one, _ in told]
    return min(times, default=sieve.LATEST), max(times, default=sieve.EARLIEST)
