"""`posguard db … --target bot`: the bot's own tables. The plan is shown first; the database's name, typed, carries it out."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.cli import output
from posguard.cli.options import Target
from posguard.errors import RefusedError, SchemaError, SettingsError, UsageError
from posguard.model.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from posguard.cli.shapes import BotTables
    from posguard.postgres.botplan import Blocker, BotPlan, Step
    from posguard.settings import VenueSettings

UP, DOWN = "upgrade", "downgrade"
_LONGEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one run, and the database it is about."""

    dsn: SecretStr
    confirm: str
    wait: str
    as_json: bool
    account: str | None = None
    drop_old_index: bool = False
    venues: tuple[VenueSettings, ...] = ()

    @property
    def patience(self) -> float:
        """Seconds that one step waits for others. Raises UsageError."""
        try:
            duration = parse_duration(self.wait)
        except ValueError:
            raise UsageError(
                f"'{self.wait}' is no duration; write 90s or 5m. Nothing was done.", hint="See --wait."
            ) from None
        if not timedelta(0) < duration <= _LONGEST:
            raise UsageError("--wait takes more than nothing and at most 1h. Nothing was done.")
        return duration.total_seconds()


def upgrade(asked: Asked) -> None:
    """Shows what the upgrade would do, or does it where the database's name was typed."""
    output.structured_log_to_stderr()
    from posguard.postgres import botupgrade

    patience = asked.patience
    plan = asyncio.run(
        botupgrade.upgrade_plan(asked.dsn, account=asked.account, drop_old_index=asked.drop_old_index)
    )
    if _go(plan, asked, UP):
        plan = asyncio.run(
            botupgrade.upgrade(
                asked.dsn,
                account=plan.account,
                drop_old_index=asked.drop_old_index,
                patience=patience,
                say=output.warn,
            )
        )
    _tell(plan, asked, UP)


def downgrade(asked: Asked) -> None:
    """Shows what the way back would do and lose, or does it where the database's name was typed."""
    output.structured_log_to_stderr()
    from posguard.postgres import botupgrade

    patience = asked.patience
    plan = asyncio.run(botupgrade.downgrade_plan(asked.dsn))
    if _go(plan, asked, DOWN):
        plan = asyncio.run(botupgrade.downgrade(asked.dsn, patience=patience, say=output.warn))
    _tell(plan, asked, DOWN)


def check(dsn: SecretStr, *, as_json: bool) -> None:
    """Says whether the bot's tables carry the whole upgrade. Raises SchemaError where they do not."""
    output.structured_log_to_stderr()
    from posguard.cli.shapes import SchemaStanding
    from posguard.postgres import botupgrade
    from posguard.postgres.botfacts import BOT_VERSION

    left = asyncio.run(botupgrade.upgrade_plan(dsn)).pending
    current = None if left else BOT_VERSION
    if as_json:
        output.emit(
            SchemaStanding(target=Target.BOT, current=current, newest=BOT_VERSION, up_to_date=not left)
        )
    if left:
        raise SchemaError(
            f"The bot's tables lack {', '.join(step.name for step in left)}. Nothing was changed.",
            hint="Run `posguard db upgrade --target bot`: it shows first what it will do.",
        )
    if not as_json:
        print(f"The bot's tables carry the upgrade ({BOT_VERSION}).")


def _go(plan: BotPlan, asked: Asked, way: str) -> bool:
    """Whether the plan is to be carried out. Raises RefusedError where the name typed is another database's."""
    if asked.confirm and asked.confirm != plan.database:
        raise RefusedError(
            f"This database is {plan.database}, not {asked.confirm}. Nothing was changed.",
            hint=f"To {way} its tables: posguard db {way} --target bot --confirm {plan.database}",
        )
    return bool(asked.confirm and plan.pending and not plan.blockers)


