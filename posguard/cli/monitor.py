"""`posguard monitor`: the watch beside the bot, for hours, and the report that ends it."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.cli.options import AsJson, OnDemo
from posguard.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from posguard.cli.monitor_screen import LiveScreen, PlainScreen
    from posguard.cli.monitor_shapes import MonitorReport
    from posguard.monitor.watch import Plan

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TEST_MINUTES = 10


def monitor(
    *,
    duration: Annotated[
        float, typer.Option("--duration", metavar="HOURS", help="How long to watch, in hours.")
    ] = 8.0,
    interval: Annotated[
        float, typer.Option("--interval", metavar="S", help="Seconds from one snapshot to the next.")
    ] = 60.0,
    log: Annotated[
        str,
        typer.Option("--log", metavar="PATH", help="The log that the bot writes, for what only it knows."),
    ] = "",
    zone: Annotated[
        str,
        typer.Option(
            "--tz", metavar="ZONE", help="The zone whose time the log shows, such as Europe/Berlin."
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the snapshots and the report go.")
    ] = Path("monitor"),
    new: Annotated[
        bool, typer.Option("--new", help="Begin a new run, although one has not reached its end.")
    ] = False,
    test: Annotated[
        bool,
        typer.Option(
            "--test", help="Ten minutes' worth at speed, on a made-up world and a server of its own."
        ),
    ] = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Watch the bot: a snapshot of the sixteen metrics every minute, alerts, and a report at the end.

    Reads the bot's tables and writes posguard's own; asks no exchange. Ctrl+C and SIGTERM end it with the report. Started
    again within the run's time, also after a crash, it goes on with the run; what was due meanwhile is recorded as missed.
    Exit code 0 without a critical alert (and after --test), 1 with one, 3 where the report is not whole. docs/monitoring.md has the metrics.

    \b
    Examples:
      posguard monitor
      posguard monitor --duration 24 --log /var/log/bot/bot.log --tz Europe/Berlin
      posguard monitor --duration 0.5 --interval 10 --out reports
      posguard monitor --test
    """
    from posguard.cli import output

    output.structured_log_to_stderr()
    if not 0 < duration <= 31 * 24:
        raise UsageError("--duration takes more than nothing and at most 744 hours. Nothing was done.")
    if not 1 <= interval <= 3600:
        raise UsageError("--interval takes 1 to 3600 seconds. Nothing was done.")
    if interval > duration * 3600:
        raise UsageError("--interval is longer than --duration. Nothing was done.")
    if test and (demo or log or zone or new):
        raise UsageError("--test goes with --out and --json alone: its world is its own. Nothing was done.")
    if zone and not log:
        raise UsageError("--tz goes with --log. Nothing was done.")
    plan = _plan(_TEST_MINUTES / 60 if test else duration, 60 if test else interval, out)
    plan = replace(_heard(plan, log, zone, demo=demo), fresh=new)
    screen = _screen(live=not as_json and sys.stdout.isatty(), to_stderr=as_json)
    try:
        report = asyncio.run(_test(plan, screen) if test else _watch(plan, screen, demo=demo))
    finally:
        screen.close()
    told = _tell(report, as_json=as_json)
    if told.incomplete:
        raise typer.Exit(ExitCode.INCONCLUSIVE)
    # what the made-up world of --test holds was put there
    raise typer.Exit(ExitCode.CRITICAL if told.critical_alerts and not test else ExitCode.FINE)


def _screen(*, live: bool, to_stderr: bool) -> LiveScreen | PlainScreen:
    from posguard.cli.monitor_screen import LiveScreen, PlainScreen

    return LiveScreen() if live else PlainScreen(sys.stderr if to_stderr else sys.stdout)


def _plan(duration: float, interval: float, out: Path) -> Plan:
    from posguard.model.monitor_alerts import Thresholds
    from posguard.monitor.watch import Plan
    from posguard.postgres.monitor import Limits
    from posguard.settings import load_settings

    settings = load_settings()
    return Plan(
        duration=timedelta(hours=duration),
        interval=timedelta(seconds=interval),
        limits=Limits(settings.grace, settings.aged_after),
        thresholds=Thresholds(
            settings.monitor_error_rate, settings.monitor_price_silence, settings.monitor_bot_silence
        ),
        out=out,
        keep=timedelta(days=settings.monitor_retention_days),
    )


def _heard(plan: Plan, path: str, zone: str, *, demo: bool) -> Plan:
    """The plan with the log that was named, if one was."""
    if not path:
        return plan
    from posguard.cli.logs_sources import readings

    (reading,) = readings([path], zone, demo=demo)
    return replace(plan, log=reading.source, paths=reading.paths)


async def _watch(plan: Plan, screen: LiveScreen | PlainScreen, *, demo: bool) -> dict[str, Any]:
    from posguard.cli.connect import database
    from posguard.monitor.clock import ServerClock
    from posguard.monitor.watch import Monitor
    from posguard.postgres.pool import Database
    from posguard.settings import load_settings

    timeout = load_settings().database_timeout.total_seconds()
    async with await Database.open(
        database(demo=demo), application="posguard monitor", size=2, timeout=timeout
    ) as db:
        return await Monitor(db, plan, ServerClock(), screen).run(_stop_on_signals())


async def _test(plan: Plan, screen: LiveScreen | PlainScreen) -> dict[str, Any]:
    """Ten minutes of a world in motion, on a server that is gone afterwards."""
    from tempfile import TemporaryDirectory

    from posguard.demo.moving import ZONE, Troubles, make_moving_world
    from posguard.demo.playing import Played, PlayedClock, made_up_database
    from posguard.monitor.watch import Monitor
    from posguard.settings import LogSource

    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=_TEST_MINUTES)
    troubles = Troubles(unprotected=(3, 6), priceless=(2, 7), errors=5, emergency=8)
    world = make_moving_world(since, _TEST_MINUTES, seed=7, troubles=troubles, before=12)
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="posguard-monitor-")))
        db = await stack.enter_async_context(made_up_database(folder))
        log = folder / "bot.log"
        log.touch()
        played = Played(db, world, log)
        await played(since)
        source = LogSource(name="made-up", paths=(str(log),), zone=ZONE)
        plan = replace(plan, log=source, paths=source.paths)
        return await Monitor(db, plan, PlayedClock(since, played), screen).run(stop)


def _stop_on_signals() -> asyncio.Event:
    """An event that Ctrl+C, SIGTERM and SIGHUP set; the report is then written whatever comes."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    return stop


def _tell(report: dict[str, Any], *, as_json: bool) -> MonitorReport:
    from posguard.cli import output
    from posguard.cli.monitor_shapes import MonitorReport

    told = MonitorReport.model_validate({"incomplete": "", **report})
    if as_json:
        output.emit(told)
    else:
        print(
            f"\n{told.monitoring_duration_minutes:g} minutes: {told.snapshots_taken} of {told.snapshots_expected} snapshots, "
            f"{told.snapshots_missed} missed; {told.critical_alerts} critical alerts, {told.warning_alerts} warnings, "
            f"{told.info_alerts} of information."
        )
        rows = [(name, "no source" if n is None else str(n)) for name, n in told.metrics_summary.items()]
        output.table(("during the run", "count"), rows)
        if told.incomplete:
            output.warn(f"The report is not whole: {told.incomplete}")
        print(f"\nSnapshots: {told.files.snapshots}\nReport:    {told.files.report}")
    return told
