"""The demo as a whole: what it starts, in which order, and how it ends.

Everything lies in one folder (.posguard) and listens on loopback alone. Each start begins with fresh databases; what a
killed demo left running is ended first. Stopping ends all that was started.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from pydantic import SecretStr

from posguard.demo import airflow
from posguard.demo.botlog import log_source, write_log
from posguard.demo.processes import Processes, last_words, sweep
from posguard.demo.record import FOLDER, RECORD, TRUTH, AirflowAddress, DemoRecord, read_record, write_record
from posguard.errors import PosguardError, RefusedError, SettingsError
from posguard.model.venue import World
from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer, free_port
from posguard.settings import EXCHANGES, VenueSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = (
    "PostgreSQL on loopback",
    "exchange simulator: Binance and Bybit on the wire",
    "the bot's database and posguard's schema, seeded",
    "the demo bot, which keeps it moving",
    "Airflow: api-server, scheduler, dag-processor, triggerer",
    "posguard_reconcile, once, through the scheduler",
)
BOT_DATABASE = "bot"
READY_TIMEOUT, RUN_TIMEOUT = 180.0, 300.0


@dataclass
class Stack:
    """A running demo. Made by `running_demo`; `check()` raises where one of its processes has ended."""

    folder: Path
    say: Callable[[int, str], None]
    progress: Callable[[str], None]
    server: EmbeddedServer
    processes: Processes
    venues: tuple[VenueSettings, ...] = ()
    simulator: str = ""
    address: AirflowAddress | None = None
    viewer_password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    run_id: str = ""
    run_state: str = ""

    @property
    def dsn(self) -> SecretStr:
        """The demo bot's database."""
        return SecretStr(self.server.dsn(BOT_DATABASE))

    def check(self) -> None:
        """Raises ProcessEndedError where a process has ended by itself."""
        self.processes.check()


@contextmanager
def running_demo(
    say: Callable[[int, str], None],
    progress: Callable[[str], None],
    *,
    folder: Path = FOLDER,
    airflow_too: bool = True,
) -> Iterator[Stack]:
    """A demo that is up, its first reconciliation done; at the end everything it started is stopped.

    `say` hears each of STEPS as it begins, `progress` smaller news. Raises RefusedError where one runs in this folder
    already, PosguardError where a part does not come up; then too nothing stays behind.
    """
    with ExitStack() as closing:
        _take_folder(folder, closing)
        for name in sweep(folder):
            progress(f"ended what a killed demo left running: {name}")
        say(1, STEPS[0])
        server = EmbeddedServer.start(folder)
        closing.callback(server.stop)
        processes = Processes(folder)
        closing.callback(processes.stop)  # before the server: nobody is left to miss it
        stack = Stack(folder, say, progress, server, processes)
        metadata = _begin_metadata(stack) if airflow_too else None
        if metadata is not None and metadata.migration is not None:
            closing.callback(_end, metadata.migration)
        _start_simulator(stack)
        _seed(stack)
        _start_bot(stack)
        closing.callback((folder / RECORD).unlink, missing_ok=True)
        _record(stack)
        if metadata is not None:
            _start_airflow(stack, metadata)
            _record(stack)
            _reconcile(stack)
        yield stack


