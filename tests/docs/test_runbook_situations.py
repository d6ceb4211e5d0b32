"""The situations of docs/runbook.md, typed as they stand there, on the demo world."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.typed import given
from tests.program import posguard_beside

pytestmark = pytest.mark.postgres

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
SITUATIONS = re.findall(r"^### (\d)\. .*?```console\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
# The demo world is full of problems: a look at all of it ends with 1.
CODES = {"1": (1, 0), "2": (1, 0, 0, 0), "3": (0, 0), "4": (0, 0, 0, 0, 1)}


async def test_all_four_as_written(demo, empty_dsn, simulator, typist, tmp_path):
    typist.has(given(simulator.base_url, empty_dsn), simulator)
    assert [number for number, _ in SITUATIONS] == sorted(CODES)
    for number, block in SITUATIONS:
        for line, wanted in zip(block.strip().splitlines(), CODES[number], strict=True):
            words = line.split()
            if words[1] == "reproduce":  # races run on a server of their own, never on the bot's database
                ended = await posguard_beside(*words[1:], folder=tmp_path)
                assert ended.code == wanted, (line, ended.err, ended.out[-2000:])
            else:
                await typist.types(line, wanted)
