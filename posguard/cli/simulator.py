"""`posguard simulator`: Binance USDⓈ-M and Bybit v5 on this machine, as far as posguard and the bot speak with them."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from pathlib import Path
from typing import Annotated

import typer

from posguard.errors import SettingsError


def simulator(
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option("--seed", help="For ids, prices and chances.")] = 0,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="FILE", help="Loaded at the start where it exists, saved at the end."
        ),
    ] = None,
    drift: Annotated[
        float, typer.Option("--drift", min=0, metavar="SECONDS", help="Move prices so often; 0: never.")
    ] = 0.0,
) -> None:
    """Run the exchange simulator until Ctrl+C; it prints one line with its address.

    Keys: simulator-read / simulator-read-secret, simulator-trade / simulator-trade-secret.

    \b
    Examples:
      posguard simulator --port 8787
      POSGUARD_BINANCE_WORLD=simulator POSGUARD_BINANCE_URL=http://127.0.0.1:8787 posguard check
    """
    try:
        from posguard.simulator.__main__ import run
    except ImportError:
        raise SettingsError(
            "The simulator is not installed here. Nothing was started.",
            hint="pip install 'posguard[simulator]'.",
        ) from None

    raise typer.Exit(asyncio.run(run(Namespace(port=port, host=host, seed=seed, state=state, drift=drift))))
