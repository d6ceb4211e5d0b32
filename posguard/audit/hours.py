"""What there is to say of each hour, from the data alone. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from posguard.postgres.audit import EVENT
from posguard.report.words import plural, times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from posguard.audit.facts import Facts
    from posguard.model.audit import Hour

ERROR_EVENTS = (
    "position_error",
    "order_error",
    "stop_loss_error",
    "error_occurred",
    "signal_execution_failed",
)
_MANY = 2.0  # times the median


def observe(facts: Facts, hour: Hour) -> tuple[str, ...]:
    """Sentences about an hour; nothing is said of what nobody knows but that nobody knows it."""
    return tuple(_observations(facts, hour))


def errors_of(hour: Hour) -> float | None:
    """How many of the hour's events are errors; None where events are not known."""
    if hour.get("events") is None:
        return None
    return sum(hour.get(EVENT + kind) or 0 for kind in ERROR_EVENTS)


def _observations(facts: Facts, hour: Hour) -> Iterator[str]:
    yield _traffic(hour)
    yield from _errors(facts.rows.hours, hour)
    yield from _restarts(hour)
    for known in facts.races:
        if hour.start <= known.race.at < hour.end:
            race = known.race
            what = "a duplicate-key error" if race.surfaced else "a double create without an error"
            yield f"A race over {race.symbol or 'a symbol not named'} at {race.at:%H:%M:%S}: {what}."
    yield from _protection(hour)
    yield from _streams(facts, hour)
    yield from _desk(facts, hour)


def _traffic(hour: Hour) -> str:
    if hour.get("opened") is None:
        return "Nobody knows what was opened and closed."
    said = f"{hour.get('opened'):g} opened, {hour.get('closed'):g} closed"
    if hour.get("rolled_back"):
        said += f", {hour.get('rolled_back'):g} rolled back"
    if hour.get("broken_off"):
        said += f", {hour.get('broken_off'):g} failed or canceled"
    return f"{said}; {hour.get('open_at_end'):g} open at the end."


def _errors(hours: Sequence[Hour], hour: Hour) -> Iterator[str]:
    number = errors_of(hour)
    if number is None:
        yield "Nobody knows its events."
        return
    if not hour.get("events"):
        yield "The bot wrote no event at all."
        return
    usual = median(errors_of(one) or 0 for one in hours)
    if number:
        more = ", more than twice the usual" if len(hours) > 2 and number > max(usual * _MANY, 3) else ""
        yield f"{number:g} {'error' if number == 1 else 'errors'} among {hour.get('events'):g} events{more}."


def _restarts(hour: Hour) -> Iterator[str]:
    stops, starts = hour.get(f"{EVENT}bot_stopped") or 0, hour.get(f"{EVENT}bot_started") or 0
    if stops or starts:
        yield f"The bot was stopped {times(stops)} and started {times(starts)}."


def _protection(hour: Hour) -> Iterator[str]:
    without = hour.get(f"{EVENT}positions_without_sl_detected")
    if without:
        yield f"The bot found positions without a stop-loss {times(without)}."
    triggered, activated = (
        hour.get(f"{EVENT}stop_loss_triggered"),
        hour.get(f"{EVENT}trailing_stop_activated"),
    )
    if triggered or activated:
        stops, trailing = int(triggered or 0), int(activated or 0)
        yield f"{plural(stops, 'stop')} triggered, {plural(trailing, 'trailing stop')} activated."


def _streams(facts: Facts, hour: Hour) -> Iterator[str]:
    if facts.log is None:
        return
    broken = sum(hour.start <= one.since < hour.end for one in facts.log.outages)
    if broken:
        yield f"The streams broke {times(broken)}."
    silent = sum(hour.start <= one.since < hour.end for one in facts.log.silences)
    if silent:
        yield f"There was no price for over five minutes {times(silent)}."


def _desk(facts: Facts, hour: Hour) -> Iterator[str]:
    first = sum(hour.start <= one.first_seen < hour.end for one in facts.counted)
    gone = sum(
        one.resolved_at is not None and hour.start <= one.resolved_at < hour.end for one in facts.counted
    )
    if first or gone:
        yield f"Findings first seen: {first}, resolved: {gone}."
    passes = [run for run in facts.runs if hour.start <= run.started_at < hour.end]
    if lost := sum(run.finished_at is not None and not run.conclusive for run in passes):
        yield f"{lost} of {len(passes)} passes could not judge every exchange."
