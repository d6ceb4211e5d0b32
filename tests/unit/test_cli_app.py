"""The door of the program: light, one line for each thing that goes wrong, the exit code of the list."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from posguard.cli import app as door
from posguard.cli import entry, options
from posguard.errors import ExitCode, PosguardBugError, PosguardError, RefusedError, UsageError
from posguard.settings import EXCHANGES
from tests.program import environment, posguard

HEAVY = (
    "airflow",
    "great_expectations",
    "pandas",
    "ccxt",
    "asyncpg",
    "sqlalchemy",
    "alembic",
    "altair",
    "aiohttp",
)


@pytest.fixture
def raising(monkeypatch):
    """Lets the application raise what a test gives it."""

    def install(error):
        def broken(*_words, **_options):
            raise error

        monkeypatch.setattr(door, "app", broken)

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PosguardError("It broke."), ExitCode.INCONCLUSIVE),
        (UsageError("It broke."), ExitCode.USAGE),
        (RefusedError("It broke.", hint="Do\nthis."), ExitCode.REFUSED),
    ],
)
def test_an_error_of_posguard_is_one_line_and_its_code(raising, capsys, error, code):
    raising(error)
    assert door.run([]) == code
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert said.startswith("posguard: It broke.")
    assert "Traceback" not in said


def test_ctrl_c_is_one_line_and_130(raising, capsys):
    raising(KeyboardInterrupt())
    assert door.run([]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [ValueError("postgresql://u:hunter2@h/d canary-key"), PosguardBugError("canary-key")]
)
def test_a_bug_shows_a_traceback_without_secrets(raising, capsys, monkeypatch, error):
    monkeypatch.setenv("POSGUARD_BINANCE_KEY", "canary-key")
    raising(error)
    assert door.run([]) == ExitCode.INCONCLUSIVE
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "bug of posguard" in said.splitlines()[-1]
    assert "canary-key" not in said
    assert "hunter2" not in said


def test_a_missing_extra_is_one_line_and_another_missing_module_is_a_bug(raising, capsys):
    raising(ModuleNotFoundError("no", name="psutil"))
    assert door.run([]) == ExitCode.INCONCLUSIVE
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "posguard[demo]" in said
    raising(ModuleNotFoundError("no", name="posguard.nowhere"))
    assert door.run([]) == ExitCode.INCONCLUSIVE
    assert "Traceback" in capsys.readouterr().err


def test_every_extra_named_is_one_that_exists_and_brings_the_package():
    import tomllib

    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for package, extra in door.EXTRAS.items():
        brought = " ".join(extras[extra])
        assert {"airflow": "apache-airflow"}.get(package, package.replace("_", "-")) in brought


def test_a_reader_that_went_away_is_neither_fine_nor_a_finding(raising):
    raising(BrokenPipeError())
    assert door.run([]) == door.READER_GONE
    raising(SystemExit(1))
    with pytest.raises(SystemExit):
        door.run([])


def test_ctrl_c_while_the_program_is_loaded_is_one_line_too(monkeypatch, capsys):
    class Pressed:
        def find_spec(self, name, *_):
            if name == door.__name__:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, door.__name__)
    monkeypatch.setattr(sys, "meta_path", [Pressed(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "posguard: Interrupted.\n")


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose",),
        ("cleanup", "all"),
        ("findings", "list"),
        ("findings", "ignore", "add", "--exchange", "binance", "--reason", "by hand"),
        ("logs", "analyze"),
        ("logs", "investigate", "--at", "12:00"),
    ],
)
@pytest.mark.parametrize("symbol", ["", " ", ":USDT"])
def test_an_empty_symbol_is_refused_and_does_not_mean_all(words, symbol, capsys):
    assert door.run([*words, "--symbol", symbol]) == ExitCode.USAGE
    assert "names no symbol" in capsys.readouterr().err


def test_every_command_and_option_has_its_help():
    def walk(command, path):
        assert command.help, path
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (path, parameter.name)
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*path, name))
        if not getattr(command, "commands", {}):
            assert "Examples:" in command.help, path

    walk(typer.main.get_command(door.app), ("posguard",))


def test_the_exchanges_of_the_command_line_are_those_of_the_settings():
    assert tuple(options.Exchange) == EXCHANGES


@pytest.mark.parametrize(
    "words", [("dbb",), ("db", "upgrade", "--target", "moon"), ("--nonsense",), ("check", "extra")]
)
def test_wrong_usage_is_one_line_and_2(tmp_path, words):
    posguard(*words, folder=tmp_path).fails_with(ExitCode.USAGE, "--help`")


def test_help_needs_no_extra(tmp_path):
    """The light install answers `--help` with every heavy package forbidden; `make bench-help` says how fast."""
    code = f"""
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(name + " is not part of the light install")
sys.meta_path.insert(0, Forbidden())
sys.argv = ["posguard", "--help"]
from posguard.cli.app import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: posguard" in done.stdout


def test_version_and_help_end_with_0(tmp_path):
    assert posguard("--version", folder=tmp_path).out.startswith("posguard ")
    assert posguard("db", "downgrade", "--help", folder=tmp_path).code == 0


def test_every_group_has_no_light_import_that_needs_an_extra(tmp_path):
    """Importing the whole command line, not its help alone, loads none of the extras."""
    code = (
        "import sys, posguard.cli.app; "
        "print([name for name in ('airflow','great_expectations','pandas','aiohttp','psutil') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_newest_schema_is_the_newest_migration():
    from alembic.script import ScriptDirectory

    from posguard.postgres.migrate import MIGRATIONS
    from posguard.postgres.schema import NEWEST

    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == NEWEST


def test_what_a_retry_says_goes_to_the_stderr_of_the_moment(monkeypatch):
    import structlog

    from posguard.cli.output import structured_log_to_stderr

    before = structlog.get_config()
    first, second = io.StringIO(), io.StringIO()
    try:
        monkeypatch.setattr(sys, "stderr", first)
        structured_log_to_stderr()
        log = structlog.get_logger()
        log.error("one")
        first.close()  # a command was called inside a program that took its stderr away since
        monkeypatch.setattr(sys, "stderr", second)
        log.error("two")
    finally:
        structlog.configure(**before)
    assert "two" in second.getvalue()
