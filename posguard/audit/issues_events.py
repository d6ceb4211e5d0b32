"""Issues from what the bot itself detected, from lives that contradict themselves, and from what the passes could not do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from posguard.model.audit import UNKNOWN, Area, Issue, Priority
from posguard.model.duration import spell_duration
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.model.log_event import LogKind
from posguard.model.run import RunOutcome
from posguard.report.words import times
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.audit.facts import Facts
    from posguard.audit.log import Outage
    from posguard.model.audit import EventCount
    from posguard.model.run import StoredRun

GOAL_ROLLED_BACK = 0.05
_ENOUGH = 20  # openings, before a share says anything
_UNSTABLE = 3  # outages
_LONG = timedelta(minutes=1)
_SHOWN = 20


class Detected(NamedTuple):
    """What one kind of event means, and the kind of log record that says the same."""

    title: str
    severity: Severity
    area: Area
    log: LogKind | None
    advice: str


_DETECTED: Mapping[str, Detected] = {
    "positions_without_sl_detected": Detected(
        "The bot itself found positions without a stop-loss",
        Severity.CRITICAL,
        Area.PROTECTION,
        LogKind.UNPROTECTED,
        "`posguard diagnose --mode report` says which stand without one now.",
    ),
    "emergency_stop_placed": Detected(
        "The bot placed emergency stops",
        Severity.WARNING,
        Area.PROTECTION,
        None,
        "Find out why the ordinary stop was not there.",
    ),
    "phantom_position_detected": Detected(
        "Positions that vanished from the exchange before the bot closed them",
        Severity.WARNING,
        Area.LIFECYCLE,
        LogKind.PHANTOM,
        "The exchange's fills say what closed each: a stop, a person, a liquidation.",
    ),
    "quantity_mismatch_detected": Detected(
        "The bot's synchroniser found quantities that differ",
        Severity.WARNING,
        Area.POSITIONS,
        None,
        "`posguard cleanup mismatch` plans the correction of what still differs.",
    ),
    "zombie_orders_detected": Detected(
        "The bot found zombie orders",
        Severity.INFO,
        Area.AGE,
        LogKind.ZOMBIE,
        "`posguard cleanup zombies` plans the cancelling of what still lives.",
    ),
    "position_duplicate_prevented": Detected(
        "The bot refused to open a position twice",
        Severity.INFO,
        Area.RACES,
        None,
        "Nothing to repair: it says how often two openings met.",
    ),
    "incomplete_position_detected": Detected(
        "The bot found unfinished positions when it started",
        Severity.INFO,
        Area.LIFECYCLE,
        None,
        "`posguard diagnose --mode report` says what is unfinished now.",
    ),
}
_LOG_ONLY: Mapping[LogKind, Detected] = {
    LogKind.EMERGENCY_CLOSE: Detected(
        "Emergency closes",
        Severity.CRITICAL,
        Area.PROTECTION,
        LogKind.EMERGENCY_CLOSE,
        "Each closed a position at the market; find out why its stop could not be placed.",
    )
}


def event_issues(facts: Facts) -> Iterable[Issue]:
    """All of them."""
    yield from _detections(facts)
    yield from _lives(facts)
    yield from _rolled_back(facts)
    yield from _passes(facts)
    yield from _streams(facts)


def _detections(facts: Facts) -> Iterable[Issue]:
    written = {one.event_type: one for one in facts.rows.events}
    for name, what in _DETECTED.items():
        yield from _detection(facts, what, written.get(name))
    for what in _LOG_ONLY.values():
        yield from _detection(facts, what, None)


def _detection(facts: Facts, what: Detected, written: EventCount | None) -> Iterable[Issue]:
    evidence, number = [], 0
    if written is not None:
        number = written.count
        ids = ", ".join(f"#{one}" for one in written.ids)
        evidence.append(
            Evidence(f"monitoring.events {ids}", f"{written.count} as {written.event_type}", written.first)
        )
    seen = facts.log.kinds.get(what.log) if facts.log and what.log else None
    if seen is not None:
        number = max(number, seen.count)
        evidence += [Evidence(where, text, None) for where, text in seen.places]
    if not number:
        return
    yield Issue(
        key=f"detected:{what.title}",
        area=what.area,
        title=f"{what.title}, {times(number)}",
        severity=what.severity,
        priority={Severity.CRITICAL: Priority.TODAY, Severity.WARNING: Priority.SOON}.get(
            what.severity, Priority.LATER
        ),
        count=number,
        evidence=tuple(evidence),
        advice=what.advice,
        retest="The audit of the next window counts none.",
    )


def _lives(facts: Facts) -> Iterable[Issue]:
    found = facts.rows.lives
    if found:
        yield Issue(
            key="lifecycle:closed-and-open",
            area=Area.LIFECYCLE,
            title="Open rows that the bot said it had closed",
            severity=Severity.CRITICAL,
            priority=Priority.TODAY,
            count=len(found),
            evidence=tuple(
                Evidence(f"row #{one.position_id}, {one.symbol} on {one.exchange}", one.what, one.at)
                for one in found[:_SHOWN]
            ),
            left_out=max(0, len(found) - _SHOWN),
            row_ids=tuple(one.position_id for one in found),
            advice="`posguard diagnose --mode report` says whether the exchange still holds them.",
            retest="The audit of the next window no longer lists them.",
        )


def _rolled_back(facts: Facts) -> Iterable[Issue]:
    opened = sum(hour.get("opened") or 0 for hour in facts.rows.hours)
    rolled = sum(hour.get("rolled_back") or 0 for hour in facts.rows.hours)
    if opened < _ENOUGH or rolled / opened <= GOAL_ROLLED_BACK:
        return
    worst = max(facts.rows.hours, key=lambda hour: hour.get("rolled_back") or 0)
    why = [one for one in facts.rows.endings if one.status == "rolled_back"]
    told = "; ".join(f"{one.count} for “{one.reason or 'no reason'}”" for one in why)
    yield Issue(
        key="lifecycle:rolled-back",
        area=Area.LIFECYCLE,
        title=f"{rolled / opened:.1%} of the openings were rolled back; the goal is under {GOAL_ROLLED_BACK:.0%}",
        severity=Severity.WARNING,
        priority=Priority.SOON,
        count=int(rolled),
        evidence=(
            Evidence("monitoring.positions", f"{rolled:g} rolled back, {opened:g} opened in the window"),
            Evidence(
                "monitoring.positions",
                f"the most in one hour: {worst.get('rolled_back') or 0:g}",
                worst.start,
            ),
            *(
                Evidence(
                    f"monitoring.positions {', '.join(f'#{row}' for row in one.ids)}",
                    f"{one.count} with the reason “{redact(one.reason or 'none')}”",
                )
                for one in why
            ),
        ),
        cause=f"by the reasons that the rows give: {redact(told)}" if told else UNKNOWN,
        advice="The issues about failed stops and races say what led to these reasons.",
        retest="`posguard diagnose --mode report` shows the share over 24 hours.",
    )


def _passes(facts: Facts) -> Iterable[Issue]:
    lost = [
        run
        for run in facts.runs
        if run.outcome is not RunOutcome.RUNNING and not run.conclusive and run.scope.whole
    ]
    if lost:
        yield Issue(
            key="passes:inconclusive",
            area=Area.DATA,
            title=f"{len(lost)} of {len(facts.runs)} passes could not judge every exchange",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(lost),
            evidence=tuple(Evidence(f"run {run.id}", _why(run), run.started_at) for run in lost[:_SHOWN]),
            left_out=max(0, len(lost) - _SHOWN),
            advice="Until a pass is complete nobody knows how these exchanges stand.",
            runbook="inconclusive-venue",
            retest="`posguard reconcile` ends with exit code 0 or 1.",
        )


def _why(run: StoredRun) -> str:
    said = [f"{v.venue}: {', '.join(v.reasons)}" for v in run.venues if v.reasons]
    return "; ".join(said or run.notes) or f"it ended as {run.outcome}"


def _streams(facts: Facts) -> Iterable[Issue]:
    if facts.log is None:
        return
    down = [one for one in facts.log.outages if _counts(one, facts)]
    if len(facts.log.outages) >= _UNSTABLE or down:
        yield Issue(
            key="performance:streams",
            area=Area.PERFORMANCE,
            title=f"The bot's streams broke {times(len(facts.log.outages))}",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(facts.log.outages),
            evidence=tuple(_outage(one) for one in facts.log.outages[:_SHOWN]),
            left_out=max(0, len(facts.log.outages) - _SHOWN),
            advice="Look at the network, and at what the exchange announced.",
            retest="The audit of the next window counts fewer.",
        )
    if facts.log.silences:
        yield Issue(
            key="performance:prices",
            area=Area.PERFORMANCE,
            title="Times without a price",
            severity=Severity.WARNING,
            priority=Priority.SOON,
            count=len(facts.log.silences),
            evidence=tuple(_outage(one) for one in facts.log.silences[:_SHOWN]),
            left_out=max(0, len(facts.log.silences) - _SHOWN),
            advice="Without prices no trailing stop moves; look at the streams.",
            retest="The audit of the next window counts none.",
        )


def _counts(one: Outage, facts: Facts) -> bool:
    return (one.until or facts.window.end) - one.since > _LONG


def _outage(one: Outage) -> Evidence:
    lasted = f"for {spell_duration(one.until - one.since)}" if one.until else "and not over at the log's end"
    return Evidence(f"log of {one.source}", lasted, one.since)
