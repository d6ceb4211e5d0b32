"""Which logs a command reads: those it is given, in a zone that is declared and never guessed, or those of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.logs.patterns import Pattern
    from posguard.settings import LogSource

GIVEN = "given"
Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="Files, folders or globs, gz and zst too; without one, the sources of POSGUARD_LOG_SOURCES.",
    ),
]
Zone = Annotated[
    str,
    typer.Option("--tz", metavar="ZONE", help="The zone whose time the lines show, such as Europe/Berlin."),
]
PatternsFile = Annotated[
    Path | None,
    typer.Option("--patterns", metavar="FILE", help="Patterns of your own, beside the shipped ones."),
]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of one source: these paths of it."""

    source: LogSource
    paths: tuple[str, ...]


def readings(paths: Sequence[str], zone: str, *, demo: bool = False) -> tuple[Reading, ...]:
    """What a command reads, in the order of the sources.

    Raises UsageError for a path of which no zone is known, or a zone that is none; SettingsError where no log is named at all.
    """
    declared = declared_sources(demo=demo)
    if not paths:
        if zone:
            raise UsageError(
                "--tz goes with a PATH; the declared sources have their own. Nothing was read.", hint=""
            )
        if not declared:
            raise SettingsError(
                "No log is named. Nothing was read.",
                hint="Give a PATH with --tz, or declare the bot's logs in POSGUARD_LOG_SOURCES.",
            )
        return tuple(Reading(source, source.paths) for source in declared)
    refuse_blank(paths)
    if zone:
        source = source_of(GIVEN, paths, zone)
        return (Reading(source, source.paths),)
    found: dict[str, Reading] = {}
    for path in paths:
        source = _covering(path, declared)
        before = found[source.name].paths if source.name in found else ()
        found[source.name] = Reading(source, (*before, path))
    return tuple(found.values())


def refuse_blank(paths: Sequence[str]) -> None:
    """Raises UsageError for a path that is blank: it would be the present folder."""
    if not all(path.strip() for path in paths):
        raise UsageError("A PATH is empty: a variable that is not set, perhaps. Nothing was read.")


def source_of(name: str, paths: Sequence[str], zone: str) -> LogSource:
    """Paths as a source under a name; raises UsageError where the zone is none."""
    from posguard.settings import LogSource

    try:
        return LogSource(name=name, paths=tuple(paths), zone=zone)
    except ValueError:
        raise UsageError(
            f"'{zone}' is no time zone. Nothing was read.", hint="Write --tz Europe/Berlin or --tz UTC."
        ) from None


def declared_sources(*, demo: bool) -> tuple[LogSource, ...]:
    """The sources of the settings, or (with `demo`) those of the running demo."""
    from posguard.settings import load_settings

    if demo:
        from posguard.cli.connect import demo_record

        return demo_record().log_sources
    return load_settings().log_sources


def chosen_patterns(file: Path | None) -> Sequence[Pattern]:
    """The shipped patterns with those of the user's file, or of the setting's. Raises LogError that names what is wrong in it."""
    from posguard.logs.patterns import load_patterns
    from posguard.settings import load_settings

    return load_patterns(file or load_settings().log_patterns)


def _covering(path: str, declared: Sequence[LogSource]) -> LogSource:
    for source in declared:
        if any(_covers(one, path) for one in source.paths):
            return source
    raise UsageError(
        f"The zone of {path} is not known: its lines show local time without an offset. Nothing was read.",
        hint="Say --tz ZONE, such as --tz Europe/Berlin, or declare the log in POSGUARD_LOG_SOURCES.",
    )


def _covers(declared: str, path: str) -> bool:
    """Whether a declared file, folder or glob holds a path; the rotated and packed files of a declared file belong to it."""
    if path == declared or fnmatch(path, declared):
        return True
    if "://" in path or "://" in declared:
        return path.startswith((f"{declared.rstrip('/')}/", f"{declared}."))
    place, root = Path(path).expanduser().absolute(), Path(declared).expanduser().absolute()
    if place == root or root in place.parents or fnmatch(str(place), str(root)):
        return True
    return place.parent == root.parent and place.name.startswith(f"{root.name}.")
