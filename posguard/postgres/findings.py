"""The findings, their life, the desk's decisions and the ignore rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from posguard.errors import RefusedError, UsageError
from posguard.model import life
from posguard.model.alert import alert_of_step
from posguard.model.finding import (
    EventKind,
    Finding,
    FindingEvent,
    FindingState,
    IgnoreRule,
    Kind,
    Proof,
    Severity,
    StoredFinding,
)
from posguard.model.position import PositionSide
from posguard.model.symbol import canonical_symbol
from posguard.postgres import alerts
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from posguard.model.finding import Pass


async def unresolved(connection: Any) -> list[StoredFinding]:
    """Everything that is not resolved, dismissed ones included; the worst first."""
    return [_stored(record) async for record in queries("findings").unresolved(connection)]


async def list_findings(
    connection: Any,
    *,
    states: Collection[FindingState] = (),
    severities: Collection[Severity] = (),
    kind: Kind | None = None,
    exchange: str = "",
    symbol: str = "",
    limit: int = 1000,
) -> list[StoredFinding]:
    """The findings that match every filter given; the worst first, then the last seen."""
    found = queries("findings").list_findings(
        connection,
        states=[state.value for state in states],
        severities=[severity.value for severity in severities],
        kind=kind.value if kind else "",
        exchange=exchange.strip().lower(),
        symbol=canonical_symbol(symbol),
        limit=limit,
    )
    return [_stored(record) async for record in found]


async def touching(connection: Any, start: datetime, until: datetime) -> list[StoredFinding]:
    """The findings whose life touches a stretch of time, its end left out; resolved ones too, the worst first."""
    return [_stored(r) async for r in queries("findings").touching(connection, start=start, until=until)]


async def by_id(connection: Any, finding_id: int) -> StoredFinding | None:
    """One finding, or None."""
    record = await queries("findings").by_id(connection, id=finding_id)
    return _stored(record) if record else None


async def events_of(connection: Any, finding_id: int) -> list[FindingEvent]:
    """What happened to a finding, the oldest first."""
    return [_event(r) async for r in queries("findings").events_of(connection, finding_id=finding_id)]


async def by_ids(connection: Any, ids: Collection[int]) -> dict[int, StoredFinding]:
    """The findings of some ids, by id; unknown ids are left out."""
    found = [_stored(record) async for record in queries("findings").by_ids(connection, ids=list(ids))]
    return {stored.id: stored for stored in found}


async def by_fingerprints(connection: Any, fingerprints: Collection[str]) -> dict[str, StoredFinding]:
    """The findings of some fingerprints, locked until the transaction ends; unknown ones are left out."""
    found = queries("findings").by_fingerprints(connection, fingerprints=list(fingerprints))
    return {record["fingerprint"]: _stored(record) async for record in found}


async def events_of_run(connection: Any, run_id: int, limit: int = 500) -> list[FindingEvent]:
    """What one run changed, in order; a finding that was only seen again is not among it."""
    found = queries("findings").events_of_run(connection, run_id=run_id, limit=limit)
    return [_event(record) async for record in found]


async def recent_events(connection: Any, limit: int) -> list[FindingEvent]:
    """What happened to any finding, the newest first."""
    return [_event(r) async for r in queries("findings").recent_events(connection, limit=limit)]


async def take_turns(connection: Any) -> None:
    """Waits until no other run is being recorded; the turn ends with the transaction."""
    await queries("findings").take_turns(connection)


async def dismissed(connection: Any, result: Pass) -> frozenset[str]:
    """The fingerprints in a pass that the desk or an ignore rule dismisses, for a pass that is not recorded; reads only."""
    sitting = life.Sitting(0, result, tuple(await ignore_rules(connection)))
    before = {stored.finding.fingerprint: stored for stored in await unresolved(connection)}
    after = [
        life.seen_again(before[seen.fingerprint], seen, sitting).after
        if seen.fingerprint in before
        else life.found(seen, sitting).after
        for seen in result.findings
    ]
    return frozenset(one.finding.fingerprint for one in after if not one.counts)


async def record(connection: Any, run_id: int, result: Pass) -> dict[str, int]:
    """Writes what a pass found into the findings' lives; returns the counts that StoredRun.counts describes.

    Call it inside a transaction: two runs take turns, and a run that dies leaves nothing. A finding that is seen again
    with nothing else changed gets last_seen and last_run, and no event. Alerts go into the outbox of the same transaction.
    """
    await take_turns(connection)
    sitting = life.Sitting(run_id, result, tuple(await ignore_rules(connection)))
    seen = {finding.fingerprint: finding for finding in result.findings}
    before = {
        record["fingerprint"]: _stored(record)
        async for record in queries("findings").for_recording(connection, seen=list(seen))
    }
    counts: Counter[str] = Counter()
    untouched: list[int] = []
    steps: list[tuple[StoredFinding | None, life.Step]] = []
    for name, finding in seen.items():
        stored = before.get(name)
        if stored is None:
            step = await _insert(connection, life.found(finding, sitting))
        else:
            step = life.seen_again(stored, finding, sitting)
            untouched += await _update(connection, stored, step, run_id)
        _count(counts, step)
        steps.append((stored, step))
    for name, stored in before.items():
        if name not in seen:
            step = life.not_seen(stored, sitting)
            await _update(connection, stored, step, run_id)
            counts.update(kind.value for kind, _ in step.events)
            steps.append((stored, step))
    await announce(connection, steps)
    await queries("findings").touch_findings(connection, ids=untouched, at=result.finished_at, run_id=run_id)
    return dict(counts)


_COUNTED = {EventKind.FOUND, EventKind.CHANGED, EventKind.REOPENED, EventKind.RESOLVED}


def _count(counts: Counter[str], step: life.Step) -> None:
    finding = step.after.finding
    counts.update(kind.value for kind, _ in step.events if kind in _COUNTED)
    if step.after.state is FindingState.DISMISSED:
        counts["dismissed"] += 1
    elif step.after.counts:
        counts.update((finding.severity.value, finding.proof.value, f"kind.{finding.kind}"))


async def write(
    connection: Any, before: StoredFinding | None, step: life.Step, run_id: int | None
) -> life.Step:
    """Writes a step of a finding's life; `before` is None for a new one, which then has its id in what is returned."""
    if before is None:
        return await _insert(connection, step)
    await _update(connection, before, step, run_id)
    return step


