"""`posguard logs investigate`: one incident, logs and database side by side, each explanation held, refuted or open."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.logs_sources import Paths, PatternsFile, Zone
from posguard.cli.moments import log_moment
from posguard.cli.options import AsJson, OnDemo, OneExchange, no_empty_symbol
from posguard.errors import LogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import SecretStr

    from posguard.model.incident import DatabaseFacts
    from posguard.model.log_event import LogEvent
    from posguard.model.scope import Scope

_AROUND = timedelta(minutes=2)
# Nothing but a process lasts longer than this and still says something of the case.
_BEFORE = timedelta(days=1)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?")

Symbol = Annotated[
    str, typer.Option("--symbol", help="The symbol: BTCUSDT or BTC/USDT:USDT.", callback=no_empty_symbol)
]
At = Annotated[
    str, typer.Option("--at", metavar="TIME", help="When, in UTC: 23:21:12, or 2025-10-22T23:21:12.")
]
OnDate = Annotated[
    str,
    typer.Option("--date", metavar="DATE", help="The day of --at; without it the last such time before now."),
]


def investigate(
    paths: Paths = None,
    *,
    symbol: Symbol,
    at: At,
    day: OnDate = "",
    zone: Zone = "",
    exchange: OneExchange = None,
    patterns: PatternsFile = None,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Set logs and database side by side around one time, and hold, refute or leave open each explanation of what happened.

    Reads only. Exit code 0 when it was investigated, whatever came of it, 3 where a log or the database cannot be read, a log
    breaks off, or neither knows of the symbol at that time.

    \b
    Examples:
      posguard logs investigate --symbol KASUSDT --at 23:21:12 --date 2025-10-22
      posguard logs investigate bot.log --tz Asia/Dubai --symbol KASUSDT --at 2025-10-22T23:21:12 --json
      posguard logs investigate --demo --symbol APTUSDT --at 21:50:44
    """
    from posguard.cli import investigation_text, output
    from posguard.cli.connect import database
    from posguard.cli.logs_reading import damage_of, extractions, in_parts, left_unread
    from posguard.cli.logs_sources import chosen_patterns, readings
    from posguard.logs.investigate import investigate as judged
    from posguard.logs.investigate import make_case
    from posguard.model.scope import Scope

    scope = Scope(exchange or "", symbol)
    when = _when(at, day, datetime.now(UTC))
    read = readings(paths or [], zone, demo=demo)
    output.structured_log_to_stderr()
    facts = asyncio.run(_facts(database(demo=demo), scope, when))
    logs = extractions(read, chosen_patterns(patterns), until=when + timedelta(hours=1))
    events = [event for log in logs for event in _needed(chain.from_iterable(in_parts(log)), when)]
    found = judged(make_case(events, facts, scope, when, _AROUND))
    damage, unread = damage_of(logs), left_unread(logs)
    zones = sorted({one.source.zone for one in read})
    if as_json:
        from posguard.cli.investigation_shapes import InvestigationReport

        output.emit(InvestigationReport.of(found, damage=damage, zones=zones))
    else:
        for line in damage:
            output.warn(line)
        investigation_text.investigation(found, zones=zones)
    if not found.case.rows and not found.case.lines:
        raise LogError(
            f"Neither the database nor the log knows of {scope.symbol} within two minutes of {when:%Y-%m-%d %H:%M:%S} UTC. "
            f"{investigation_text.reach(found.case)}",
            hint="--at is in UTC, not in the host's time; --date names the day.",
        )
    if unread:
        raise LogError(f"What no line was found of may have stood in what was not read. {'; '.join(unread)}.")


def _needed(events: Iterable[LogEvent], when: datetime) -> Iterator[LogEvent]:
    """What a case looks at of a source: the day before, the lines about processes, and the first event, from which on the log was read."""
    from posguard.logs.case import is_process

    since, first = when - _BEFORE, True
    for event in events:
        if first or event.at >= since or is_process(event):
            yield event
        first = False


async def _facts(dsn: SecretStr, scope: Scope, when: datetime) -> DatabaseFacts:
    from posguard.postgres.incidents import read_incident
    from posguard.postgres.pool import Database

    async with (
        await Database.open(dsn, application="posguard logs investigate", read_only=True, size=1) as db,
        db.snapshot() as connection,
    ):
        return await read_incident(connection, scope, when - _AROUND, when + _AROUND)


def _when(text: str, day: str, now: datetime) -> datetime:
    """The time asked for, UTC: on the day named, else the last such time before now."""
    text = text.strip()
    if day and not _CLOCK.fullmatch(text):
        raise UsageError(
            f"--at {text} has a day of its own, or is no time: --date goes with 23:21:12. Nothing was read."
        )
    try:
        if not _CLOCK.fullmatch(text):
            return log_moment(text)
        clock = time.fromisoformat(text.zfill(len(text) + (text.index(":") == 1)))
        if day:
            return log_moment(datetime.combine(date.fromisoformat(day), clock, UTC).isoformat())
    except ValueError:
        raise UsageError(
            f"--at {text}{f' --date {day}' if day else ''} is no time. Nothing was read.",
            hint="Write --at 23:21:12 --date 2025-10-22, or --at 2025-10-22T23:21:12 (UTC).",
        ) from None
    today = datetime.combine(now.date(), clock, UTC)
    return today if today <= now else today - timedelta(days=1)
