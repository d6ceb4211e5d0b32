"""What people are told, and when: from the life of a finding, a run, a suite's result and the clock. Pure.

An alert of a topic stands until it is resolved. It is told once, again where it was reopened or got worse, and its end is told
once, to whoever was told of its beginning. Alerts without a topic (the trading core's) each tell of one thing that happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.duration import spell_duration
from posguard.model.finding import RACE_KINDS, EventKind, FindingState, Severity, VerdictKind
from posguard.model.quality import Outcome
from posguard.model.venue import VenueId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime, timedelta

    from posguard.model.finding import Pass, StoredFinding
    from posguard.model.life import Step
    from posguard.model.quality import ExpectationResult

OPERATIONS = "operations"
BOT = "bot"
RUN_INCONCLUSIVE = "run_inconclusive"
RECONCILIATION_OVERDUE = "reconciliation_overdue"
SUITE_VIOLATION = "suite_violation"
DAG_RUN_FAILED = "dag_run_failed"
ALERT_ROUTE_GONE = "alert_route_gone"
# The kinds that this module makes, beside those of findings.
ALERT_KINDS = (RUN_INCONCLUSIVE, RECONCILIATION_OVERDUE, SUITE_VIOLATION, DAG_RUN_FAILED, ALERT_ROUTE_GONE)
NO_VENUE = f"{RUN_INCONCLUSIVE}:none"
_TOLD = frozenset({Severity.CRITICAL, Severity.WARNING})


class AlertEvent(StrEnum):
    """Whether an alert tells of a beginning or of an end."""

    RAISED = "raised"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class TopicAlert:
    """One thing to tell of a topic. again: it is told although the topic stands already.

    payload is plain JSON for machines and holds no secret; text is one line for people.
    """

    topic: str
    event: AlertEvent
    severity: Severity
    kind: str
    text: str
    owner: str = OPERATIONS
    payload: Mapping[str, object] = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Newest:
    """The last alert of a topic that was written; severity is the worst that was told since the topic last began to stand."""

    id: int
    topic: str
    event: AlertEvent
    severity: Severity


@dataclass(frozen=True, slots=True)
class WaitingAlert:
    """An alert of the outbox, as a sender sees it.

    topic is empty where nothing will resolve it; position_id None where it is about no row. later says what the topic's newest
    alert tells, where that is another one: a message may be sent late.
    """

    id: int
    key: str
    topic: str
    event: AlertEvent
    severity: Severity
    kind: str
    owner: str
    text: str
    payload: Mapping[str, object]
    created_at: datetime
    position_id: int | None = None
    later: AlertEvent | None = None


def worth_telling(newest: Newest | None, alert: TopicAlert) -> bool:
    """Whether an alert says something that the topic's last one did not.

    A resolution is told where the topic stands. A beginning is told where it does not stand, was reopened, or is worse.
    """
    stands = newest is not None and newest.event is AlertEvent.RAISED
    if alert.event is AlertEvent.RESOLVED:
        return stands
    return newest is None or not stands or alert.again or alert.severity.rank < newest.severity.rank


def severity_told(newest: Newest | None, alert: TopicAlert) -> Severity:
    """The severity an alert is written with: an end has the worst one of its beginnings, so that it goes where they went."""
    ends = newest is not None and alert.event is AlertEvent.RESOLVED
    return newest.severity if newest is not None and ends else alert.severity


def key_after(newest: Newest | None, alert: TopicAlert) -> str:
    """The key of an alert that follows the topic's last one: two writers who saw the same last one write one alert."""
    return f"{alert.topic}:{alert.event}:{newest.id if newest else 0}"


def finding_topic(fingerprint: str) -> str:
    """The topic of a finding."""
    return f"finding:{fingerprint}"


