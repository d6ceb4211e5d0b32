"""When the monitor raises an alert and when it clears it. Pure: a snapshot in, the alerts that stand out.

Invariants. What stands is raised once and cleared once. What is not known clears nothing: an alert whose measure has no
source at present goes on standing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.alert import AlertEvent, TopicAlert
from posguard.model.finding import Severity
from posguard.model.metrics import Measure, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from posguard.model.monitoring import Snapshot


class AlertKind(StrEnum):
    """What the monitor alerts about. The value is the stable id in the database, in JSON and in the runbook."""

    NO_STOP_LOSS = "monitor_no_stop_loss"
    EMERGENCY_CLOSE = "monitor_emergency_close"
    SNAPSHOTS_MISSED = "monitor_snapshots_missed"
    BOT_SILENT = "monitor_bot_silent"
    ERROR_RATE = "monitor_error_rate"
    NO_PRICE_UPDATES = "monitor_no_price_updates"
    AGED = "monitor_aged"


SEVERITIES: Mapping[AlertKind, Severity] = {
    AlertKind.NO_STOP_LOSS: Severity.CRITICAL,
    AlertKind.EMERGENCY_CLOSE: Severity.CRITICAL,
    AlertKind.SNAPSHOTS_MISSED: Severity.WARNING,
    AlertKind.BOT_SILENT: Severity.WARNING,
    AlertKind.ERROR_RATE: Severity.WARNING,
    AlertKind.NO_PRICE_UPDATES: Severity.WARNING,
    AlertKind.AGED: Severity.INFO,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on something is alerted about.

    error_rate is in errors a minute of one exchange; price_silence and bot_silence are how long nothing came in while
    positions were open.
    """

    error_rate: int = 10
    price_silence: timedelta = timedelta(minutes=3)
    bot_silence: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Standing:
    """Something that is wrong now: kind and subject say what it is, whatever its numbers are."""

    kind: AlertKind
    subject: str
    text: str
    exchange: str = ""
    position_id: int | None = None

    @property
    def severity(self) -> Severity:
        """How much it hurts while nobody looks."""
        return SEVERITIES[self.kind]

    @property
    def identity(self) -> tuple[AlertKind, str]:
        """What makes it the same as one of an earlier snapshot."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class MonitorAlert:
    """An alert from the snapshot that raised it to the one that cleared it; cleared_at is None while it stands."""

    standing: Standing
    raised_at: datetime
    cleared_at: datetime | None = None

    @property
    def topic(self) -> str:
        """What is raised and resolved by turns: the same each time."""
        kind, subject = self.standing.identity
        return f"{kind}:{subject}" if subject else kind.value

    def told(self) -> TopicAlert:
        """What the outbox takes: that it was raised, or where it is cleared that it ended."""
        one = self.standing
        ended = self.cleared_at is not None
        payload = {
            "exchange": one.exchange,
            "position_id": one.position_id,
            "raised_at": self.raised_at.isoformat(),
            "cleared_at": self.cleared_at.isoformat() if self.cleared_at else None,
            "runbook": one.kind.replace("_", "-"),
        }
        return TopicAlert(
            self.topic,
            AlertEvent.RESOLVED if ended else AlertEvent.RAISED,
            one.severity,
            one.kind.value,
            f"Over: {one.text}" if ended else one.text,
            payload=payload,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a snapshot says is wrong. `unknown` holds the kinds of which it cannot tell."""

    wrong: tuple[Standing, ...] = ()
    unknown: frozenset[AlertKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """What one snapshot changes: what stands after it, of that what is new, and what was cleared."""

    standing: tuple[MonitorAlert, ...] = ()
    raised: tuple[MonitorAlert, ...] = ()
    cleared: tuple[MonitorAlert, ...] = ()


@dataclass(frozen=True, slots=True)
class Silences:
    """When something last came in, by exchange; `since` stands for what never did: nothing was listened for before."""

    since: datetime
    prices: Mapping[str, datetime] = field(default_factory=dict)
    events: datetime | None = None


def judge(snapshot: Snapshot, thresholds: Thresholds, silences: Silences) -> Judgement:
    """What is wrong at a snapshot."""
    if snapshot.missed:
        return Judgement(
            (
                Standing(
                    AlertKind.SNAPSHOTS_MISSED, "", f"The monitor could not see the bot: {snapshot.missed}"
                ),
            ),
            frozenset(AlertKind) - {AlertKind.SNAPSHOTS_MISSED},
        )
    wrong: list[Standing] = []
    unknown: set[AlertKind] = set()
    for kind, tell in _TELL.items():
        found = tell(snapshot, thresholds, silences)
        if found is None:
            unknown.add(kind)
        else:
            wrong += found
    return Judgement(tuple(wrong), frozenset(unknown))


def change(standing: Iterable[MonitorAlert], judged: Judgement, at: datetime) -> Changes:
    """What becomes of the alerts that stand, and which are new."""
    before = {alert.standing.identity: alert for alert in standing}
    wrong = {one.identity: one for one in judged.wrong}
    kept, cleared = [], []
    for identity, alert in before.items():
        if identity in wrong or identity[0] in judged.unknown:
            kept.append(alert)
        else:
            # a clock that was put back makes no alert end before it began
            ended = max(at, alert.raised_at + timedelta(microseconds=1))
            cleared.append(MonitorAlert(alert.standing, alert.raised_at, ended))
    raised = [MonitorAlert(one, at) for identity, one in wrong.items() if identity not in before]
    return Changes((*kept, *raised), tuple(raised), tuple(cleared))


def _no_stop_loss(snapshot: Snapshot, _: Thresholds, __: Silences) -> Iterator[Standing]:
    for one in snapshot.unprotected:
        since = f", open since {one.since:%H:%M:%S} UTC" if one.since else ""
        yield Standing(
            AlertKind.NO_STOP_LOSS,
            str(one.position_id),
            f"Position #{one.position_id} ({one.symbol} on {one.exchange or 'an unnamed exchange'}, {one.status}{since}) "
            "records no stop-loss",
            one.exchange,
            one.position_id,
        )


def _emergency_close(snapshot: Snapshot, _: Thresholds, __: Silences) -> Iterable[Standing] | None:
    """The database and the log may both tell of one close, so that it is one alert; either is enough."""
    stored, logged = (
        snapshot.reading(measure, Window.MINUTE)
        for measure in (Measure.EMERGENCY_CLOSES, Measure.EMERGENCY_LOGGED)
    )
    told = [reading.number for reading in (stored, logged) if not reading.missing]
    if not any(told):
        return None if stored.missing else []
    said = f"The bot closed {max(told):g} position(s) in an emergency within a minute"
    return [Standing(AlertKind.EMERGENCY_CLOSE, "", said)]


def _error_rate(snapshot: Snapshot, thresholds: Thresholds, _: Silences) -> Iterator[Standing]:
    reading = snapshot.reading(Measure.ERRORS, Window.MINUTE)
    for exchange in sorted(reading.by_exchange):
        number = reading.of(exchange) or 0
        if number >= thresholds.error_rate:
            yield Standing(
                AlertKind.ERROR_RATE,
                exchange,
                f"{number:g} errors within a minute on {exchange}; {thresholds.error_rate} are alerted about",
                exchange,
            )


def _no_price_updates(
    snapshot: Snapshot, thresholds: Thresholds, silences: Silences
) -> Iterable[Standing] | None:
    """Of exchanges with open positions alone; a log that names no exchange speaks for all of them."""
    if snapshot.reading(Measure.PRICE_UPDATES, Window.MINUTE).missing:
        return None
    active = snapshot.reading(Measure.POSITIONS_ACTIVE, Window.NOW)
    everywhere = silences.prices.get("")
    return [
        Standing(
            AlertKind.NO_PRICE_UPDATES,
            exchange,
            f"No price of {exchange} has come in for {_spell(snapshot.at - last)}, with {number} open position(s)",
            exchange,
        )
        for exchange, number in sorted(active.by_exchange.items())
        if number
        and snapshot.at
        - (last := max(filter(None, (silences.prices.get(exchange), everywhere, silences.since))))
        >= thresholds.price_silence
    ]


def _bot_silent(snapshot: Snapshot, thresholds: Thresholds, silences: Silences) -> Iterable[Standing] | None:
    active = snapshot.reading(Measure.POSITIONS_ACTIVE, Window.NOW)
    if active.missing or snapshot.reading(Measure.THROUGHPUT, Window.MINUTE).missing:
        return None
    last = max(filter(None, (silences.events, silences.since)))
    if not active.number or snapshot.at - last < thresholds.bot_silence:
        return []
    said = f"The bot has written no event for {_spell(snapshot.at - last)}, with {active.number:g} open position(s)"
    return [Standing(AlertKind.BOT_SILENT, "", said)]


def _aged(snapshot: Snapshot, _: Thresholds, __: Silences) -> Iterator[Standing]:
    reading = snapshot.reading(Measure.POSITIONS_AGED, Window.NOW)
    for exchange, number in sorted(reading.by_exchange.items()):
        if number:
            yield Standing(AlertKind.AGED, exchange, f"{number} aged position(s) on {exchange}", exchange)


def _spell(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


_Tell = Callable[["Snapshot", Thresholds, Silences], "Iterable[Standing] | None"]


def _known(measure: Measure, window: Window, tell: _Tell) -> _Tell:
    """`tell` where the measure is known; None, for unknown, where it is not."""

    def asked(snapshot: Snapshot, thresholds: Thresholds, silences: Silences) -> Iterable[Standing] | None:
        known = not snapshot.reading(measure, window).missing
        return tell(snapshot, thresholds, silences) if known else None

    return asked


# A snapshot that was taken clears what a missed one raised.
_TELL: dict[AlertKind, _Tell] = {
    AlertKind.NO_STOP_LOSS: _known(Measure.POSITIONS_UNPROTECTED, Window.NOW, _no_stop_loss),
    AlertKind.EMERGENCY_CLOSE: _emergency_close,
    AlertKind.SNAPSHOTS_MISSED: lambda _, __, ___: (),
    AlertKind.BOT_SILENT: _bot_silent,
    AlertKind.ERROR_RATE: _known(Measure.ERRORS, Window.MINUTE, _error_rate),
    AlertKind.NO_PRICE_UPDATES: _no_price_updates,
    AlertKind.AGED: _known(Measure.POSITIONS_AGED, Window.NOW, _aged),
}
