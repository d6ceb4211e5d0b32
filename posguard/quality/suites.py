"""The suites as they lie in expectations/: read, checked and made concrete for one instant. No Great Expectations here.

A file is what Great Expectations loads (name, meta, expectations with type, kwargs, severity, meta). What posguard adds
stands in meta; docs/quality.md tells each word.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from posguard.errors import SuiteError
from posguard.model.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime, timedelta

_ROOT = Path(__file__).resolve().parents[2] / "expectations"
_SHIPPED = Path(__file__).resolve().parents[1] / "_shipped" / "expectations"
FOLDER = _ROOT if (_ROOT / "README.md").exists() else _SHIPPED

ROWS = "unexpected_rows_expectation"
# Row by row, so that failing keys can be kept; a rule over a whole table is written as a query.
_MAPPED = re.compile(r"expect_(column_values|column_pair_values|select_column_values|compound_columns)_\w+")
_TABLE = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")
_ID = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_PLACEHOLDERS = frozenset({"batch", "now", "grace"})
_JOIN = re.compile(r"\bjoin\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One rule. `needs` are the columns (`schema.table.column`) without which it does not apply to a deployment."""

    id: str
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    title: str
    owner: str
    why: str
    needs: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """The SQL with its placeholders, empty for a built-in rule."""
        return str(self.kwargs.get("unexpected_rows_query", ""))

    def kwargs_at(self, now: datetime, grace: timedelta) -> dict[str, Any]:
        """The kwargs for Great Expectations, `{now}` and `{grace}` replaced by SQL literals and `{batch}` left to it."""
        if not self.query:
            return dict(self.kwargs)
        return {**self.kwargs, "unexpected_rows_query": _filled(self.query, now, grace)}

    def query_at(self, table: str, now: datetime, grace: timedelta) -> str:
        """The SQL as psql takes it, empty for a built-in rule."""
        filled = _filled(self.query, now, grace).replace("{batch}", f"{table} AS subselect")
        return filled.replace("{{", "{").replace("}}", "}")


