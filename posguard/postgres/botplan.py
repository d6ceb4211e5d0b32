"""What target `bot` has to do, and what stands in its way. Pure: facts in, a plan out.

Invariants. While one blocker stands nothing is done. A step that is done is not done again. The way back takes away what the
way there added and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

from posguard.errors import UsageError
from posguard.model.position import INTERMEDIATE, PositionKey, PositionSide, Status
from posguard.postgres.botfacts import ACCOUNT, COLUMNS, INDEXES, STOP_ORDER, TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from posguard.postgres.botfacts import Facts, Index, IndexFact, OpenRow

UNFINISHED_AFTER = timedelta(hours=1)
OLDEST_SERVER = 150000
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ACCOUNT_DEFAULT = re.compile(r"'(?P<name>[^']*)'::text")


class StepKind(StrEnum):
    """How a step is carried out: a script in one transaction, or a statement outside any."""

    SCRIPT = "script"
    BUILD = "build"
    DROP = "drop"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name in the record, what it does, and whether that is done."""

    name: str
    kind: StepKind
    says: str
    done: bool = False
    table: str = "positions"


@dataclass(frozen=True, slots=True)
class Blocker:
    """What stands in the way: the rows it is about, a sentence, and what clears it. `mode` is the cleanup mode of that command, if it is one."""

    kind: str
    says: str
    clears: str
    rows: tuple[int, ...] = ()
    mode: str = ""

    def __str__(self) -> str:
        return f"{self.says}. To clear it: {self.clears}"


@dataclass(frozen=True, slots=True)
class BotPlan:
    """What an upgrade or downgrade of the bot's tables in a database will do. `losses` counts, by column, the rows whose data go."""

    database: str
    account: str
    steps: tuple[Step, ...]
    blockers: tuple[Blocker, ...]
    notes: tuple[str, ...] = ()
    losses: tuple[tuple[str, int], ...] = ()

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that are left."""
        return tuple(step for step in self.steps if not step.done)


def account_name(asked: str | None, facts: Facts) -> str:
    """The account that the rows belong to: the one asked, the one the column says already, or main.

    Raises UsageError where it is no plain name, or another than the column says.
    """
    column = facts.positions.get(ACCOUNT.name)
    found = _ACCOUNT_DEFAULT.fullmatch((column and column.standard) or "")
    there = found["name"] if found else None
    name = asked or there or "main"
    if not _ACCOUNT_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is no account name: letters, digits, dot, dash and underscore. Nothing was changed."
        )
    if there not in {None, name}:
        raise UsageError(
            f"The rows' account is '{there}' already, not '{name}'. Nothing was changed.",
            hint="Leave --account out.",
        )
    return name


def plan_upgrade(
    facts: Facts, *, account: str, digests: Mapping[str, str], drop_old_index: bool = False
) -> BotPlan:
    """The way there. `digests` holds, by step, the digest of the script that this program would run."""
    steps = [*_script_steps(facts, digests), *(_index_step(index, facts) for index in INDEXES)]
    if drop_old_index:
        named = ", ".join(old.name for old in old_indexes(facts))
        says = f"drop {named or 'the old unique index'}, which lets in one account and one leg only"
        record = facts.steps.get("old_index")
        steps.append(
            Step("old_index", StepKind.DROP, says, done=not named and (record is None or record.finished))
        )
    return BotPlan(
        database=facts.standing.database,
        account=account,
        steps=tuple(steps),
        blockers=(
            *_server(facts),
            *_columns(facts),
            *_old_index(facts, wanted=drop_old_index),
            *_rows(facts),
        ),
        notes=facts.in_the_way,
    )


def plan_downgrade(facts: Facts, losses: tuple[tuple[str, int], ...]) -> BotPlan:
    """The way back, in the opposite order: the bot's own index stands again before the guard goes."""
    missing = missing_old_indexes(facts)
    steps = []
    if "old_index" in facts.steps:
        named = ", ".join(missing) or "nothing"
        steps.append(Step("old_index", StepKind.BUILD, f"build again what was dropped: {named}"))
    steps += [
        Step(index.name, StepKind.DROP, f"drop the index {index.name}", table=index.table)
        for index in reversed(INDEXES)
        if facts.index(index.name) or index.name in facts.steps
    ]
    if facts.standing.triggers or "transitions" in facts.steps:
        steps.append(Step("transitions", StepKind.SCRIPT, "drop the triggers; what they recorded stays"))
    if facts.standing.check_valid is not None or "status_check" in facts.steps:
        steps.append(Step("status_check", StepKind.SCRIPT, "drop the check of the core's statuses"))
    added = added_columns(facts)
    if "columns" in facts.steps:
        listed = ", ".join(added) or "none was added"
        steps.append(Step("columns", StepKind.SCRIPT, f"drop the columns that were added: {listed}"))
    return BotPlan(
        database=facts.standing.database,
        account="",
        steps=tuple(steps),
        blockers=(
            *(_server(facts) if steps else ()),
            *_managed(facts),
            *(_twice_active(facts) if missing else ()),
        ),
        notes=facts.in_the_way,
        losses=losses,
    )


