"""`posguard explore`: every order in which the actors' steps can fall, on a real server, judged each."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, Exchange, OfCore
from posguard.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from posguard.cli.explore_shapes import ExploredCast, ExploredFailure, ExploredStep, Replay
    from posguard.race.explore import Aim, Failure, Tally
    from posguard.race.explore_actors import Cast


def explore(
    *,
    actors: Annotated[
        str,
        typer.Option(
            "--actors",
            metavar="LIST",
            help="Two to four of signal, synchroniser, cleanup, recovery, close, move_stop, apply: signal,synchroniser. "
            "Without it: thirteen pairs, five larger sets, and five with a cleanup's plan.",
        ),
    ] = "",
    core: OfCore = "defective",
    crash: Annotated[
        bool, typer.Option("--crash", help="Also let each actor die at each step, then recover.")
    ] = False,
    falls: Annotated[
        bool, typer.Option("--price-falls", help="With --actors: the price falls through the stop.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, help="Schedules of two actors; beyond it a quarter more is drawn."),
    ] = 20_000,
    deaths: Annotated[
        int,
        typer.Option(
            "--deaths",
            min=1,
            help="With --crash: schedules with a death of two actors; of more, so many are drawn.",
        ),
    ] = 2_000,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Schedules drawn of each larger set of actors.")
    ] = 1_000,
    seed: Annotated[int, typer.Option("--seed", help="For what is drawn.")] = 0,
    replay: Annotated[
        str,
        typer.Option(
            "--replay",
            metavar="SCHEDULE",
            help="Run one schedule, sig1*7,sync1*6, or a file with one, and show its steps. Needs --actors.",
        ),
    ] = "",
    exchange: Annotated[
        Exchange, typer.Option("--exchange", help="The simulated exchange.")
    ] = Exchange.BINANCE,
    http: Annotated[
        bool, typer.Option("--http", help="Reach the simulator by ccxt over HTTP: slower by far.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the interleavings of the actors' steps on a real PostgreSQL server, and judge database and venue after each.

    A step is one SQL statement or one request. Schedules that differ only in steps that do not touch the same things count
    once. The server is its own and is removed; no real exchange and no database of yours is reached. A schedule that fails
    is made short and printed as the command that runs it again. Exit code 0 where every invariant held, 1 where one broke.

    \b
    Examples:
      posguard explore --actors signal,synchroniser
      posguard explore --core corrected --crash
      posguard explore --actors signal,synchroniser --replay 'sig1*7,sync1*6'
    """
    from posguard.cli import output
    from posguard.cli.interrupts import run_to_the_end
    from posguard.race.explore import Aim, usual_casts
    from posguard.race.explore_actors import Cast, tables_of

    output.structured_log_to_stderr()
    if not actors and (falls or replay):
        raise UsageError(f"{'--replay' if replay else '--price-falls'} needs --actors. Nothing was run.")
    tables_of(core)
    casts = (Cast.read(actors, slump=falls),) if actors else usual_casts()
    aim = Aim(core, casts, limit, deaths, samples, seed, crash, exchange.value, http)
    if replay:
        held = run_to_the_end(_replay(aim, replay, as_json=as_json))
    else:
        held = run_to_the_end(_explore(aim, as_json=as_json))
    raise typer.Exit(ExitCode.FINE if held else ExitCode.CRITICAL)


async def _explore(aim: Aim, *, as_json: bool) -> bool:
    from posguard.cli import output
    from posguard.cli.explore_shapes import Exploration, ExploredCast, ExploredFailure
    from posguard.race.explore import explore as run

    with output.bar(f"{aim.core} core", len(aim.casts)) as tell:
        done: set[Cast] = set()

        def heard(tally: Tally) -> None:
            if tally.seconds:
                done.add(tally.cast)
            tell(len(done), f"{tally.cast.title}: {tally.run} schedules, {tally.bad} bad")

        tallies = await run(aim, heard)
    told = Exploration(
        core=aim.core,
        seed=aim.seed,
        exchange=aim.exchange,
        http=aim.http,
        held=not any(tally.bad for tally in tallies),
        casts=[
            ExploredCast.of(tally, [ExploredFailure.of(one, _command(aim, one)) for one in tally.failures])
            for tally in tallies
        ],
    )
    if as_json:
        output.emit(told)
    else:
        _show(told.casts, told.core, told.seed)
    return told.held


def _command(aim: Aim, failure: Failure) -> str:
    words = ["posguard", "explore", "--actors", ",".join(failure.cast.parts), "--core", aim.core]
    words += ["--price-falls"] * failure.cast.slump + ["--http"] * aim.http
    words += ["--exchange", aim.exchange] * (aim.exchange != Exchange.BINANCE.value)
    # an empty schedule lets the first actor go first; `sig1` says the same and is a word
    return shlex.join([*words, "--replay", failure.script or failure.cast.names[0]])


def _show(shown: list[ExploredCast], core: str, seed: int) -> None:
    from posguard.cli import output

    print(f"{core} core, seed {seed}")
    output.table(
        ("actors", "price", "schedules", "every one", "drawn", "deaths", "bad", "seconds"),
        [
            (
                ", ".join(cast.actors),
                "falls" if cast.price_falls else "steady",
                str(cast.schedules),
                "yes" if cast.every_one else "no",
                str(cast.drawn),
                str(cast.deaths),
                str(cast.bad),
                f"{cast.seconds:.1f}",
            )
            for cast in shown
        ],
    )
    for cast in shown:
        for failure in cast.failures:
            _show_failure(failure)
    bad = sum(cast.bad for cast in shown)
    print(f"\n{f'{bad} schedules broke an invariant.' if bad else 'Every invariant held in every schedule.'}")


def _show_failure(failure: ExploredFailure) -> None:
    from posguard.cli.output import clean

    print(f"\n{', '.join(failure.broken)}")
    print(f"  {clean(failure.told)}")
    if not failure.again:
        print("  It did not fail again when it was run once more.")
    print(f"  {failure.replay}")


def _show_steps(steps: list[ExploredStep]) -> None:
    from posguard.cli import output

    rows = [
        (
            step.actor,
            f"dies before: {step.step}" if step.dies else step.step,
            " ".join(["waits"] * step.waits + [f"frees {name}" for name in step.frees]),
        )
        for step in steps
    ]
    output.table(("actor", "step", "locks"), rows)


async def _replay(aim: Aim, text: str, *, as_json: bool) -> bool:
    from posguard.cli import output
    from posguard.cli.explore_shapes import Replay
    from posguard.race.explore import replay
    from posguard.race.schedules import read_script

    cast = aim.casts[0]
    choices = read_script(_text(text))
    if strange := sorted({choice.actor for choice in choices} - set(cast.names)):
        raise UsageError(
            f"--replay names {', '.join(strange)}; the actors are {', '.join(cast.names)}. Nothing was run."
        )
    outcome, followed = await replay(aim, cast, choices)
    told = Replay.of(aim.core, cast, outcome, followed=followed)
    if as_json:
        output.emit(told)
    else:
        _show_replay(told)
    return told.held


def _text(replay: str) -> str:
    try:
        file = Path(replay)
        return file.read_text(encoding="utf-8") if file.is_file() else replay
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--replay {replay} cannot be read: {error}. Nothing was run.") from None


def _show_replay(told: Replay) -> None:
    from posguard.cli.output import clean, warn

    if not told.followed:
        warn("a choice of the schedule could not be made and was left out.")
    _show_steps(told.steps)
    print(f"\n{', '.join(told.broken) or 'Every invariant held.'}")
    if told.told:
        print(clean(told.told))
