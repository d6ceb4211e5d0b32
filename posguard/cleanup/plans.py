"""Making a plan: one pass, the rules, the store. Reads the bot's tables and the venues; writes posguard's own tables alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from posguard.cleanup.planning import make_plan, without
from posguard.cleanup.unsent import with_orders
from posguard.model.plan import MIN_AGE, Mode, PlanOptions
from posguard.model.scope import Scope
from posguard.model.venue import World
from posguard.postgres import findings, plans, runs
from posguard.postgres.schema import require_schema
from posguard.postgres.statistics import POSITIONS, columns
from posguard.reconcile.run import Observed, observe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from posguard.exchange.gateway import Gateway
    from posguard.model.plan import Choice, Line, Plan, StoredPlan
    from posguard.postgres.pool import Database
    from posguard.settings import Settings

# What accepting an absence takes (REC-2): three complete snapshots over ten minutes.
ABSENCE_SNAPSHOTS = 3
ABSENCE_GAP = timedelta(minutes=5)
_EVERYTHING = Scope()


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def draw_plan(
    db: Database,
    gateways: Iterable[Gateway],
    settings: Settings,
    mode: Mode,
    *,
    actor: str,
    scope: Scope = _EVERYTHING,
    min_age: timedelta = MIN_AGE,
    choice: Choice | None = None,
    accept_absence: bool = False,
    safe_only: bool = False,
    source: str = "cli",
    absence_gap: timedelta | None = None,
    progress: Callable[[str], None] = lambda _: None,
    clock: Callable[[], datetime] = _utc_now,
) -> Plan:
    """What a cleanup of this mode would do now; nothing is stored or changed.

    With accept_absence the venues are read three times, absence_gap apart: five minutes unless it is given, or every one of them
    is a simulator. Raises SchemaError where posguard's schema is not
    the newest, and what reading the database raises.
    """
    async with db.snapshot() as connection:
        await require_schema(connection)
        have = await columns(connection, POSITIONS)
        fingerprint = await runs.database_fingerprint(connection)
    options = PlanOptions(
        mode=mode,
        min_age=min_age,
        stop_distance=settings.stop_distance,
        scope=scope,
        choice=choice,
        accept_absence=accept_absence,
        safe_only=safe_only,
        columns=have,
    )
    gateways = tuple(gateways)
    if accept_absence:
        gap = _absence_gap(gateways, settings) if absence_gap is None else absence_gap
        settings = settings.model_copy(update={"snapshots": ABSENCE_SNAPSHOTS, "snapshot_gap": gap})
    observed = await observe(
        db, gateways, settings, scope=scope, progress=progress, clock=clock, statistics_too=False
    )
    observed = await with_orders(observed, gateways, options, progress=progress)
    return make_plan(
        observed,
        options,
        dismissed=await dismissed_in(db, observed),
        now=clock(),
        lifetime=settings.plan_lifetime,
        created_by=actor,
        database_fingerprint=fingerprint,
        source=source,
    )


def _absence_gap(gateways: Collection[Gateway], settings: Settings) -> timedelta:
    """The time between two looks; where nothing is real there is nothing to wait for."""
    made_up = gateways and all(gateway.world is World.SIMULATOR for gateway in gateways)
    return settings.snapshot_gap if made_up else ABSENCE_GAP


async def dismissed_in(db: Database, observed: Observed) -> Collection[str]:
    """The findings of a pass that the desk or an ignore rule dismisses."""
    async with db.snapshot() as connection:
        return await findings.dismissed(connection, observed.result)


async def store_plan(db: Database, plan: Plan, *, refused: Iterable[Line] = ()) -> StoredPlan:
    """Stores a plan, without the lines that were refused one by one; from then on its code carries it out."""
    taken = without(plan, tuple(refused)) if refused else plan
    async with db.transaction() as connection:
        return await plans.store(connection, replace(taken, id=None))
