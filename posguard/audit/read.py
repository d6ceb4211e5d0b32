"""Reads what an audit is made from: the bot's rows, what posguard keeps, the log; and looks for itself where nothing is kept. Reads only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.audit.facts import Facts, KnownRace
from posguard.audit.log import locate
from posguard.audit.logread import LogFiles, read_log
from posguard.audit.watched import LONGEST, Watch, watch_gaps
from posguard.errors import PosguardError, SchemaError
from posguard.model.audit import Gap
from posguard.model.duration import spell_duration
from posguard.model.finding import FindingState, StoredFinding
from posguard.model.run import RunOutcome, StoredRun
from posguard.postgres import findings, runs
from posguard.postgres.analysis import AGED, analyse
from posguard.postgres.audit import Kept, read_kept, read_rows
from posguard.postgres.pool import Database
from posguard.postgres.schema import require_schema
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from posguard.audit.log import LogFacts
    from posguard.model.audit import Window
    from posguard.model.finding import Pass
    from posguard.model.quality import ExpectationResult
    from posguard.model.race import Race

# The present may stand for a window that ended so long ago at most.
REACH = timedelta(minutes=10)
# A pass an hour, and a little.
STALE = timedelta(hours=2, minutes=10)


@dataclass(frozen=True)
class Asked:
    """What an audit is asked for. `look` takes a pass and `judge` runs the suites, where nothing is kept and the window reaches the present."""

    window: Window
    at: datetime
    demo: bool = False
    log: LogFiles = field(default_factory=LogFiles)
    aged: timedelta = AGED
    look: Callable[[], Awaitable[Pass]] | None = None
    judge: Callable[[], tuple[ExpectationResult, ...]] | None = None

    @property
    def present(self) -> bool:
        """Whether the window reaches the present."""
        return self.at - self.window.end <= REACH


@dataclass(frozen=True)
class _Findings:
    found: tuple[StoredFinding, ...] | None
    said: str
    run: StoredRun | None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class _Suites:
    results: tuple[ExpectationResult, ...] | None
    said: str
    gaps: tuple[Gap, ...] = ()


async def read_facts(db: Database, asked: Asked) -> Facts:
    """The facts of a window.

    Raises DatabaseUnavailableError where the database cannot be read, and LogError where a log that was named cannot. Whatever
    else is missing is a gap.
    """
    async with db.snapshot() as connection:
        rows = await read_rows(connection, asked.window)
        database = await runs.database_fingerprint(connection)
        kept, lost = await _kept(connection, asked.window)
    analysis = await analyse(db, asked.window.start, asked.window.end, aged=asked.aged)
    watch = Watch(kept.snapshots, kept.alerts)
    unwatched = () if lost else watch_gaps(watch, asked.window)
    log, log_gaps = await read_log(db, asked.window, asked.log, kept.logs)
    found = await _found(db, asked, kept, stored=not lost)
    judged = await _judged(asked, kept)
    missing = [Gap(query.replace("_", " "), why) for query, why in rows.missing.items()]
    return Facts(
        window=asked.window,
        at=asked.at,
        demo=asked.demo,
        database=f"fingerprint {database}",
        rows=rows,
        runs=kept.runs,
        run=found.run,
        findings=found.found,
        findings_from=found.said,
        results=judged.results,
        results_from=judged.said,
        races=await asyncio.to_thread(_races, asked.window, kept, log),
        log=log,
        loaded=kept.logs,
        analysis=analysis,
        present=asked.present,
        watch=watch,
        gaps=(*missing, *lost, *found.gaps, *judged.gaps, *log_gaps, *unwatched),
    )


async def _kept(connection: object, window: Window) -> tuple[Kept, tuple[Gap, ...]]:
    try:
        await require_schema(connection)
    except SchemaError as error:
        loses = f"{error.message} Findings, suites and loaded logs of the past are not known."
        return Kept(), (Gap("posguard's own tables", loses, error.hint),)
    return await read_kept(connection, window, watched=window.length <= LONGEST), ()


async def _found(db: Database, asked: Asked, kept: Kept, *, stored: bool) -> _Findings:
    """The findings of the window: those that are kept where a complete pass lies in it, else those of a look now."""
    whole = [run for run in kept.runs if run.scope.whole and run.finished_at is not None]
    complete = [run for run in whole if run.conclusive]
    if complete:
        return _of_run(asked, kept, complete[-1])
    if asked.present and asked.look is not None:
        try:
            result = await asked.look()
        except PosguardError as error:
            return _unknown(kept, whole, redact(str(error)))
        return await _of_look(db, result, stored=stored)
    return _unknown(kept, whole, "")


def _of_run(asked: Asked, kept: Kept, run: StoredRun) -> _Findings:
    said = f"run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC, and what else was found in the window"
    old = min(asked.window.end, asked.at) - run.started_at
    gaps: tuple[Gap, ...] = ()
    if old > STALE:
        gaps = (
            Gap(
                f"a complete pass in the last {spell_duration(old)} of the window",
                f"findings are as run {run.id} left them",
                "`posguard reconcile`, or the DAG `posguard_reconcile`, every hour.",
            ),
        )
    return _Findings(kept.findings, said, run, gaps)


async def _of_look(db: Database, result: Pass, *, stored: bool) -> _Findings:
    dismissed: frozenset[str] = frozenset()
    if stored:
        async with db.snapshot() as connection:
            dismissed = await findings.dismissed(connection, result)
    at = result.finished_at
    found = tuple(
        StoredFinding(
            0,
            one,
            FindingState.DISMISSED if one.fingerprint in dismissed else FindingState.OPEN,
            at,
            at,
            0,
            0,
        )
        for one in result.findings
    )
    run = StoredRun.of_pass(result, RunOutcome.PROBLEMS if result.conclusive else RunOutcome.INCONCLUSIVE, {})
    gaps: tuple[Gap, ...] = ()
    if not result.conclusive:
        lost = [f"{v.venue}: {', '.join(v.reasons)}" for v in result.venues if v.reasons]
        gaps = (Gap("a complete look at every exchange", "; ".join(lost or result.notes)),)
    return _Findings(found, f"a look at {at:%Y-%m-%d %H:%M:%S} UTC, which is not stored", run, gaps)


def _unknown(kept: Kept, tried: list[StoredRun], why: str) -> _Findings:
    loses = "how the bot's rows and the exchanges agreed in the window is not known"
    if why:
        loses = f"{why} So {loses}"
    elif tried:
        loses = f"{len(tried)} passes lie in the window and none could judge every exchange; {loses}"
    gap = Gap(
        "a complete reconciliation in the window",
        loses,
        "`posguard reconcile`, or the DAG `posguard_reconcile`, every hour.",
    )
    # What inconclusive passes found is known all the same; what they did not find is not.
    found = kept.findings if tried else None
    said = f"{len(tried)} passes, none of them complete" if tried else ""
    return _Findings(found, said, tried[-1] if tried else None, (gap,))


async def _judged(asked: Asked, kept: Kept) -> _Suites:
    if kept.results:
        return _Suites(kept.results, f"run {kept.results_of}")
    why = "the window does not reach the present"
    if asked.present and asked.judge is not None:
        try:
            results = await asyncio.to_thread(asked.judge)
        except (PosguardError, ModuleNotFoundError) as error:
            why = redact(str(error))
        else:
            return _Suites(results, f"a run at {asked.at:%Y-%m-%d %H:%M} UTC, which is not stored")
    gap = Gap(
        "a run of the suites in the window",
        f"whether the rows are sound by themselves is not known ({why})",
        "The DAG `posguard_reconcile` runs them every hour.",
    )
    return _Suites(None, "", (gap,))


def _races(window: Window, kept: Kept, log: LogFacts | None) -> tuple[KnownRace, ...]:
    """The races of the window, those that are kept with their findings; the same race in both is one."""
    known: dict[tuple[str, str | None, str], KnownRace] = {}
    for finding_id, race in kept.races:
        known[_name(race)] = KnownRace(race, finding_id, _location(race))
    for race in log.races if log is not None else ():
        if window.holds(race.at):
            known.setdefault(_name(race), KnownRace(race, None, _location(race)))
    return tuple(sorted(known.values(), key=lambda one: one.race.at))


def _name(race: Race) -> tuple[str, str | None, str]:
    return race.symbol, race.exchange, race.subject


def _location(race: Race) -> str:
    """The place in the code that one of the records of its error names; empty where none does."""
    path = next((moment.path for moment in race.moments if moment.path), "")
    return next((found for offset in race.errors if (found := locate(path, offset))), "") if path else ""
