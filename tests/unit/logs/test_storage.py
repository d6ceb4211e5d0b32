"""What an address names on object storage, and each of its files opened."""

import fsspec
import pytest

from posguard.errors import LogError
from posguard.logs.storage import is_remote, named_files, open_anywhere, place_of, prefix_of

FILES = {"bot.log": b"abc", "bot.log.1.gz": b"abcd", "other.txt": b"x", "deep/bot.log": b"x"}


@pytest.fixture(autouse=True)
def storage():
    system = fsspec.filesystem("memory")
    for name, data in FILES.items():
        system.pipe(f"/logs/{name}", data)
    yield
    system.rm("/logs", recursive=True)


BOTH = {"memory:///logs/bot.log": 3, "memory:///logs/bot.log.1.gz": 4}


@pytest.mark.parametrize(
    ("address", "files"),
    [
        ("memory://logs", BOTH),
        ("memory://logs/", BOTH),
        ("memory://logs/bot.log*", BOTH),
        ("memory://logs/bot.log", {"memory:///logs/bot.log": 3}),
        ("memory://connection@logs/bot.log.1.gz", {"memory:///logs/bot.log.1.gz": 4}),
    ],
)
def test_a_file_a_folder_and_a_glob_are_named_with_their_sizes(address, files):
    assert named_files([address]) == files
    for name, size in files.items():
        with open_anywhere(name) as stream:
            assert len(stream.read()) == size


def test_a_local_path_is_left_as_it_is_and_opened(tmp_path):
    path = str(tmp_path / "bot.log")
    assert not is_remote(path)
    assert named_files([path, "memory://logs/bot.log"]) == {path: None, "memory:///logs/bot.log": 3}
    (tmp_path / "bot.log").write_bytes(b"here")
    with open_anywhere(path) as stream:
        assert stream.read() == b"here"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://logs/nothing.log", "There is no log at memory://logs/nothing.log"),
        ("memory://logs/*.zst", "There is no log at"),
        ("gopher://logs/bot.log", "cannot be opened"),
    ],
)
def test_what_is_not_there_is_said(address, said):
    with pytest.raises(LogError, match=said.replace("*", r"\*")):
        named_files([address])


def test_a_storage_that_does_not_answer_is_said_in_one_line(monkeypatch):
    def broken(*_args, **_more):
        raise ConnectionResetError("the other side went away")

    monkeypatch.setattr(type(place_of("memory://logs").system), "isdir", broken)
    with pytest.raises(LogError, match="memory://logs cannot be read: the other side went away"):
        named_files(["memory://logs"])
    monkeypatch.setattr(type(place_of("memory://logs").system), "_open", broken)
    with pytest.raises(LogError, match="cannot be read: the other side"):
        open_anywhere("memory://logs/bot.log")


@pytest.mark.parametrize(
    ("address", "path", "prefix"),
    [
        ("s3://main@bucket/logs/", "bucket/logs", "s3://main@"),
        ("s3://bucket/bot.log", "bucket/bot.log", "s3://"),
        ("file:///var/log", "/var/log", "file://"),
    ],
)
def test_the_connection_of_an_address_stays_in_its_files(address, path, prefix):
    assert prefix_of(address, path) == prefix
