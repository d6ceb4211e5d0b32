"""`make install` on a machine that lacks something: one line that says what, and nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """A folder with what the installer reads, and a folder of commands that stands first in PATH."""
    (tmp_path / "tools").mkdir()
    shutil.copy(REPOSITORY / "tools" / "install.sh", tmp_path / "tools")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def command(folder: Path, name: str, text: str) -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def install(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [folder / "tools" / "install.sh"],
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_venv_module_is_one_line(clone):
    python = command(clone, "python-without-venv", 'case "$2" in *venv*) exit 1;; esac; exit 0')
    done = install(clone, PYTHON=str(python))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "no venv module; nothing was changed" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_full_disk_is_one_line(clone):
    command(clone, "df", "printf 'Filesystem 1M-blocks Used Available\\n/dev/x 100 90 10 90%% /\\n'")
    done = install(clone)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "only 10 MB are free here and 2000 are needed; nothing was changed" in done.stderr
    assert not (clone / ".venv").exists()


def test_no_python_311_is_one_line(clone):
    for name in ("python3.11", "python3"):
        command(clone, name, "exit 1")
    done = install(clone)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 was not found; nothing was changed" in done.stderr


def test_a_python_that_is_too_old_is_refused_even_when_named(clone):
    python = command(clone, "python-old", 'case "$2" in *version_info*) exit 1;; esac; exit 0')
    done = install(clone, PYTHON=str(python))
    assert done.returncode == 3
    assert "3.11" in done.stderr
    assert not (clone / ".venv").exists()
