"""Logs of a bot that never was, with the truth about them: what every part that reads logs is measured against.

The same recipe gives the same bytes.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from posguard.logs.stories import (
    SCENARIOS,
    SYMBOLS,
    PlantedRace,
    Story,
    Told,
    incident_1,
    incident_2,
    open_as_usual,
    plant,
    synchronise,
)

# Creates further apart than a minute are not held against each other.
_APART = timedelta(seconds=75)
_TRIES = 1000
_STAMP = len("2025-10-22 22:50:45")
INCIDENT_1 = datetime(2025, 10, 22, 21, 50, 40, 981_000, tzinfo=UTC)
INCIDENT_2 = datetime(2025, 10, 22, 23, 21, 12, 819_000, tzinfo=UTC)
_NOW_AND_THEN = (
    "down", "up", "refused", "limited", "aged", "zombie", "phantom", "unprotected", "stop_hit", "stop_moved", "trailing_on",
    "trailing_moved", "trailing_back", "trailing_failed", "closed", "recovery", "broken", "price", "skipped", "exists", "exists_on", "failed",
    "not_found", "rollback_failed", "alert", "exposed", "sync_known",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """What log is wanted. `start` is UTC; `zone` is the one whose local time the lines show.

    `encoding` is utf-8, utf-8-sig, utf-16 or cp1251 (the bytes of another code page, as a broken bot writes them); `damage` adds
    bytes that are no UTF-8, NUL bytes, headless lines at the start and a torn last line. `silence` is a stretch without any line,
    as hours from the start. `bars` is the share of records in the second header format, `quoted`
    that of idle lines which hold an event's words.
    """

    seed: int = 1
    zone: str = "Europe/Berlin"
    start: datetime = datetime(2025, 10, 22, 20, 0, tzinfo=UTC)
    hours: float = 4
    wording: int = 0
    encoding: str = "utf-8"
    crlf: bool = False
    damage: bool = False
    noise: int = 2000
    opens: int = 40
    happenings: int = 120
    races: Sequence[str] = SCENARIOS
    incidents: bool = True
    silence: tuple[float, float] | None = None
    bars: float = 0.1
    quoted: float = 0.02


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a generated log. `ids` sums the position ids that the events of a kind say; times are UTC, to the millisecond.

    `latencies` are milliseconds. `gaps` are the silent stretches. `records` has every record in file order, noise too.
    """

    kinds: dict[str, int]
    ids: dict[str, int]
    symbols: dict[str, int]
    levels: dict[str, int]
    lines: int
    first: datetime
    last: datetime
    races: tuple[PlantedRace, ...]
    gaps: tuple[tuple[datetime, datetime], ...]
    latencies: tuple[float, ...]
    torn: int = 0
    headless: int = 0
    records: tuple[Told, ...] = field(default=(), repr=False)

    @property
    def events(self) -> int:
        """How many events there are."""
        return sum(self.kinds.values())


def make_log(recipe: Recipe) -> tuple[bytes, Truth]:
    """The log of a recipe as bytes, and the truth about it."""
    pieces, truth = make_pieces(recipe)
    return joined(recipe, pieces), truth


def make_pieces(recipe: Recipe) -> tuple[list[bytes], Truth]:
    """The log as its records, UTF-8 (or the other code page), to be cut between any two; and the truth about it."""
    random = Random(recipe.seed)  # noqa: S311 - repeatable on purpose
    story = Story(random, recipe.wording, recipe.quoted)
    _tell(story, recipe)
    told = _in_order(story, recipe)
    pieces = [_bytes(one, recipe, random) for one in told]
    truth = _truth(told, story, recipe)
    torn = headless = 0
    if recipe.damage:
        head = b"\x00\x00\x00\xff half of a line of before\n  File somewhere\n"
        stamp, thousandth = pieces[-1][:_STAMP], pieces[-1][_STAMP + 1 : _STAMP + 4]
        tail = stamp + b"," + thousandth + b" - core.x - INFO - Created position #99"
        pieces = [head, *pieces, tail]
        torn, headless = len(tail), len(head)
        truth.levels["INFO"] = truth.levels.get("INFO", 0) + 1
    lines = sum(piece.count(b"\n") for piece in pieces)
    return pieces, replace(truth, lines=lines, torn=torn, headless=headless)


def joined(recipe: Recipe, pieces: Sequence[bytes]) -> bytes:
    """Records as the bytes of one file."""
    whole = b"".join(pieces)
    if recipe.encoding == "utf-16":
        return whole.decode("utf-8", "replace").encode("utf-16")
    return b"\xef\xbb\xbf" + whole if recipe.encoding == "utf-8-sig" else whole


def write_rotated(
    folder: Path, recipe: Recipe, *, files: int = 3, packed: str = "gz", name: str = "bot.log"
) -> Truth:
    """The log as a rotated set in `folder`: the newest file plain, older ones packed as gz or zst, or plain where `packed` is ""."""
    pieces, truth = make_pieces(recipe)
    cuts = [len(pieces) * n // files for n in range(files + 1)]
    for number in range(files):
        data = joined(recipe, pieces[cuts[number] : cuts[number + 1]])
        age = files - 1 - number
        path = folder / (f"{name}.{age}" if age else name)
        if age and packed == "gz":
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 6))
        elif age and packed == "zst":
            import zstandard  # noqa: PLC0415 - a machine may lack its wheel

            path.with_name(path.name + ".zst").write_bytes(zstandard.ZstdCompressor().compress(data))
        else:
            path.write_bytes(data)
    return truth


