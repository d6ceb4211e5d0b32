"""docs/quality.md holds the table that `make docs` writes, and names things as they are."""

from __future__ import annotations

import re

from posguard.model.quality import KEYS_KEPT, Outcome
from posguard.quality.suites import FOLDER, load_suites
from posguard.settings import Settings
from tools import quality_table


def test_the_table_is_the_one_that_make_docs_writes():
    text = quality_table.DOCUMENT.read_text()
    assert text == quality_table.written(), "run `make docs`"
    for suite in load_suites():
        assert all(text.count(f"| `{rule.id}` |") == 1 for rule in suite.expectations)


def test_outcomes_settings_and_numbers_are_those_of_the_program():
    text = quality_table.DOCUMENT.read_text()
    assert re.findall(r"^\| `(\w+)` \| (?!.*\| .* \| .* \|)", text, re.MULTILINE) == [
        one.value for one in Outcome
    ]
    defaults = Settings(_env_file=None)
    assert f"`POSGUARD_GRACE` ({defaults.grace.total_seconds():.0f} s)" in text
    assert f"`POSGUARD_DATABASE_TIMEOUT` ({defaults.database_timeout.total_seconds():.0f} s)" in text
    assert f"first {KEYS_KEPT} keys" in text
    assert FOLDER.joinpath("README.md").read_text().count("docs/quality.md") == 1
