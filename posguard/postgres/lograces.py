"""The races that the bot's log tells of: a finding each, and in posguard.log_races what is known of it beside the finding."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model import life
from posguard.model.finding import EventKind
from posguard.postgres import findings
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from posguard.model.finding import Finding, StoredFinding


@dataclass(frozen=True, slots=True)
class ToldRace:
    """A finding that a log tells of, when it happened, and all that is known of it, as plain JSON."""

    finding: Finding
    at: datetime
    source: str
    race: Mapping[str, Any]


async def record(connection: Any, run_id: int, told: Sequence[ToldRace], at: datetime) -> dict[str, int]:
    """Writes races into the lives of their findings; returns how many were found, changed and resolved.

    Told again, a race is the same finding: it is neither opened nor resolved by that. Call it inside a transaction; its alerts
    go into the outbox with it.
    """
    await findings.take_turns(connection)
    rules = tuple(await findings.ignore_rules(connection))
    before = await findings.by_fingerprints(connection, [one.finding.fingerprint for one in told])
    counts: Counter[str] = Counter()
    steps: list[tuple[StoredFinding | None, life.Step]] = []
    for one in told:
        name = one.finding.fingerprint
        stored = before.get(name)
        step = life.told(stored, one.finding, happened_at=one.at, at=at, run_id=run_id, rules=rules)
        step = await findings.write(connection, stored, step, run_id)
        before[name] = step.after
        steps.append((stored, step))
        await queries("log_races").keep(
            connection,
            fingerprint=name,
            source=one.source,
            at=one.at,
            symbol=one.finding.symbol,
            race=dict(one.race),
        )
        counts.update(kind.value for kind, _ in step.events)
    await findings.announce(connection, steps)
    return {
        kind: counts[kind]
        for kind in (EventKind.FOUND, EventKind.CHANGED, EventKind.RESOLVED)
        if counts[kind]
    }


async def resolve_past(connection: Any, at: datetime) -> int:
    """Resolves the races that happened longer ago than they count; returns how many. Call it inside a transaction."""
    await findings.take_turns(connection)
    past = queries("log_races").past(connection, before=at - life.COUNTS_FOR)
    when = {record["fingerprint"]: record["at"] async for record in past}
    steps: list[tuple[StoredFinding | None, life.Step]] = []
    for name, stored in (await findings.by_fingerprints(connection, list(when))).items():
        step = life.history(stored, happened_at=when[name], at=at)
        await findings.write(connection, stored, step, None)
        steps.append((stored, step))
    await findings.announce(connection, steps)
    return len(when)


async def race_of_finding(connection: Any, finding_id: int) -> Mapping[str, Any] | None:
    """What is known of the race of a finding, as plain JSON; None for a finding that is no race."""
    found: Mapping[str, Any] | None = await queries("log_races").of_finding(connection, finding_id=finding_id)
    return found


async def recent_races(connection: Any, limit: int) -> list[tuple[int, Mapping[str, Any]]]:
    """The newest races with the ids of their findings."""
    found = queries("log_races").recent(connection, limit=limit)
    return [(record["finding_id"], record["race"]) async for record in found]
