"""The races of a log as findings. Pure: events in, findings out, the same ones however often the log is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.logs.correlate import correlate
from posguard.logs.creates import creates
from posguard.logs.races import duplicate_errors, races_and_undecided
from posguard.model.finding import Finding, Kind, Proof, Severity
from posguard.model.position import PositionSide
from posguard.model.race import Confidence, Scenario
from posguard.postgres.lograces import ToldRace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from posguard.model.log_event import LogEvent
    from posguard.model.race import Create, Race

# The log does not say which account it is; a second account has a log of its own.
ACCOUNT = "main"


def race_findings(
    events: Iterable[LogEvent], zones: Mapping[str, str]
) -> tuple[list[ToldRace], tuple[Race, ...]]:
    """A finding for each race that the events tell of, in order of time; and the creates of which the log does not decide it.

    Events of one source come in the order of their lines.
    """
    told = correlate(events)
    races, undecided = races_and_undecided(told, creates(told), zones, duplicate_errors(told))
    return [told_race(race) for race in races], undecided


def told_race(race: Race) -> ToldRace:
    """The finding of a race: proven where its error surfaced or the log says outright who raced with whom."""
    kind = Kind.DUPLICATE_KEY_RACE if race.surfaced else Kind.SILENT_DOUBLE_CREATE
    sure = race.surfaced or race.confidence is Confidence.HIGH
    finding = Finding(
        kind=kind,
        exchange=race.exchange or "",
        account=ACCOUNT,
        symbol=race.symbol,
        position_side=PositionSide.BOTH,
        severity=Severity.CRITICAL,
        proof=Proof.PROVEN if sure else Proof.SUSPECTED,
        title=_title(race),
        subject=f"{race.source} {race.subject}",
        row_ids=race.row_ids,
        database=tuple(_told(create) for create in race.creates),
        evidence=tuple(_evidence(race)),
    )
    return ToldRace(finding, race.at, race.source, race.to_plain())


def _title(race: Race) -> str:
    what = "duplicate-key error" if race.surfaced else "two creates without a close between"
    gap = f", {_ms(race)} apart" if race.window is not None else ""
    kind = "" if race.scenario is Scenario.UNKNOWN else f", scenario {race.scenario}"
    return f"{race.symbol or 'a symbol not named'}: {what} at {race.at:%Y-%m-%d %H:%M:%S} UTC{gap}{kind}"


def _ms(race: Race) -> str:
    assert race.window is not None
    return f"{race.window.total_seconds():.3f} s"


def _told(create: Create) -> dict[str, str]:
    return {
        "id": "" if create.position_id is None else str(create.position_id),
        "symbol": create.symbol,
        "exchange": create.exchange or "",
        "created": create.at.isoformat(sep=" ", timespec="milliseconds"),
        "by": create.actor.value,
    }


def _evidence(race: Race) -> Iterable[str]:
    yield race.reason
    yield f"The log of {race.source} says so, read as {race.zone}; the verdict's confidence is {race.confidence}."
    if race.concurrent:
        yield "The creates are concurrent: less than five seconds apart."