def alert_of_step(before: StoredFinding | None, step: Step) -> TopicAlert | None:
    """What to tell of one step of a finding's life; None where it is nobody's concern.

    Told are critical and warning findings that nobody dismissed: when found, reopened or worse, and when resolved.
    """
    after, happened = step.after, {kind for kind, _ in step.events}
    if after.state is FindingState.RESOLVED:
        return _of_finding(after, AlertEvent.RESOLVED) if EventKind.RESOLVED in happened else None
    if not after.counts or after.finding.severity not in _TOLD:
        return None
    reopened = EventKind.REOPENED in happened
    worse = before is not None and after.finding.severity.rank < before.finding.severity.rank
    if EventKind.FOUND in happened or reopened or worse:
        return _of_finding(after, AlertEvent.RAISED, again=reopened)
    return None


def _of_finding(stored: StoredFinding, event: AlertEvent, *, again: bool = False) -> TopicAlert:
    finding = stored.finding
    return TopicAlert(
        topic=finding_topic(finding.fingerprint),
        event=event,
        severity=finding.severity,
        kind=finding.kind.value,
        text=f"{VenueId(finding.exchange, finding.account)} {finding.symbol}: {finding.title}",
        owner=BOT if finding.kind in RACE_KINDS else OPERATIONS,
        payload={
            "finding": stored.id,
            "state": stored.state.value,
            "proof": finding.proof.value,
            "exchange": finding.exchange,
            "account": finding.account,
            "symbol": finding.symbol,
            "position_side": finding.position_side.value,
            "run": stored.last_run,
            "reopened": stored.reopened,
            "runbook": finding.runbook,
        },
        again=again,
    )


def alerts_of_run(run_id: int, result: Pass, standing: Collection[str]) -> list[TopicAlert]:
    """What to tell of a run beside its findings: the venues nobody could judge, and the end of that and of a silence.

    `standing` are the topics of venues that were told as inconclusive and not resolved since. A run with a filter says
    nothing of the whole.
    """
    if not result.scope.whole:
        return []
    told = [_of_verdict(run_id, one.verdict, str(one.venue), one.reasons) for one in result.venues]
    if not result.venues:
        why = result.notes or ("no venue is configured",)
        told = [_of_verdict(run_id, VerdictKind.INCONCLUSIVE, "none", why)]
    if result.conclusive:
        # venues that are configured no more are nobody's concern once all that are have been judged
        gone = set(standing) - {alert.topic for alert in told}
        told += [
            _inconclusive(run_id, topic, "no longer asked", AlertEvent.RESOLVED) for topic in sorted(gone)
        ]
        told.append(overdue_ended(f"run {run_id} was complete"))
    return told


def _of_verdict(run_id: int, verdict: VerdictKind, venue: str, reasons: Iterable[str]) -> TopicAlert:
    topic = f"{RUN_INCONCLUSIVE}:{venue}"
    if verdict is VerdictKind.CONCLUSIVE:
        return _inconclusive(run_id, topic, f"{venue} is judged again", AlertEvent.RESOLVED)
    named = "No venue" if topic == NO_VENUE else venue
    text = f"{named} could not be judged: {', '.join(reasons) or 'no reason given'}. Nothing was called flat."
    return _inconclusive(run_id, topic, text, AlertEvent.RAISED)


def _inconclusive(run_id: int, topic: str, text: str, event: AlertEvent) -> TopicAlert:
    payload = {"run": run_id, "runbook": "inconclusive-venue"}
    return TopicAlert(topic, event, Severity.WARNING, RUN_INCONCLUSIVE, text, payload=payload)