def _take_folder(folder: Path, closing: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
    lock = closing.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        where = ""
        try:
            record = read_record(folder)
        except SettingsError:
            record = None
        if record and record.airflow:
            where = f" Its page: {record.airflow.url}."
        raise RefusedError(
            f"A demo runs in this folder already.{where} Nothing was started.", hint="Stop it with Ctrl+C."
        ) from None


def _repository_file(name: str) -> Path:
    path = REPOSITORY / name
    if not path.is_dir():
        raise SettingsError(
            f"The demo needs the repository's {name}/ and this is an installed package. Nothing was started.",
            hint="Clone the repository and run `make demo` there.",
        )
    return path


# PostgreSQL and Airflow's metadata


@dataclass(frozen=True, slots=True)
class _Metadata:
    """Airflow's metadata database under way: a migration that runs beside the other steps, or a copy that is there."""

    port: int
    env: dict[str, str]
    migration: subprocess.Popen[bytes] | None
    template: str


def _begin_metadata(stack: Stack) -> _Metadata:
    """Starts making Airflow's database: from the template of an earlier start, else by a migration in the background."""
    _repository_file("dags")
    home = stack.folder.resolve() / "airflow"
    shutil.rmtree(home, ignore_errors=True)
    port = free_port(8080)
    password = secrets.token_urlsafe(9)
    stack.address = AirflowAddress(url=f"http://127.0.0.1:{port}", user="admin", password=SecretStr(password))
    template = f"airflow_template_{_airflow_version()}"
    known = stack.server.psql("postgres", "SELECT datname FROM pg_database").split()
    stack.server.psql("postgres", "DROP DATABASE IF EXISTS airflow WITH (FORCE)")
    database = "airflow" if template in known else "airflow_unfinished"
    if template in known:
        stack.server.psql("postgres", f'CREATE DATABASE airflow TEMPLATE "{template}"')
    else:
        stack.server.psql("postgres", "DROP DATABASE IF EXISTS airflow_unfinished WITH (FORCE)")
        stack.server.ensure_database(database)
    env = airflow.environment(
        home,
        REPOSITORY,
        port=port,
        metadata=stack.server.dsn(database),
        passwords={"admin": password, "viewer": stack.viewer_password},
    )
    migration = None
    if template not in known:
        stack.progress("making Airflow's metadata database, the first time only")
        with (stack.folder / "logs" / "airflow-migrate.log").open("wb") as log:
            migration = subprocess.Popen(
                [*airflow.program(), "db", "migrate"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    return _Metadata(port, env, migration, template)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _finish_metadata(stack: Stack, metadata: _Metadata) -> None:
    if metadata.migration is None:
        return
    if code := metadata.migration.wait(READY_TIMEOUT):
        raise PosguardError(
            f"`airflow db migrate` ended with code {code}: {last_words(stack.folder / 'logs' / 'airflow-migrate.log')}",
            hint="Try `make clean` and run it again.",
        )
    # Renamed only when whole: a demo killed in the middle leaves no half template behind.
    stack.server.psql("postgres", f'ALTER DATABASE airflow_unfinished RENAME TO "{metadata.template}"')
    stack.server.psql("postgres", f'CREATE DATABASE airflow TEMPLATE "{metadata.template}"')


def _airflow_version() -> str:
    from importlib.metadata import version

    return version("apache-airflow-core").replace(".", "_")


# The exchange simulator, the bot's database, the demo bot


def _plain_environment() -> dict[str, str]:
    """Ours without the caller's own settings: a demo must never meet a real database or a real exchange."""
    foreign = ("POSGUARD_", "AIRFLOW", "PG", "BINANCE_", "BYBIT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | {"POSGUARD_DEMO": "true"}


def _start_simulator(stack: Stack) -> None:
    from posguard.simulator.defaults import READ_KEY, READ_SECRET

    stack.say(2, STEPS[1])
    port = free_port(8400)
    stack.simulator = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "posguard.simulator", "--port", str(port)]
    stack.processes.start("simulator", command, _plain_environment())
    stack.venues = tuple(
        VenueSettings(
            exchange=name,
            world=World.SIMULATOR,
            api_key=SecretStr(READ_KEY),
            api_secret=SecretStr(READ_SECRET),
            base_url=stack.simulator,
        )
        for name in EXCHANGES
    )


def _seed(stack: Stack) -> None:
    stack.say(3, STEPS[2])
    stack.server.psql("postgres", f"DROP DATABASE IF EXISTS {BOT_DATABASE} WITH (FORCE)")
    stack.server.ensure_database(BOT_DATABASE)
    asyncio.run(_fill(stack))
    migrate.upgrade(stack.dsn)


async def _fill(stack: Stack) -> None:
    from posguard.demo.seed import seed
    from posguard.demo.world import make_world
    from posguard.simulator.client import SimulatorControl, SimulatorError

    world = make_world(datetime.now(UTC))
    async with SimulatorControl(stack.simulator) as control:
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            stack.check()
            try:
                await control.health()
                break
            except SimulatorError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
        await seed(stack.dsn, control, world)
    (stack.folder / TRUTH).write_text(world.truth.to_json(), encoding="utf-8")
    write_log(world, log_source(stack.folder))
    stack.progress(
        f"{len(world.rows.positions)} positions over 8 hours, {len(world.truth.at(world.now))} problems planted"
    )


def _start_bot(stack: Stack) -> None:
    stack.say(4, STEPS[3])
    env = _plain_environment() | {"POSGUARD_DSN": stack.dsn.get_secret_value()}
    command = [sys.executable, "-m", "posguard.demo.bot", "--simulator", stack.simulator]
    stack.processes.start("bot", command, env)


def _record(stack: Stack) -> None:
    me = psutil.Process()
    record = DemoRecord(
        pid=me.pid,
        started=me.create_time(),
        dsn=stack.dsn,
        simulator=stack.simulator,
        venues=stack.venues,
        airflow=stack.address if stack.run_id or stack.address else None,
        log_sources=(log_source(stack.folder),),
    )
    write_record(record, stack.folder)


# Airflow and the first run


def _start_airflow(stack: Stack, metadata: _Metadata) -> None:
    stack.say(5, STEPS[4])
    _finish_metadata(stack, metadata)
    address = urlsplit(stack.dsn.get_secret_value())
    database = {
        "host": address.hostname,
        "port": address.port,
        "login": address.username,
        "password": address.password or "",
        "schema": address.path.lstrip("/"),
        "sslmode": "disable",
    }
    connections = {"posguard_db": airflow.connection_of_database(database)}
    connections |= {f"posguard_{v.exchange}": airflow.connection_of_venue(v) for v in stack.venues}
    connections |= {f"posguard_{v.exchange}_trade": airflow.connection_that_trades() for v in stack.venues}
    env = airflow.with_connections(metadata.env, connections, metadata=stack.server.dsn("airflow")) | {
        "POSGUARD_DEMO": "true",
        "POSGUARD_WEIGHT_SHARE": "1",  # the simulator has no bot beside us to leave a share to
        "POSGUARD_BACKUP_FOLDER": str(stack.folder.resolve() / "backups"),
        "POSGUARD_LOG_SOURCES": f"[{log_source(stack.folder).model_dump_json()}]",
    }
    client = _client(stack)
    for component in airflow.COMPONENTS:
        if component == "scheduler":
            # A task that starts before the API listens dies without a word and is tried again only much later.
            client.wait_until_listening(READY_TIMEOUT)
        stack.processes.start(component, [*airflow.program(), component], env)
    client.wait_until_ready(READY_TIMEOUT)
    assert stack.address is not None
    stack.progress(f"Airflow listens on {stack.address.url}")


def _reconcile(stack: Stack) -> None:
    stack.say(6, STEPS[5])
    client = _client(stack)
    began = time.monotonic()
    stack.run_id = client.first_run(airflow.DAG, READY_TIMEOUT)
    stack.progress(f"run {stack.run_id}")
    stack.run_state = client.wait_for_run(airflow.DAG, stack.run_id, RUN_TIMEOUT, stack.progress)
    stack.progress(f"{stack.run_state} after {time.monotonic() - began:.0f} s")


def _client(stack: Stack) -> airflow.AirflowClient:
    assert stack.address is not None
    return airflow.AirflowClient(stack.address, stack.check)
