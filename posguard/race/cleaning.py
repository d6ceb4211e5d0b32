"""The cleanup as operators run it, in the hands of an actor: a pass, a plan, its code, and the plan carried out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.cleanup.apply import apply_plan
from posguard.cleanup.plans import draw_plan, store_plan
from posguard.cleanup.work import Pace
from posguard.errors import RefusedError
from posguard.model.plan import Choice, Mode
from posguard.settings import load_settings

if TYPE_CHECKING:
    from posguard.exchange.gateway import TradingGateway
    from posguard.model.plan import StoredPlan
    from posguard.postgres.pool import Database

_NONE = timedelta(0)
# Nothing is too young for it, and it waits for nobody: so that it meets rows that are on their way.
_HASTY = {
    "snapshots": 2,
    "snapshot_gap": _NONE,
    "grace": _NONE,
    "incomplete_critical_after": _NONE,
    "max_skipped_share": 1.0,
}
_AT_ONCE = Pace(fresh=0.0, settle=0.0, patience=0.0, poll=0.0)


async def clean(database: Database, gateway: TradingGateway) -> StoredPlan | None:
    """Everything that `posguard cleanup all` finds, confirmed at once; None where it finds nothing to do.

    Without the grace that rows on their way have in production, and without a backup. Raises as `apply_plan` does, but for
    a plan that was refused: nothing was done then.
    """
    settings = load_settings(**_HASTY)
    plan = await draw_plan(
        database, [gateway], settings, Mode.ALL, actor="a race", min_age=_NONE, choice=Choice.ADOPT
    )
    if not plan.lines:
        return None
    stored = await store_plan(database, plan)
    try:
        return await apply_plan(
            database,
            [gateway],
            settings,
            stored.code,
            actor="a race",
            traders=[gateway],
            backup=None,
            pace=_AT_ONCE,
        )
    except RefusedError:
        return None
