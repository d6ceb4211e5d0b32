"""The embedded server: chosen around a taken port, started over what a kill left, its folder recorded and removed."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from posguard.errors import DatabaseUnavailableError
from posguard.postgres.embedded import DATA_RECORD, EmbeddedServer, free_port

pytestmark = pytest.mark.postgres


@pytest.fixture
def server(tmp_path):
    found = EmbeddedServer.start(tmp_path, options={"fsync": "off"})
    yield found
    found.remove()


def test_a_taken_port_is_chosen_around():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_data_survive_a_crash_of_the_server_and_the_next_start(server, tmp_path):
    server.ensure_database("kept")
    server.psql("kept", "CREATE TABLE t AS SELECT 42 AS answer")
    server.kill()
    with pytest.raises(DatabaseUnavailableError):
        server.psql("kept", "SELECT 1")
    again = EmbeddedServer.start(tmp_path)
    assert again.psql("kept", "SELECT answer FROM t") == "42"


def test_a_server_left_running_is_ended_by_the_next_start(server, tmp_path):
    again = EmbeddedServer.start(tmp_path)
    assert again.psql("postgres", "SELECT 1") == "1"
    if again.port != server.port:
        with pytest.raises(DatabaseUnavailableError):
            server.psql("postgres", "SELECT 1")


def test_it_listens_on_loopback_alone(server):
    assert server.psql("postgres", "SHOW listen_addresses") == "127.0.0.1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root data go to a temporary folder")
def test_as_root_no_permission_of_the_folders_above_changes(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedServer.start(home / "project")
    try:
        recorded = (home / "project" / DATA_RECORD).read_text()
        assert str(server.data.parent) == recorded
        assert home not in server.data.parents
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        server.remove()
