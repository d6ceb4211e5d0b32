"""`make reliability-explore`: every schedule of every pair, 10 000 of larger sets, a death at each step; 1 where one went bad.

LIMIT=…, DEATHS=…, SAMPLES=…, SEED=… and PAIRS=1 (pairs alone) change what is run. The server is real and the explorer's own, without
fsync; the venue is the simulator's book inside this process, and by ccxt over HTTP in a small sample. The defective core
runs beside it in small, to show that the same judge finds what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys

from figures import note

from posguard.race.explore import Aim, Tally, explore, usual_casts
from posguard.race.explore_actors import Cast, Part

_SMALL = ("signal,signal", "signal,synchroniser")
# Two that work on one standing position have more schedules than an hour has time for; a quarter as many are drawn from all.
_WITHOUT_A_SIGNAL = 2_000


async def run(arguments: argparse.Namespace) -> int:
    """Runs everything; 1 where an invariant of the corrected core broke, or the defective one was not caught."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"seed {arguments.seed}")
    wrong, figures = 0, {"schedules": 0, "drawn": 0, "deaths": 0}
    for aim in _aims(arguments):
        for tally in await explore(aim):
            print(_line(aim, tally))
            _note(aim, tally)
            caught = bool(tally.bad)
            if caught != (aim.core == "defective"):
                wrong = 1
                for failure in tally.failures:
                    print(f"    {','.join(sorted(failure.broken))}: {failure.script}\n    {failure.told}")
            if aim.core == "corrected":
                for name in figures:
                    figures[name] += getattr(tally, name)
    print(", ".join(f"{count} {name}" for name, count in figures.items()))
    print("every invariant held" if not wrong else "AN INVARIANT BROKE, or the defective core was not caught")
    return wrong


def _aims(arguments: argparse.Namespace) -> list[Aim]:
    casts = usual_casts()
    pairs = tuple(cast for cast in casts if cast.walked)
    larger = tuple(cast for cast in casts if not cast.walked)
    each = -(-arguments.samples // sum(len(cast.parts) > 2 for cast in larger))
    small = tuple(Cast.read(text) for text in _SMALL)
    seed, limit = arguments.seed, arguments.limit
    aims = [
        Aim("defective", small, limit=100, seed=seed),
        *(
            Aim(
                "corrected",
                (cast,),
                limit=min(limit, _most(cast)),
                seed=seed,
                crash=True,
                deaths=min(arguments.deaths, _most(cast) // 2),
            )
            for cast in pairs
        ),
    ]
    if not arguments.pairs:
        aims += [Aim("corrected", (cast,), samples=each, seed=seed, crash=True) for cast in larger]
        aims.append(Aim("corrected", small, limit=40, seed=seed, http=True))
    return aims


def _most(cast: Cast) -> int:
    return 20_000 if Part.SIGNAL in cast.parts else _WITHOUT_A_SIGNAL


def _note(aim: Aim, tally: Tally) -> None:
    """The old core has to be caught: what is bad about it is that nothing went wrong."""
    old = aim.core == "defective"
    name = f"{'the old core, ' * old}schedules: {tally.cast.title}{' by HTTP' * aim.http}"
    bad = int(not tally.bad) if old else tally.bad
    walked = f"{tally.schedules} walked{', every one' * tally.every}"
    told = [f"caught {tally.bad} times"] * old + [
        walked,
        f"{tally.drawn} drawn",
        f"{tally.deaths} with a death",
    ]
    note(name, tally.run, bad, "; ".join(told))


def _line(aim: Aim, tally: Tally) -> str:
    rate = tally.run / tally.seconds if tally.seconds else 0.0
    every = "every one" if tally.every else "not every one"
    how = " by HTTP" if aim.http else ""
    return (
        f"{aim.core}{how}: {tally.cast.title}: {tally.schedules} schedules ({every}), {tally.drawn} drawn,"
        f" {tally.deaths} deaths{' (every one)' * tally.every_death}, {tally.bad} bad ({tally.seconds:.0f} s, {rate:.0f} a second)"
    )


def main() -> int:
    """Reads the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=20_000)
    parser.add_argument("--deaths", type=int, default=5_000, help="schedules with a death of each pair")
    parser.add_argument("--samples", type=int, default=10_000, help="of all larger sets together")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("POSGUARD_SEED", secrets.randbelow(2**31)))
    )
    parser.add_argument("--pairs", action="store_true", help="pairs alone")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
