"""The events of a log: from files, packed files and streams, in file order, with what was read, skipped and broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from posguard.logs import parallel
from posguard.logs.context import lines_around, offset_of_last_lines
from posguard.logs.events import Builder
from posguard.logs.finder import Finder
from posguard.logs.folds import Folds
from posguard.logs.parts import Part, PartEnd, parts_of, read_part
from posguard.logs.patterns import Pattern, load_patterns
from posguard.logs.scan import Batch, Raw, Want
from posguard.logs.sources import Opener, files_of
from posguard.logs.zones import Clock, zone_of
from posguard.model.log_event import LogEvent
from posguard.settings import LogSource

# Local and UTC time are never farther apart than this.
_FARTHEST = timedelta(hours=27)


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a file that could not be read as it should: what, how many bytes or records, and in which file.

    `cut`: the file breaks off there, and nobody knows what stood behind.
    """

    path: str
    what: str
    count: int
    cut: bool = False


@dataclass(slots=True)
class Counts:
    """What a pass over a log saw. `lines` is 0 unless lines were counted, `records` and `levels` unless levels were.

    `first` and `last` are the UTC times of the first and last record, whatever it says.
    """

    files: int = 0
    bytes: int = 0
    lines: int = 0
    records: int = 0
    events: int = 0
    skipped_bytes: int = 0
    skipped_records: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    damage: list[Damage] = field(default_factory=list)


class Extraction:
    """The events of one source's files. Each iteration reads them anew, in bounded memory; `counts` tells of the last whole one."""

    def __init__(
        self,
        files: Sequence[str],
        source: LogSource,
        want: Want,
        *,
        since: datetime | None,
        until: datetime | None,
        processes: int,
        opener: Opener | None,
        last_lines: int | None,
    ) -> None:
        self.files = tuple(files)
        self.source = source
        self._want = want
        self._since, self._until = since, until
        self._processes = processes
        self._opener = opener
        self._last_lines = last_lines
        self._counts: Counts | None = None

    @property
    def counts(self) -> Counts:
        """What the last whole pass saw; without one yet, a pass is made for it."""
        if self._counts is None:
            for _ in self._settled():
                pass
        assert self._counts is not None
        return self._counts

    def __iter__(self) -> Iterator[LogEvent]:
        """The events in file order."""
        return (event for event, _ in self.with_digests())

    def with_digests(self) -> Iterator[tuple[LogEvent, bytes]]:
        """Each event with the digest of its record's content: 16 bytes, empty unless digests were asked for.

        The digest covers all lines of the record; line ends of either form and NUL bytes around it make no difference.
        """
        builder = Builder(self._want.finder.patterns, self.source.name)
        for raw, at, path in self._settled():
            yield builder.build(raw, at, path), raw[-1] or b""

    def flat(self) -> Iterator[tuple[str, Batch]]:
        """Each block's file and flat values, times still local: what costs least, for counting."""
        for part, batch in self._batches(Counts()):
            yield part.path, batch

    def context(self, event: LogEvent, before: int = 10, after: int = 10) -> list[str]:
        """The lines around an event: `before` lines, all lines of its record, `after` lines; broken bytes read as U+FFFD."""
        return lines_around(
            event.path, event.offset, event.size, before=before, after=after, opener=self._opener
        )

    def _batches(self, counts: Counts) -> Iterator[tuple[Part, Batch]]:
        starts = (
            offset_of_last_lines(self.files, self._last_lines, self._opener) if self._last_lines else None
        )
        parts = parts_of(self.files, self._processes, starts, local=self._opener is None)
        counts.files = len({part.path for part in parts})
        if self._processes > 1 and len(parts) > 1 and self._opener is None and parallel.possible():
            stream = parallel.read(parts, self._want, self._processes)
        else:
            stream = ((part, item) for part in parts for item in read_part(part, self._want, self._opener))
        for part, item in stream:
            if isinstance(item, Batch):
                _add(counts, part.path, item)
                yield part, item
            else:
                _close(counts, part.path, item, lines=self._want.lines)

    def _settled(self) -> Iterator[tuple[Raw, datetime, str]]:
        counts = Counts()
        clock, folds = Clock(self.source.zone), Folds(zone_of(self.source.zone))
        waiting: dict[int, tuple[str, Batch]] = {}
        for number, (part, batch) in enumerate(self._batches(counts)):
            waiting[number] = part.path, batch
            for held in folds.take(batch.start, batch.span):
                yield from self._timed(*waiting.pop(held.number), held.switches, clock, counts)
        for held in folds.end():
            yield from self._timed(*waiting.pop(held.number), held.switches, clock, counts)
        _say(counts, clock, folds)
        self._counts = counts

    def _timed(
        self, path: str, batch: Batch, switches: list[tuple[int, int]], clock: Clock, counts: Counts
    ) -> Iterator[tuple[Raw, datetime, str]]:
        fold, coming = 0, sorted(switches)
        since, until, utc = self._since, self._until, clock.utc
        if batch.span.first:
            _stretch(counts, clock, batch, coming)
        for raw in batch.events:
            while coming and coming[0][0] <= raw[0]:
                fold = coming.pop(0)[1]
            at = utc(raw[4][0] or b"", fold)
            if at is None:
                counts.skipped_records += 1
                continue
            if (since is not None and at < since) or (until is not None and at >= until):
                continue
            counts.events += 1
            yield raw, at, path


