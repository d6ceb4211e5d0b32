"""`posguard logs load` and `retain` as typed, and the log lines of `posguard check`."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from posguard.errors import ExitCode
from posguard.logs.generator import Recipe, make_log, write_rotated
from tests.program import posguard

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC).replace(microsecond=0)
LOG = Recipe(
    seed=8,
    zone="Europe/Berlin",
    start=NOW - timedelta(days=2),
    noise=100,
    opens=6,
    happenings=20,
    incidents=False,
)


@pytest.fixture
def env(bot_dsn, tmp_path):
    source = {"name": "bot", "paths": [str(tmp_path / "logs")], "zone": LOG.zone}
    (tmp_path / "logs").mkdir()
    return {"POSGUARD_DSN": bot_dsn.get_secret_value(), "POSGUARD_LOG_SOURCES": json.dumps([source])}


def count(env):
    with psycopg.connect(env["POSGUARD_DSN"]) as connection:
        return connection.execute("SELECT count(*) FROM posguard.log_events").fetchone()[0]


def test_declared_sources_are_loaded_once_and_races_become_findings(env, tmp_path):
    truth = write_rotated(tmp_path / "logs", LOG)
    first = posguard("logs", "load", "--json", folder=tmp_path, **env)
    assert (first.code, first.err) == (0, "")
    assert sum(file["new_events"] for file in first.json["files"]) == truth.events == count(env)
    assert first.json["races"] == first.json["findings"]["found"] == len(truth.races)
    again = posguard("logs", "load", str(tmp_path / "logs" / "bot.log"), folder=tmp_path, **env)
    assert again.code == 0
    assert "0 new events" in again.out


def test_whose_log_it_is_is_never_guessed(env, tmp_path):
    path = tmp_path / "other.log"
    path.write_bytes(make_log(LOG)[0])
    posguard("logs", "load", str(path), folder=tmp_path, **env).fails_with(ExitCode.USAGE, "zone")
    alone = posguard("logs", "load", str(path), "--tz", "Europe/Berlin", folder=tmp_path, **env)
    alone.fails_with(ExitCode.USAGE, "--source")
    wrong = posguard("logs", "load", "--source", "bot", "--tz", "UTC", str(path), folder=tmp_path, **env)
    wrong.fails_with(ExitCode.USAGE, "Europe/Berlin")
    odd = posguard("logs", "load", str(path), "--source", "a b", "--tz", "UTC", folder=tmp_path, **env)
    odd.fails_with(ExitCode.USAGE, "a b")
    assert count(env) == 0
    given = posguard(
        "logs", "load", str(path), "--source", "vps2", "--tz", "Europe/Berlin", folder=tmp_path, **env
    )
    assert given.code == 0, given.err
    assert count(env) > 0


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_loaded(env, tmp_path):
    truth = write_rotated(tmp_path / "logs", LOG)
    broken = "/proc/self/mem"  # a file whose first bytes nobody may read
    done = posguard("logs", "load", "--source", "bot", broken, str(tmp_path / "logs"), folder=tmp_path, **env)
    assert done.code == ExitCode.PARTLY
    assert f"{broken} cannot be read" in done.err
    assert count(env) == truth.events
    alone = posguard("logs", "load", "--source", "bot", broken, folder=tmp_path, **env)
    assert alone.code == ExitCode.INCONCLUSIVE


def test_a_file_that_is_no_log_is_not_counted_as_loaded(env, tmp_path):
    (tmp_path / "rubbish.log").write_bytes(b"no line of a log\n" * 100)
    words = ("logs", "load", "--source", "bot", "rubbish.log")
    done = posguard(*words, folder=tmp_path, **env)
    assert (done.code, "No line of rubbish.log begins" in done.err) == (ExitCode.INCONCLUSIVE, True)
    write_rotated(tmp_path / "logs", LOG)
    assert posguard(*words, str(tmp_path / "logs"), folder=tmp_path, **env).code == ExitCode.PARTLY


def test_a_file_that_breaks_off_is_loaded_in_part_and_from_an_address_whole(env, tmp_path):
    data, truth = make_log(LOG)
    packed = gzip.compress(data)
    path = tmp_path / "logs" / "bot.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    done = posguard("logs", "load", folder=tmp_path, **env)
    assert (done.code, "the gzip file ends early" in done.err) == (ExitCode.PARTLY, True)
    assert 0 < count(env) < truth.events
    path.write_bytes(packed)
    done = posguard("logs", "load", "--source", "bot", f"file://{tmp_path}/logs/", folder=tmp_path, **env)
    assert (done.code, done.err, count(env)) == (0, "", truth.events)


def test_what_is_too_old_is_refused_with_the_way_to_load_it_and_deleted_by_retain(env, tmp_path):
    old = replace(LOG, start=NOW - timedelta(days=100), seed=9)
    (tmp_path / "logs" / "bot.log.1").write_bytes(make_log(old)[0])
    data, young = make_log(LOG)
    (tmp_path / "logs" / "bot.log").write_bytes(data)
    refused = posguard("logs", "load", folder=tmp_path, **env)
    assert "Raise POSGUARD_LOG_RETENTION_DAYS" in refused.err
    assert refused.code == 0
    assert count(env) == young.events
    more = env | {"POSGUARD_LOG_RETENTION_DAYS": "120"}
    posguard("logs", "load", folder=tmp_path, **more)
    both = count(env)
    assert both > young.events
    dry = posguard("logs", "retain", folder=tmp_path, **env)
    assert (dry.code, count(env)) == (0, both)
    assert "posguard logs retain --days 90 --confirm" in dry.out
    done = posguard("logs", "retain", "--confirm", "--json", folder=tmp_path, **env)
    assert (done.json["done"], done.json["events"]) == (True, both - young.events)
    assert count(env) == young.events
    with psycopg.connect(env["POSGUARD_DSN"]) as connection:
        left = connection.execute(
            "SELECT count(*) FROM posguard.log_files WHERE latest < now() - interval '90 days'"
        )
        assert left.fetchone() == (2,)  # begun today: what was refused is remembered
    posguard("logs", "retain", "--days", "6", folder=tmp_path, **env).fails_with(ExitCode.USAGE, "7")


def test_check_looks_at_the_declared_logs(env, tmp_path):
    def line(**more):
        lines = posguard("check", "--json", folder=tmp_path, **(env | more)).json["lines"]
        return next(one for one in lines if one["area"] == "logs")

    assert line()["mark"] == "warn"
    (tmp_path / "logs" / "bot.log").write_bytes(
        make_log(replace(LOG, start=NOW - timedelta(hours=4, minutes=2)))[0]
    )
    assert (line()["mark"], "newest line" in line()["said"]) == ("ok", True)
    west = json.loads(env["POSGUARD_LOG_SOURCES"])
    west[0]["zone"] = "America/New_York"
    assert "ahead" in line(POSGUARD_LOG_SOURCES=json.dumps(west))["said"]
    assert line(POSGUARD_LOG_SOURCES="[]")["mark"] == "none"
