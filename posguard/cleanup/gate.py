"""What a code must pass before anything is changed. Pure: values in, a refusal or nothing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.errors import RefusedError
from posguard.model.plan import PlanState, spelled_code
from posguard.model.venue import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from posguard.model.plan import StoredPlan

_NOTHING = "Nothing was changed."
_PLAN_AGAIN = "Plan again: `posguard cleanup MODE` prints a new code."


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, and what this process is connected to. rows is the typed number of accepted absences."""

    code: str
    database_fingerprint: str
    worlds: Mapping[str, str]
    now: datetime
    production: str = ""
    rows: int | None = None


def refuse(stored: StoredPlan | None, sound: bool, asked: Asked) -> StoredPlan:
    """The plan that may be carried out. Raises RefusedError that says which gate is shut; nothing was changed then."""
    if stored is None:
        raise RefusedError(
            f"There is no plan of the code {spelled_code(asked.code)} in this database. {_NOTHING}",
            hint="Look at the code again, or plan again.",
        )
    plan = stored.plan
    if plan.database_fingerprint != asked.database_fingerprint:
        raise RefusedError(
            f"The plan {stored.code} is for the database {plan.database_fingerprint}, and this one is"
            f" {asked.database_fingerprint}. {_NOTHING}",
            hint=_PLAN_AGAIN,
        )
    if not sound:
        raise RefusedError(
            f"The plan {stored.code} is not what it was when it was stored. {_NOTHING}", hint=_PLAN_AGAIN
        )
    for venue, world in plan.worlds.items():
        here = asked.worlds.get(venue, "not configured")
        if here != world:
            raise RefusedError(
                f"The plan {stored.code} is for {venue} in its {world} world, which is {here} here. {_NOTHING}",
                hint=_PLAN_AGAIN,
            )
    _used(stored, asked)
    if plan.accepted_absences and asked.rows != plan.accepted_absences and stored.state is PlanState.PLANNED:
        raise RefusedError(
            f"The plan closes {plan.accepted_absences} rows whose absence is not proven. {_NOTHING}",
            hint=f"Type their number: --rows {plan.accepted_absences}.",
        )
    if World.PRODUCTION.value in plan.worlds.values() and asked.production != plan.database_fingerprint:
        raise RefusedError(
            f"The plan is for production. {_NOTHING}",
            hint=f"Name it with the database's fingerprint: --production {plan.database_fingerprint}.",
        )
    return stored


def _used(stored: StoredPlan, asked: Asked) -> None:
    if stored.state in {PlanState.APPLIED, PlanState.PARTLY}:
        raise RefusedError(
            f"The code {stored.code} was used: its plan ended as {stored.state} at {stored.finished_at:%Y-%m-%d %H:%M:%S} UTC."
            f" {_NOTHING}",
            hint=_PLAN_AGAIN,
        )
    if stored.state is PlanState.PLANNED and asked.now >= stored.plan.expires_at:
        raise RefusedError(
            f"The code {stored.code} expired at {stored.plan.expires_at:%Y-%m-%d %H:%M:%S} UTC. {_NOTHING}",
            hint=_PLAN_AGAIN,
        )
