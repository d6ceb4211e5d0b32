"""Target `bot`: the bot's own tables brought to what the trading core needs, while the bot keeps writing to them, and back.

Every step is recorded in posguard.bot_upgrade_steps and can be run again: an upgrade that was interrupted, killed or refused
halfway is completed by running it once more, and the bot's old code works on the tables at every point in between.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import PosguardError, RefusedError, SchemaError
from posguard.postgres.botfacts import GUARD, STOP_ORDER, UNTOUCHED, read_facts
from posguard.postgres.botplan import (
    BotPlan,
    StepKind,
    account_name,
    added_columns,
    missing_old_indexes,
    old_indexes,
    plan_downgrade,
    plan_upgrade,
)
from posguard.postgres.botsession import WaitedTooLongError, direct_session
from posguard.postgres.queries import migration, migration_statements, queries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pydantic import SecretStr

    from posguard.postgres.botfacts import Facts
    from posguard.postgres.botplan import Step
    from posguard.postgres.botsession import DirectSession

    Say = Callable[[str], None]
    Checkpoint = Callable[[str], Awaitable[None]]

# Seconds that one step waits for others.
PATIENCE = 60.0
_NAMED = queries("botupgrade")
_UP = {
    "columns": "bot_columns_up",
    "status_check": "bot_status_check_up",
    "status_check_valid": "bot_status_check_validate",
    "transitions": "bot_trigger_up",
}
_DOWN = {
    "transitions": "bot_trigger_down",
    "status_check": "bot_status_check_down",
    "columns": "bot_columns_down",
}


def _silent(_text: str) -> None:
    pass


async def _go_on(_name: str) -> None:
    pass


async def upgrade_plan(
    dsn: SecretStr | None, *, account: str | None = None, drop_old_index: bool = False
) -> BotPlan:
    """What `upgrade` would do and what stands in its way; reads only.

    Raises SchemaError (not the bot's database, posguard's schema missing or old), UsageError (account), RefusedError (a
    pooler), and what the connection raises.
    """
    async with direct_session(dsn, patience=PATIENCE, say=_silent) as session:
        return await _way_there(session, account, drop_old_index=drop_old_index)


async def upgrade(
    dsn: SecretStr | None,
    *,
    account: str | None = None,
    drop_old_index: bool = False,
    patience: float = PATIENCE,
    say: Say = _silent,
    checkpoint: Checkpoint = _go_on,
) -> BotPlan:
    """Brings the bot's tables to the shape of this version, online; returns the plan that was carried out.

    account names the account that the present rows belong to; drop_old_index takes away the bot's unique index over symbol
    and exchange, which only hedge mode or several accounts need. patience: seconds that one step waits for others.
    Raises RefusedError that names every row in the way (nothing was changed), DatabaseUnavailableError where a lock was not
    to be had; then the steps before stand, and the same call goes on from there.
    """
    done: list[str] = []
    with _telling(done):
        async with direct_session(dsn, patience=patience, say=say) as session:
            await session.take_turn()
            plan = await _way_there(session, account, drop_old_index=drop_old_index)
            _refuse(plan)
            for step in plan.pending:
                say(step.says)
                await checkpoint(f"before {step.name}")
                await _forward(session, step, plan, checkpoint)
                done.append(step.name)
                await checkpoint(f"after {step.name}")
            await _assert_whole(session, plan, drop_old_index=drop_old_index)
            return plan


async def downgrade_plan(dsn: SecretStr | None) -> BotPlan:
    """What `downgrade` would take away, the data that go with it, and what stands in its way; reads only."""
    async with direct_session(dsn, patience=PATIENCE, say=_silent) as session:
        return await _way_back(session)


async def downgrade(
    dsn: SecretStr | None,
    *,
    patience: float = PATIENCE,
    say: Say = _silent,
    checkpoint: Checkpoint = _go_on,
) -> BotPlan:
    """Takes away what `upgrade` added and builds again what it dropped; returns the plan that was carried out.

    Columns that were there before stay. Raises as `upgrade` does, and RefusedError while the core manages an open row.
    """
    done: list[str] = []
    with _telling(done):
        async with direct_session(dsn, patience=patience, say=say) as session:
            await session.take_turn()
            plan = await _way_back(session)
            _refuse(plan)
            for step in plan.pending:
                say(step.says)
                await checkpoint(f"before {step.name}")
                await _backward(session, step)
                done.append(step.name)
                await checkpoint(f"after {step.name}")
            return plan


async def fill_stop_orders(connection: Any, stops: Mapping[int, str]) -> tuple[int, ...]:
    """Writes the ids of live stop orders, by row id, into open rows that record none; returns the rows that took one.

    For the column stop_loss_order_id where the upgrade added it: its NULL beside a live covering stop is no fault. Raises
    SchemaError where the upgrade did not add it: then the bot keeps it itself.
    """
    if not await _NAMED.added_stop_order(connection):
        raise SchemaError(
            f"posguard did not add the column {STOP_ORDER}, so the bot keeps it. Nothing was changed.",
            hint="Nothing has to be filled.",
        )
    filled = _NAMED.fill_stop_orders(connection, ids=list(stops), order_ids=list(stops.values()))
    return tuple(sorted([record["id"] async for record in filled]))


async def _way_there(session: DirectSession, account: str | None, *, drop_old_index: bool) -> BotPlan:
    facts = await _facts(session, account)
    named = account_name(account, facts)
    digests = {step: _digest(migration(name)) for step, name in _UP.items()}
    return plan_upgrade(facts, account=named, digests=digests, drop_old_index=drop_old_index)


async def _way_back(session: DirectSession) -> BotPlan:
    facts = await _facts(session, None)
    untouched = {**UNTOUCHED, "account": account_name(None, facts)}
    lost = _NAMED.losses(session.watcher, names=list(added_columns(facts)), defaults=json.dumps(untouched))
    return plan_downgrade(facts, tuple([(record["name"], record["filled"]) async for record in lost]))


async def _facts(session: DirectSession, account: str | None) -> Facts:
    facts = await read_facts(session.watcher, account=account or "main")
    return dataclasses.replace(facts, in_the_way=await session.in_the_way("positions"))


async def _forward(session: DirectSession, step: Step, plan: BotPlan, checkpoint: Checkpoint) -> None:
    if step.kind is StepKind.SCRIPT:
        text = migration(_UP[step.name])
        await _name(session, step.name, text, plan.account)
        await session.script(f"{_NAMED.begin_step.sql}\n{text}\n{_NAMED.finish_step.sql}")
        return
    if step.kind is StepKind.BUILD:
        statement = getattr(migration_statements("bot_indexes"), step.name).sql
        await _name(session, step.name, statement, plan.account)
        await _NAMED.begin_step(session.builder)
        await _build(session, step.name, statement, step.table)
    else:
        await _name(session, step.name, "", plan.account)
        await _NAMED.begin_step(session.builder)
        await _drop_old_indexes(session)
    await checkpoint(f"carried out {step.name}")
    await _NAMED.finish_step(session.builder)


async def _backward(session: DirectSession, step: Step) -> None:
    await _name(session, step.name, "", "")
    if step.kind is StepKind.SCRIPT:
        await session.script(f"{migration(_DOWN[step.name])}\n{_NAMED.undo_step.sql}")
        return
    if step.kind is StepKind.BUILD:
        for name, definition in missing_old_indexes(await _facts(session, None)).items():
            statement = definition.replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY", 1)
            await _build(session, name, statement, step.table)
    else:
        await session.concurrently(await _NAMED.drop_statement(session.watcher, name=step.name), step.table)
    await _NAMED.undo_step(session.builder)


async def _name(session: DirectSession, step: str, text: str, account: str) -> None:
    await _NAMED.name_step(session.builder, step=step, digest=_digest(text), account=account)


async def _build(session: DirectSession, name: str, statement: str, table: str) -> None:
    """Builds an index that is sound at the end, or leaves none; raises RefusedError where rows stand in its way."""
    sound = await _NAMED.index_is_sound(session.watcher, name=name)
    if sound is False:
        await session.concurrently(await _NAMED.drop_statement(session.watcher, name=name), table)
    if not sound:
        try:
            await session.concurrently(statement, table)
        except asyncpg.UniqueViolationError as error:
            await _drop_leftover(session, name)
            raise RefusedError(
                f"While {name} was built, the bot wrote a row that it does not let in: {error.detail or error}. "
                "The index was dropped again.",
                hint="`posguard db upgrade --target bot` names the rows; clear them and run it again.",
            ) from None
        except BaseException:
            await _drop_leftover(session, name)
            raise
    if not await _NAMED.index_is_sound(session.watcher, name=name):
        raise SchemaError(
            f"The index monitoring.{name} is not valid after it was built.",
            hint="Run the same command again.",
        )


async def _drop_leftover(session: DirectSession, name: str) -> None:
    """Drops what an ended build left; where that is not possible, says that it is still there."""
    try:
        if await _NAMED.index_is_sound(session.watcher, name=name) is False:
            await session.watched(await _NAMED.drop_statement(session.watcher, name=name))
    except WaitedTooLongError as error:
        raise WaitedTooLongError(
            f"{error.message} The INVALID index monitoring.{name} could not be dropped either: it may refuse a second "
            "open row of a key already.",
            hint="End that transaction and run the same command again.",
        ) from None
    except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError):
        session.say(f"the connection is gone; monitoring.{name} may be left INVALID, the next run drops it")


async def _drop_old_indexes(session: DirectSession) -> None:
    old = old_indexes(await _facts(session, None))
    kept = json.dumps({index.name: index.definition for index in old})
    await _NAMED.keep_detail(session.builder, detail=kept)
    for index in old:
        statement = await _NAMED.drop_statement(session.watcher, name=index.name)
        await session.concurrently(statement, index.table)


async def _assert_whole(session: DirectSession, plan: BotPlan, *, drop_old_index: bool) -> None:
    """Everything is as it was meant to be, and an insertion that yields to an open row finds the guard."""
    left = (await _way_there(session, plan.account, drop_old_index=drop_old_index)).pending
    if left:
        names = ", ".join(step.name for step in left)
        raise SchemaError(f"Not all of it stands: {names}.", hint="Run the same command again.")
    try:
        explained = json.loads(await _NAMED.arbiter(session.watcher))
        deciding = explained[0]["Plan"].get("Conflict Arbiter Indexes", [])
    except asyncpg.InvalidColumnReferenceError:
        deciding = []
    if deciding != [GUARD]:
        raise SchemaError(
            f"The index monitoring.{GUARD} is not the one that this version means.",
            hint=f"DROP INDEX CONCURRENTLY monitoring.{GUARD}; then run the same command again.",
        )


def _refuse(plan: BotPlan) -> None:
    if plan.pending and plan.blockers:
        named = "; ".join(str(blocker) for blocker in plan.blockers)
        raise RefusedError(
            f"{named}. Nothing was changed.",
            hint="Clear them, then run it again.",
        )


@contextmanager
def _telling(done: list[str]) -> Iterator[None]:
    """Adds to an error what was done before it."""
    try:
        yield
    except PosguardError as error:
        if not done:
            raise
        message = error.message.removesuffix(" Nothing was changed.")
        raise type(error)(
            f"{message} Done before: {', '.join(done)}. The bot's tables work as they stand.",
            hint=error.hint or "Run the same command again.",
        ) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
