"""`posguard alerts`: what is told to people, by which route, and what could not be sent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.cli.alerts_gone import give_up, move
from posguard.cli.options import AsJson, OnDemo
from posguard.errors import ExitCode, SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from posguard.alert_route import AlertRoute
    from posguard.alerts.deliver import Outlook, Tried
    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Message, Totals, Unsent
    from posguard.settings import Settings

app = typer.Typer(
    help="Alerts on their way to people: send what waits, list what stands or could not be sent, test the routes.",
    no_args_is_help=True,
)
app.command("move")(move)
app.command("give-up")(give_up)
NO_ROUTE = "No route is set, so nothing can be sent. Nothing was done; what waits goes on waiting."
NO_ROUTE_HINT = (
    'Set POSGUARD_ALERT_ROUTES=\'[{"name": "desk", "kind": "slack", "url": "https://…"}]\'; docs/alerts.md.'
)


@app.command()
def send(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go where, without secrets; change nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch/--once", help="Go on until Ctrl+C, as a service; once by default.")
    ] = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Send the alerts that wait in the outbox, and look whether a complete reconciliation is overdue.

    What cannot be sent is tried again, later and later, under the same key. Several senders may run at once. Exit code 0: all
    that was due is sent; 5: some of it; 3: none.

    \b
    Examples:
      posguard alerts send --dry-run
      posguard alerts send
      posguard alerts send --watch
    """
    from posguard.cli import output
    from posguard.cli.connect import database
    from posguard.settings import load_settings

    output.structured_log_to_stderr()
    if watch and (dry_run or as_json):
        raise UsageError("--watch goes without --dry-run and --json. Nothing was done.")
    dsn, settings = database(demo=demo), load_settings()
    if watch:
        _watch(dsn, settings)
        return
    routes = _routes(settings)
    if dry_run:
        _tell_plan(asyncio.run(_planned(dsn, routes)), routes, as_json=as_json)
    else:
        _tell_tried(asyncio.run(_sent(dsn, settings)), as_json=as_json)


