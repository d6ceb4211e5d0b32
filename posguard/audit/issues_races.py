"""Issues from the races of the window: one for each, with its lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.audit.log import place
from posguard.logs.race_findings import told_race
from posguard.model.audit import UNKNOWN, Area, Issue, Priority
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.model.race import Confidence, Mark, Scenario
from posguard.report.lanes import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.audit.facts import Facts, KnownRace
    from posguard.model.race import Race

_LINES = 16


def race_issues(facts: Facts) -> Iterable[Issue]:
    """One issue for each race, the earliest first."""
    for known in sorted(facts.races, key=lambda one: one.race.at):
        yield _issue(known, facts.log.arguments if facts.log else "")


def _issue(known: KnownRace, arguments: str) -> Issue:
    race = known.race
    finding = told_race(race).finding
    lines = [moment for moment in race.moments if moment.mark is not Mark.NONE]
    sure = race.scenario is not Scenario.UNKNOWN and race.confidence is not Confidence.LOW
    where = f" --exchange {race.exchange}" if race.exchange else ""
    investigate = (
        f"posguard logs investigate {arguments}--symbol {race.symbol} --at {race.at:%Y-%m-%dT%H:%M:%S}{where}"
        if race.symbol
        else ""
    )
    return Issue(
        key=f"race:{race.symbol}:{race.exchange or ''}:{race.subject}",
        area=Area.RACES,
        title=finding.title,
        severity=Severity.CRITICAL,
        priority=Priority.TODAY,
        count=1,
        evidence=(
            *_verdict(known, sure=sure),
            *(
                Evidence(
                    place(moment.path or moment.source, moment.offset),
                    f"{NAMES[moment.actor]}, {moment.mark}: {moment.text}",
                    moment.at,
                )
                for moment in lines[:_LINES]
            ),
        ),
        left_out=max(0, len(lines) - _LINES),
        row_ids=race.row_ids,
        cause=race.reason if sure else UNKNOWN,
        location=known.location,
        repair=(investigate,) if investigate else (),
        advice="The command tells what happened; what ends such races is the corrected core with the index over all open "
        "statuses: docs/core.md, docs/upgrade.md.",
        runbook=finding.runbook,
        retest=_retest(race),
    )


def _verdict(known: KnownRace, *, sure: bool) -> Iterable[Evidence]:
    race = known.race
    where = f"finding {known.finding_id}" if known.finding_id else f"log of {race.source}"
    scenario = "no known scenario" if race.scenario is Scenario.UNKNOWN else f"scenario {race.scenario}"
    said = f"{scenario}, confidence {race.confidence}"
    yield Evidence(where, said if sure else f"{said}: {race.reason}", race.at)
    told = {(moment.source, moment.path, moment.offset) for moment in race.moments}
    for create in race.creates:
        if create.place not in told:
            row = f"#{create.position_id}" if create.position_id is not None else "no id in the log"
            at = place(create.path or create.source, create.offset)
            yield Evidence(at, f"{NAMES[create.actor]} created a row ({row})", create.at)


def _retest(race: Race) -> str:
    reproduce = (
        f"`posguard reproduce --scenario {race.scenario} --core corrected` shows it gone for the corrected core; "
        if race.scenario is not Scenario.UNKNOWN
        else ""
    )
    symbol = f" --symbol {race.symbol}" if race.symbol else ""
    return f"{reproduce}`posguard logs analyze{symbol}` over the days after the change finds no race."
