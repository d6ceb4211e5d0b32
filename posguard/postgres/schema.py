"""Whether posguard's own schema is there and is the one this program knows; light, where posguard.postgres.migrate loads Alembic."""

from __future__ import annotations

from typing import Any

from posguard.errors import SchemaError
from posguard.postgres.queries import queries

# The newest revision in migrations/versions; a test holds it there.
NEWEST = "0011"


async def schema_version(connection: Any) -> str | None:
    """The version of posguard's schema in this database; None where it is not there."""
    if not await queries("schema").has_version_table(connection):
        return None
    version: str | None = await queries("schema").version(connection)
    return version


async def require_schema(connection: Any) -> None:
    """Passes where posguard's schema is the newest. Raises SchemaError that says what to run; reads only."""
    version = await schema_version(connection)
    if version == NEWEST:
        return
    if version is None:
        raise SchemaError(
            "posguard's schema is missing in this database. Nothing was changed.",
            hint="Run `posguard db upgrade`.",
        )
    if version > NEWEST:
        raise SchemaError(
            f"posguard's schema is at {version}, and this program knows {NEWEST} at most. Nothing was changed.",
            hint="Upgrade posguard.",
        )
    raise SchemaError(
        f"posguard's schema is at {version} and has to be at {NEWEST}. Nothing was changed.",
        hint="Run `posguard db upgrade`.",
    )
