"""The simulator as a program: `python -m posguard.simulator --port N [--state FILE]`."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from posguard.simulator import documents
from posguard.simulator.records import Refused
from posguard.simulator.server import Simulator

READY = "posguard simulator ready at "


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m posguard.simulator", description=__doc__)
    found.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    found.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: this machine only)"
    )
    found.add_argument("--seed", type=int, default=0, help="for ids, prices and chances")
    found.add_argument(
        "--state", type=Path, help="JSON file: loaded at start where it exists, written at the end"
    )
    found.add_argument(
        "--drift", type=float, default=0.0, help="move all prices every so many seconds (0: never)"
    )
    return found


async def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 on a clean end, 3 where it could not start."""
    simulator = Simulator(seed=arguments.seed)
    state: Path | None = arguments.state
    if state is not None:
        try:
            _restore(simulator, state)
        except (OSError, ValueError, Refused) as bad:
            print(f"{state} cannot be loaded: {bad}; nothing was started or changed", file=sys.stderr)  # noqa: T201
            return 3
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        address = await simulator.start(arguments.port, arguments.host)
    except OSError as bad:
        print(f"port {arguments.port} cannot be used: {bad.strerror}; try another --port", file=sys.stderr)  # noqa: T201
        return 3
    print(f"{READY}{address}", flush=True)  # noqa: T201 - the one line others wait for
    await _until(ended, simulator, arguments.drift)
    await simulator.stop()
    if state is not None:
        _save(simulator, state)
    return 0


async def _until(ended: asyncio.Event, simulator: Simulator, drift: float) -> None:
    if drift <= 0:
        await ended.wait()
        return
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), drift)
        except TimeoutError:
            simulator.drift()


def _restore(simulator: Simulator, state: Path) -> None:
    if state.exists():
        documents.load(simulator.book, json.loads(state.read_text("utf-8")), replace=True)


def _save(simulator: Simulator, state: Path) -> None:
    """Write beside, then rename: a kill leaves the old file or the new one, never half."""
    beside = state.with_name(f".{state.name}.new")
    beside.write_text(json.dumps(documents.dump(simulator.book)), "utf-8")
    beside.replace(state)


def main() -> int:
    """Entry point."""
    return asyncio.run(run(parser().parse_args()))


if __name__ == "__main__":
    sys.exit(main())
