"""One reconciliation pass: database, venues, database again, fills where they decide; and its record.

`take_pass` reads only. Whatever a venue does makes that venue inconclusive, with its reason, and touches no other.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from posguard.errors import PosguardError
from posguard.model.alert import RUN_INCONCLUSIVE, alerts_of_run
from posguard.model.finding import Pass
from posguard.model.run import RunOutcome, StoredRun
from posguard.model.scope import Scope
from posguard.model.venue import FillHistory, VenueId
from posguard.postgres import alerts, runs
from posguard.postgres import findings as desk
from posguard.postgres.positions import read_open_positions
from posguard.reconcile.compare import compare
from posguard.reconcile.facts import Limits, Situation, VenueLook
from posguard.reconcile.statistics import read_statistics
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.exchange.gateway import Gateway
    from posguard.model.order import OrderHistory
    from posguard.model.position import PositionRow
    from posguard.postgres.pool import Database
    from posguard.reconcile.compare import Comparison
    from posguard.settings import Settings

log = structlog.get_logger(__name__)

Say = Callable[[str], None]
T = TypeVar("T")
_EVERYTHING = Scope()
_WEEK = timedelta(days=7)  # what both venues answer at once; histories are asked for in groups of equal reach
_MOST_SYMBOLS = (
    100  # whose fills one pass reads on one venue, so that a mass of orphans does not use up its budget
)
_ROUNDS = 3  # what a first history tells can make a second one worth reading
_VENUE_PATIENCE = 15  # time-outs of one request that a whole snapshot may take


def _silent(_: str) -> None:
    """No progress is shown."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Observed:
    """A pass with what it was made from: every key with its rows, its position, its live orders and fills.

    orders are histories that whoever decides further has read after it, by venue and symbol.
    """

    result: Pass
    situation: Situation
    comparison: Comparison
    orders: Mapping[tuple[VenueId, str], OrderHistory] = field(default_factory=dict)


async def take_pass(
    db: Database,
    gateways: Iterable[Gateway],
    settings: Settings,
    *,
    scope: Scope = _EVERYTHING,
    progress: Say = _silent,
    clock: Callable[[], datetime] = _utc_now,
) -> Pass:
    """What is wrong between the database and its venues now. Changes nothing anywhere.

    Open rows are read before and after the snapshots (settings.snapshots of them, settings.snapshot_gap apart, all venues
    at once); what moved in between is skipped. `progress` gets a short text at each step. Raises PosguardError's where the
    database cannot be read; never for a venue, which is inconclusive then.
    """
    return (await observe(db, gateways, settings, scope=scope, progress=progress, clock=clock)).result


async def observe(
    db: Database,
    gateways: Iterable[Gateway],
    settings: Settings,
    *,
    scope: Scope = _EVERYTHING,
    progress: Say = _silent,
    clock: Callable[[], datetime] = _utc_now,
    statistics_too: bool = True,
    narrow: bool = False,
) -> Observed:
    """`take_pass`, with what its findings were made from, for whoever decides further on the same facts.

    narrow reads live orders of the scope's symbol alone, where the venue lists it; positions are read whole.
    """
    asked = [gateway for gateway in gateways if scope.covers(gateway.venue.exchange)]
    accounts = _accounts(asked)
    started = clock()
    where = Scope(scope.exchange)  # the account is judged by all its rows, whatever symbol is asked for
    progress("reading the open rows")
    async with db.snapshot() as connection:
        before = await read_open_positions(connection, accounts, where)
    symbol = scope.symbol if narrow else ""
    heard = await _together(
        [_look(db, gateway, settings, accounts, progress, symbol=symbol) for gateway in asked]
    )
    async with db.snapshot() as connection:
        rest = await read_open_positions(connection, accounts, where)
    venues = {gateway.venue for gateway in asked}
    situation = Situation(
        before=before,
        after=(
            *(row for _, rows in heard for row in rows),
            *(row for row in rest if VenueId(row.exchange, row.account) not in venues),
        ),
        looks={look.venue: look for look, _ in heard},
        limits=Limits.of(settings),
        now=started,
        scope=scope,
    )
    situation, comparison = await _with_fills(situation, {g.venue: g for g in asked}, progress)
    progress("reading the statistics")
    statistics = (
        await read_statistics(
            db, started, scope, error_hours=settings.error_hours, baseline=settings.baseline
        )
        if statistics_too
        else {}
    )
    result = Pass(
        started_at=started,
        finished_at=max(clock(), started),
        findings=comparison.findings,
        venues=comparison.verdicts,
        rows_read=comparison.rows_read,
        rows_compared=comparison.rows_compared,
        skipped=comparison.skipped,
        notes=comparison.notes if comparison.verdicts else (*comparison.notes, "no venue is configured"),
        inconclusive_keys=comparison.inconclusive_keys,
        scope=scope,
        statistics=statistics,
        resolve_after=settings.resolve_after,
        positions=comparison.positions,
        protected=comparison.protected,
    )
    return Observed(result, situation, comparison)


