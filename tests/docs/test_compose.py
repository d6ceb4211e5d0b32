"""docker-compose.yaml is held to what the repository has, and to the compose programs where one is installed."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from posguard.model.venue import World

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docker-compose.yaml").read_text()
EXAMPLE = (REPOSITORY / ".env.example").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def variables() -> set[str]:
    return set(re.findall(r"\$\{(\w+)[^}]*\}", TEXT))


def test_every_part_of_airflow_is_there():
    assert set(SERVICES) == {
        "postgres", "redis", "schema", "api-server", "scheduler", "dag-processor", "triggerer", "worker",
    }  # fmt: skip
    assert "name" not in COMPOSE, "docker-compose 1.29 refuses a top-level name"


def test_each_command_exists_in_this_airflow():
    from airflow.cli.cli_parser import ALL_COMMANDS_DICT

    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        program, command = SERVICES[name]["command"]
        assert (program, command) == ("airflow", name)
        assert command in ALL_COMMANDS_DICT
    assert SERVICES["worker"]["command"] == ["airflow", "celery", "worker"]
    jobs = {command.name for command in ALL_COMMANDS_DICT["jobs"].subcommands}
    assert "check" in jobs


def test_both_schemas_come_before_anything_starts():
    assert SERVICES["schema"]["command"][-1] == "airflow db migrate && posguard db upgrade"
    for name in set(OURS) - {"schema"}:
        assert SERVICES[name]["depends_on"]["schema"] == {"condition": "service_completed_successfully"}, name
    assert "schema" not in SERVICES["schema"]["depends_on"]


def test_whatever_stays_up_says_whether_it_is_healthy():
    for name in set(SERVICES) - {"schema"}:
        assert SERVICES[name]["healthcheck"]["test"], name


def test_no_secret_has_a_value_here_and_none_has_a_default():
    assert set(re.findall(r"\$\{\w+([^}]*)\}", TEXT)) == {":?"}
    for line in TEXT.splitlines():
        if re.search(r"(PASSWORD|SECRET|FERNET_KEY|_KEY):", line):
            assert "${" in line or "passwords.json" in line, line


def test_the_example_names_every_variable_and_no_other_and_holds_no_secret():
    named = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if line and not line.startswith("#"))
    assert set(named) == variables()
    for name, value in named.items():
        if re.search(r"PASSWORD|SECRET|_KEY$", name):
            assert value == "", name


def test_connections_are_those_the_dags_read_and_name_a_world_that_exists():
    environment = SERVICES["worker"]["environment"]
    found = {
        key.removeprefix("AIRFLOW_CONN_").lower() for key in environment if key.startswith("AIRFLOW_CONN_")
    }
    sources = "".join(
        path.read_text() for folder in ("dags", "plugins") for path in (REPOSITORY / folder).glob("*.py")
    )
    assert found == {"posguard_db", "posguard_binance", "posguard_bybit"}
    assert "posguard_db" in sources
    for name in found:
        text = re.sub(r"\$\{POSGUARD_DB_PORT:\?\}", "5432", environment[f"AIRFLOW_CONN_{name.upper()}"])
        connection = json.loads(text)
        if name == "posguard_db":
            assert connection["extra"]["sslmode"] == "${POSGUARD_DB_SSLMODE:?}"
        else:
            assert connection["extra"]["world"].endswith("_WORLD:?}")
    worlds = re.findall(r"POSGUARD_\w+_WORLD=(\w+)", EXAMPLE)
    assert worlds == [World.TESTNET, World.TESTNET], "production only in the operator's own hand"


def test_folders_and_settings_are_those_of_the_repository_and_of_this_airflow():
    environment = SERVICES["worker"]["environment"]
    for key, folder in (("DAGS", "dags"), ("PLUGINS", "plugins")):
        assert environment[f"AIRFLOW__CORE__{key}_FOLDER"] == f"/opt/posguard/{folder}"
        assert f"COPY --chown=airflow:root {folder}/ {folder}/" in (REPOSITORY / "Dockerfile").read_text()
        assert (REPOSITORY / folder).is_dir()
    module, _, name = environment["AIRFLOW__CORE__AUTH_MANAGER"].rpartition(".")
    assert importlib.util.find_spec(module) is not None
    assert name == "SimpleAuthManager"
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_only_loopback_is_published():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_each_copied_path_of_the_image_exists():
    for line in (REPOSITORY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _target = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in sources:
                assert (REPOSITORY / source).exists(), source


@pytest.mark.parametrize(
    "program", [["docker-compose"], ["docker", "compose"]], ids=["docker-compose 1.29", "Compose v2"]
)
def test_the_compose_program_takes_it_and_refuses_a_missing_secret(program, tmp_path):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    if program[1:] and subprocess.run([*program, "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker command here has no Compose v2 plugin")
    filled = tmp_path / "env"
    filled.write_text(re.sub(r"=$", "=x1", EXAMPLE, flags=re.MULTILINE))
    base = [*program, "--file", str(REPOSITORY / "docker-compose.yaml"), "--env-file"]
    done = subprocess.run([*base, str(filled), "config", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    empty = tmp_path / "empty"
    empty.write_text(EXAMPLE)
    done = subprocess.run([*base, str(empty), "config", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "required variable" in done.stderr or "Missing mandatory value" in done.stderr


def test_the_image_gets_from_the_lock_what_it_lacks_and_keeps_what_it_has(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    spec = importlib.util.spec_from_file_location(
        "lock_for_image", REPOSITORY / "tools" / "lock_for_image.py"
    )
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def version(name):
        if name in {"ccxt", "asyncpg"}:
            raise PackageNotFoundError(name)
        return "0.0.1"

    monkeypatch.setattr(tool, "version", version)
    blocks, remarks = tool.missing((REPOSITORY / "requirements.lock").read_text())
    assert [block.split("==")[0] for block in blocks] == ["asyncpg", "ccxt"]
    assert all("--hash=sha256:" in block for block in blocks)
    assert any(remark.startswith("sqlalchemy 0.0.1 stays") for remark in remarks)
    assert not any(remark.startswith("pytest ") for remark in remarks)
