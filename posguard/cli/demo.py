"""`posguard demo`: the main job on this machine, from nothing to the first screen."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posguard.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End by itself: 0 when found = planted, else 1.")
    ] = False,
) -> None:
    """Run the main job here: PostgreSQL, exchanges and Airflow on loopback, a planted world, one reconciliation.

    Everything is made up and marked DEMO DATA. Ctrl+C stops all that was started.

    Examples:

      posguard demo            stays up until Ctrl+C

      posguard demo --once     ends by itself, the report saved
    """
    from rich.console import Console

    from posguard.demo.screen import print_first_screen
    from posguard.demo.stack import STEPS, running_demo

    out, err = Console(), Console(stderr=True)
    steps = Steps(err, len(STEPS))
    with interrupted_by_signals() as stop, running_demo(steps.begin, steps.news) as stack:
        steps.end()
        as_planted = print_first_screen(stack, out, save=once)
        if not once:
            out.print("\nThe demo stays up until [bold]Ctrl+C[/bold], which stops all that it started.")
            stop.wait_quietly(stack.check)
        err.print("Stopping what was started …")
    if once:
        raise typer.Exit(ExitCode.FINE if as_planted else ExitCode.CRITICAL)
    err.print("Stopped. Its data lie in .posguard until `make clean`.")


class Steps:
    """Step n of m on stderr: a spinner with the time it takes on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._count = count
        self._began = time.monotonic()
        self._step = 0
        self._status: Any = None
        self._name = ""

    def begin(self, step: int, name: str) -> None:
        """A step begins; the one before it is done."""
        self.end()
        self._step, self._name, self._began = step, name, time.monotonic()
        if self._console.is_terminal:
            self._status = self._console.status(f"step {step} of {self._count}: {name}")
            self._status.start()
        else:
            self._console.print(f"step {step} of {self._count}: {name}")

    def news(self, text: str) -> None:
        """Something smaller happened within the step."""
        self._console.print(f"    {text}", style="dim", markup=False, highlight=False)

    def end(self) -> None:
        """The step under way is done."""
        if not self._step:
            return
        took = time.monotonic() - self._began
        if self._status is not None:
            self._status.stop()
            self._status = None
            self._console.print(
                f"[green]✓[/green] step {self._step} of {self._count}: {self._name} [dim]({took:.1f} s)[/dim]"
            )
        self._step = 0


class Stop:
    """Whether the person asked to stop, and whether that may interrupt what is under way."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._quiet = False

    def wait_quietly(self, check: Any) -> None:
        """Returns when asked to stop; calls `check` every two seconds meanwhile."""
        self._quiet = True
        while not self._asked.wait(2):
            check()

    def handle(self, _number: int, _frame: Any) -> None:
        """The signal handler: once; whoever asks again waits for the cleaning up."""
        if self._asked.is_set():
            return
        self._asked.set()
        if not self._quiet:
            raise KeyboardInterrupt


@contextmanager
def interrupted_by_signals() -> Iterator[Stop]:
    """SIGINT, SIGTERM and SIGHUP end the demo in good order, once; the handlers of before come back afterwards."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
