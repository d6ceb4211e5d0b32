"""Logs on object storage: which files an address names, and each of them opened, by fsspec.

The machine's own credentials are used, as the storage's library finds them (for S3: `AWS_…` in the environment, a profile). Where
Airflow opens an address its Connections are used instead, and only the listing is done here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from posguard.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterable

_GLOB = frozenset("*?[")
# `s3://connection@bucket/…`: the Connection is Airflow's, and nothing that another program knows.
_CONNECTION = re.compile(r"^(\w[\w+.-]*://)[^/@]+@")


class Place(NamedTuple):
    """An address taken apart: its file system, its path there, and what stands before the path in the address."""

    system: Any
    path: str
    prefix: str


def is_remote(path: str) -> bool:
    """Whether a path is an address, and no local file."""
    return "://" in path


def place_of(address: str) -> Place:
    """Where an address points to. Raises LogError where no installed library opens addresses of its kind."""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - asked for by addresses alone, and a machine may lack it

        system, path = url_to_fs(_CONNECTION.sub(r"\1", address))
    except (ImportError, ValueError) as error:
        raise LogError(
            f"{address} cannot be opened: {error}. Nothing was read.",
            hint="Install the storage's library (for S3: pip install s3fs), or copy the file here.",
        ) from None
    return Place(system, path, prefix_of(address, path))


def prefix_of(address: str, path: str) -> str:
    """What stands before the path in an address: the scheme, and the Connection where it names one."""
    scheme, _, rest = address.partition("://")
    rest = rest.rstrip("/")
    return f"{scheme}://{rest[: -len(path)]}" if path and rest.endswith(path) else f"{scheme}://"


def files_at(address: str, place: Place) -> dict[str, int | None]:
    """The files that an address names with their sizes: a file, a folder (what has `.log` in its name) or a glob in a folder.

    Raises LogError where there is none, and the storage's own errors.
    """
    system, path = place.system, place.path
    if _GLOB & set(path.rpartition("/")[2]):
        named = [one for one in system.glob(path) if system.isfile(one)]
    elif system.isdir(path):
        named = [one["name"] for one in system.ls(path, detail=True) if _is_log(one)]
    else:
        named = [path] if system.exists(path) else []
    if not named:
        raise LogError(
            f"There is no log at {address}. Nothing was read.",
            hint="Check the path, or POSGUARD_LOG_SOURCES.",
        )
    return {f"{place.prefix}{one}": system.size(one) for one in named}


def named_files(paths: Iterable[str]) -> dict[str, int | None]:
    """The paths, each address among them as the files that it names, with their sizes; None for local ones. Raises LogError."""
    found: dict[str, int | None] = {}
    for path in paths:
        try:
            found |= files_at(path, place_of(path)) if is_remote(path) else {path: None}
        except LogError:
            raise
        except Exception as error:  # noqa: BLE001 - each storage has errors of its own
            raise _unread(path, error) from None
    return found


def open_anywhere(path: str) -> BinaryIO:
    """A file at an address, or a local one. Raises LogError for an address that cannot be opened, OSError for a file."""
    if not is_remote(path):
        return cast("BinaryIO", open(path, "rb", buffering=0))  # noqa: PTH123 - the caller closes it
    place = place_of(path)
    try:
        return cast("BinaryIO", place.system.open(place.path, "rb"))
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        raise _unread(path, error) from None


def _is_log(info: dict[str, Any]) -> bool:
    return info["type"] == "file" and ".log" in info["name"].rpartition("/")[2]


def _unread(address: str, error: Exception) -> LogError:
    return LogError(
        f"{address} cannot be read: {str(error) or type(error).__name__}. Nothing was read from it.",
        hint="Check the address, and the credentials that the storage's library uses.",
    )
