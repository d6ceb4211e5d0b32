"""`posguard baseline`: how the bot did over a past period, under a name that `diagnose --baseline` measures against."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.desk import actor, at_desk
from posguard.cli.options import AsJson, By, OnDemo
from posguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.baseline import Baseline

app = typer.Typer(
    help="How the bot did over a past period: save it under a name, and measure success against it.",
    no_args_is_help=True,
)


@app.command()
def save(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Small letters, digits, `.`, `_` and `-`; 40 at most.")
    ],
    *,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long the period is.")] = 7,
    to: Annotated[
        str,
        typer.Option("--to", metavar="WHEN", help="Where it ends: a date or a time (UTC); now by default."),
    ] = "",
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Measure a past period and keep it under a name. The bot's tables are only read.

    A name is given once: what it means never changes.

    \b
    Examples:
      posguard baseline save before-upgrade
      posguard baseline save october --days 30 --to 2025-10-22
    """
    from posguard.cli.moments import past
    from posguard.model.baseline import BEFORE, NAME

    if not NAME.fullmatch(name) or name == BEFORE:
        raise UsageError(
            f"'{name}' cannot be a baseline's name. Nothing was done.",
            hint=f"Small letters, digits, '.', '_' and '-', 40 at most, and not {BEFORE}.",
        )
    now = datetime.now(UTC)
    ends = past("--to", to, now) if to else now
    _tell([asyncio.run(_saved(name, ends, timedelta(days=days), actor(by), demo=demo))], as_json=as_json)


@app.command("list")
def list_(*, demo: OnDemo = False, as_json: AsJson = False) -> None:
    """List the baselines, the newest first; the built-in one is the last.

    \b
    Examples:
      posguard baseline list
      posguard baseline list --json
    """
    from posguard.model.baseline import BUILT_IN
    from posguard.postgres import baselines

    _tell([*at_desk(baselines.every, demo=demo), BUILT_IN], as_json=as_json)


async def _saved(name: str, ends: datetime, length: timedelta, who: str, *, demo: bool) -> Baseline:
    """The baseline, kept. Raises UsageError where the name is taken or the period holds no row."""
    from posguard.cli.connect import connections
    from posguard.cli.output import structured_log_to_stderr
    from posguard.model.baseline import Baseline
    from posguard.postgres import baselines
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema
    from posguard.reconcile.statistics import measure

    structured_log_to_stderr()
    dsn = connections(demo=demo).dsn
    async with await Database.open(dsn, application="posguard baseline", size=2) as db:
        async with db.snapshot() as connection:
            await require_schema(connection)
        made = Baseline(name, await measure(db, ends, length), ends - length, ends, who)
        if not made.measures["rolled_back"].get("rows"):
            why = made.measures["rolled_back"].get("no_source", "no row was opened in that period")
            raise UsageError(f"There is nothing to measure: {why}. Nothing was kept.")
        async with db.transaction() as connection:
            if not await baselines.add(connection, made):
                raise UsageError(
                    f"A baseline {name} is there already, and a name never changes its meaning. Nothing was changed.",
                    hint="Choose another name.",
                )
            kept = await baselines.by_name(connection, name)
    assert kept is not None
    return kept


def _tell(found: Sequence[Baseline], *, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.baseline_shapes import BaselineList, BaselineShape
    from posguard.cli.moments import spell

    if as_json:
        output.emit(BaselineList(baselines=tuple(BaselineShape.of(one) for one in found)))
        return
    output.table(
        ("name", "from (UTC)", "to (UTC)", "rows", "rolled back", "duplicate-key errors", "P50 s", "by"),
        [
            (
                one.name,
                spell(one.period_from),
                spell(one.period_to),
                _number(one, "rolled_back", "rows"),
                _number(one, "rolled_back", "share"),
                _number(one, "duplicate_key_errors", "count"),
                _number(one, "open_latency", "p50"),
                one.created_by or "built in",
            )
            for one in found
        ],
    )


def _number(baseline: Baseline, part: str, field: str) -> str:
    value = baseline.measures[part].get(field)
    return "–" if value is None else f"{value:.4g}"
