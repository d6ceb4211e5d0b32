"""The situations of docs/runbook.md, typed as they stand there, on the demo world."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posguard.simulator.limits import Meter
from tests.fixtures.gateways import VENUES
from tests.integration.test_whole_road import given
from tests.program import posguard_beside

pytestmark = pytest.mark.postgres

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
SITUATIONS = re.findall(r"^### (\d)\. .*?```console\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
# The demo world is full of problems: a look at all of it ends with 1.
CODES = {"1": (1, 0), "2": (1, 0, 0, 0), "3": (0, 0), "4": (0, 0, 0, 0, 1)}


async def test_all_four_as_written(demo, empty_dsn, simulator, tmp_path):
    env = given(simulator.base_url, empty_dsn)
    code = ""
    assert [number for number, _ in SITUATIONS] == sorted(CODES)
    for number, block in SITUATIONS:
        lines = block.strip().splitlines()
        assert len(lines) == len(CODES[number])
        for line, wanted in zip(lines, CODES[number], strict=True):
            words = line.replace("ABCD-EFGH", code).split()
            assert words[0] == "posguard"
            # Races run on a server of their own, never on the bot's database.
            variables = (
                {k: v for k, v in env.items() if k != "POSGUARD_DSN"} if words[1] == "reproduce" else env
            )
            simulator.pipeline.meters.update({venue: Meter(venue) for venue in VENUES})  # a minute has passed
            ended = await posguard_beside(*words[1:], folder=tmp_path, **variables)
            assert ended.code == wanted, (line, ended.err, ended.out[-2000:])
            code = next(iter(re.findall(r"--confirm ([0-9A-Z]{4}-[0-9A-Z]{4})", ended.out)), code)
