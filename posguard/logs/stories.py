"""What happened to the bot whose log is generated: opens, cycles, incidents and races, each with the truth about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from posguard.logs.wordings import NOISE, QUOTES, STEPS, step_words

SYMBOLS = (
    "APTUSDT",
    "KASUSDT",
    "BTCUSDT",
    "ETHUSDT",
    "SOLUSDT",
    "1000PEPEUSDT",
    "AKEUSDT",
    "BIDUSDT",
    "LINKUSDT",
    "TONUSDT",
)
SCENARIOS = ("A", "B", "C", "D", "silent")


@dataclass(frozen=True, slots=True)
class Told:
    """One record: when (UTC), what step (None for noise), its words, and what an event of it must say."""

    at: datetime
    module: str
    level: str
    message: str
    kind: str | None = None
    symbol: str | None = None
    position_id: int | None = None


@dataclass(frozen=True, slots=True)
class PlantedRace:
    """A race in the log: its scenario (A to D, or `silent` where no error surfaced), who, and when, in UTC.

    `first_at` and `second_at` are the inserts' lines of the same form, `gap` the time between them; `error_at` is the first
    duplicate error, None in a silent one. `second_id` is None where the log does not say it.
    """

    scenario: str
    symbol: str
    exchange: str
    first_id: int
    second_id: int | None
    first_at: datetime
    second_at: datetime
    error_at: datetime | None

    @property
    def gap(self) -> timedelta:
        """Between the two inserts."""
        return self.second_at - self.first_at


class Story:
    """Collects the records of one log."""

    def __init__(self, random: Random, wording: int, quoted: float = 0.02) -> None:
        self.told: list[Told] = []
        self.races: list[PlantedRace] = []
        self.latencies: list[float] = []
        self.random = random
        self.wording = wording
        self.quoted = quoted
        self.next_id = 2000

    def say(self, at: datetime, name: str, *, wording: int | None = None, **values: object) -> None:
        """Tells a step at a time."""
        step = STEPS[name]
        text = step_words(name, self.wording if wording is None else wording)
        filled = {"n": self.random.randint(2, 40), "i": 1, "oid": self.random.randint(10**7, 10**10), "price": "3.2140", "ex": "binance",
                  "qty": "61.8", "side": "long", "buy": "buy", "state": "entry_placed", "pid": 41822, "ts": "2025-10-22T21:50:00", **values}  # fmt: skip
        message = text.format(**filled)
        own = text if step.kind == "duplicate_error" else text.split("Traceback", 1)[0]
        symbol = str(filled["sym"]) if "sym" in filled and "{sym}" in own else None
        position = int(str(filled["id"])) if "id" in filled and "{id}" in text else None
        self.told.append(Told(at, step.module, step.level, message, step.kind, symbol, position))

    def noise(self, at: datetime) -> None:
        """A line that is no event."""
        level, module, text = self.random.choice(QUOTES if self.random.random() < self.quoted else NOISE)
        message = text.format(
            sym=self.random.choice(SYMBOLS),
            price=f"{self.random.random() * 9:.4f}",
            oid=self.random.randint(10**5, 10**9),
        )
        self.told.append(Told(at, module, level, message))

    def new_id(self) -> int:
        """The id of the next row."""
        self.next_id += 1
        return self.next_id


def _ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


def open_as_usual(story: Story, at: datetime, symbol: str, exchange: str) -> int:
    """An open from signal to stop, about six seconds; the row's id."""
    number, order = story.new_id(), story.random.randint(10**7, 10**9)
    value: dict[str, Any] = {"sym": symbol, "ex": exchange, "id": number, "oid": order}
    entry, stop = story.random.randint(350, 900), story.random.randint(300, 1500)
    for after, name in (
        (0, "signal"), (20, "opening"), (40, "creating"), (44, "inserting"), (47, "created"), (60, "placing"), (60 + entry, "placed"),
        (70 + entry, "filled"), (75 + entry, "to_entry"), (3100 + entry, "stop_placing"), (3100 + entry + stop, "stop_placed"),
        (3110 + entry + stop, "to_active"), (3120 + entry + stop, "activated"), (3125 + entry + stop, "saved"),
    ):  # fmt: skip
        story.say(at + _ms(after), name, **value)
    story.say(at + _ms(61 + entry), "took", wording=0, ms=entry, **value)
    story.say(at + _ms(3101 + entry + stop), "took", wording=1, seconds=f"{stop / 1000:.3f}", **value)
    story.latencies.extend((float(entry), float(stop)))
    return number


