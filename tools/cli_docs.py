"""Writes docs/cli.md from the program's own help, docs/json.md from the shapes of its outputs, the tables of docs/configuration.md."""

from __future__ import annotations

import re
import types
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import typer
from pydantic_core import PydanticUndefined

from posguard.alert_route import AlertRoute
from posguard.cli import (
    alerts_shapes,
    audit_shapes,
    baseline_shapes,
    cleanup_shapes,
    explore_shapes,
    investigation_shapes,
    logs_load_shapes,
    logs_patterns_shapes,
    logs_shapes,
    monitor_shapes,
    race_shapes,
    shapes,
)
from posguard.cli.app import app
from posguard.model.duration import spell_duration
from posguard.settings import BOT_FLAGS, EXCHANGES, VENUE_VARIABLES, Settings, VenueSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 100

CLI_HEAD = """# The command line

Made by `make docs` from the program's own help; a test holds it there. Results are on stdout, everything else on stderr; tables
are drawn on a terminal and plain when piped; `NO_COLOR` is heeded. `--json` prints JSON and nothing else (docs/json.md).
Settings come from the environment or `.env` (docs/configuration.md). `--demo` looks at the demo that runs in this folder.

| exit code | meaning |
| --- | --- |
| 0 | fine |
| 1 | a critical problem was found |
| 2 | wrong usage |
| 3 | could not do it, or inconclusive (beats 1; the JSON holds both) |
| 4 | refused by a gate; nothing was changed |
| 5 | partly done |
| 130 | interrupted by Ctrl+C |
| 141 | whoever read the output (`head`, a pager) was gone before the end |

A command that this version lacks is marked "not built yet" wherever a finding names it.
"""

JSON_HEAD = """# The JSON of every command

Made by `make docs` from `posguard/cli/shapes.py`; a test holds it there. Money and quantities are strings with every digit, times
are ISO 8601 in UTC. No field is left out: what is not known is `null`. A field may be added in a later version; none goes away or
changes its meaning without a new major version.
"""

# Each command with the model of its output, in the order of docs/cli.md.
OUTPUTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("posguard check", shapes.CheckReport),
    ("posguard diagnose", shapes.DiagnosisReport),
    ("posguard reconcile", shapes.ReconcileReport),
    ("posguard audit", audit_shapes.AuditReport),
    ("posguard cleanup", cleanup_shapes.PlanReport),
    ("posguard restore", cleanup_shapes.RestoreReport),
    ("posguard findings list, ack, dismiss, reopen", shapes.FindingList),
    ("posguard findings show", shapes.FindingDetail),
    ("posguard findings ignore add, list, end", shapes.RuleList),
    ("posguard alerts send, posguard alerts test", alerts_shapes.SendReport),
    ("posguard alerts send --dry-run", alerts_shapes.SendPlan),
    ("posguard alerts list", alerts_shapes.AlertList),
    ("posguard alerts move, posguard alerts give-up", alerts_shapes.Moved),
    ("posguard monitor", monitor_shapes.MonitorReport),
    ("posguard baseline save, list", baseline_shapes.BaselineList),
    ("posguard db upgrade, posguard db downgrade", shapes.SchemaChange),
    ("posguard db upgrade --target bot, posguard db downgrade --target bot", shapes.BotTables),
    ("posguard db check", shapes.SchemaStanding),
    ("posguard reproduce", race_shapes.Reproduction),
    ("posguard explore", explore_shapes.Exploration),
    ("posguard explore --replay", explore_shapes.Replay),
    ("posguard logs analyze", logs_shapes.LogAnalysis),
    ("posguard logs investigate", investigation_shapes.InvestigationReport),
    ("posguard logs load", logs_load_shapes.LogLoad),
    ("posguard logs patterns", logs_patterns_shapes.PatternList),
    ("posguard logs patterns --check", logs_patterns_shapes.PatternCheck),
    ("posguard logs retain", logs_load_shapes.LogRetention),
)


