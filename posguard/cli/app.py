"""The program `posguard`: one Typer application, one file per command group, and one place where errors become lines.

Light on purpose: `posguard --help` imports no database driver, no exchange library, no Airflow. A command imports what it
needs when it runs.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from posguard.cli import (
    alerts,
    audit,
    baseline,
    check,
    cleanup,
    db,
    demo,
    diagnose,
    explore,
    findings,
    logs,
    metrics,
    monitor,
    output,
    reproduce,
    restore,
    simulator,
)
from posguard.cli.entry import INTERRUPTED
from posguard.errors import ExitCode, PosguardBugError, PosguardError

HELP_WIDTH = 100
READER_GONE = 141

app = typer.Typer(
    name="posguard",
    help="Data quality for a crypto-futures bot: what its database says against what its exchanges hold.",
    epilog="Exit codes: 0 fine, 1 critical problem found, 2 wrong usage, 3 could not do it or inconclusive, "
    "4 refused by a gate, 5 partly done. Settings: docs/configuration.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH},
)
app.command()(demo.demo)
app.command()(check.check)
app.command()(diagnose.diagnose)
app.command()(diagnose.reconcile)
app.command()(audit.audit)
app.command()(cleanup.cleanup)
app.command()(restore.restore)
app.command()(metrics.metrics)
app.command()(monitor.monitor)
app.command()(simulator.simulator)
app.command()(reproduce.reproduce)
app.command()(explore.explore)
app.add_typer(findings.app, name="findings")
app.add_typer(alerts.app, name="alerts")
app.add_typer(logs.app, name="logs")
app.add_typer(baseline.app, name="baseline")
app.add_typer(db.app, name="db")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"posguard {version('posguard')}")
        raise typer.Exit(ExitCode.FINE)


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - the callback answers it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log to stderr what is done, retries included.")
    ] = False,
) -> None:
    output.log_to_stderr(verbose=verbose)


def main() -> None:
    """The console script: runs the words of the command line and ends the process with an exit code of `ExitCode`."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) is gone; without this Python complains once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(words: list[str]) -> int:
    """Runs one command line and returns its exit code; what goes wrong is told on stderr in one line.

    Only a bug of posguard shows a traceback, without local variables and without the secrets of the environment.
    """
    try:
        code = int(app(words, standalone_mode=False, prog_name="posguard") or ExitCode.FINE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # Typer ends with 1 where whoever read the output is gone; that is no finding, and nothing is known to be fine either.
        if not isinstance(error.__context__ or error, BrokenPipeError):
            raise
        code = READER_GONE
    except Exception as error:  # noqa: BLE001 - the last door: what is not ours is a bug and is shown as one
        return _told(error)
    return _said("Interrupted; nothing further was done.", code) if code == INTERRUPTED else code


# Packages that only an extra brings, and its name.
EXTRAS = {
    "airflow": "airflow",
    "altair": "report",
    "great_expectations": "quality",
    "pandas": "quality",
    "psutil": "demo",
    "trustme": "simulator",
    "vl_convert": "report",
}


def _told(error: Exception) -> int:
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
        said = f"This needs {error.name}, which is not installed here. Nothing was done. pip install 'posguard[{extra}]'."
        return _said(said, ExitCode.INCONCLUSIVE)
    if isinstance(error, PosguardError) and not isinstance(error, PosguardBugError):
        return _said(str(error), error.exit_code)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    print(output.without_secrets("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    bug = "This is a bug of posguard, not of your setup; please report it with the lines above."
    return _said(bug, ExitCode.INCONCLUSIVE)


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return ExitCode.USAGE
    hint = f" See `{context.command_path} --help`." if context is not None else ""
    said = error.format_message().replace("Value error, ", "").rstrip(".?")
    return _said(f"{said}. Nothing was done.{hint}", ExitCode.USAGE)


def _said(text: str, code: int) -> int:
    print(f"posguard: {output.one_line(text)}", file=sys.stderr)
    return code
