"""The record of the running demo: where its database, its exchanges and its Airflow are, for commands with `--demo`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from posguard.errors import SettingsError
from posguard.settings import LogSource, VenueSettings

FOLDER = Path(".posguard")
RECORD = "demo.json"
TRUTH = "truth.json"


class AirflowAddress(BaseModel):
    """Where the demo's Airflow listens, and the login of its first user."""

    model_config = ConfigDict(frozen=True)

    url: str
    user: str
    password: SecretStr


class DemoRecord(BaseModel):
    """What a command needs to look at the running demo. `pid` and `started` name the process that keeps it up."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    dsn: SecretStr
    simulator: str
    venues: tuple[VenueSettings, ...]
    airflow: AirflowAddress | None = None
    log_sources: tuple[LogSource, ...] = ()


def write_record(record: DemoRecord, folder: Path = FOLDER) -> None:
    """Writes the record, readable by its owner alone; a reader sees the old one or the new one, never half."""
    text = json.dumps(record.model_dump(mode="json") | _plain(record), indent=1)
    part = folder / f"{RECORD}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(folder / RECORD)


def read_record(folder: Path = FOLDER) -> DemoRecord:
    """The record of the demo that runs in this folder. Raises SettingsError that says how to start one."""
    try:
        record = DemoRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        record = None
    if record is None or not runs(record):
        raise SettingsError(
            "No demo runs here. Nothing was done.", hint="Start one with `make demo`, in another terminal."
        )
    return record


def runs(record: DemoRecord) -> bool:
    """Whether the process that wrote the record is still there (and not another with its number)."""
    try:
        return abs(psutil.Process(record.pid).create_time() - record.started) < 1
    except psutil.Error:
        return False


def _plain(record: DemoRecord) -> dict[str, object]:
    """The fields that hold secrets, spelled out: the simulator's keys open nothing but the simulator."""
    venues = [
        venue.model_dump(mode="json")
        | {"api_key": venue.api_key.get_secret_value(), "api_secret": venue.api_secret.get_secret_value()}
        for venue in record.venues
    ]
    airflow = record.airflow and (
        record.airflow.model_dump(mode="json") | {"password": record.airflow.password.get_secret_value()}
    )
    return {"dsn": record.dsn.get_secret_value(), "venues": venues, "airflow": airflow}
