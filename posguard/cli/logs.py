"""`posguard logs`: what the bot's logs tell."""

from __future__ import annotations

import typer

from posguard.cli import logs_analyze, logs_investigate, logs_load, logs_patterns

app = typer.Typer(help="The bot's logs: races, numbers, investigations, loading.", no_args_is_help=True)
app.command()(logs_analyze.analyze)
app.command()(logs_investigate.investigate)
app.command()(logs_load.load)
app.command()(logs_load.retain)
app.command()(logs_patterns.patterns)