async def announce(connection: Any, steps: Iterable[tuple[StoredFinding | None, life.Step]]) -> None:
    """Puts what is to be told of findings' steps into the outbox of alerts; each step comes with the finding before it."""
    told = (alert_of_step(before, step) for before, step in steps)
    await alerts.put(connection, [one for one in told if one is not None])


async def _insert(connection: Any, step: life.Step) -> life.Step:
    stored = step.after
    finding = stored.finding
    finding_id: int = await queries("findings").insert_finding(
        connection,
        **_columns(stored),
        fingerprint=finding.fingerprint,
        kind=finding.kind.value,
        exchange=finding.exchange,
        account=finding.account,
        symbol=finding.symbol,
        position_side=finding.position_side.value,
        subject=finding.subject,
        first_seen=stored.first_seen,
        first_run=stored.first_run,
    )
    saved = replace(step, after=replace(stored, id=finding_id))
    await _add_events(connection, saved, stored.first_run)
    return saved


async def _update(connection: Any, before: StoredFinding, step: life.Step, run_id: int | None) -> list[int]:
    """Writes a step; returns the finding's id instead where only last_seen and last_run moved."""
    after = step.after
    if after == before:
        return []
    if replace(after, last_seen=before.last_seen, last_run=before.last_run) == before:
        return [after.id]
    await queries("findings").update_finding(connection, id=after.id, **_updatable(after))
    await _add_events(connection, step, run_id)
    return []


async def _add_events(connection: Any, step: life.Step, run_id: int | None) -> None:
    for kind, note in step.events:
        actor = step.after.decided_by if kind is EventKind.DISMISSED else ""
        await _add_event(connection, step.after.id, kind, run_id=run_id, actor=actor, note=note)


async def _add_event(
    connection: Any, finding_id: int, kind: EventKind, *, run_id: int | None, actor: str, note: str
) -> None:
    await queries("findings").add_event(
        connection, finding_id=finding_id, event=kind.value, run_id=run_id, actor=actor, note=note
    )


async def decide(
    connection: Any,
    finding_id: int,
    state: FindingState,
    actor: str,
    *,
    reason: str = "",
    until: datetime | None = None,
) -> StoredFinding:
    """Acknowledges, dismisses (with a reason, until a time or until it is resolved) or opens a finding again.

    Call it inside a transaction. Raises UsageError for an unknown id, a missing reason or another state, RefusedError for
    a finding that is resolved; then nothing was changed.
    """
    found = await queries("findings").by_id_for_update(connection, id=finding_id)
    if found is None:
        raise UsageError(
            f"There is no finding {finding_id}. Nothing was changed.",
            hint="`posguard findings list` shows them.",
        )
    if state is FindingState.RESOLVED:
        raise UsageError(
            "A finding is resolved by passes that no longer see it, not by hand. Nothing was changed."
        )
    if state is FindingState.DISMISSED and not reason.strip():
        raise UsageError("A dismissal needs a reason. Nothing was changed.", hint="Add --reason TEXT.")
    before = _stored(found)
    if before.state is FindingState.RESOLVED:
        raise RefusedError(f"Finding {finding_id} is resolved already. Nothing was changed.")
    opened = state is FindingState.OPEN
    after = replace(
        before,
        state=state,
        decided_by="" if opened else actor,
        reason="" if opened else reason.strip(),
        until=until if state is FindingState.DISMISSED else None,
    )
    if after != before:
        await queries("findings").update_finding(connection, id=after.id, **_updatable(after))
        kind = EventKind.REOPENED if opened else EventKind(state.value)
        await _add_event(connection, after.id, kind, run_id=None, actor=actor, note=reason.strip())
    return after