def _stretch(counts: Counts, clock: Clock, batch: Batch, switches: list[tuple[int, int]]) -> None:
    wrong, missing = clock.wrong, clock.missing
    first = clock.utc(batch.span.first, switches[0][1] if switches and switches[0][0] <= batch.start else 0)
    last = clock.utc(batch.span.last, switches[-1][1] if switches else 0)
    clock.wrong, clock.missing = wrong, missing
    counts.first = counts.first or first
    counts.last = last or counts.last


def _note(counts: Counts, path: str, what: str, number: int) -> None:
    """One line of damage per file and kind, however many parts the file was read in."""
    for place, known in enumerate(counts.damage):
        if (known.path, known.what) == (path, what):
            counts.damage[place] = Damage(path, what, known.count + number)
            return
    counts.damage.append(Damage(path, what, number))


def _add(counts: Counts, path: str, batch: Batch) -> None:
    counts.lines += batch.lines
    counts.records += batch.records
    for level, number in batch.levels.items():
        counts.levels[level] = counts.levels.get(level, 0) + number
    if batch.nul:
        _note(counts, path, "NUL bytes", batch.nul)
    if batch.torn:
        counts.skipped_bytes += batch.torn
        _note(counts, path, "the last line breaks off", batch.torn)


def _close(counts: Counts, path: str, end: PartEnd, *, lines: bool) -> None:
    counts.bytes += end.read
    counts.lines += end.lines if lines else 0
    counts.skipped_bytes += end.headless + end.skipped
    if end.headless:
        _note(counts, path, "bytes before the first record", end.headless)
    if end.skipped:
        _note(counts, path, "bytes of records too long to hold", end.skipped)
    if end.damage:
        counts.damage.append(Damage(path, end.damage, 1, cut=True))


def _say(counts: Counts, clock: Clock, folds: Folds) -> None:
    if clock.missing:
        _note(counts, "", f"times that {clock.zone.key} never showed", clock.missing)
    if clock.wrong:
        _note(counts, "", "records with a time of no calendar, left out", clock.wrong)
    if folds.guessed:
        _note(counts, "", "repeated hours with one pass only, taken as the nearer one", folds.guessed)


def extract(
    paths: Iterable[str | Path],
    source: LogSource,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    processes: int = 1,
    patterns: Sequence[Pattern] | None = None,
    opener: Opener | None = None,
    last_lines: int | None = None,
    lines: bool = False,
    levels: bool = False,
    digests: bool = False,
) -> Extraction:
    """The events of `paths` (files, folders, globs; addresses that `opener` opens), whose lines show the local time of `source.zone`.

    `since` <= at < `until`, aware. `last_lines` keeps the last so many lines of the whole set. `lines` and `levels` count all lines,
    and all records by level, at a cost; `digests` gives each record's content hash. Nothing is read before the result is iterated.
    Raises LogError where there is nothing at a path.
    """
    names = files_of(str(path) for path in paths)
    want = Want(
        Finder(load_patterns() if patterns is None else patterns),
        zone_of(source.zone),
        _local(since - _FARTHEST) if since else b"",
        _local(until + _FARTHEST) if until else b"\xff",
        lines=lines,
        levels=levels,
        digests=digests,
    )
    return Extraction(
        names,
        source,
        want,
        since=since,
        until=until,
        processes=processes,
        opener=opener,
        last_lines=last_lines,
    )


def extract_stream(
    stream: BinaryIO, source: LogSource, *, name: str = "-", patterns: Sequence[Pattern] | None = None
) -> Extraction:
    """The events of one open stream, packed or not, which is read once."""
    want = Want(Finder(load_patterns() if patterns is None else patterns), zone_of(source.zone))
    return Extraction(
        (name,), source, want, since=None, until=None, processes=1, opener=lambda _: stream, last_lines=None
    )


def _local(at: datetime) -> bytes:
    return at.replace(tzinfo=None).isoformat(" ")[:10].encode()
