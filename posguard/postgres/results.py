"""What the suites said, run by run, in posguard.suite_results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.model.alert import alerts_of_results
from posguard.model.finding import Severity
from posguard.model.quality import ExpectationResult, Outcome, OutcomeAt
from posguard.postgres import alerts
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


async def store_results(connection: Any, run_id: int, results: Iterable[ExpectationResult]) -> None:
    """Writes the results of a run; storing them again replaces them. The run must exist.

    Call it inside a transaction, so that a run has all of its results or none. Alerts go into the outbox with them.
    """
    results = tuple(results)
    await queries("results").store_result(
        connection,
        [
            {
                "run_id": run_id,
                "suite": one.suite,
                "expectation": one.expectation,
                "title": one.title,
                "severity": one.severity.value,
                "owner": one.owner,
                "result": one.result.value,
                "rows_checked": one.rows_checked,
                "failing": one.failing,
                "failing_keys": list(one.failing_keys),
                "message": one.message,
                "query": one.query,
            }
            for one in results
        ],
    )
    await alerts.put(connection, alerts_of_results(run_id, results))


async def results_of(connection: Any, run_id: int) -> tuple[ExpectationResult, ...]:
    """The results of a run: violations first, then errors, passes and what does not apply; the worst severity first."""
    return tuple([_result(row) async for row in queries("results").results_of(connection, run_id=run_id)])


async def latest_run_with_results(connection: Any) -> int | None:
    """The id of the newest run that has suite results."""
    run_id: int | None = await queries("results").latest_run(connection)
    return run_id


async def history(
    connection: Any, expectations: Collection[str] = (), *, runs: int = 30
) -> tuple[OutcomeAt, ...]:
    """What expectations (by id; default all) said in the newest `runs` runs that have results, the oldest first."""
    found = queries("results").history(connection, expectations=list(expectations), runs=runs)
    return tuple(
        [
            OutcomeAt(
                run_id=row["run_id"],
                at=row["at"],
                suite=row["suite"],
                expectation=row["expectation"],
                result=Outcome(row["result"]),
                failing=row["failing"],
            )
            async for row in found
        ]
    )


def _result(row: Any) -> ExpectationResult:
    return ExpectationResult(
        suite=row["suite"],
        expectation=row["expectation"],
        title=row["title"],
        severity=Severity(row["severity"]),
        owner=row["owner"],
        result=Outcome(row["result"]),
        rows_checked=row["rows_checked"],
        failing=row["failing"],
        failing_keys=tuple(row["failing_keys"]),
        message=row["message"],
        query=row["query"],
    )
