"""`posguard findings`: the desk. What runs found, its life, and what a person decided."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.cli import ignore
from posguard.cli.desk import actor, at_desk
from posguard.cli.options import AsJson, By, OnDemo, OneExchange, OneSymbol, Until
from posguard.errors import UsageError

if TYPE_CHECKING:
    from posguard.model.finding import FindingEvent, FindingState, StoredFinding

app = typer.Typer(help="What the runs found: list, show, acknowledge, dismiss, ignore.", no_args_is_help=True)
app.add_typer(ignore.app, name="ignore")


class State(StrEnum):
    """The states a finding can be listed by."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DISMISSED = "dismissed"
    RESOLVED = "resolved"


class Level(StrEnum):
    """The severities a finding can be listed by."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers of findings, as `list` shows them.")]


@app.command("list")
def list_(
    *,
    state: Annotated[
        list[State] | None, typer.Option("--state", help="Repeatable; open and acknowledged by default.")
    ] = None,
    severity: Annotated[list[Level] | None, typer.Option("--severity", help="Repeatable.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="One kind, such as orphaned_db.")] = "",
    exchange: OneExchange = None,
    symbol: OneSymbol = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 1000,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """List findings, the worst first.

    \b
    Examples:
      posguard findings list
      posguard findings list --state dismissed --state resolved --limit 20
      posguard findings list --kind orphaned_db --exchange binance --json
    """
    from posguard.cli import output
    from posguard.cli.shapes import FindingList, StoredFindingShape
    from posguard.model.finding import FindingState, Severity
    from posguard.postgres import findings

    states = [FindingState(s) for s in state or (State.OPEN, State.ACKNOWLEDGED)]
    severities = [Severity(level) for level in severity or ()]

    async def read(connection: Any) -> list[StoredFinding]:
        return await findings.list_findings(
            connection,
            states=states,
            severities=severities,
            kind=_kind(kind),
            exchange=exchange or "",
            symbol=symbol or "",
            limit=limit,
        )

    found = at_desk(read, demo=demo)
    if as_json:
        output.emit(FindingList(findings=tuple(StoredFindingShape.stored(f) for f in found)))
        return
    if not found:
        print("No finding matches.")
        return
    _print_list(found)


@app.command()
def show(
    finding: Annotated[int, typer.Argument(metavar="ID", help="The finding's number.")],
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Show one finding: both sides, evidence, its life, what mends it.

    \b
    Examples:
      posguard findings show 12
      posguard findings show 12 --json
    """
    from posguard.cli import output, telling
    from posguard.cli.shapes import FindingDetail
    from posguard.postgres import findings

    async def read(connection: Any) -> tuple[StoredFinding | None, list[FindingEvent]]:
        return await findings.by_id(connection, finding), await findings.events_of(connection, finding)

    found, events = at_desk(read, demo=demo)
    if found is None:
        raise UsageError(
            f"There is no finding {finding}. Nothing was done.", hint="`posguard findings list` shows them."
        )
    if as_json:
        output.emit(FindingDetail.of(found, events))
        return
    telling.stored_finding(found, events)


@app.command()
def ack(
    ids: Ids,
    reason: Annotated[str, typer.Option("--reason", help="What you know about it.")] = "",
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Acknowledge findings: somebody looks after them. They still count.

    \b
    Examples:
      posguard findings ack 12 13
      posguard findings ack 12 --reason "closing it by hand"
    """
    _decide(ids, "acknowledged", reason=reason, by=by, until=None, demo=demo, as_json=as_json)


@app.command()
def dismiss(
    ids: Ids,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed.")],
    until: Until = "",
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Dismiss findings, for a while or until they are resolved. They no longer count and enter no plan.

    \b
    Examples:
      posguard findings dismiss 12 --reason "hedge of the other desk" --until 2d
      posguard findings dismiss 12 13 --reason "known" --until 2026-12-01
    """
    from posguard.cli.moments import moment

    ends = moment(until, datetime.now(UTC)) if until else None
    _decide(ids, "dismissed", reason=reason, by=by, until=ends, demo=demo, as_json=as_json)


@app.command()
def reopen(ids: Ids, by: By = "", demo: OnDemo = False, as_json: AsJson = False) -> None:
    """Take an acknowledgement or a dismissal back.

    \b
    Examples:
      posguard findings reopen 12
    """
    _decide(ids, "open", reason="", by=by, until=None, demo=demo, as_json=as_json)


def _decide(
    ids: list[int], state: str, *, reason: str, by: str, until: datetime | None, demo: bool, as_json: bool
) -> None:
    """All of them or, where one is refused, none."""
    from posguard.cli import output
    from posguard.cli.shapes import FindingList, StoredFindingShape
    from posguard.model.finding import FindingState
    from posguard.postgres import findings

    wanted: FindingState = FindingState(state)

    async def write(connection: Any) -> list[StoredFinding]:
        return [
            await findings.decide(connection, one, wanted, actor=actor(by), reason=reason, until=until)
            for one in sorted(set(ids))
        ]

    decided = at_desk(write, demo=demo, writes=True)
    if as_json:
        output.emit(FindingList(findings=tuple(StoredFindingShape.stored(f) for f in decided)))
        return
    _print_list(decided)


def _kind(text: str) -> Any:
    from posguard.model.finding import Kind

    if not text:
        return None
    try:
        return Kind(text.strip().lower().replace("-", "_"))
    except ValueError:
        raise UsageError(
            f"There is no kind of finding '{text}'. Nothing was done.", hint=f"The kinds: {', '.join(Kind)}."
        ) from None


def _print_list(found: list[StoredFinding]) -> None:
    from posguard.cli import telling

    telling.stored_findings(found)