@dataclass(frozen=True, slots=True)
class Suite:
    """The rules about one table (`schema.table`), whose rows are named by the column `key`."""

    name: str
    title: str
    table: str
    key: str
    expectations: tuple[Expectation, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Schema and bare name of the table."""
        schema, table = self.table.split(".")
        return schema, table


def load_suites(names: Collection[str] | None = None, folder: Path | None = None) -> tuple[Suite, ...]:
    """The suites of a folder (default: those of posguard) in order of their names, or only the named ones.

    Raises SuiteError for an unknown name, for two expectations with one id, and for a file that says too little.
    """
    folder = folder or FOLDER
    suites = [_load(path) for path in sorted(folder.glob("*.json"))]
    if not suites:
        raise SuiteError(f"There are no suites in {folder}. Nothing was checked.")
    _refuse_twins(suites)
    if names is None:
        return tuple(suites)
    known = {suite.name for suite in suites}
    if unknown := sorted(set(names) - known):
        raise SuiteError(
            f"There is no suite {', '.join(unknown)}. Nothing was checked.",
            hint=f"There are {', '.join(sorted(known))}.",
        )
    return tuple(suite for suite in suites if suite.name in names)


def parse_suite(text: str, file: str) -> Suite:
    """The suite that a file holds. Raises SuiteError that names the file, the expectation and what is missing."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise SuiteError(f"The suite {file} is no JSON: {error}. Nothing was checked.") from None
    where = _Where(file)
    meta = where.mapping(raw, "meta")
    shared = where.texts(meta, "applies_when_columns")
    table = where.text(meta, "table")
    where.must(bool(_TABLE.fullmatch(table)), f"meta.table '{table}' is no schema.table in small letters")
    expectations = raw.get("expectations")
    where.must(isinstance(expectations, list) and bool(expectations), "it has no expectations")
    return Suite(
        name=where.text(raw, "name"),
        title=where.text(meta, "title"),
        table=table,
        key=where.text(meta, "key"),
        expectations=tuple(
            _expectation(file, place, one, shared) for place, one in enumerate(expectations, 1)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Where:
    """The place in a file that an error speaks of."""

    place: str

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise SuiteError(
                f"The suite {self.place} cannot be used: {otherwise}. Nothing was checked.",
                hint="docs/quality.md tells how a suite is written.",
            )

    def mapping(self, raw: Any, name: str) -> Mapping[str, Any]:
        value = raw.get(name) if isinstance(raw, dict) else None
        self.must(isinstance(value, dict), f"'{name}' is missing")
        return value or {}

    def text(self, raw: Mapping[str, Any], name: str) -> str:
        value = raw.get(name)
        self.must(isinstance(value, str) and bool(value.strip()), f"'{name}' is missing")
        return str(value)

    def texts(self, raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
        value = raw.get(name, [])
        listed = isinstance(value, list) and all(
            isinstance(one, str) and one.count(".") == 2 for one in value
        )
        self.must(listed, f"'{name}' is no list of schema.table.column")
        return tuple(value)


def _load(path: Path) -> Suite:
    suite = parse_suite(path.read_text(encoding="utf-8"), path.name)
    _Where(path.name).must(suite.name == path.stem, f"its name '{suite.name}' is not the file's")
    return suite


def _expectation(file: str, place: int, raw: Any, shared: tuple[str, ...]) -> Expectation:
    where = _Where(f"{file} at expectation {place}")
    meta = where.mapping(raw, "meta")
    identity = where.text(meta, "id")
    where = _Where(f"{file} at {identity}")
    where.must(bool(_ID.fullmatch(identity)), "its id is not of the form suite.rule in small letters")
    severity = where.text(raw, "severity")
    where.must(severity in set(Severity), f"severity '{severity}' is none of {', '.join(Severity)}")
    found = Expectation(
        id=identity,
        type=where.text(raw, "type"),
        kwargs=where.mapping(raw, "kwargs"),
        severity=Severity(severity),
        title=where.text(meta, "title"),
        owner=where.text(meta, "owner"),
        why=where.text(meta, "why"),
        needs=(*shared, *where.texts(meta, "applies_when_columns")),
    )
    _check_rule(where, found)
    return found


def _check_rule(where: _Where, rule: Expectation) -> None:
    if rule.type != ROWS:
        where.must(
            bool(_MAPPED.fullmatch(rule.type)), f"'{rule.type}' gives no failing rows; write it as {ROWS}"
        )
        # Great Expectations leaves the condition out of the query by which the rows are found again
        where.must("row_condition" not in rule.kwargs, f"row_condition is not supported; write it as {ROWS}")
        return
    where.must(bool(rule.query), "'unexpected_rows_query' is missing")
    where.must(";" not in rule.query, "its query has a semicolon; it is one statement")
    try:
        fields = [name for _, name, _, _ in Formatter().parse(rule.query) if name is not None]
    except ValueError as error:
        where.must(False, f"its query has a stray brace ({error})")
        return
    where.must(fields.count("batch") == 1, "its query does not read {batch} exactly once")
    where.must(
        set(fields) <= _PLACEHOLDERS, "its query knows other placeholders than {batch}, {now} and {grace}"
    )
    # with a JOIN Great Expectations gives {batch} no alias, and the query could not be shown as it ran
    where.must(not _JOIN.search(rule.query), "its query has a JOIN; write EXISTS")


def _refuse_twins(suites: list[Suite]) -> None:
    seen: dict[str, str] = {}
    for suite in suites:
        for one in suite.expectations:
            if one.id in seen:
                raise SuiteError(
                    f"The suites {seen[one.id]} and {suite.name} both have the expectation {one.id}. Nothing was checked.",
                    hint="Ids are for ever: give the newer one another.",
                )
            seen[one.id] = suite.name


def _filled(query: str, now: datetime, grace: timedelta) -> str:
    return query.replace("{now}", f"timestamptz '{now.isoformat(sep=' ')}'").replace(
        "{grace}", f"interval '{f'{grace.total_seconds():.6f}'.rstrip('0').rstrip('.')} seconds'"
    )
