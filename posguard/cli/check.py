"""`posguard check`: looks at everything the hourly run needs, and touches nothing."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from posguard.cli.options import AsJson, OnDemo
from posguard.errors import OperatorError, PosguardError, SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from posguard.cli.checking import Line, SourceLook
    from posguard.exchange.ledger import Ledger
    from posguard.settings import LogSource, Settings, VenueSettings

LINES_LOOKED_AT = 1000


def check(*, demo: OnDemo = False, as_json: AsJson = False) -> None:
    """Look, without touching, at all the hourly run needs: database, schema, privileges, keys, clocks, worlds, disk.

    Exit code 0 where nothing stands in the way (warnings included), 3 where something does.

    \b
    Examples:
      posguard check
      posguard check --demo
      posguard check --json
    """
    from posguard.cli import checking, output
    from posguard.cli.checking import Mark
    from posguard.cli.shapes import CheckLine, CheckReport

    output.structured_log_to_stderr()
    lines: list[Line] = []
    output.load_drivers()
    dsn, venues, settings = _settings(lines, demo=demo)
    with output.progress("looking …"):
        lines += asyncio.run(_look(dsn, venues, settings))
    lines += checking.log_sources(tuple(map(_log_source, settings.log_sources)), datetime.now(UTC))
    lines.append(checking.alert_routes([f"{one.name} ({one.place})" for one in settings.alert_routes]))
    lines.append(checking.disk(str(Path.cwd()), shutil.disk_usage(Path.cwd()).free))
    failed = [line for line in lines if line.mark is Mark.FAIL]
    if as_json:
        shown = tuple(
            CheckLine(area=line.area, what=line.what, mark=line.mark, said=line.said, todo=line.todo)
            for line in lines
        )
        output.emit(CheckReport(lines=shown, passed=not failed))
    else:
        output.table(
            ("area", "what", "", "seen", "to do"),
            [(line.area, line.what, line.mark, line.said, line.todo) for line in lines],
        )
    if failed:
        more = f" ({len(failed) - 1} more above)" if len(failed) > 1 else ""
        raise OperatorError(
            f"{failed[0].what}: {failed[0].said}. Nothing was changed.", hint=failed[0].todo + more
        )


async def _look(
    dsn: SecretStr | None, venues: tuple[VenueSettings, ...], settings: Settings
) -> tuple[Line, ...]:
    from posguard.cli import checking
    from posguard.postgres.weights import open_weights

    async with open_weights(dsn) as ledger:
        found = await asyncio.gather(
            _database(dsn, venues, settings), *(_venue(venue, settings, ledger) for venue in venues)
        )
    shared = checking.request_budget(settings.used_weight_share, shared=ledger is not None)
    return (*(line for part in found for line in part), shared)


def _settings(
    lines: list[Line], *, demo: bool
) -> tuple[SecretStr | None, tuple[VenueSettings, ...], Settings]:
    """The settings; what is wrong with them in part becomes a line, so that the rest is looked at all the same."""
    from posguard.cli import checking
    from posguard.cli.checking import Line, Mark
    from posguard.cli.connect import demo_record
    from posguard.settings import ENV_FILE, load_settings, unread_variables, venues_from_environment

    if demo:
        record = demo_record()
        settings = load_settings(demo=True, dsn=record.dsn, log_sources=record.log_sources)
        return record.dsn, record.venues, settings
    settings = load_settings()
    lines += checking.unread(unread_variables())
    if (env := Path(ENV_FILE)).exists():
        lines.append(checking.env_file(env.stat().st_mode))
    venues: tuple[VenueSettings, ...] = ()
    try:
        venues = venues_from_environment(settings)
    except SettingsError as error:
        lines.append(Line("settings", "venues", Mark.FAIL, error.message.rstrip("."), error.hint))
    else:
        if not venues:
            todo = "Set POSGUARD_BINANCE_KEY and _SECRET, or the same for BYBIT."
            lines.append(Line("settings", "venues", Mark.FAIL, "no exchange is configured", todo))
    return settings.dsn, venues, settings


def _log_source(source: LogSource) -> SourceLook:
    """A look at the end of a source's newest file; what is on object storage is left to the DAGs."""
    from posguard.cli.checking import SourceLook
    from posguard.errors import LogError
    from posguard.logs.extract import extract
    from posguard.logs.sources import files_of

    here = [path for path in source.paths if "://" not in path]
    if not here:
        return SourceLook(source.name, source.zone, 0, None, remote=True)
    try:
        files = files_of(here)
        newest = extract(files[-1:], source, last_lines=LINES_LOOKED_AT).counts.last
    except (LogError, OSError) as error:
        return SourceLook(source.name, source.zone, 0, None, str(error))
    return SourceLook(source.name, source.zone, len(files), newest)


async def _database(
    dsn: SecretStr | None, venues: tuple[VenueSettings, ...], settings: Settings
) -> list[Line]:
    from posguard.cli import checking
    from posguard.postgres.botworld import demo_mark
    from posguard.postgres.facts import read_facts
    from posguard.postgres.pool import Database

    try:
        async with (
            await Database.open(dsn, application="posguard check", read_only=True, size=1) as db,
            db.snapshot() as connection,
        ):
            facts = await read_facts(connection)
            made_up = await demo_mark(connection)
    except PosguardError as error:
        said = (
            error.message.removesuffix(" Nothing was done.").removesuffix(" Nothing was changed.").rstrip(".")
        )
        return [checking.Line("database", "connection", checking.Mark.FAIL, said, error.hint)]
    return [
        *checking.made_up(made_up),
        *checking.server(facts, settings.max_clock_skew),
        *checking.bot_tables(facts),
        *checking.privileges(facts),
        *checking.own_schema(facts),
        *checking.coverage(facts, {venue.exchange for venue in venues}),
    ]


async def _venue(venue: VenueSettings, settings: Settings, ledger: Ledger | None) -> list[Line]:
    from posguard.cli import checking
    from posguard.exchange.gateway import open_gateway

    lines = [checking.world(venue.id, venue.world, venue.base_url)]
    try:
        async with open_gateway(venue, settings, ledger=ledger) as gateway:
            lines.append(checking.clock(venue.id, await gateway.clock_skew_ms(), settings.max_clock_skew))
            lines += checking.key(await gateway.permissions(), datetime.now(UTC))
            lines.append(checking.looked(await gateway.snapshot()))
    except PosguardError as error:
        said = error.message.removesuffix(" Nothing was changed.").rstrip(".")
        lines.append(checking.Line("venues", str(venue.id), checking.Mark.FAIL, said, error.hint))
    return lines