def _tell(plan: BotPlan, asked: Asked, way: str) -> None:
    stopped = bool(plan.pending and plan.blockers)
    done = bool(asked.confirm and not stopped)
    if asked.as_json:
        output.emit(_shape(plan, done=done))
    else:
        _show(plan, asked, way, done=done)
    if stopped:
        kinds = Counter(blocker.kind for blocker in plan.blockers)
        counted = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.items())
        raise RefusedError(
            f"What is listed stands in the way ({counted}). Nothing was changed.",
            hint="Clear it, then run the same command again.",
        )


def _show(plan: BotPlan, asked: Asked, way: str, *, done: bool) -> None:
    if not plan.pending:
        stands = "carry the whole upgrade" if way == UP else "carry nothing of the upgrade"
        print(f"The bot's tables in {plan.database} {stands}; nothing was changed.")
        return
    title = f"The bot's tables in {plan.database}"
    if way == UP:
        title += f", whose rows belong to the account '{plan.account}'"
    output.table(
        ("step", "what it does", "state"),
        [(step.name, step.says, _state(step, done=done)) for step in plan.steps],
        title=f"{title}:",
    )
    if plan.losses:
        output.table(
            ("column", "rows"),
            [(name, str(count)) for name, count in plan.losses],
            title="Data that went with the columns:" if done else "Data that would go with the columns:",
        )
    for note in () if done else (*plan.notes, *_venue_notes(plan, asked, way)):
        print(f"Note: {note}")
    if plan.blockers:
        output.table(
            ("rows", "what stands in the way", "what clears it"),
            [(_rows(blocker), blocker.says, _clears(blocker)) for blocker in plan.blockers],
            title="What stands in the way:",
        )
    elif done:
        print(f"\nDone: {len(plan.pending)} steps.")
    else:
        print(f"\nNothing was changed. To do it: {_command(plan, asked, way)}")


def _command(plan: BotPlan, asked: Asked, way: str) -> str:
    words = ["posguard", "db", way, "--target", "bot"]
    if asked.account:
        words += ["--account", asked.account]
    if asked.drop_old_index:
        words.append("--drop-old-index")
    return " ".join([*words, "--confirm", plan.database])


def _state(step: Step, *, done: bool) -> str:
    if step.kind == "nothing":
        return "not needed"
    if step.done:
        return "done before"
    return "done" if done else "to do"


def _rows(blocker: Blocker) -> str:
    return ", ".join(f"#{row}" for row in blocker.rows)


def _clears(blocker: Blocker) -> str:
    from posguard.cli.telling import NOT_BUILT
    from posguard.reconcile.advice import BUILT

    return f"{blocker.clears} {NOT_BUILT}" if blocker.mode and blocker.mode not in BUILT else blocker.clears


def _venue_notes(plan: BotPlan, asked: Asked, way: str) -> Iterator[str]:
    if way != UP:
        return
    named = {venue.account for venue in asked.venues}
    if named and plan.account not in named:
        yield (
            f"no configured venue has the account '{plan.account}'; the settings name {', '.join(sorted(named))} "
            "(--account)"
        )
    per_exchange = Counter(venue.exchange for venue in asked.venues)
    several = any(venue.hedge for venue in asked.venues) or any(n > 1 for n in per_exchange.values())
    if several and not asked.drop_old_index:
        yield "hedge mode or several accounts are configured, which the bot's own unique index does not let in (--drop-old-index)"


def _shape(plan: BotPlan, *, done: bool) -> BotTables:
    from posguard.cli.shapes import BotBlocker, BotStep, BotTables

    return BotTables(
        database=plan.database,
        account=plan.account or None,
        done=done and bool(plan.pending),
        steps=tuple(BotStep(name=s.name, says=s.says, state=_state(s, done=done)) for s in plan.steps),
        blockers=tuple(
            BotBlocker(kind=b.kind, rows=b.rows, says=b.says, clears=b.clears) for b in plan.blockers
        ),
        notes=plan.notes,
        losses=dict(plan.losses),
        confirm=None if done or not plan.pending else plan.database,
    )


def venues(*, demo: bool) -> tuple[VenueSettings, ...]:
    """The configured venues, for what they say of accounts and hedge mode; none where they cannot be read."""
    from posguard.cli.connect import connections

    try:
        return connections(demo=demo).venues
    except SettingsError:
        return ()
