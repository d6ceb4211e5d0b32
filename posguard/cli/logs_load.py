"""`posguard logs load` and `posguard logs retain`: the bot's logs into the database, and what is too old out of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.logs_sources import Paths, PatternsFile, Zone
from posguard.cli.options import AsJson, OnDemo
from posguard.errors import ExitCode, LogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from posguard.cli.connect import Connections
    from posguard.cli.logs_sources import Reading
    from posguard.logs.ingest import Ingested, IntervalEnd
    from posguard.logs.patterns import Pattern
    from posguard.logs.retention import Retained

SourceName = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Whose log it is: a declared source, or with --tz a name that the files keep for good.",
    ),
]
Days = Annotated[
    int | None,
    typer.Option(
        "--days", min=7, max=3650, help="Keep so many days; POSGUARD_LOG_RETENTION_DAYS by default."
    ),
]
Confirm = Annotated[bool, typer.Option("--confirm", help="Do it; without it nothing is deleted.")]


@dataclass(frozen=True, slots=True)
class _Done:
    files: tuple[Ingested, ...]
    unread: tuple[str, ...]
    end: IntervalEnd


def load(
    paths: Paths = None,
    *,
    zone: Zone = "",
    source: SourceName = "",
    patterns: PatternsFile = None,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Load the bot's logs into the database, each record once; races they tell of become findings.

    A file that was loaded before, renamed, packed, cut or grown since, adds only what is new. Exit code 0 where all files were
    loaded, 5 where some could not be read or break off, 3 where none could be read.

    \b
    Examples:
      posguard logs load
      posguard logs load /archive/bot.log.2026-01-*.gz
      posguard logs load old.log --source bot-vps2 --tz Europe/Berlin
    """
    from posguard.cli import output
    from posguard.cli.connect import connections
    from posguard.cli.logs_load_shapes import LoadedFile, LogLoad
    from posguard.cli.logs_sources import chosen_patterns

    output.structured_log_to_stderr()
    to = connections(demo=demo)
    wanted = _wanted(paths or [], zone, source, demo=demo)
    known = chosen_patterns(patterns)
    with output.progress("loading …") as say:
        done = asyncio.run(_load(to, wanted, known, say))
    if as_json:
        files = tuple(LoadedFile.of(one) for one in done.files)
        shape = LogLoad(
            files=files,
            unread=done.unread,
            races=done.end.races,
            undecided_creates=done.end.undecided,
            findings=dict(done.end.counts),
        )
        output.emit(shape)
    else:
        _tell(done, to.settings.log_retention_days)
    if done.unread or any(damage.cut for one in done.files for damage in one.damage):
        read = any(one.loaded.first_at is not None for one in done.files)
        raise typer.Exit(ExitCode.PARTLY if read else ExitCode.INCONCLUSIVE)


def _wanted(paths: Sequence[str], zone: str, name: str, *, demo: bool) -> tuple[Reading, ...]:
    """What is read of which source. A record's source is part of its identity, so that it is never made up."""
    from posguard.cli.logs_sources import Reading, declared_sources, readings

    declared = {one.name: one for one in declared_sources(demo=demo)}
    if not name:
        if zone:
            raise UsageError(
                "--tz alone does not say whose log it is, and the name of the source tells records apart. Nothing was read.",
                hint="Add --source NAME, or declare the log in POSGUARD_LOG_SOURCES.",
            )
        return readings(paths, "", demo=demo)
    if name in declared:
        if zone and zone != declared[name].zone:
            raise UsageError(
                f"The source {name} is declared in {declared[name].zone}, not in {zone}. Nothing was read.",
                hint="Leave --tz out, or name another source.",
            )
        return (Reading(declared[name], tuple(paths) or declared[name].paths),)
    if not zone or not paths:
        raise UsageError(
            f"No log source is called {name}. Nothing was read.",
            hint=f"Declared: {', '.join(declared) or 'none'}. For another one give a PATH and --tz ZONE.",
        )
    (given,) = readings(paths, zone, demo=demo)
    try:
        return (Reading(given.source.model_validate({**dict(given.source), "name": name}), given.paths),)
    except ValueError:
        raise UsageError(
            f"'{name}' is no name of a source: letters, digits, dots, dashes and underscores. Nothing was read."
        ) from None