def write_large(
    path: Path, size: int, seed: int = 1, *, noise: int = 180_000, opens: int = 40, happenings: int = 200
) -> Truth:
    """A log of at least `size` bytes of UTC days that are alike but for their date; the truth's counts are of the whole.

    The records, races and times of the truth are those of the first day.
    """
    day = Recipe(
        seed=seed,
        zone="UTC",
        start=datetime(2025, 1, 1, tzinfo=UTC),
        hours=23.9,
        noise=noise,
        opens=opens,
        happenings=happenings,
        incidents=False,
        bars=0.0,
        quoted=0.002,
    )
    pieces, truth = make_pieces(day)
    block = b"".join(pieces)
    days = 0
    with path.open("wb") as file:
        while file.tell() < size:
            date = (day.start + timedelta(days=days)).strftime("%Y-%m-%d ").encode()
            file.write(block.replace(b"2025-01-01 ", date))
            days += 1
    times = {
        name: {key: value * days for key, value in getattr(truth, name).items()}
        for name in ("kinds", "ids", "symbols", "levels")
    }
    return replace(truth, lines=truth.lines * days, last=truth.last + timedelta(days=days - 1), **times)  # type: ignore[arg-type]  # the four tables


def _tell(story: Story, recipe: Recipe) -> None:
    random, length = story.random, timedelta(hours=recipe.hours)
    story.say(recipe.start, "started")
    story.say(recipe.start + timedelta(milliseconds=40), "locked")
    for at, symbol, exchange in _opens(random, recipe, length):
        open_as_usual(story, at, symbol, exchange)
    for number in range(int(recipe.hours * 12)):
        synchronise(
            story,
            recipe.start + timedelta(minutes=5 * number, seconds=21),
            ("binance", "bybit")[number % 2],
            found=30,
        )
    for _ in range(recipe.happenings):
        story.say(
            recipe.start + length * random.uniform(0.01, 0.99),
            random.choice(_NOW_AND_THEN),
            sym=random.choice(SYMBOLS[2:6]),
            id=random.randint(1, 999),
        )
    for number, scenario in enumerate(recipe.races):
        # Symbols of their own, far apart in time, so that each race stands alone.
        place = (number + 1) / (len(recipe.races) + 1) + random.uniform(-0.02, 0.02)
        plant(story, scenario, _whole(recipe.start + length * place), f"R{number}{scenario[0].upper()}USDT")
    if recipe.incidents and recipe.start < INCIDENT_1 < INCIDENT_2 < recipe.start + length:
        incident_1(story, INCIDENT_1)
        incident_2(story, INCIDENT_2)
    for _ in range(recipe.noise):
        story.noise(recipe.start + length * random.uniform(0.0005, 1))


def _opens(random: Random, recipe: Recipe, length: timedelta) -> Iterator[tuple[datetime, str, str]]:
    """Ordinary opens: two of one symbol lie so far apart that they are no race, whatever the log says of their exchange."""
    before: dict[str, list[datetime]] = {}
    for _ in range(recipe.opens):
        for _ in range(_TRIES):
            at = recipe.start + length * random.uniform(0.01, 0.97)
            symbol, exchange = random.choice(SYMBOLS[2:6]), random.choice(("binance", "bybit"))
            if all(abs(at - one) > _APART for one in before.get(symbol, ())):
                break
        else:
            raise ValueError(f"{recipe.opens} opens have no room in {recipe.hours} hours.")
        before.setdefault(symbol, []).append(at)
        yield at, symbol, exchange


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _in_order(story: Story, recipe: Recipe) -> list[Told]:
    told = sorted((replace(one, at=_whole(one.at)) for one in story.told), key=lambda one: one.at)
    if recipe.silence is None:
        return told
    start, end = (recipe.start + timedelta(hours=hours) for hours in recipe.silence)
    story.races = [race for race in story.races if not start - timedelta(minutes=1) < race.first_at < end]
    return [one for one in told if not start < one.at < end]


def _bytes(one: Told, recipe: Recipe, random: Random) -> bytes:
    local = one.at.astimezone(ZoneInfo(recipe.zone))
    stamp, thousandth = local.strftime("%Y-%m-%d %H:%M:%S"), local.microsecond // 1000
    if random.random() < recipe.bars:
        text = f"{stamp}.{thousandth:03d} | {one.level:<8} | {one.module}:run:{random.randint(1, 900)} - {one.message}\n"
    else:
        text = f"{stamp},{thousandth:03d} - {one.module} - {one.level} - {one.message}\n"
    if recipe.crlf:
        text = text.replace("\n", "\r\n")
    data = text.encode("cp1251", "replace") if recipe.encoding == "cp1251" else text.encode()
    if recipe.damage and one.kind is None and random.random() < 0.02:
        data = data[:-2] + b"\xff\xfe\xd0" + (b"\x00" if random.random() < 0.2 else b"") + data[-2:]
    return data


def _truth(told: list[Told], story: Story, recipe: Recipe) -> Truth:
    events = [one for one in told if one.kind is not None]
    ids: Counter[str] = Counter()
    for one in events:
        ids[one.kind or ""] += one.position_id or 0
    gaps = ()
    if recipe.silence:
        start, end = (recipe.start + timedelta(hours=hours) for hours in recipe.silence)
        gaps = (
            (max(one.at for one in told if one.at <= start), min(one.at for one in told if one.at >= end)),
        )  # type: ignore[assignment]  # one gap
    return Truth(
        kinds=dict(Counter(one.kind for one in events if one.kind)),
        ids={kind: total for kind, total in ids.items() if total},
        symbols=dict(Counter(one.symbol for one in events if one.symbol)),
        levels=dict(Counter(one.level for one in told)),
        lines=0,
        first=told[0].at,
        last=told[-1].at,
        races=tuple(story.races),
        gaps=gaps,
        latencies=tuple(story.latencies),
        records=tuple(told),
    )