@app.command("list")
def list_(
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Messages that were sent too, the newest first.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many of each.")] = 100,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """List what stands, the worst first, and the messages that are not sent, with the reason.

    \b
    Examples:
      posguard alerts list
      posguard alerts list --all --limit 20
      posguard alerts list --json
    """
    from posguard.cli import output
    from posguard.cli.alerts_shapes import AlertList, MessageShape, StandingAlert
    from posguard.cli.desk import at_desk
    from posguard.postgres import alerts
    from posguard.settings import load_settings

    async def read(connection: Any) -> tuple[list[WaitingAlert], Sequence[Message], Totals, list[Unsent]]:
        return (
            await alerts.standing(connection, limit=limit),
            await alerts.messages(connection, sent_too=all_, limit=limit),
            await alerts.totals(connection),
            await alerts.unsent_by_route(connection),
        )

    standing, messages, totals, unsent = at_desk(read, demo=demo)
    known = {route.name for route in load_settings().alert_routes}
    gone = {one.route: one.messages for one in unsent if one.route not in known}
    if as_json:
        output.emit(
            AlertList(
                standing=tuple(StandingAlert.of(one) for one in standing),
                messages=tuple(MessageShape.of(one) for one in messages),
                waiting=totals.waiting,
                unsent=totals.unsent,
                failing=totals.failing,
                without_route=gone,
            )
        )
        return
    _tell_list(standing, messages, totals, gone)


@app.command("test")
def try_(
    *,
    route: Annotated[
        str, typer.Option("--route", metavar="NAME", help="This route alone; all by default.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Send a made-up message by each route, to see that it arrives. Needs no database and stores nothing.

    \b
    Examples:
      posguard alerts test
      posguard alerts test --route desk
    """
    from posguard.alerts.trial import try_routes
    from posguard.cli import output
    from posguard.settings import load_settings

    output.structured_log_to_stderr()
    routes = [one for one in _routes(load_settings()) if route in {"", one.name}]
    if not routes:
        raise UsageError(
            f"There is no route {route}. Nothing was sent.", hint="`posguard alerts test` tries all."
        )
    _tell_tried(asyncio.run(try_routes(routes)), as_json=as_json)


def _routes(settings: Settings) -> tuple[AlertRoute, ...]:
    if not settings.alert_routes:
        raise SettingsError(NO_ROUTE, hint=NO_ROUTE_HINT)
    return settings.alert_routes


async def _planned(dsn: SecretStr, routes: Sequence[AlertRoute]) -> Outlook:
    from posguard.alerts.deliver import outlook
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    async with await Database.open(dsn, application="posguard alerts", read_only=True, size=1) as db:
        async with db.snapshot() as connection:
            await require_schema(connection)
        return await outlook(db, routes)


async def _sent(dsn: SecretStr, settings: Settings) -> list[Tried]:
    from posguard.alerts.deliver import send_all
    from posguard.alerts.minding import forget
    from posguard.cli import output
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    async with await Database.open(dsn, application="posguard alerts", size=2) as db:
        async with db.snapshot() as connection:
            await require_schema(connection)
        tried = await send_all(db, settings.alert_routes, deadline=settings.alert_deadline)
        if why := await forget(db, settings.alert_retention):
            output.warn(why)
        return tried


def _watch(dsn: SecretStr, settings: Settings) -> None:
    """Until SIGINT or SIGTERM, which end it well. Without a route it minds the deadline alone: a service need not fail for that."""
    from posguard.cli import output
    from posguard.cli.interrupts import run_to_the_end

    places = ", ".join(f"{one.name} ({one.kind})" for one in settings.alert_routes)
    if places:
        print(f"Sending alerts by {places}. Ctrl+C ends it.", flush=True)
    else:
        output.warn(f"No route is set: alerts wait in the outbox. {NO_ROUTE_HINT}")
    try:
        run_to_the_end(_kept(dsn, settings))
    except KeyboardInterrupt:
        output.warn("stopped; what waits is sent by the next sender")


async def _kept(dsn: SecretStr, settings: Settings) -> None:
    from posguard.alerts.deliver import keep_sending
    from posguard.cli import output
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    async with await Database.open(dsn, application="posguard alerts", size=2) as db:
        async with db.snapshot() as connection:
            await require_schema(connection)
        await keep_sending(
            db,
            settings.alert_routes,
            deadline=settings.alert_deadline,
            window=settings.alert_window,
            keep=settings.alert_retention,
            say=lambda tried: print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {_line(tried)}", flush=True),
            trouble=output.warn,
        )


def _tell_plan(found: Outlook, routes: Sequence[AlertRoute], *, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.alerts_shapes import MessageShape, PlannedMessage, SendPlan

    by_name = {route.name: route for route in routes}
    if as_json:
        planned = tuple(PlannedMessage.of(one, by_name[one.route]) for one in found.new)
        unsent = tuple(MessageShape.of(one) for one in found.unsent)
        output.emit(SendPlan(messages=planned, unsent=unsent, waiting=found.waiting, left_out=found.left_out))
        return
    rows = [
        (
            one.route,
            by_name[one.route].kind,
            by_name[one.route].place,
            one.severity,
            str(len(one.alert_ids)),
            one.subject,
        )
        for one in found.new
    ]
    if rows:
        output.table(("route", "kind", "to", "severity", "alerts", "subject"), rows, title="Would be sent")
    else:
        print("Nothing new would be sent.")
    if found.left_out:
        print(f"{found.left_out} alerts are taken by no route.")
    _tell_unsent(found.unsent)


def _tell_unsent(messages: Sequence[Message]) -> None:
    from posguard.cli import output

    rows = [
        (
            one.route,
            one.severity,
            str(one.alerts),
            one.subject,
            str(one.attempts),
            _when(one),
            one.last_error,
        )
        for one in messages
    ]
    if rows:
        columns = ("route", "severity", "alerts", "subject", "tries", "next try (UTC)", "said")
        output.table(columns, rows, title="Messages")


def _when(message: Message) -> str:
    if message.sent_at:
        return f"sent {message.sent_at:%Y-%m-%d %H:%M:%S}"
    if message.given_up_at:
        return f"given up by {message.given_up_by} {message.given_up_at:%Y-%m-%d %H:%M:%S}"
    return f"{message.next_try:%Y-%m-%d %H:%M:%S}"


def _tell_list(
    standing: Sequence[WaitingAlert], messages: Sequence[Message], totals: Totals, gone: Mapping[str, int]
) -> None:
    from posguard.alerts.wording import runbook
    from posguard.cli import output

    if standing:
        rows = [
            (one.severity, one.kind, f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.text, runbook(one))
            for one in standing
        ]
        output.table(("severity", "kind", "raised (UTC)", "text", "runbook"), rows, title="Standing")
    else:
        print("No alert stands.")
    _tell_unsent(messages)
    waits = f"{totals.waiting} alerts wait for a sender" if totals.waiting else "no alert waits for a sender"
    failing = f", {totals.failing} of them failed at least once" if totals.failing else ""
    print(f"\n{totals.unsent} messages are not sent{failing}; {waits}.")
    for route, number in gone.items():
        print(
            f"{number} messages wait for the route {route}, which is not set here. Set it again, or:\n"
            f"  posguard alerts move {route} --to ROUTE\n  posguard alerts give-up {route}"
        )


def _tell_tried(tried: list[Tried], *, as_json: bool) -> None:
    """Ends with the exit code of what was sent of it."""
    from posguard.cli import output
    from posguard.cli.alerts_shapes import SendReport

    if as_json:
        output.emit(SendReport.of(tried))
    else:
        for one in tried:
            print(_line(one))
        if not tried:
            print("Nothing was due.")
    sent = sum(one.sent for one in tried)
    if sent < len(tried):
        output.warn(
            f"{len(tried) - sent} of {len(tried)} messages were not sent; `posguard alerts list` says why."
        )
        raise typer.Exit(ExitCode.PARTLY if sent else ExitCode.INCONCLUSIVE)


def _line(tried: Tried) -> str:
    from posguard.cli.output import clean

    message = tried.message
    what = "sent" if tried.sent else "NOT SENT"
    why = tried.error or tried.note
    return clean(f"{what} {message.route}: {message.subject} [{message.key}]" + (f": {why}" if why else ""))
