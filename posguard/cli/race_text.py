"""Plans and results of races as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cli import output

if TYPE_CHECKING:
    from posguard.cli.race_shapes import RacePlan, RaceTally

_STEPS = {
    "lock": "lock wait",
    "check": "existence check",
    "insert": "insert",
    "total": "open, in all",
    "window": "window (entry to stop)",
}


def plan(told: RacePlan) -> None:
    """The plan in a few lines."""
    until = "" if told.duration is None else f", at most {told.duration:g} s"
    print(f"Scenario {told.scenario}: {told.actors}; {told.core} core")
    print(f"{told.runs} races, {told.threads} symbols at once{until}; seed {told.seed}")
    how = "by ccxt over HTTP" if told.http else "inside this process"
    print(f"Venue: the simulator's {told.exchange}, {how}; no real exchange is reached")
    where = "a server of its own, removed afterwards" if told.database == "embedded" else told.database
    print(f"Database: {where}; symbols TESTUSDT, TEST1USDT, …; all rows made are removed")
    print(f"Window: {told.window * 1000:g} ms stand for the bot's 3 s of settlement")


def result(told: RaceTally) -> None:
    """What came of it: the verdict, figures, breaches, times."""
    rate = told.runs / told.seconds if told.seconds else 0.0
    print(
        f"\n{told.bad} of {told.runs} races broke an invariant ({told.seconds:.1f} s, {rate:.0f} a second)."
    )
    counted = (
        ("attempts", told.attempts),
        ("success", told.success),
        ("failure", told.failure),
        ("refused for an open row", told.ended["existing"]),
        ("duplicate rows", told.duplicates),
        ("unique violations", told.unique_violations),
        ("double orders", told.double_orders),
        ("real positions closed by rollback", told.closed_by_rollback),
        ("positions without a stop", told.unprotected),
        ("positions without a row", told.lost),
        ("flagged for a person", told.attention),
    )
    output.table(("what", "count"), [(name, str(count)) for name, count in counted])
    broken = [(name, str(count)) for name, count in told.breaches.items() if count]
    broken += [(f"a pass raised {name}", str(count)) for name, count in told.failed_passes.items()]
    if broken:
        output.table(("invariant that broke", "races"), broken, title="Breaches (docs/race.md)")
    rows = [
        (
            _STEPS[name],
            *(("–",) * 6 if one is None else (f"{getattr(one, c):.2f}" for c in _COLUMNS)),
        )
        for name in _STEPS
        for one in (getattr(told.timings, name),)
    ]
    output.table(("ms", "min", "mean", "P50", "P95", "P99", "max"), rows, title="Times")
    if told.first_bad:
        print(f"\nThe first bad one: {output.clean(told.first_bad)}")


_COLUMNS = ("min", "mean", "p50", "p95", "p99", "max")
