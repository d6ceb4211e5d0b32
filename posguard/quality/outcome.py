"""What a validation result of Great Expectations means. Pure: plain values in, an ExpectationResult out.

VIOLATION needs a count of failing rows above zero and no exception. Whatever else is not a success is an ERROR: the rows
were not judged, and that is never read as good or as bad data.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from posguard.model.quality import KEYS_KEPT, ExpectationResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from posguard.quality.suites import Expectation, Suite

_DRIVERS_CLASS = re.compile(r"^\([\w.]+\)\s*")
_SHOWN = 5


def not_applicable(suite: Suite, rule: Expectation, missing: Iterable[str]) -> ExpectationResult:
    """The result of a rule about columns that the deployment lacks."""
    lacking = ", ".join(missing)
    return _result(
        suite, rule, Outcome.NOT_APPLICABLE, message=f"Does not apply: this deployment lacks {lacking}."
    )


def not_judged(
    suite: Suite, rule: Expectation, said: str, *, rows: int | None = None, query: str = ""
) -> ExpectationResult:
    """The result of a rule that could not be judged; `said` holds no secret any more."""
    words = _DRIVERS_CLASS.sub("", (said.strip().splitlines() or ["no reason was given"])[0]).rstrip(".")
    hint = ""
    if "permission denied" in words:
        hint = " `posguard db roles` prints the grants it needs."
    if "statement timeout" in words:
        hint = " Run it when the database is quieter, or raise POSGUARD_DATABASE_TIMEOUT."
    message = f"Could not be judged: {words}.{hint}"
    return _result(suite, rule, Outcome.ERROR, rows=rows, message=message, query=query)


def judged(
    suite: Suite,
    rule: Expectation,
    *,
    success: bool | None,
    result: Mapping[str, Any],
    exceptions: Mapping[str, Any],
    rows: int | None,
    query: str,
    cleaned: Callable[[str], str],
) -> ExpectationResult:
    """The result of a rule that Great Expectations ran.

    `success`, `result` and `exceptions` are the fields of its validation result; `rows` the table's rows; `query` the SQL
    that finds the failing rows, empty where only Great Expectations knows it; `cleaned` takes secrets out of a text.
    """
    if (said := _raised(exceptions)) is not None:
        return not_judged(suite, rule, cleaned(said), rows=rows, query=query)
    count = result.get("unexpected_count", result.get("observed_value"))
    if count is None and success and result.get("element_count") == 0:
        count = 0  # a sum over no rows
    if not isinstance(count, int) or isinstance(count, bool) or success is not (count == 0):
        return not_judged(
            suite, rule, "Great Expectations gave no clear count of failing rows", rows=rows, query=query
        )
    counted = "The rows" if rows is None else f"{rows} rows"
    if success:
        return _result(suite, rule, Outcome.PASS, rows=rows, message=f"{counted} checked.")
    keys = _keys(suite.key, result)
    of = "" if rows is None else f" of {rows}"
    return _result(
        suite,
        rule,
        Outcome.VIOLATION,
        rows=rows,
        failing=count,
        failing_keys=keys,
        message=f"{count}{of} rows break it{_listed(suite.key, keys, count)}.",
        query=query or _own_query(suite, result),
    )


def _result(
    suite: Suite,
    rule: Expectation,
    outcome: Outcome,
    *,
    rows: int | None = None,
    failing: int = 0,
    failing_keys: tuple[str, ...] = (),
    message: str = "",
    query: str = "",
) -> ExpectationResult:
    return ExpectationResult(
        suite=suite.name,
        expectation=rule.id,
        title=rule.title,
        severity=rule.severity,
        owner=rule.owner,
        result=outcome,
        rows_checked=rows,
        failing=failing,
        failing_keys=failing_keys,
        message=message,
        query=query,
    )


def _raised(exceptions: Mapping[str, Any]) -> str | None:
    """The first exception's words: the mapping is either one exception's fields or one such mapping per metric."""
    entries = [exceptions, *(value for value in exceptions.values() if isinstance(value, dict))]
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message") or "")
    return None


def _keys(key: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    rows = result.get("partial_unexpected_index_list")
    if rows is None:
        rows = (result.get("details") or {}).get("unexpected_rows") or []
    values = [row[key] for row in rows if key in row]
    ordered = sorted(values) if all(isinstance(value, int) for value in values) else sorted(map(str, values))
    return tuple(str(value) for value in ordered)[:KEYS_KEPT]


def _listed(key: str, keys: tuple[str, ...], count: int) -> str:
    if not keys:
        return f"; the query does not give their {key}"
    shown = keys[:_SHOWN]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f", {key} {', '.join(shown)}{more}"


def _own_query(suite: Suite, result: Mapping[str, Any]) -> str:
    """The query Great Expectations gives for a built-in rule, with the table's schema put back."""
    text = " ".join(str(result.get("unexpected_index_query") or "").split()).rstrip("; ")
    _, table = suite.place
    return re.sub(rf"\bFROM {re.escape(table)}\b", f"FROM {suite.table}", text)