def cli() -> str:
    """docs/cli.md."""
    parts = [CLI_HEAD]
    for path, text in _helps(typer.main.get_command(app), None, "posguard"):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: Any, parent: Any, name: str) -> Iterator[tuple[str, str]]:
    context = typer.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH, color=False
    )
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    yield context.command_path, "\n".join(lines).strip()
    for below, child in getattr(command, "commands", {}).items():
        yield from _helps(child, context, below)


def json_shapes() -> str:
    """docs/json.md."""
    parts, told = [JSON_HEAD], set()
    for command, model in OUTPUTS:
        parts.append(f"## {command}\n\n{_fields(model)}")
    waiting = [inner for _, model in OUTPUTS for inner in _within(model)]
    parts.append("## The parts\n")
    while waiting:
        model = waiting.pop(0)
        if model in told:
            continue
        told.add(model)
        parts.append(f"### {model.__name__}\n\n{(model.__doc__ or '').strip()}\n\n{_fields(model)}")
        waiting += _within(model)
    return "\n".join(parts)


def _fields(model: type[BaseModel]) -> str:
    lines = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        lines.append(f"| `{name}` | {_type(field.annotation)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _type(annotation: Any) -> str:
    inner = [one for one in get_args(annotation) if one not in (type(None), Ellipsis)]
    if isinstance(annotation, types.UnionType):
        return " or ".join(_type(one) for one in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {_type(inner[0])}"
    if get_origin(annotation) is dict:
        return f"object of {_type(inner[1])}"
    if hasattr(annotation, "model_fields"):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    named = {
        type(None): "null",
        datetime: "time",
        str: "string",
        int: "integer",
        bool: "boolean",
        Any: "anything",
    }
    return named.get(annotation, "string")


def _within(model: type[BaseModel]) -> list[type[BaseModel]]:
    fields = model.model_fields.values()
    around = [one for field in fields for one in (field.annotation, *get_args(field.annotation))]
    return [one for one in around if hasattr(one, "model_fields")]


def configuration() -> str:
    """docs/configuration.md with its tables as they should be."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    tables = {
        "settings": _settings(),
        "venues": _venues(),
        "venue fields": _fields_with_defaults(VenueSettings),
        "alert route fields": _fields_with_defaults(AlertRoute),
    }
    for name, table in tables.items():
        between = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end of table -->)", re.DOTALL)
        assert between.search(text), name
        text = between.sub(lambda found, table=table: found[1] + table + found[2], text)
    return text


def _settings() -> str:
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `POSGUARD_{name.upper()}` | {_default(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    if isinstance(value, timedelta):
        short = value.total_seconds()
        return f"{short:g} s" if short < 60 else spell_duration(value)
    if value is None or value == ():
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _venues() -> str:
    names = " and ".join(f"`POSGUARD_{exchange.upper()}_…`" for exchange in EXCHANGES)
    lines = [f"| {names} | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in VENUE_VARIABLES.items()]
    flags = ", ".join(f"`{flag}`" for flag in BOT_FLAGS)
    lines.append(
        f"| {flags} | the bot's own flags: off without a `WORLD` is refused, never taken for production |"
    )
    return "\n".join(lines) + "\n"


def _fields_with_defaults(model: type[BaseModel]) -> str:
    lines = ["| field | default |", "| --- | --- |"]
    for name, field in model.model_fields.items():
        needed = field.default is PydanticUndefined
        default = (
            "needed"
            if needed
            else ", ".join(field.default)
            if isinstance(field.default, tuple) and field.default
            else _default(field.default)
        )
        lines.append(f"| `{name}` | {default} |")
    return "\n".join(lines) + "\n"


WRITTEN = {"cli.md": cli, "json.md": json_shapes, "configuration.md": configuration}

if __name__ == "__main__":
    for name, made in WRITTEN.items():
        (DOCS / name).write_text(made(), encoding="utf-8")
        print(f"{name} written")
