"""The analysis of a window as one script for psql: the queries of posguard.postgres.analysis, word for word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from posguard.model.analysis import SECTIONS
from posguard.postgres.analysis import AGED, LISTED, QUERIES
from posguard.postgres.queries import script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

_HEAD = r"""-- The analysis of a window of the bot's trading, in 14 sections. Reads only.
--   psql "$POSGUARD_DSN" -f analysis.sql
--   psql "$POSGUARD_DSN" -v since='2025-10-22 14:00+00' -v until='2025-10-22 22:00+00' -f analysis.sql
-- Further: -v aged='3 hours' (from which age an open row counts as aged), -v listed=500 (rows of a list).
\set ON_ERROR_STOP off
\set ON_ERROR_ROLLBACK on
\set QUIET on
\pset pager off
\pset null '–'
SET TIME ZONE 'UTC';
{defaults}
SELECT
    quote_literal(:'since'::timestamptz) AS since,
    quote_literal(:'until'::timestamptz) AS until,
    quote_literal(:'aged'::interval) AS aged
\gset
\echo The window from :since to :until
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL work_mem = '128MB';
SET LOCAL jit = off;
"""
_DEFAULT = r"""\if :{{?{name}}}
\else
SELECT {value} AS {name} \gset
\endif
"""
_PART = r"""
{comment}
\echo '  {name}'
SELECT {asked} AS known \gset
\if :known
{body}
\else
\echo '  no source: {needs}'
\endif
"""
_COLUMNS = (
    "(SELECT count(*) = {number} FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass('{table}') AND attname IN ({names})"
    " AND NOT attisdropped AND has_column_privilege(attrelid, attnum, 'SELECT'))"
)
_NAMED = re.compile(
    r"^-- name: (\w+)[\^$!]?\n((?:--[^\n]*\n)*)(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL
)


def psql_script(
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    aged: timedelta = AGED,
    listed: int = LISTED,
) -> str:
    """The whole analysis as a script that `psql -f` runs, every part in one snapshot and read only.

    The window is set in it, unless psql's -v sets another; without one it is the eight hours until now. A part whose columns the
    database lacks says "no source".
    """
    values = {
        "until": f"'{until.isoformat()}'" if until else "now()::text",
        "since": f"'{since.isoformat()}'" if since else "(:'until'::timestamptz - interval '8 hours')::text",
        "aged": f"'{int(aged.total_seconds())} seconds'",
        "listed": str(listed),
    }
    defaults = "".join(_DEFAULT.format(name=name, value=value) for name, value in values.items())
    texts = {
        name: (comment.rstrip(), body.strip())
        for file in sorted({query.file for query in QUERIES.values()})
        for name, comment, body in _NAMED.findall(script(file))
    }
    sections = [
        f"\n\\echo\n\\echo '{section.number}. {section.title}'\n"
        + "".join(_part(name, *texts[name]) for name in section.parts)
        for section in SECTIONS
    ]
    return _HEAD.format(defaults=defaults) + "".join(sections) + "\nROLLBACK;\n"


def _part(name: str, comment: str, body: str) -> str:
    needs = QUERIES[name].needs
    return _PART.format(
        comment=comment,
        name=name,
        body=body,
        asked=" AND ".join(_asked(table, names) for table, names in needs.items()) or "TRUE",
        needs=_said(needs),
    )


def _asked(table: str, names: frozenset[str]) -> str:
    quoted = ", ".join(f"'{name}'" for name in sorted(names))
    return _COLUMNS.format(number=len(names), table=table, names=quoted)


def _said(needs: Mapping[str, frozenset[str]]) -> str:
    return "; ".join(f"{table} with {', '.join(sorted(names))}" for table, names in needs.items())