async def ignore_rules(connection: Any) -> list[IgnoreRule]:
    """Every rule, ended ones included, the oldest first."""
    return [IgnoreRule(**dict(record)) async for record in queries("findings").ignore_rules(connection)]


async def add_ignore_rule(
    connection: Any,
    *,
    exchange: str,
    symbol: str,
    reason: str,
    actor: str,
    account: str = "main",
    until: datetime | None = None,
) -> IgnoreRule:
    """Adds a rule; it dismisses what matches from the next run on. Raises UsageError without a reason."""
    if not reason.strip():
        raise UsageError("An ignore rule needs a reason. Nothing was changed.", hint="Add --reason TEXT.")
    rule_id = await queries("findings").add_ignore_rule(
        connection,
        exchange=exchange.strip().lower(),
        account=account,
        symbol=canonical_symbol(symbol),
        reason=reason.strip(),
        created_by=actor,
        until=until,
    )
    return next(rule for rule in await ignore_rules(connection) if rule.id == rule_id)


async def end_ignore_rule(connection: Any, rule_id: int) -> bool:
    """Ends a rule now and keeps its record; its findings open again at the next run. False where none was in force."""
    return await queries("findings").end_ignore_rule(connection, id=rule_id) is not None


def _columns(stored: StoredFinding) -> dict[str, Any]:
    finding = stored.finding
    return {
        "severity": finding.severity.value,
        "proof": finding.proof.value,
        "state": stored.state.value,
        "title": finding.title,
        "row_ids": list(finding.row_ids),
        "order_ids": list(finding.order_ids),
        "detail": {
            "database": _pairs(finding.database),
            "venue": _pairs(finding.venue),
            "differing": list(finding.differing),
            "evidence": list(finding.evidence),
            "repair": finding.repair,
            "repair_built": finding.repair_built,
        },
        "last_seen": stored.last_seen,
        "last_run": stored.last_run,
        "decided_by": stored.decided_by,
        "reason": stored.reason,
        "until": stored.until,
    }


def _pairs(sides: Iterable[Mapping[str, str]]) -> list[list[tuple[str, str]]]:
    """As lists of pairs: jsonb does not keep the order of an object's fields."""
    return [list(side.items()) for side in sides]


def _sides(pairs: Iterable[Iterable[tuple[str, str]]]) -> tuple[Mapping[str, str], ...]:
    return tuple(dict(side) for side in pairs)


def _updatable(stored: StoredFinding) -> dict[str, Any]:
    return _columns(stored) | {
        "clean_passes": stored.clean_passes,
        "resolved_at": stored.resolved_at,
        "reopened": stored.reopened,
    }


def _stored(record: Mapping[str, Any]) -> StoredFinding:
    detail = record["detail"]
    finding = Finding(
        kind=Kind(record["kind"]),
        exchange=record["exchange"],
        account=record["account"],
        symbol=record["symbol"],
        position_side=PositionSide(record["position_side"]),
        severity=Severity(record["severity"]),
        proof=Proof(record["proof"]),
        title=record["title"],
        subject=record["subject"],
        row_ids=tuple(record["row_ids"]),
        order_ids=tuple(record["order_ids"]),
        database=_sides(detail["database"]),
        venue=_sides(detail["venue"]),
        differing=tuple(detail["differing"]),
        evidence=tuple(detail["evidence"]),
        repair=detail["repair"],
        repair_built=detail["repair_built"],
    )
    return StoredFinding(
        id=record["id"],
        finding=finding,
        state=FindingState(record["state"]),
        first_seen=record["first_seen"],
        last_seen=record["last_seen"],
        first_run=record["first_run"],
        last_run=record["last_run"],
        clean_passes=record["clean_passes"],
        resolved_at=record["resolved_at"],
        reopened=record["reopened"],
        decided_by=record["decided_by"],
        reason=record["reason"],
        until=record["until"],
    )


def _event(record: Mapping[str, Any]) -> FindingEvent:
    return FindingEvent(
        finding_id=record["finding_id"],
        at=record["at"],
        event=EventKind(record["event"]),
        run_id=record["run_id"],
        actor=record["actor"],
        note=record["note"],
    )
