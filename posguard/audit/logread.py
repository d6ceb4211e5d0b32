"""Reads the bot's log of a window: the files that are given, else what is loaded, else the declared sources. Reads only."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.audit.log import Fold, LogFacts
from posguard.errors import LogError
from posguard.logs.extract import extract
from posguard.logs.patterns import load_patterns
from posguard.model.audit import Gap
from posguard.postgres.logevents import events_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.audit import Window
    from posguard.model.log_event import LogEvent
    from posguard.postgres.audit import LoadedLog
    from posguard.postgres.pool import Database
    from posguard.settings import LogSource, Settings

# A race is told by the lines before it too.
_BEFORE = timedelta(seconds=30)
_ROOM = timedelta(minutes=30)
NO_LOG = Gap(
    "no log of the bot",
    "races that left no error, outages of the streams, price updates and the log's latencies are not known",
    "Give it with `--log PATH --tz ZONE`, declare it in POSGUARD_LOG_SOURCES, or load it: docs/logs.md.",
    of_log=True,
)


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Files to read: each source with the paths of it. `asked` means that somebody named them; else they are the declared ones."""

    sources: tuple[tuple[LogSource, tuple[str, ...]], ...] = ()
    asked: bool = False
    patterns: str = ""


def declared_files(settings: Settings) -> LogFiles:
    """The declared sources with those of their paths that are on a local disk; what is elsewhere has to be loaded first."""
    here = [
        (source, tuple(path for path in source.paths if "://" not in path)) for source in settings.log_sources
    ]
    return LogFiles(tuple((source, mine) for source, mine in here if mine), patterns=settings.log_patterns)


async def read_log(
    db: Database, window: Window, files: LogFiles, loaded: Sequence[LoadedLog]
) -> tuple[LogFacts | None, tuple[Gap, ...]]:
    """What the log tells, and what of it was missing.

    Raises LogError for files that somebody named and that cannot be read; of declared ones that is a gap.
    """
    if loaded and not files.asked:
        facts = await _stored(db, window, files, loaded)
        return facts, _holes(facts, window)
    if not files.sources:
        return None, (NO_LOG,)
    try:
        facts = await asyncio.to_thread(_of_files, window, files)
    except LogError as error:
        if files.asked:
            raise
        return None, (
            Gap(
                "the declared log", f"{error.message} {NO_LOG.loses}", error.hint or NO_LOG.hint, of_log=True
            ),
        )
    return facts, _holes(facts, window)


async def _stored(db: Database, window: Window, files: LogFiles, loaded: Sequence[LoadedLog]) -> LogFacts:
    async with db.snapshot() as connection:
        events = await events_between(connection, window.start - _BEFORE, window.end)
    zones = {source.name: source.zone for source, _ in files.sources}
    return await asyncio.to_thread(
        _folded,
        events,
        window,
        "loaded records",
        {one.source: zones.get(one.source, "UTC") for one in loaded},
    )


def _folded(events: Sequence[LogEvent], window: Window, where: str, zones: dict[str, str]) -> LogFacts:
    fold = Fold(window)
    for source in dict.fromkeys(event.source for event in events):
        fold.take(event for event in events if event.source == source)
    return fold.conclude(where, zones)


def _of_files(window: Window, files: LogFiles) -> LogFacts:
    patterns = load_patterns(files.patterns)
    fold, damage = Fold(window), []
    for source, paths in files.sources:
        read = extract(paths, source, since=window.start - _BEFORE, until=window.end, patterns=patterns)
        fold.take(read)
        damage += [f"{d.path or source.name}: {d.what} ({d.count})" for d in read.counts.damage]
    where = "files " + ", ".join(path for _, paths in files.sources for path in paths)
    zones = {source.name: source.zone for source, _ in files.sources}
    return fold.conclude(where, zones, arguments=_arguments(files) if files.asked else "", damage=damage)


def _arguments(files: LogFiles) -> str:
    """The paths, and the zone where all share one; what has several zones is declared."""
    zones = {source.zone for source, _ in files.sources}
    paths = " ".join(shlex.quote(path) for _, mine in files.sources for path in mine)
    return f"{paths} --tz {zones.pop()} " if len(zones) == 1 else ""


def _holes(facts: LogFacts, window: Window) -> tuple[Gap, ...]:
    """What of the window the log leaves out."""
    numbers = facts.statistics
    if numbers.first is None or numbers.last is None:
        return (
            Gap(
                "the log of this window",
                f"{facts.where} hold no known record of it; {NO_LOG.loses}",
                NO_LOG.hint,
                of_log=True,
            ),
        )
    gaps = []
    if numbers.first - window.start > _ROOM:
        gaps.append(
            Gap(
                f"the log before {numbers.first:%Y-%m-%d %H:%M} UTC",
                "what happened there only rows and events tell",
                of_log=True,
            )
        )
    if window.end - numbers.last > _ROOM:
        gaps.append(
            Gap(
                f"the log after {numbers.last:%Y-%m-%d %H:%M} UTC",
                "what happened there only rows and events tell",
                of_log=True,
            )
        )
    gaps += [
        Gap(
            f"the log of {hole.source} from {hole.since:%H:%M} to {hole.until:%H:%M} UTC",
            "it is silent there: races and outages of that time are not known",
            of_log=True,
        )
        for hole in numbers.holes
    ]
    if not numbers.kinds.get("price_update"):
        gaps.append(
            Gap(
                "price updates",
                "the log names none, so times without a price are not known",
                "A pattern can be added: docs/logs.md.",
            )
        )
    gaps += [
        Gap("part of the log", damage, "docs/logs.md tells what damage means.", of_log=True)
        for damage in facts.damage
    ]
    return tuple(gaps)