def old_indexes(facts: Facts) -> tuple[IndexFact, ...]:
    """The bot's own unique indexes over symbol and exchange, which know neither account nor leg."""
    return tuple(
        index
        for index in facts.indexes
        if index.table == "positions"
        and index.unique
        and not index.constraint
        and set(index.columns) == {"symbol", "exchange"}
    )


def missing_old_indexes(facts: Facts) -> dict[str, str]:
    """Name and definition of the old indexes that an upgrade dropped and that are not there again, sound."""
    record = facts.steps.get("old_index")
    kept: Mapping[str, str] = record.detail if record else {}
    return {name: text for name, text in kept.items() if not ((index := facts.index(name)) and index.sound)}


def added_columns(facts: Facts) -> tuple[str, ...]:
    """The columns that the upgrade added and that are still there."""
    record = facts.steps.get("columns")
    return tuple(
        name for name in (record.detail.get("added", ()) if record else ()) if name in facts.positions
    )


def _script_steps(facts: Facts, digests: Mapping[str, str]) -> Iterator[Step]:
    def current(name: str) -> bool:
        record = facts.steps.get(name)
        return record is not None and record.finished and record.digest == digests[name]

    new = [column.name for column in COLUMNS if column.name not in facts.positions]
    yield Step(
        "columns",
        StepKind.SCRIPT,
        f"add columns: {', '.join(new) or 'none'}",
        done=not new and current("columns"),
    )
    valid = facts.standing.check_valid
    checked = valid is not None and current("status_check")
    yield Step(
        "status_check", StepKind.SCRIPT, "check the statuses of rows that the core manages", done=checked
    )
    yield Step(
        "status_check_valid",
        StepKind.SCRIPT,
        "validate that check",
        done=checked and bool(valid) and current("status_check_valid"),
    )
    yield Step(
        "transitions",
        StepKind.SCRIPT,
        "record every change of a row in posguard.transitions, and count versions",
        done=set(TRIGGERS) <= set(facts.standing.triggers) and current("transitions"),
    )


def _index_step(index: Index, facts: Facts) -> Step:
    mine = facts.index(index.name)
    record = facts.steps.get(index.name)
    if mine is None and not index.guard:
        like = next((other.name for other in facts.indexes if _serves(other, index)), None)
        lacking = [column for column in index.columns if (index.table, column) not in facts.columns]
        if like or lacking:
            why = f"{like} serves" if like else f"monitoring.{index.table} has no {', '.join(lacking)}"
            return Step(index.name, StepKind.NOTHING, f"no index {index.name}: {why}", done=True)
    purpose = "the unique index" if index.guard else "the index"
    broken = " (an INVALID one is dropped first)" if mine and not mine.sound else ""
    return Step(
        index.name,
        StepKind.BUILD,
        f"build {purpose} {index.name}{broken}",
        done=bool(mine and mine.sound and record and record.finished),
        table=index.table,
    )


def _serves(other: IndexFact, index: Index) -> bool:
    return (
        other.table == index.table
        and other.sound
        and other.predicate is None
        and other.columns[: len(index.columns)] == index.columns
    )