def synchronise(story: Story, at: datetime, exchange: str, *, found: int) -> None:
    """One cycle of the synchroniser that finds nothing new."""
    story.say(at, "syncing", ex=exchange)
    story.say(at + _ms(180), "sync_found", ex=exchange, n=found)
    story.say(at + _ms(240), "sync_done")


def duplicate(story: Story, at: datetime, symbol: str, exchange: str, number: int) -> None:
    """One duplicate-key error as the bot logs it: three records."""
    value: dict[str, Any] = {"sym": symbol, "ex": exchange, "id": number}
    story.say(at, "duplicate", **value)
    story.say(at + _ms(2), "duplicate_flat", **value)
    story.say(at + _ms(3), "duplicate_trace", **value)


def undo(story: Story, at: datetime, symbol: str) -> None:
    """The rollback that follows."""
    story.say(at, "rollback", sym=symbol)
    story.say(at + _ms(900), "rollback_found")
    story.say(at + _ms(1200), "emergency")


def incident_1(story: Story, at: datetime, symbol: str = "APTUSDT", first_id: int | None = 2548) -> None:
    """Signal against synchroniser, the inserts 3.756 s apart; `at` is the insert of the signal's row."""
    number = story.new_id() if first_id is None else first_id
    value: dict[str, Any] = {"sym": symbol, "ex": "binance", "id": number}
    story.say(at - _ms(60), "opening", wording=0, **value)
    story.say(at - _ms(1), "inserting", **value)
    story.say(at + _ms(2), "created", wording=0, **value)
    story.say(at + _ms(500), "placed", wording=0, oid=53190368)
    story.say(at + _ms(1000), "to_entry", oid=53190368, **value)
    story.say(at + _ms(3400), "syncing", wording=1, ex="binance")
    story.say(at + _ms(3600), "sync_found", ex="binance", n=34)
    story.say(at + _ms(3755), "inserting", sym=symbol, qty="61.0")
    story.say(at + _ms(3758), "sync_added", sym=symbol)
    story.say(at + _ms(3900), "sync_done")
    story.say(at + _ms(4000), "stop_placing", **value)
    story.say(at + _ms(4920), "stop_placed", wording=0)
    story.say(at + _ms(4925), "to_active", **value)
    error = at + _ms(4933)
    duplicate(story, error, symbol, "binance", number)
    undo(story, error + _ms(20), symbol)
    story.next_id += 1
    story.races.append(PlantedRace("B", symbol, "binance", number, None, at - _ms(1), at + _ms(3755), error))


def incident_2(story: Story, at: datetime, symbol: str = "KASUSDT", first_id: int | None = 275) -> None:
    """Two inserts 34 ms apart inside one open and no error; `at` is the first insert."""
    first = story.new_id() if first_id is None else first_id
    second = story.new_id() if first_id is None else first_id + 1
    before, after = ("AKEUSDT", "BIDUSDT") if first_id is not None else ("LINKUSDT", "TONUSDT")
    story.say(at - _ms(1_900), "wave", n=3)
    for shift, name, place in ((-1655, before, 1), (-670, symbol, 2), (345, after, 3)):
        story.say(at + _ms(shift), "signal", sym=name, i=place, n=3)
    story.say(at - _ms(655), "opening", sym=symbol, wording=0)
    story.say(at + _ms(1), "created", wording=0, sym=symbol, id=first)
    story.say(at + _ms(35), "created", wording=0, sym=symbol, id=second)
    story.say(at + _ms(2267), "saved", sym=symbol, id=first)
    story.races.append(PlantedRace("silent", symbol, "bybit", first, second, at + _ms(1), at + _ms(35), None))


