"""docs/upgrade.md names every step, column and index of target `bot`, and shows commands and clauses that exist."""

from __future__ import annotations

import re
from pathlib import Path

from posguard.postgres.botfacts import COLUMNS, INDEXES
from posguard.postgres.botupgrade import _UP
from posguard.postgres.queries import queries

PAGE = (Path(__file__).parents[2] / "docs" / "upgrade.md").read_text(encoding="utf-8")


def table(heading):
    """The first cells, without code marks, of the table under a heading."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    return [
        re.findall(r"`(\w+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")
    ]


def test_every_step_in_its_order():
    steps = [name for cells in table("What it does") for name in cells]
    assert steps == [*_UP, *(index.name for index in INDEXES), "old_index"]


def test_every_column():
    assert [name for cells in table("The columns") for name in cells] == [column.name for column in COLUMNS]


def test_the_clause_for_on_conflict_is_the_one_the_upgrade_proves():
    clause = re.search(r"```sql\n\s+ON CONFLICT (.*?)```", PAGE, re.DOTALL)[1]
    proven = queries("botupgrade").arbiter.sql.split("ON CONFLICT")[1].split("DO NOTHING")[0]
    assert "".join(clause.split()) == "".join(proven.split())


def test_commands_and_options_exist():
    import typer

    from posguard.cli.app import app

    db = typer.main.get_command(app).commands["db"]
    known = {option for command in db.commands.values() for param in command.params for option in param.opts}
    block = PAGE.split("```console")[1].split("```")[0]
    for line in block.strip().splitlines():
        words = line.split("#")[0].split()
        assert words[:2] == ["posguard", "db"]
        assert words[2] in db.commands
        assert {word for word in words if word.startswith("--")} <= known
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", PAGE)) - {"--symbol", "--exchange"}
    assert named <= known


def test_the_tests_it_names_exist():
    for name in re.findall(r"`(?:tests/integration/)?(test_\w+\.py)`", PAGE):
        assert (Path(__file__).parents[1] / "integration" / name).exists(), name
