"""The heartbeat: a complete run asks for the address; nothing else does, and nothing that happens there matters to the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from posguard.alerts import heartbeat
from posguard.alerts.heartbeat import beat
from posguard.model.run import RunOutcome, StoredRun
from posguard.model.scope import Scope
from tests.integration.test_stores import AT

RUN = StoredRun(1, AT, AT, "cli", "", None, None, "simulator", "x", RunOutcome.PROBLEMS, 1, 1)


async def test_a_complete_run_asks_for_the_address(webhook):
    assert await beat(SecretStr(f"{webhook.url}/hunter2"), RUN) is True
    assert len(webhook.got) == 1


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, outcome=RunOutcome.INCONCLUSIVE),
        replace(RUN, outcome=RunOutcome.FAILED),
        replace(RUN, scope=Scope("binance")),
    ],
    ids=["inconclusive", "failed", "filtered"],
)
async def test_other_runs_do_not(webhook, run):
    assert await beat(SecretStr(webhook.url), run) is None
    assert await beat(None, RUN) is None
    assert webhook.got == []


async def test_an_address_that_fails_is_said_without_itself_and_harms_nothing(webhook, monkeypatch, capsys):
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.3)
    webhook.status = 500
    assert await beat(SecretStr(f"{webhook.url}/hunter2"), RUN) is False
    assert await beat(SecretStr("http://127.0.0.1:9/hunter2"), RUN) is False
    said = capsys.readouterr()
    assert "heartbeat_not_taken" in said.out + said.err
    assert "hunter2" not in said.out + said.err
