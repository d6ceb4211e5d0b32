"""`make reliability-races`: 30 000 races of each scenario against the corrected core; a table of figures, and 1 where one went bad.

RUNS=…, SEED=… and SCENARIOS=A,B change what is run. The venue is the simulator's book inside this process, but for the two
processes, which reach it by ccxt over HTTP; the server is real and its own, without fsync. The defective core runs beside
it in small, to show that the same judge finds what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys

from figures import note

from posguard.race.judge import Breach
from posguard.race.plan import Plan
from posguard.race.run import Tally, race
from posguard.race.scenarios import Scenario
from posguard.race.world import own_server, race_world

_STRESS_SHARE = 10  # five signals and endless passes each: a tenth of the others
_DEFECTIVE_RUNS = 200
_EVERY = 5000


async def run(arguments: argparse.Namespace) -> int:
    """Runs everything asked for; 1 where an invariant of the corrected core broke, or the defective one was not caught."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"seed {arguments.seed}")
    wrong = 0
    async with own_server(durable=False) as dsn:
        for scenario in arguments.scenarios:
            for core in ("corrected", "defective"):
                plan = _plan(scenario, core, arguments)
                async with race_world(plan, dsn) as world:
                    tally = await race(world, _news(core))
                print(_line(tally))
                _note(tally)
                caught = tally.held if core == "defective" else not tally.held
                if caught:
                    wrong = 1
                    print(
                        f"    {tally.first_bad or dict(tally.failed_passes) or 'the defective core was not caught'}"
                    )
    print("every invariant held" if not wrong else "AN INVARIANT BROKE, or the defective core was not caught")
    return wrong


def _plan(scenario: Scenario, core: str, arguments: argparse.Namespace) -> Plan:
    runs = arguments.runs // (_STRESS_SHARE if scenario is Scenario.STRESS else 1)
    if core == "defective":
        return Plan(
            scenario=scenario, core=core, runs=min(_DEFECTIVE_RUNS, runs), threads=10, seed=arguments.seed
        )
    return Plan(
        scenario=scenario, core=core, runs=runs, threads=arguments.threads, seed=arguments.seed, window=0.003
    )


def _news(core: str):  # noqa: ANN202 - a call-back
    told = 0

    def tell(tally: Tally) -> None:
        nonlocal told
        if core == "corrected" and tally.runs >= told + _EVERY:
            told = tally.runs
            print(f"    {tally.runs} …, {tally.bad} bad, {tally.runs / tally.seconds:.0f} a second")

    return tell


def _note(tally: Tally) -> None:
    """The old core has to be caught: what is bad about it is that nothing went wrong."""
    old = tally.plan.core == "defective"
    name = f"{'the old core, ' * old}scenario {tally.plan.scenario}"
    bad = int(tally.held) if old else tally.bad + (not tally.held)
    note(name, tally.runs, bad, f"caught {tally.bad} times" if old else "")


def _line(tally: Tally) -> str:
    times = tally.spreads()
    shown = "  ".join(
        f"{name} {one.p50:.1f}/{one.p95:.1f}/{one.p99:.1f}"
        for name in ("lock", "check", "insert", "total")
        if (one := times[name]) is not None
    )
    broken = ", ".join(f"{breach} {tally.breaches[breach]}" for breach in Breach if tally.breaches[breach])
    ended = ", ".join(f"{ended} {count}" for ended, count in sorted(tally.ended.items()))
    return (
        f"{tally.plan.scenario:9} {tally.plan.core:9} {tally.bad:6} bad of {tally.runs:6}  {tally.seconds:6.0f} s "
        f"{tally.runs / tally.seconds:5.0f}/s  signals: {ended}\n    P50/P95/P99 ms: {shown}"
        + (f"\n    {broken}" if broken else "")
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=50)
    seed = int(os.environ.get("POSGUARD_SEED") or secrets.randbelow(2**31))
    parser.add_argument("--seed", type=int, default=seed, help="POSGUARD_SEED, else a new one")
    parser.add_argument(
        "--scenarios", type=lambda text: [Scenario(name) for name in text.split(",")], default=list(Scenario)
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(run(_arguments())))
