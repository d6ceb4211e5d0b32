"""`posguard reproduce`: the races of the incidents, against the old core, the corrected one, or one's own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, Exchange, OfCore
from posguard.errors import ExitCode, RefusedError, UsageError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from posguard.race.plan import Plan
    from posguard.race.run import Tally
    from posguard.race.scenarios import Scenario


def reproduce(
    *,
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            metavar="NAME",
            help="A signal + signal, B signal + synchroniser, C retry after rollback, D clean-up + signal, stress, "
            "processes (A from two processes with different hash seeds).",
        ),
    ] = "B",
    core: OfCore = "defective",
    runs: Annotated[int, typer.Option("--runs", min=1, help="Races, of one symbol each.")] = 100,
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, max=200, help="Symbols that race at once; the first is TESTUSDT."),
    ] = 10,
    duration: Annotated[
        str, typer.Option("--duration", metavar="TIME", help="30s, 5m: begin no further batch after that.")
    ] = "",
    window: Annotated[
        str,
        typer.Option(
            "--window", metavar="TIME", help="What the bot's 3 s of settlement last; orders in proportion."
        ),
    ] = "0.03s",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Repeats the draws of an earlier run; it prints its own.")
    ] = None,
    exchange: Annotated[
        Exchange, typer.Option("--exchange", help="The simulated exchange.")
    ] = Exchange.BINANCE,
    http: Annotated[
        bool, typer.Option("--http", help="Reach the simulator by ccxt over HTTP, not inside this process.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and write nothing: the default.")
    ] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Run it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reproduce the bot's races on real PostgreSQL and the simulator, and judge database and venue afterwards.

    Without POSGUARD_DSN it starts a server of its own. With one, the database has to be marked as a test one and hold no rows
    but those of test symbols; all that was made is removed at the end, also on Ctrl+C. No real exchange is ever reached.
    Exit code 0 where every invariant held, 1 where one broke, 4 where the database is not one for tests.

    \b
    Examples:
      posguard reproduce
      posguard reproduce --scenario B --confirm
      posguard reproduce --scenario stress --threads 20 --duration 60s --runs 100000 --confirm --json
      posguard reproduce --scenario A --core my_bot:race_core --confirm
    """
    from posguard.cli import output
    from posguard.cli.race_shapes import RacePlan, RaceTally, Reproduction
    from posguard.race.cores import maker
    from posguard.race.plan import Plan
    from posguard.settings import load_settings

    output.structured_log_to_stderr()
    if dry_run and confirm:
        raise UsageError("--dry-run and --confirm contradict each other. Nothing was done.")
    plan = Plan(
        scenario=_scenario(scenario),
        core=core,
        runs=runs,
        threads=min(threads, runs),
        duration=_seconds("--duration", duration) if duration else None,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        window=_seconds("--window", window),
        http=http,
        exchange=exchange.value,
    )
    maker(plan.core)
    dsn = load_settings().dsn
    if dsn is not None:
        _refuse_production()
    database, tally = _run(plan, dsn, confirm=confirm)
    told = RacePlan.of(plan, database)
    result = None if tally is None else RaceTally.of(tally)
    held = None if tally is None else tally.held
    if as_json:
        output.emit(Reproduction(dry_run=not confirm, plan=told, held=held, result=result))
    else:
        from posguard.cli import race_text

        race_text.plan(told)
        if result is None:
            print("\nDry run: nothing was written. To run it, add --confirm.")
        else:
            race_text.result(result)
    raise typer.Exit(ExitCode.CRITICAL if held is False else ExitCode.FINE)


def _scenario(name: str) -> Scenario:
    from posguard.race.scenarios import Scenario

    for one in Scenario:
        if one.lower() == name.strip().lower():
            return one
    raise UsageError(f"--scenario '{name}' is none of {', '.join(Scenario)}. Nothing was done.")


def _seconds(option: str, text: str) -> float:
    from posguard.model.duration import parse_duration

    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError(f"{option}: {error}. Nothing was done.") from None
    if not 0 < seconds <= 24 * 3600:
        raise UsageError(f"{option} takes more than nothing and at most 24h. Nothing was done.")
    return seconds


def _refuse_production() -> None:
    """A database beside production credentials is no database for races."""
    from posguard.errors import SettingsError
    from posguard.model.venue import World
    from posguard.settings import EXCHANGES, load_settings, world_of

    venues = load_settings().venues
    named = [str(venue.id) for venue in venues if venue.world is World.PRODUCTION]
    for exchange in EXCHANGES:
        try:
            world = world_of(exchange)
        except SettingsError:
            world = World.PRODUCTION
        if world is World.PRODUCTION:
            named.append(exchange)
    if named:
        raise RefusedError(
            f"The settings name a production venue ({', '.join(named)}), so POSGUARD_DSN may be a production database. "
            "Nothing was changed.",
            hint="Unset POSGUARD_DSN: reproduce then starts a server of its own.",
        )


def _run(plan: Plan, dsn: SecretStr | None, *, confirm: bool) -> tuple[str, Tally | None]:
    """The database's name, and what came of the run; None where it was not asked for."""
    from posguard.cli import output
    from posguard.cli.interrupts import run_to_the_end
    from posguard.race.database import checked_name
    from posguard.race.run import race
    from posguard.race.world import race_world

    name = "embedded" if dsn is None else run_to_the_end(checked_name(dsn))
    if not confirm:
        return name, None

    async def work() -> Tally:
        with output.bar(f"scenario {plan.scenario}, {plan.core} core", plan.runs) as tell:
            async with race_world(plan, dsn) as world:
                return await race(world, lambda tally: tell(tally.runs, f"{tally.bad} bad"))

    return name, run_to_the_end(work())
