"""Backups: what a plan is about to change, as one JSON file that is read back before anything changes (K8).

Invariants: a file is written whole or not at all, readable by its owner alone; a name cannot lead out of the folder or through a
link; a file that was damaged is refused.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posguard.errors import PosguardError, RefusedError, UsageError
from posguard.model.exact_json import dumps, loads
from posguard.postgres.schema import NEWEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUFFIX = ".json"
_LARGEST = 256 * 1024 * 1024


@dataclass(frozen=True)
class Backup:
    """What a file holds. data are whole rows, each with the line it belongs to."""

    path: Path
    checksum: str
    said: Mapping[str, Any]

    @property
    def code(self) -> str:
        """The code of the plan it was made for."""
        return str(self.said["plan"]["code"])


def named_path(folder: Path, name: str) -> Path:
    """The path of a backup: a bare name lies in the folder of backups, any other below the present one.

    Raises UsageError for a name that leads elsewhere, RefusedError for a link.
    """
    path = Path(name)
    if not name.strip() or "\0" in name or ".." in path.parts:
        raise UsageError(f"'{name}' is no name of a backup. Nothing was changed.")
    if path.is_absolute():
        if path.parent != folder:
            raise UsageError(
                f"'{name}' is an absolute path. Nothing was changed.",
                hint="Name a file below the present folder.",
            )
    elif len(path.parts) == 1:
        path = folder / path
    return _without_links(path)


def _without_links(path: Path) -> Path:
    """The path. Raises RefusedError where it, or a folder below the present one on the way to it, is a link."""
    for part in (path,) if path.is_absolute() else (path, *path.parents):
        if part.is_symlink():
            raise RefusedError(f"{part} is a link. Nothing was changed.", hint="Name the file itself.")
    return path


def default_name(code: str, mode: str, now: datetime) -> str:
    """`20261121T031500Z-duplicates-ABCD-EFGH.json`."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{mode}-{code}{SUFFIX}"


def write_backup(path: Path, said: Mapping[str, Any]) -> Backup:
    """Writes a backup and reads it back. Raises RefusedError where the file is there already, PosguardError where it cannot be."""
    text = dumps(with_checksum(said), indent=1)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _without_links(path)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(part, path)  # fails where the name is taken, unlike a rename
        finally:
            part.unlink(missing_ok=True)
        _sync(path.parent)
    except FileExistsError:
        raise RefusedError(
            f"{path} is there already. Nothing was changed.", hint="Name another file with --backup."
        ) from None
    except OSError as error:
        raise PosguardError(
            f"The backup {path} cannot be written ({error.strerror}). Nothing was changed.",
            hint="Name another file with --backup.",
        ) from None
    return read_backup(path)


def read_backup(path: Path) -> Backup:
    """A backup whose checksum holds. Raises UsageError where there is none, RefusedError where it is damaged."""
    damaged = RefusedError(
        f"{path} is damaged or no backup of posguard's: its checksum does not hold. Nothing was changed.",
        hint="Use another copy of it.",
    )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}). Nothing was changed.") from None
    try:
        said = loads(text) if len(text) <= _LARGEST else None
    except ValueError:
        raise damaged from None
    if not isinstance(said, dict) or said.get("checksum") != checksum_of(said):
        raise damaged
    return Backup(path, str(said["checksum"]), said)


def with_checksum(said: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its checksum."""
    plain = loads(dumps(dict(said)))
    return {**plain, "checksum": checksum_of(plain)}


def checksum_of(said: Mapping[str, Any]) -> str:
    """SHA-256 over everything but the checksum itself."""
    content = {name: value for name, value in said.items() if name != "checksum"}
    return hashlib.sha256(dumps(content, sort_keys=True).encode()).hexdigest()


def content(
    *,
    created_at: datetime,
    mode: str,
    filters: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    positions: Sequence[Mapping[str, Any]],
    orders: Sequence[Mapping[str, Any]],
    plan: Mapping[str, Any],
) -> dict[str, Any]:
    """What a backup says."""
    return {
        "created_at": created_at.astimezone(UTC).isoformat(),
        "mode": mode,
        "filters": dict(filters),
        "total_records": len(rows),
        "data": [dict(row) for row in rows],
        "venue": {"positions": [dict(p) for p in positions], "orders": [dict(o) for o in orders]},
        "schema_version": NEWEST,
        "plan": dict(plan),
    }


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
