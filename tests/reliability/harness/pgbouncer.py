"""pgbouncer in transaction mode before a server, where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from posguard.postgres.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = shutil.which("pgbouncer") or next(
    (path for path in ("/usr/sbin/pgbouncer",) if Path(path).exists()), None
)
# What posguard's pool asks for at the start of a session; pgbouncer knows none of these by itself.
IGNORED = "statement_timeout,default_transaction_read_only,default_transaction_isolation,extra_float_digits"


@contextmanager
def pooler(dsn: str, *, servers: int = 3) -> Iterator[str]:
    """The address of the same database behind a pooler that hands every transaction whichever of its connections is free."""
    assert PROGRAM is not None
    parts = urlsplit(dsn)
    folder, port = Path(mkdtemp(prefix="posguard-pooler-")), free_port(None)
    user = "pgserver" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port} user={parts.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {servers}\nmax_client_conn = 200\n"
        f"server_reset_query =\nignore_startup_parameters = {IGNORED}\nlogfile = {folder}/log\n"
    )
    if os.geteuid() == 0:
        for each in (folder, folder / "pooler.ini"):
            shutil.chown(each, user)
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [PROGRAM, "pooler.ini"],
            cwd=folder,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            user=user if os.geteuid() == 0 else None,
            start_new_session=True,
        )
    try:
        _await_port(port, process, folder)
        yield urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _await_port(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    said = "\n".join(each.read_text() for each in folder.glob("*") if each.name in {"log", "out"})
    raise AssertionError(f"pgbouncer does not listen: {said}")
