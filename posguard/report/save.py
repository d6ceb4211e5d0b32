"""The report as one file that needs nothing beside itself."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.report.read import read_known
from posguard.report.render import file_page, overview

if TYPE_CHECKING:
    from pathlib import Path

    from posguard.postgres.pool import Database


async def save_report(db: Database, path: Path, *, demo: bool = False, at: datetime | None = None) -> Path:
    """Writes the overview of what is known to `path`; whoever reads it sees the old file or the new one, never half.

    Returns the absolute path. Raises posguard's errors where the database cannot be read, OSError where the file cannot be
    written.
    """
    moment = at or datetime.now(UTC)
    known = await read_known(db, at=moment, demo=demo)
    return await asyncio.to_thread(_write, path, overview(known, file_page(moment)))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    return part.replace(path).resolve()
