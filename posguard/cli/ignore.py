"""`posguard findings ignore`: rules for positions traded by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.cli.desk import actor, at_desk
from posguard.cli.options import AsJson, By, Exchange, OnDemo, Until, no_empty_symbol
from posguard.errors import UsageError

if TYPE_CHECKING:
    from posguard.model.finding import IgnoreRule

app = typer.Typer(
    help="Positions traded by hand: rules that dismiss their findings by account and symbol.",
    no_args_is_help=True,
)


@app.command()
def add(
    *,
    exchange: Annotated[Exchange, typer.Option("--exchange", help="The exchange it is traded on.")],
    symbol: Annotated[
        str,
        typer.Option(
            "--symbol", metavar="SYMBOL", help="BTCUSDT or BTC/USDT:USDT.", callback=no_empty_symbol
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; needed.")],
    account: Annotated[str, typer.Option("--account", help="The account's name in the settings.")] = "main",
    until: Until = "",
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Dismiss, from the next run on, every finding of one symbol on one account. They never enter a plan.

    \b
    Examples:
      posguard findings ignore add --exchange binance --symbol BTCUSDT --reason "traded by hand"
      posguard findings ignore add --exchange bybit --symbol SOLUSDT --reason "hedge" --until 30d
    """
    from posguard.cli.moments import moment
    from posguard.postgres import findings

    ends = moment(until, datetime.now(UTC)) if until else None

    async def write(connection: Any) -> list[IgnoreRule]:
        rule = await findings.add_ignore_rule(
            connection,
            exchange=exchange,
            account=account,
            symbol=symbol,
            reason=reason,
            actor=actor(by),
            until=ends,
        )
        return [rule]

    _tell(at_desk(write, demo=demo, writes=True), as_json=as_json)


@app.command("list")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """List the rules in force.

    \b
    Examples:
      posguard findings ignore list
      posguard findings ignore list --all --json
    """
    from posguard.postgres import findings

    now = datetime.now(UTC)
    rules = at_desk(findings.ignore_rules, demo=demo)
    shown = [rule for rule in rules if every or rule.until is None or rule.until > now]
    _tell(shown, as_json=as_json)


@app.command()
def end(
    rule: Annotated[int, typer.Argument(metavar="ID", help="The rule's number.")],
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """End a rule now; its findings open again at the next run. Its record stays.

    \b
    Examples:
      posguard findings ignore end 3
    """
    from posguard.postgres import findings

    async def write(connection: Any) -> list[IgnoreRule]:
        if not await findings.end_ignore_rule(connection, rule):
            raise UsageError(
                f"There is no ignore rule {rule} in force. Nothing was changed.",
                hint="`posguard findings ignore list` shows them.",
            )
        return [one for one in await findings.ignore_rules(connection) if one.id == rule]

    _tell(at_desk(write, demo=demo, writes=True), as_json=as_json)


def _tell(rules: list[IgnoreRule], *, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.moments import spell
    from posguard.cli.shapes import RuleList, RuleShape

    if as_json:
        output.emit(RuleList(rules=tuple(RuleShape.of(rule) for rule in rules)))
        return
    if not rules:
        print("No ignore rule.")
        return
    output.table(
        ("id", "exchange", "account", "symbol", "until (UTC)", "by", "reason"),
        [
            (
                str(rule.id),
                rule.exchange,
                rule.account,
                rule.symbol,
                spell(rule.until) if rule.until else "no end",
                rule.created_by,
                rule.reason,
            )
            for rule in rules
        ],
    )