async def _load(
    to: Connections, wanted: Sequence[Reading], known: Sequence[Pattern], say: Callable[[str], None]
) -> _Done:
    from posguard.logs.ingest import end_interval, ingest_file, span_of
    from posguard.logs.sources import files_of
    from posguard.logs.storage import is_remote, named_files, open_anywhere
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    files, unread = [], []
    async with await Database.open(to.dsn, application="posguard logs", size=2) as db:
        async with db.connection() as connection:
            await require_schema(connection)
        for one in wanted:
            sizes = await asyncio.to_thread(named_files, one.paths)
            for path in files_of(sizes):
                try:
                    found = await ingest_file(
                        db,
                        one.source,
                        path,
                        retention=to.settings.log_retention,
                        opener=open_anywhere if is_remote(path) else None,
                        size=sizes.get(path),
                        patterns=known,
                        progress=lambda read, path=path: say(f"{path}: {read / 1024**2:.0f} MB …"),  # type: ignore[misc]
                    )
                except LogError as error:
                    unread.append(str(error))
                else:
                    files.append(found)
                    if found.loaded.bytes_read and found.loaded.first_at is None:
                        unread.append(
                            f"No line of {path} begins as a log line of the bot does. Nothing was loaded from it."
                        )
        taken = [one.loaded.taken for one in files if one.loaded.taken]
        end = await end_interval(db, [one.source for one in wanted], span_of(None, taken))
    return _Done(tuple(files), tuple(unread), end)


def _tell(done: _Done, days: int) -> None:
    from posguard.cli import output

    output.table(
        ("source", "file", "events", "new", "bytes"),
        [
            (
                one.loaded.file.source,
                one.loaded.file.path,
                str(one.loaded.events),
                str(one.loaded.new_events),
                str(one.loaded.bytes_read),
            )
            for one in done.files
        ],
    )
    new = sum(one.loaded.new_events for one in done.files)
    print(
        f"{new} new events; the log tells of {done.end.races} race{'' if done.end.races == 1 else 's'}{_findings(done.end)}."
    )
    if done.end.undecided:
        output.warn(
            f"{done.end.undecided} times two creates of one symbol lie near each other, and the log does not say whether they were on one "
            "exchange: no finding is made of it. `posguard logs analyze --verbose` lists them."
        )
    for one in done.files:
        if line := one.loaded.refused_line(days):
            output.warn(line)
        for damage in one.damage:
            output.warn(f"{damage.path or one.loaded.file.path}: {damage.what} ({damage.count})")
    for line in done.unread:
        output.warn(line)


def _findings(end: IntervalEnd) -> str:
    said = ", ".join(f"{count} {name}" for name, count in end.counts.items())
    return f" (findings: {said})" if said else ""


def retain(
    *, days: Days = None, confirm: Confirm = False, demo: OnDemo = False, as_json: AsJson = False
) -> None:
    """Delete log events that are older than retention: whole months are dropped, the rest is deleted. A dry run without --confirm.

    The logs themselves are not touched; findings stay. Never under seven days.

    \b
    Examples:
      posguard logs retain
      posguard logs retain --days 30 --confirm
    """
    from posguard.cli import output
    from posguard.cli.connect import connections
    from posguard.cli.logs_load_shapes import LogRetention

    output.structured_log_to_stderr()
    to = connections(demo=demo)
    keep = days or to.settings.log_retention_days
    before = datetime.now(UTC) - timedelta(days=keep)
    found = asyncio.run(_retain(to, before, confirm=confirm))
    if as_json:
        shape = LogRetention(
            done=found.done, before=found.before, events=found.events, partitions=found.partitions
        )
        output.emit(shape)
        return
    if not found.done:
        print(f"{found.events} log events are older than {keep} days. Nothing was deleted.")
        if found.events:
            print(f"To delete them:\n  posguard logs retain --days {keep} --confirm")
        return
    dropped = f", {len(found.partitions)} whole months of them" if found.partitions else ""
    print(f"{found.events} log events were deleted{dropped}.")


async def _retain(to: Connections, before: datetime, *, confirm: bool) -> Retained:
    from posguard.logs.retention import retain as delete_older
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    async with await Database.open(to.dsn, application="posguard logs", size=1) as db:
        async with db.connection() as connection:
            await require_schema(connection)
        return await delete_older(db, before, confirm=confirm)
