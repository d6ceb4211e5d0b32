"""`posguard alerts move` and `posguard alerts give-up`: messages that wait for a route which is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.cli.options import AsJson, By, OnDemo
from posguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.postgres.alerts import Message

Confirm = Annotated[bool, typer.Option("--confirm", help="Do it; without it nothing is changed.")]
Route = Annotated[str, typer.Argument(metavar="ROUTE", help="The route they wait for.")]


def move(
    route: Route,
    *,
    to: Annotated[str, typer.Option("--to", metavar="ROUTE", help="A route that is set.")],
    confirm: Confirm = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Let the messages that are not sent of one route go by another. A dry run without --confirm.

    They keep their keys. What a sender holds at this moment stays where it is.

    \b
    Examples:
      posguard alerts move slack --to desk
      posguard alerts move slack --to desk --confirm
    """
    from posguard.cli.desk import at_desk
    from posguard.postgres import alerts
    from posguard.settings import load_settings

    if to not in {one.name for one in load_settings().alert_routes}:
        raise UsageError(
            f"The route {to} is not set. Nothing was moved.",
            hint="POSGUARD_ALERT_ROUTES names those that are.",
        )
    if to == route:
        raise UsageError("Both are the same route. Nothing was moved.")

    async def work(connection: Any) -> Sequence[Message]:
        return await alerts.reroute(connection, route, to) if confirm else await _waiting(connection, route)

    found = at_desk(work, demo=demo, writes=confirm)
    _tell(route, to, found, f"moved to {to}", done=confirm, as_json=as_json)


def give_up(
    route: Route,
    *,
    by: By = "",
    confirm: Confirm = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Give up the messages that are not sent of a route: nobody gets them. A dry run without --confirm.

    They and their alerts stay on record, with who gave them up. What a sender holds at this moment stays as it is.

    \b
    Examples:
      posguard alerts give-up slack
      posguard alerts give-up slack --confirm
    """
    from posguard.cli.desk import actor, at_desk
    from posguard.postgres import alerts

    async def work(connection: Any) -> Sequence[Message]:
        if confirm:
            return await alerts.give_up(connection, route, actor(by))
        return await _waiting(connection, route)

    found = at_desk(work, demo=demo, writes=confirm)
    _tell(route, "", found, "given up", done=confirm, as_json=as_json)


async def _waiting(connection: Any, route: str) -> Sequence[Message]:
    from posguard.postgres import alerts

    return [one for one in await alerts.messages(connection, limit=10_000) if one.route == route]


def _tell(route: str, to: str, found: Sequence[Message], what: str, *, done: bool, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.alerts_shapes import Moved

    if as_json:
        output.emit(Moved.of(route, to, found, done=done))
        return
    if not found:
        print(f"No message waits for the route {route}. Nothing was changed.")
        return
    rows = [(one.severity, str(one.alerts), f"{one.created_at:%Y-%m-%d %H:%M}", one.subject) for one in found]
    output.table(("severity", "alerts", "made (UTC)", "subject"), rows)
    print(
        f"{len(found)} messages were {what}."
        if done
        else f"{len(found)} messages would be {what}; --confirm does it."
    )