def signal_and_signal(story: Story, at: datetime, symbol: str) -> None:
    """Scenario A: two signals for one symbol, each past the check before the other's row."""
    first, second = story.new_id(), story.new_id()
    for shift, number in ((0, first), (310, second)):
        start = at + _ms(shift)
        value: dict[str, Any] = {"sym": symbol, "ex": "binance", "id": number}
        story.say(start - _ms(70), "signal", **value)
        story.say(start - _ms(50), "opening", **value)
        story.say(start - _ms(2), "inserting", **value)
        story.say(start, "created", wording=0, **value)
        story.say(start + _ms(620), "placed", wording=0)
        story.say(start + _ms(640), "to_entry", **value)
        story.say(start + _ms(4300), "to_active", **value)
    story.say(at + _ms(4310), "activated", wording=0, id=first)
    error = at + _ms(4620)
    duplicate(story, error, symbol, "binance", second)
    undo(story, error + _ms(20), symbol)
    story.races.append(PlantedRace("A", symbol, "binance", first, second, at, at + _ms(310), error))


def retry_after_rollback(story: Story, at: datetime, symbol: str) -> None:
    """Scenario C: the retry inserts while the rollback of the first attempt is still at work."""
    first, second = story.new_id(), story.new_id()
    value: dict[str, Any] = {"sym": symbol, "ex": "bybit", "id": first}
    story.say(at - _ms(50), "opening", **value)
    story.say(at - _ms(2), "inserting", **value)
    story.say(at, "created", wording=0, **value)
    story.say(at + _ms(500), "placed", wording=0)
    story.say(at + _ms(520), "to_entry", **value)
    story.say(at + _ms(1900), "stop_failed", wording=0, **value)
    story.say(at + _ms(1950), "rollback", **value)
    again = at + _ms(2600)
    value["id"] = second
    story.say(again - _ms(50), "opening", **value)
    story.say(again - _ms(2), "inserting", **value)
    story.say(again, "created", wording=0, **value)
    story.say(again + _ms(400), "to_active", **value)
    error = again + _ms(410)
    duplicate(story, error, symbol, "bybit", second)
    undo(story, error + _ms(20), symbol)
    story.races.append(PlantedRace("C", symbol, "bybit", first, second, at, again, error))


def cleanup_and_signal(story: Story, at: datetime, symbol: str) -> None:
    """Scenario D: recovery takes an unfinished row up again while a signal opens the same symbol."""
    first, second = story.new_id(), story.new_id()
    story.say(at, "created", wording=0, sym=symbol, id=first)
    story.say(at + _ms(30), "to_entry", sym=symbol, id=first)
    story.say(at + _ms(700), "recovery", wording=0)
    story.say(at + _ms(760), "recovering", sym=symbol)
    start = at + _ms(1400)
    value: dict[str, Any] = {"sym": symbol, "ex": "bybit", "id": second}
    story.say(start - _ms(50), "opening", **value)
    story.say(start - _ms(2), "inserting", **value)
    story.say(start, "created", wording=0, **value)
    story.say(start + _ms(500), "to_active", id=first, sym=symbol)
    story.say(start + _ms(510), "recovered", sym=symbol)
    story.say(start + _ms(900), "to_active", **value)
    error = start + _ms(910)
    duplicate(story, error, symbol, "bybit", second)
    undo(story, error + _ms(20), symbol)
    story.races.append(PlantedRace("D", symbol, "bybit", first, second, at, start, error))


def plant(story: Story, scenario: str, at: datetime, symbol: str) -> None:
    """One race of a scenario."""
    if scenario == "A":
        signal_and_signal(story, at, symbol)
    elif scenario == "B":
        incident_1(story, at, symbol, None)
    elif scenario == "C":
        retry_after_rollback(story, at, symbol)
    elif scenario == "D":
        cleanup_and_signal(story, at, symbol)
    else:
        incident_2(story, at, symbol, None)
