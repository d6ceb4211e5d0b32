"""docker-compose.yaml, Dockerfile and .env.example hold what the repository has, and no secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from posguard.settings import EXCHANGES, known_variables

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
AIRFLOW = {name: body for name, body in SERVICES.items() if name.startswith("airflow-")}
COMPONENTS = {
    "airflow-api-server": "api-server",
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag-processor",
    "airflow-triggerer": "triggerer",
    "airflow-worker": "celery worker",
}
BESIDE = {"posguard-alerts", "posguard-monitor", "posguard-metrics", "prometheus", "grafana"}
EXAMPLE = dotenv_values(ROOT / ".env.example")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_services_are_those_of_an_airflow_with_celery():
    assert set(SERVICES) == {"postgres", "redis", "airflow-init", *COMPONENTS, *BESIDE}
    assert {name: AIRFLOW[name]["command"] for name in COMPONENTS} == COMPONENTS
    environment = AIRFLOW["airflow-worker"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert "name" not in COMPOSE  # docker-compose 1.29 refuses it


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_waits_for_the_schema_and_says_how_it_is(name):
    waits = {service: how["condition"] for service, how in AIRFLOW[name]["depends_on"].items()}
    assert waits == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "airflow-init": "service_completed_successfully",
    }
    assert AIRFLOW[name]["healthcheck"]["test"]
    assert AIRFLOW[name]["restart"] == "unless-stopped"


def test_databases_say_how_they_are():
    assert SERVICES["postgres"]["healthcheck"]["test"]
    assert SERVICES["redis"]["healthcheck"]["test"]


def test_the_schemas_are_made_before_anything_starts():
    command = SERVICES["airflow-init"]["command"]
    script = ROOT / command[1].removeprefix("/opt/posguard/")
    lines = script.read_text(encoding="utf-8")
    assert lines.index("airflow db migrate") < lines.index("posguard db upgrade")
    assert "set -euo pipefail" in lines
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    for name in re.findall(r"\$(?:\{)?([A-Z_]+)", lines):
        assert name in SERVICES["airflow-init"]["environment"], name


def test_volumes_are_declared_and_ports_are_loopback_only():
    mounts = {mount for body in SERVICES.values() for mount in body.get("volumes", ())}
    bound = {mount for mount in mounts if mount.startswith("${")}
    shipped = {mount for mount in mounts if mount.startswith("./")}
    assert {mount.split(":")[0] for mount in mounts - bound - shipped} == set(COMPOSE["volumes"])
    for mount in shipped:
        folder, _, how = mount.split(":")
        assert (ROOT / folder).is_dir()
        assert how == "ro"
    assert bound == {
        "${BOT_LOGS_FOLDER:-./bot-logs}:/opt/airflow/bot-logs:ro"
    }  # nobody writes into the bot's logs
    assert bound <= set(SERVICES["airflow-worker"]["volumes"])
    ports = [port for body in SERVICES.values() for port in body.get("ports", ())]
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}
    assert {port.split("${")[1].split(":")[0] for port in ports} == {
        "AIRFLOW_UI_PORT",
        "PROMETHEUS_PORT",
        "GRAFANA_PORT",
    }


def test_what_the_image_copies_is_there_and_gets_into_the_context():
    sources = [
        source
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in [word for word in line.split() if not word.startswith("--")][:-1]
    ]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), (
            source
        )
    for folder in ("dags", "plugins"):
        assert f"{folder} /opt/airflow/{folder}" in DOCKERFILE
        setting = f"AIRFLOW__CORE__{folder.upper()}_FOLDER"
        assert AIRFLOW["airflow-worker"]["environment"][setting] == f"/opt/airflow/{folder}"


def versions(path):
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text(), re.MULTILINE))


def test_the_image_holds_the_versions_that_are_tested():
    image, tested = versions("docker/requirements.lock"), versions("requirements.lock")
    (base,) = re.findall(r"^FROM apache/airflow:(?:slim-)?([\d.]+)-python3\.11$", DOCKERFILE, re.MULTILINE)
    assert base == image["apache-airflow"] == tested["apache-airflow"]
    project = (ROOT / "pyproject.toml").read_text()
    for needed in re.findall(
        r'^  "([a-z-]+)(?:\[\w+\])?>=', project.split("[project.optional-dependencies]")[0], re.MULTILINE
    ):
        assert image[needed] == tested[needed], needed
    for needed in ("great-expectations", "pandas", "apache-airflow-providers-postgres"):
        assert image[needed] == tested[needed], needed
    assert {"apache-airflow-providers-celery", "apache-airflow-providers-fab", "redis"} <= set(image)
    assert "--hash=sha256:" in (ROOT / "docker/requirements.lock").read_text()
    assert "index-url" not in (ROOT / "docker/requirements.lock").read_text()


def test_secrets_come_from_the_environment_and_the_example_lists_each():
    needed = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):\?", TEXT))
    optional = set(re.findall(r"(?<!\$)\$\{([A-Z_]+):-", TEXT))
    assert needed | optional == set(EXAMPLE)
    assert {n for n in needed if re.search("PASSWORD|SECRET|KEY|DSN|CONN", n)} == needed
    for line in TEXT.splitlines():
        found = re.match(r"\s+(\w*(?:PASSWORD|SECRET|KEY|DSN|BROKER_URL|BACKEND|CONN)\w*): (.+)", line)
        assert not found or "${" in found[2], line
    for name in re.findall(r"\bPOSGUARD_[A-Z_]+\b", TEXT.replace("AIRFLOW_CONN_POSGUARD_", "")):
        assert name in known_variables(), name


def test_the_connections_are_those_that_the_dags_read(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "plugins"))
    import posguard_airflow

    read = {posguard_airflow.DATABASE, *posguard_airflow.VENUES.values()}
    change = {posguard_airflow.WRITER, *posguard_airflow.TRADERS.values()}
    for name in COMPONENTS:
        wanted = read | change if name == "airflow-worker" else read
        assert connections_of(name) == wanted, name  # what may change something is in the worker alone
    assert EXAMPLE["AIRFLOW_FERNET_KEY"] == EXAMPLE["AIRFLOW_ADMIN_PASSWORD"] == ""
    # the example's connections are read as they stand
    fields = json.loads(EXAMPLE["AIRFLOW_CONN_POSGUARD_DB"])
    address = posguard_airflow.database_address(_connection(fields)).get_secret_value()
    assert address == "postgresql://posguard_reader:PASSWORD@HOST:5432/DATABASE?sslmode=require"
    for exchange in EXCHANGES:
        venue = posguard_airflow.venue_settings(
            exchange, _connection(json.loads(EXAMPLE[f"AIRFLOW_CONN_POSGUARD_{exchange.upper()}"]))
        )
        assert (venue.exchange, venue.world, venue.base_url) == (exchange, "testnet", None)


def connections_of(service):
    names = [n for n in AIRFLOW[service]["environment"] if n.startswith("AIRFLOW_CONN_")]
    return {name.removeprefix("AIRFLOW_CONN_").lower() for name in names}


def test_backups_outlive_the_worker_and_belong_to_airflows_user():
    worker = SERVICES["airflow-worker"]
    folder = worker["environment"]["POSGUARD_BACKUP_FOLDER"]
    assert f"posguard-backups:{folder}" in worker["volumes"]
    assert (
        "airflow-logs:/opt/airflow/logs" in worker["volumes"]
    )  # a list of one's own replaces the common one
    assert f"RUN mkdir -m 700 {folder}\n" in DOCKERFILE


def test_what_runs_without_airflow_runs_as_the_monitor_and_in_words_that_exist(capsys):
    from posguard.cli.app import run

    beside = {
        "posguard-monitor": set(),
        "posguard-metrics": set(),
        "posguard-alerts": {"POSGUARD_ALERT_ROUTES"},
    }
    for name, settings in beside.items():
        body = SERVICES[name]
        assert set(body["environment"]) == {"POSGUARD_DSN", *settings}
        assert "MONITOR_DSN" in body["environment"]["POSGUARD_DSN"]
        assert "ports" not in body  # Prometheus alone reaches the metrics
        words = body["command"]
        assert run([*(word for word in words if word.isalpha()), "--help"]) == 0
        known = capsys.readouterr().out
        assert all(word in known for word in words if word.startswith("--")), words
    assert "posguard_monitor" in EXAMPLE["MONITOR_DSN"]
    monitor = SERVICES["posguard-monitor"]
    folder = monitor["command"][monitor["command"].index("--out") + 1]
    assert f"posguard-monitor:{folder}" in monitor["volumes"]  # a restart goes on with the run and its files
    assert f"RUN mkdir -m 700 {folder}\n" in DOCKERFILE


def test_prometheus_and_grafana_find_one_another():
    scraped = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    host, port = scraped["static_configs"][0]["targets"][0].split(":")
    command = SERVICES[host]["command"]
    assert command[command.index("--port") + 1] == port
    folder = ROOT / "docker/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards/posguard.yml").read_text())["providers"]
    mounted = {m.split(":")[1]: m.split(":")[0] for m in SERVICES["grafana"]["volumes"]}
    dashboards = ROOT / mounted[provider["options"]["path"]]
    assert [file.name for file in dashboards.glob("*.json")] == ["posguard.json"]
    for body in (SERVICES["prometheus"], SERVICES["grafana"]):
        assert re.search(r":v?\d+\.\d+\.\d+$", body["image"])  # no moving tag
        assert body["healthcheck"]["test"]


def _connection(fields):
    from airflow.sdk import Connection

    fields = dict(fields)
    return Connection(conn_id="x", **{**fields, "extra": json.dumps(fields.pop("extra"))})


def test_health_is_asked_where_the_components_answer():
    from airflow.cli import cli_parser

    environment = AIRFLOW["airflow-scheduler"]["environment"]
    assert environment["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "true"
    assert "8974" in SERVICES["airflow-scheduler"]["healthcheck"]["test"][-1]
    known = cli_parser.get_parser()
    for name in ("airflow-dag-processor", "airflow-triggerer"):
        words = SERVICES[name]["healthcheck"]["test"][1].split()
        known.parse_args([word.strip('"') for word in words[1:]])
    for name in ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"):
        known.parse_args([COMPONENTS[name]])


@pytest.mark.parametrize(
    "program", [["docker-compose"], ["docker", "compose"]], ids=["docker-compose 1.29", "Compose v2"]
)
def test_the_compose_programs_read_it(program, tmp_path):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    if program[1:] and subprocess.run([*program, "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker command here has no Compose v2 plugin")
    filled, empty = tmp_path / "filled", tmp_path / "empty"
    filled.write_text("".join(f"{name}='{value or 'x1'}'\n" for name, value in EXAMPLE.items()))
    empty.write_text("AIRFLOW_UI_PORT=1\n")

    def config(env_file, *words):
        command = [*program, "--file", str(ROOT / "docker-compose.yaml"), "--env-file", str(env_file)]
        return subprocess.run([*command, "config", *words], capture_output=True, text=True, check=False)

    assert config(filled, "-q").returncode == 0, config(filled, "-q").stderr
    services = yaml.safe_load(config(filled).stdout)["services"]
    given = services["airflow-worker"]["environment"]["AIRFLOW_CONN_POSGUARD_DB"]
    assert json.loads(given)["extra"] == {"sslmode": "require"}
    refused = config(empty, "-q")
    assert refused.returncode != 0
    assert "see .env.example" in refused.stderr  # a secret that is missing is named