async def record_pass(
    db: Database,
    result: Pass,
    *,
    source: str,
    external_id: str = "",
    interval: runs.Interval | None = None,
) -> StoredRun:
    """Writes a pass as a run, its findings into their lives, and what is to be told of both, all or nothing; returns the run.

    The outcome is inconclusive where any venue is, else problems where a finding that counts is critical or a warning,
    else clean. A run of this external_id that ended already is returned as it is and nothing is written, so that a task
    that is tried again does not double it. source is `cli` or `airflow`.
    """
    async with db.transaction() as connection:
        await desk.take_turns(connection)
        before = await runs.run_by_external_id(connection, external_id)
        if before is not None and before.outcome not in {RunOutcome.RUNNING, RunOutcome.FAILED}:
            return before
        run_id = await runs.start_run(
            connection,
            started_at=result.started_at,
            source=source,
            external_id=external_id,
            interval=interval,
            database_fingerprint=await runs.database_fingerprint(connection),
            scope=result.scope,
        )
        counts = await desk.record(connection, run_id, result)
        counts |= {"positions": result.positions, "protected": result.protected}
        await runs.finish_run(connection, run_id, result, outcome=outcome_of(result, counts), counts=counts)
        known = {one.topic for one in await alerts.standing(connection, RUN_INCONCLUSIVE)}
        await alerts.put(connection, alerts_of_run(run_id, result, known))
        run = await runs.run_by_id(connection, run_id)
    assert run is not None
    return run


def outcome_of(result: Pass, counts: Mapping[str, int]) -> RunOutcome:
    """How a recorded pass ended; what is critical beside an inconclusive venue stays in the counts."""
    if not result.conclusive:
        return RunOutcome.INCONCLUSIVE
    if counts.get("critical") or counts.get("warning"):
        return RunOutcome.PROBLEMS
    return RunOutcome.CLEAN


def _accounts(gateways: Sequence[Gateway]) -> dict[str, str]:
    """The account that rows without one belong to, for each exchange with exactly one."""
    by_exchange: dict[str, set[str]] = defaultdict(set)
    for gateway in gateways:
        by_exchange[gateway.venue.exchange].add(gateway.venue.account)
    return {exchange: next(iter(names)) for exchange, names in by_exchange.items() if len(names) == 1}


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once; a failing database ends all and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* PosguardError as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _look(
    db: Database,
    gateway: Gateway,
    settings: Settings,
    accounts: Mapping[str, str],
    progress: Say,
    *,
    symbol: str,
) -> tuple[VenueLook, tuple[PositionRow, ...]]:
    """The snapshots of one venue, up to the first incomplete one, and its open rows read right after them."""
    look = VenueLook(gateway.venue, gateway.world, hedge=gateway.hedge)
    patience = settings.venue_timeout.total_seconds() * _VENUE_PATIENCE
    for number in range(settings.snapshots):
        progress(f"{gateway.venue}: snapshot {number + 1} of {settings.snapshots}")
        if number:
            await asyncio.sleep(settings.snapshot_gap.total_seconds())
        try:
            async with asyncio.timeout(patience):
                snapshot = await gateway.snapshot(symbol)
        except Exception as error:  # noqa: BLE001  one venue's surprise must not take the others' verdicts down
            look = replace(look, troubles=(_trouble(gateway, error),))
            break
        look = replace(look, snapshots=(*look.snapshots, snapshot))
        if not snapshot.complete:
            break
    async with db.snapshot() as connection:
        rows = await read_open_positions(connection, accounts, Scope(gateway.venue.exchange))
    return look, tuple(row for row in rows if row.belongs_to(gateway.venue))


def _trouble(gateway: Gateway, error: Exception) -> str:
    """One sentence without a secret; what is no error of posguard's is named by its type alone."""
    if isinstance(error, PosguardError):
        return redact(str(error))
    if isinstance(error, TimeoutError):
        return "the venue did not answer in time"
    log.error("gateway_failed", venue=str(gateway.venue), error=type(error).__name__)
    return f"the venue could not be asked ({type(error).__name__}); this is a bug, please report it"


async def _with_fills(
    situation: Situation, gateways: Mapping[VenueId, Gateway], progress: Say
) -> tuple[Situation, Comparison]:
    """Situation and comparison with the fills needed: only of candidate symbols, and only until nothing more would be decided."""
    comparison = compare(situation)
    for _ in range(_ROUNDS):
        wanted = {
            venue: {s: at for s, at in symbols.items() if not situation.looks[venue].knows_fills(s, at)}
            for venue, symbols in comparison.wanted_fills.items()
        }
        if not any(wanted.values()):
            break
        read = await _together([
            _fills(gateways[venue], situation.looks[venue], symbols, situation.now, progress)
            for venue, symbols in wanted.items()
        ])  # fmt: skip
        situation = replace(situation, looks={**situation.looks, **{look.venue: look for look in read}})
        comparison = compare(situation)
    return situation, comparison


async def _fills(
    gateway: Gateway, look: VenueLook, wanted: Mapping[str, datetime], now: datetime, progress: Say
) -> VenueLook:
    """The look with the histories of some symbols, those of equal reach asked for together."""
    groups: dict[int, list[str]] = defaultdict(list)
    for symbol, since in sorted(wanted.items())[:_MOST_SYMBOLS]:
        groups[(now - since) // _WEEK].append(symbol)
    found: dict[str, FillHistory] = {}
    for symbols in groups.values():
        since = min(wanted[symbol] for symbol in symbols)
        progress(f"{gateway.venue}: fills of {len(symbols)} symbols")
        try:
            history = await gateway.fills(symbols, since)
        except Exception as error:  # noqa: BLE001  as for a snapshot
            reasons = (_trouble(gateway, error),)
            history = FillHistory(
                gateway.venue, since, frozenset(symbols), (), complete=False, reasons=reasons
            )
        found |= dict.fromkeys(symbols, history)
    for symbol in wanted.keys() - found.keys():
        reasons = (
            f"one pass reads the fills of {_MOST_SYMBOLS} symbols of a venue at most; name it by --symbol",
        )
        found[symbol] = FillHistory(
            gateway.venue, wanted[symbol], frozenset({symbol}), (), complete=False, reasons=reasons
        )
    return replace(look, fills={**look.fills, **found})
