"""What each task of the two ingestion DAGs does: where the logs are, one of their files, and the end of the run.

What posguard needs for the work is imported inside the functions: the DAG processor imports this module to parse the DAGs.
ObjectStoragePath opens what is not on a local disk, here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from posguard_airflow import one_line, read_connections
from posguard_tasks import external_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from posguard.logs.ingest import Ingested, Interval, IntervalEnd
    from posguard.settings import LogSource, Settings

log = logging.getLogger(__name__)

# Airflow maps over a thousand at most; where a source has more files than this, neighbours share a task.
MAPPED = 200


def preflight() -> None:
    """Checks the database, posguard's schema and that a source is declared; without one the run is skipped. Changes nothing."""
    import posguard_tasks

    posguard_tasks.preflight(venues=False)
    with one_line():
        settings = read_connections(venues=False)
    _skip_without_sources(settings)
    for source in settings.log_sources:
        log.info("%s: %s, read as %s", source.name, ", ".join(source.paths), source.zone)


def files(dag_run: Any) -> list[dict[str, Any]]:
    """The files that the run has to read, in groups of one source: one file each, or neighbours where there are very many."""
    interval = interval_of(dag_run)
    with one_line():
        found = asyncio.run(_files(read_connections(venues=False), interval))
    count = sum(len(paths) for paths in found.values())
    together = -(-count // MAPPED) or 1
    log.info("%s files to read for %s", count, _spelled(interval))
    return [
        {"source": name, "paths": paths[at : at + together]}
        for name, paths in found.items()
        for at in range(0, len(paths), together)
    ]


def load(dag_run: Any, group: Mapping[str, Any]) -> dict[str, Any]:
    """Loads the files of a group; returns what the run's end needs: counts, and the stretch of time they were about."""
    with one_line():
        settings = read_connections(venues=False)
        done = asyncio.run(_load(settings, group, interval_of(dag_run), external_id(dag_run)))
    for one in done:
        _say(one, settings.log_retention_days)
    taken = [one.loaded.taken for one in done if one.loaded.taken]
    return {
        "events": sum(one.loaded.events for one in done),
        "new_events": sum(one.loaded.new_events for one in done),
        "refused": sum(one.loaded.refused for one in done),
        "first": min(first for first, _ in taken).isoformat() if taken else None,
        "last": max(last for _, last in taken).isoformat() if taken else None,
    }


def races(dag_run: Any, loaded: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Records the races that the loaded stretch tells of, and the interval as covered; returns what the asset's event carries."""
    loaded = list(loaded)
    interval = interval_of(dag_run)
    with one_line():
        settings = read_connections(venues=False)
    _skip_without_sources(settings)
    with one_line():
        ended = asyncio.run(_end(settings, interval, loaded, external_id(dag_run)))
    counts = {name: sum(one[name] for one in loaded) for name in ("events", "new_events", "refused")}
    log.info("%s events taken, %s of them new; %s races", counts["events"], counts["new_events"], ended.races)
    if ended.undecided:
        log.warning(
            "%s times two creates of one symbol lie near each other, and the log does not say whether they were on one exchange: "
            "no finding is made of it. `posguard logs analyze --verbose` lists them.",
            ended.undecided,
        )
    return counts | {"races": ended.races, "undecided": ended.undecided, "findings": dict(ended.counts)}


def interval_of(dag_run: Any) -> Interval | None:
    """The data interval; None for a run triggered by hand, which loads all that retention lets in."""
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    return (start, end) if start and end and start < end else None


async def _files(settings: Settings, interval: Interval | None) -> dict[str, list[str]]:
    from posguard.logs.ingest import files_to_read
    from posguard.postgres.pool import Database

    found: dict[str, list[str]] = {}
    async with await Database.open(settings.dsn, application="posguard dag", size=1) as db:
        for source in settings.log_sources:
            for opener, paths in ((None, local_paths(source)), (open_remote, remote_paths(source))):
                wanted = await files_to_read(db, source, paths, interval, opener)
                found.setdefault(source.name, []).extend(file.path for file in wanted)
    return found


async def _load(
    settings: Settings, group: Mapping[str, Any], interval: Interval | None, name: str
) -> list[Ingested]:
    from posguard.logs.ingest import declared, ingest_file
    from posguard.logs.patterns import load_patterns
    from posguard.logs.storage import is_remote
    from posguard.postgres.pool import Database

    patterns = load_patterns(settings.log_patterns)
    (source,) = declared(settings.log_sources, [group["source"]])
    async with await Database.open(settings.dsn, application="posguard dag", size=2) as db:
        return [
            await ingest_file(
                db,
                source,
                path,
                retention=settings.log_retention,
                interval=interval,
                opener=open_remote if is_remote(path) else None,
                size=remote_size(path),
                patterns=patterns,
                program="airflow",
                external_id=name,
            )
            for path in group["paths"]
        ]


async def _end(
    settings: Settings, interval: Interval | None, loaded: Sequence[Mapping[str, Any]], name: str
) -> IntervalEnd:
    from posguard.logs.ingest import end_interval, span_of
    from posguard.postgres.pool import Database

    taken = [
        (datetime.fromisoformat(one["first"]), datetime.fromisoformat(one["last"]))
        for one in loaded
        if one["first"]
    ]
    async with await Database.open(settings.dsn, application="posguard dag", size=1) as db:
        return await end_interval(
            db,
            settings.log_sources,
            span_of(interval, taken),
            interval=interval,
            program="airflow",
            external_id=name,
        )


def local_paths(source: LogSource) -> dict[str, int | None]:
    """The files of a source on local disks, with no size: that is looked up where they are opened."""
    from posguard.logs.sources import files_of
    from posguard.logs.storage import is_remote

    here = [path for path in source.paths if not is_remote(path)]
    return dict.fromkeys(files_of(here)) if here else {}


def remote_paths(source: LogSource) -> dict[str, int | None]:
    """The files of a source on object storage with their sizes: of files, folders, and globs in a folder."""
    from airflow.sdk import ObjectStoragePath

    from posguard.logs.sources import files_of
    from posguard.logs.storage import Place, files_at, is_remote, prefix_of

    found: dict[str, int | None] = {}
    for address in filter(is_remote, source.paths):
        place = ObjectStoragePath(address)
        found |= files_at(address, Place(place.fs, place.path, prefix_of(str(place), place.path)))
    return {path: found[path] for path in files_of(found)} if found else {}


def remote_size(path: str) -> int | None:
    """The size of a file on object storage; None for a local one."""
    from airflow.sdk import ObjectStoragePath

    from posguard.logs.storage import is_remote

    return ObjectStoragePath(path).stat().st_size if is_remote(path) else None


def open_remote(path: str) -> BinaryIO:
    """A file on object storage, by the Connection that its address names or Airflow's default."""
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(path).open("rb")


def _skip_without_sources(settings: Settings) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    if not settings.log_sources:
        said = "No log source is declared, so there is nothing to load. POSGUARD_LOG_SOURCES declares them: docs/logs.md."
        raise AirflowSkipException(said)


def _say(done: Ingested, days: int) -> None:
    loaded = done.loaded
    counts = (loaded.events, loaded.new_events, loaded.bytes_read)
    log.info("%s: %s events taken, %s new, %s bytes", loaded.file.path, *counts)
    if line := loaded.refused_line(days):
        log.warning("%s", line)
    for damage in done.damage:
        log.warning("%s: %s (%s)", damage.path or loaded.file.path, damage.what, damage.count)


def _spelled(interval: Interval | None) -> str:
    return "all times" if interval is None else f"{interval[0].isoformat()} to {interval[1].isoformat()}"