def overdue_ended(how: str) -> TopicAlert:
    """The end of a reconciliation's being overdue; nobody is told of it who was not told that it is."""
    payload = {"runbook": RECONCILIATION_OVERDUE.replace("_", "-")}
    return TopicAlert(
        RECONCILIATION_OVERDUE,
        AlertEvent.RESOLVED,
        Severity.CRITICAL,
        RECONCILIATION_OVERDUE,
        f"The reconciliation is back: {how}.",
        payload=payload,
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """When something was last known of the whole: the last complete run's end, the last run's of any outcome, and the watch's begin."""

    now: datetime
    since: datetime
    complete: datetime | None
    ended: datetime | None


def overdue(watch: Watch, limit: timedelta) -> TopicAlert | None:
    """The alert of a reconciliation that was complete too long ago, or never since the watch began; None in time."""
    heard = watch.complete or watch.since
    if watch.now - heard <= limit:
        return None
    when = f"{heard:%Y-%m-%d %H:%M} UTC"
    last = (
        f"The last complete run ended {when}"
        if watch.complete
        else f"No run was ever complete, watched since {when}"
    )
    if watch.ended is not None and watch.ended > heard:
        what = f"Inconclusive: runs go on (the last ended {watch.ended:%H:%M} UTC) and judge nothing whole"
    else:
        what = "Silent: no run has ended since"
    text = f"No complete reconciliation for more than {spell_duration(limit)}. {last}. {what}. Nobody knows how things stand."
    payload = {"since": heard.isoformat(), "runbook": RECONCILIATION_OVERDUE.replace("_", "-")}
    return TopicAlert(
        RECONCILIATION_OVERDUE,
        AlertEvent.RAISED,
        Severity.CRITICAL,
        RECONCILIATION_OVERDUE,
        text,
        payload=payload,
    )


def alerts_of_results(run_id: int, results: Iterable[ExpectationResult]) -> list[TopicAlert]:
    """What to tell of the suites, to the owner each names: critical and warning violations, and their end.

    An expectation that could not be checked says neither.
    """
    events = {Outcome.VIOLATION: AlertEvent.RAISED, Outcome.PASS: AlertEvent.RESOLVED}
    return [
        TopicAlert(
            topic=f"{SUITE_VIOLATION}:{one.suite}:{one.expectation}",
            event=events[one.result],
            severity=one.severity,
            kind=SUITE_VIOLATION,
            text=f"{one.expectation}: {one.title}" + (f" ({one.failing} rows)" if one.failing else ""),
            owner=one.owner or OPERATIONS,
            payload={
                "run": run_id,
                "suite": one.suite,
                "expectation": one.expectation,
                "failing": one.failing,
                "runbook": SUITE_VIOLATION.replace("_", "-"),
            },
        )
        for one in results
        if one.result in events and one.severity in _TOLD
    ]


def dag_run_alert(dag_id: str, run_id: str, *, failed: bool) -> TopicAlert:
    """What to tell of a DAG run that failed, or that went well after one that did not."""
    topic = f"{DAG_RUN_FAILED}:{dag_id}"
    event = AlertEvent.RAISED if failed else AlertEvent.RESOLVED
    text = f"The run {run_id} of the DAG {dag_id} {'failed' if failed else 'went well again'}."
    payload = {"dag": dag_id, "dag_run": run_id, "runbook": DAG_RUN_FAILED.replace("_", "-")}
    return TopicAlert(topic, event, Severity.WARNING, DAG_RUN_FAILED, text, payload=payload)


def route_gone(route: str, messages: int, severity: Severity, oldest: datetime) -> TopicAlert:
    """What to tell of messages that wait for a route which their sender does not know; as severe as the worst of them."""
    return TopicAlert(
        f"{ALERT_ROUTE_GONE}:{route}",
        AlertEvent.RAISED,
        severity,
        ALERT_ROUTE_GONE,
        f"{messages} messages wait for the route {route}, which is not set, since {oldest:%Y-%m-%d %H:%M} UTC. Nobody gets them.",
        payload={"route": route, "runbook": ALERT_ROUTE_GONE.replace("_", "-")},
    )


def route_gone_ended(topic: str) -> TopicAlert:
    """The end of it: nothing waits for that route any more."""
    route = topic.partition(":")[2]
    payload = {"route": route, "runbook": ALERT_ROUTE_GONE.replace("_", "-")}
    text = f"Nothing waits for the route {route} any more."
    return TopicAlert(topic, AlertEvent.RESOLVED, Severity.WARNING, ALERT_ROUTE_GONE, text, payload=payload)