def _server(facts: Facts) -> Iterator[Blocker]:
    here = facts.standing
    if here.version < OLDEST_SERVER:
        yield Blocker(
            "server", f"The server is PostgreSQL {here.version // 10000}, and 15 is needed", "upgrade it"
        )
    if here.standby:
        yield Blocker("server", "The server is a standby and cannot be written", "name the primary")
    if not here.plain:
        yield Blocker("server", "monitoring.positions is no plain table", "it has to be one")
    if not here.owns:
        yield Blocker(
            "role",
            f"{here.login} does not own monitoring.positions and monitoring.events",
            f"run it as {here.owner}, who does",
        )
    if not here.may_record:
        yield Blocker(
            "role",
            f"{here.login} may not write what the upgrade records",
            f'GRANT USAGE, CREATE ON SCHEMA posguard, monitoring TO "{here.login}"; '
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON posguard.bot_upgrade_steps TO "{here.login}"; '
            f'GRANT INSERT ON posguard.transitions TO "{here.login}"',
        )


def _columns(facts: Facts) -> Iterator[Blocker]:
    """A column that bears a name of ours and is another one. The stop order's id may be of any type: the bot made it."""
    for wanted in COLUMNS:
        found = facts.positions.get(wanted.name)
        if found is None or found == wanted or wanted.name == STOP_ORDER:
            continue
        if wanted == ACCOUNT and _is_account(found.type, found.standard, required=found.required):
            continue
        was = f"{found.type}{' NOT NULL' if found.required else ''} DEFAULT {found.standard or 'NULL'}"
        yield Blocker(
            "column",
            f"monitoring.positions has a column {wanted.name} of its own ({was})",
            f"ALTER TABLE monitoring.positions RENAME COLUMN {wanted.name} TO bot_{wanted.name}, with the bot",
        )


def _is_account(kind: str, standard: str | None, *, required: bool) -> bool:
    return kind == ACCOUNT.type and required and bool(_ACCOUNT_DEFAULT.fullmatch(standard or ""))


def _old_index(facts: Facts, *, wanted: bool) -> Iterator[Blocker]:
    for index in facts.indexes if wanted else ():
        if index.constraint and index.unique and set(index.columns) == {"symbol", "exchange"}:
            yield Blocker(
                "old_index",
                f"{index.name} is a constraint, which cannot be dropped without stopping writers",
                f"ALTER TABLE monitoring.{index.table} DROP CONSTRAINT {index.name}, in a quiet minute",
            )


def _rows(facts: Facts) -> Iterator[Blocker]:
    for _, group in groupby(facts.rows, key=lambda r: (r.exchange, r.account, r.symbol, r.position_side)):
        rows = tuple(group)
        if len(rows) > 1:
            yield Blocker(
                "duplicate",
                f"{_key(rows[0])} has {len(rows)} open rows: {', '.join(map(str, rows))}",
                _cleanup("duplicates", rows[0]),
                tuple(row.id for row in rows),
                "duplicates",
            )
    for row in facts.rows:
        if row.status not in set(Status):
            yield Blocker(
                "unknown_status",
                f"Row {row} has a status that nobody knows",
                f"set one of {', '.join(Status)}: {_change(row, 'status', '…')}",
                (row.id,),
            )
        elif row.status in INTERMEDIATE and (row.since is None or row.now - row.since > UNFINISHED_AFTER):
            yield Blocker(
                "unfinished",
                f"Row {row} has been unfinished for more than an hour",
                _cleanup("incomplete", row),
                (row.id,),
                "incomplete",
            )


def _managed(facts: Facts) -> Iterator[Blocker]:
    for row in facts.rows:
        if row.core_managed:
            yield Blocker(
                "managed",
                f"Row {row} is open and managed by the core",
                "stop the core and let it end, or hand the row to the bot's old code: "
                + _change(row, "core_managed", "false"),
                (row.id,),
            )


def _twice_active(facts: Facts) -> Iterator[Blocker]:
    for symbol, exchange, ids in facts.twice_active:
        yield Blocker(
            "twice_active",
            f"{symbol} on {exchange} has {len(ids)} active rows, which the bot's own index does not take",
            "close all legs or accounts but one",
            ids,
        )


def _key(row: OpenRow) -> PositionKey:
    leg = PositionSide(row.position_side) if row.position_side in set(PositionSide) else PositionSide.BOTH
    return PositionKey(row.exchange, row.account, row.symbol, leg)


def _cleanup(mode: str, row: OpenRow) -> str:
    return f"posguard cleanup {mode} --symbol {row.symbol} --exchange {row.exchange}"


def _change(row: OpenRow, column: str, value: str) -> str:
    """A statement for a person to read and run."""
    return f"UPDATE monitoring.positions SET {column} = '{value}' WHERE id = {row.id}"  # noqa: S608 - shown, never run
