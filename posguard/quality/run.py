"""Runs the suites: the one thin function around Great Expectations, and the only place that imports it.

Everything is judged on one frozen view of the database, so that a row the bot moves meanwhile is seen before or after its
move and never halfway, and the count of an expectation fits its keys.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from posguard.errors import SettingsError
from posguard.model.quality import KEYS_KEPT, ExpectationResult
from posguard.postgres.drivers import driver_error
from posguard.postgres.frozen import FrozenView, frozen_view
from posguard.quality.outcome import judged, not_applicable, not_judged
from posguard.quality.suites import ROWS, Expectation, Suite, load_suites

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import timedelta
    from pathlib import Path

    from pydantic import SecretStr

    from posguard.settings import Settings

# All suites together may take this many times the time-out of one statement, which each expectation has to itself.
_WHOLE = 10
# The address Great Expectations is given. It never connects by it, so host and password cannot leak out of its hands.
_NO_ADDRESS = "postgresql+psycopg://posguard@database/bot"


def run_suites(
    dsn: SecretStr | None,
    *,
    suites: Collection[str] | None = None,
    settings: Settings,
    folder: Path | None = None,
) -> tuple[ExpectationResult, ...]:
    """One result for each expectation of the suites (default: all), in the order of the files.

    Reads only. An expectation that cannot be judged is a result with outcome `error`, not an exception. Raises SuiteError
    for a file that cannot be used, and PosguardError's others where the database cannot be reached; nothing was changed.
    The first call in a process takes some seconds, which is Great Expectations being imported.
    """
    chosen = load_suites(suites, folder)
    gx = _great_expectations()
    with (
        frozen_view(dsn, limit=settings.database_timeout * _WHOLE) as view,
        _datasource(gx, view) as datasource,
    ):
        return tuple(result for suite in chosen for result in _run_suite(datasource, view, suite, settings))


@contextmanager
def _datasource(gx: Any, view: FrozenView) -> Iterator[Any]:
    """A PostgreSQL datasource in a context that lives in memory only: nothing is written, nothing is sent anywhere."""
    from great_expectations.data_context.types.base import (  # noqa: PLC0415 - see _great_expectations
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    configuration = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=configuration)
    try:
        datasource = context.data_sources.add_postgres(
            "bot", connection_string=_NO_ADDRESS, kwargs={"creator": view.connect}
        )
    except Exception as error:  # noqa: BLE001 - as below
        raise view.mapped(error) from None
    # one engine tests the connection, the other runs the metrics
    engines = (datasource.get_engine(), datasource.get_execution_engine().engine)
    try:
        for engine in engines:
            view.follow(engine)
        yield datasource
    finally:
        for engine in engines:
            engine.dispose()


def _great_expectations() -> Any:
    """The library, imported here and not above: it takes some seconds, and DAG files import this module."""
    try:
        with warnings.catch_warnings():
            # It still imports sre_constants and sre_parse, deprecated since Python 3.11; nothing of ours does.
            warnings.filterwarnings(
                "ignore", "module 'sre_(constants|parse)' is deprecated", DeprecationWarning
            )
            import great_expectations  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "Great Expectations is not installed, so no suite was run.",
            hint="Install the extra: pip install 'posguard[quality]'.",
        ) from None
    return great_expectations


def _run_suite(
    datasource: Any, view: FrozenView, suite: Suite, settings: Settings
) -> Iterator[ExpectationResult]:
    applicable: list[Expectation] = []
    for rule in suite.expectations:
        if missing := [column for column in rule.needs if column not in view.columns]:
            yield not_applicable(suite, rule, missing)
        else:
            applicable.append(rule)
    if not applicable:
        return
    view.schema, table = suite.place
    view.allow(settings.database_timeout)
    try:
        asset = datasource.add_table_asset(suite.name, table_name=table)
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        rows = _row_count(batch)
    except Exception as error:  # noqa: BLE001 - Great Expectations raises what its drivers raise; none of it is lost
        said = view.cleaned(_first_words(error))
        yield from (not_judged(suite, rule, said) for rule in applicable)
        return
    for rule in applicable:
        view.allow(settings.database_timeout)
        yield _run_rule(batch, view, suite, rule, grace=settings.grace, rows=rows)


def _run_rule(
    batch: Any, view: FrozenView, suite: Suite, rule: Expectation, *, grace: timedelta, rows: int | None
) -> ExpectationResult:
    from great_expectations.expectations.expectation_configuration import (  # noqa: PLC0415 - see _great_expectations
        ExpectationConfiguration,
    )

    query = rule.query_at(suite.table, view.as_of, grace)
    try:
        configuration = ExpectationConfiguration(
            type=rule.type, kwargs=rule.kwargs_at(view.as_of, grace), severity=str(rule.severity)
        )
        # one at a time: a metric that fails would take its neighbours in one bundled statement with it
        found = batch.validate(configuration.to_domain_obj(), result_format=_result_format(suite, rule))
    except Exception as error:  # noqa: BLE001 - as above
        return not_judged(suite, rule, view.cleaned(_first_words(error)), rows=rows, query=query)
    return judged(
        suite,
        rule,
        success=found.success,
        result=found.result or {},
        exceptions=found.exception_info or {},
        rows=rows,
        query=query,
        cleaned=view.cleaned,
    )


def _result_format(suite: Suite, rule: Expectation) -> dict[str, Any]:
    """Up to 200 keys of failing rows. A query's rows come with COMPLETE only, which is bounded to 200 by itself."""
    if rule.type == ROWS:
        return {"result_format": "COMPLETE"}
    return {
        "result_format": "SUMMARY",
        "unexpected_index_column_names": [suite.key],
        "partial_unexpected_count": KEYS_KEPT,
        "return_unexpected_index_query": True,
    }


def _row_count(batch: Any) -> int | None:
    from great_expectations.expectations import ExpectTableRowCountToBeBetween  # noqa: PLC0415 - see _great_expectations

    found = batch.validate(ExpectTableRowCountToBeBetween(min_value=0))
    count = (found.result or {}).get("observed_value")
    return count if isinstance(count, int) else None


def _first_words(error: BaseException) -> str:
    """What the driver said where a driver is behind the error, else what the error says."""
    return str(driver_error(error) or error) or type(error).__name__
