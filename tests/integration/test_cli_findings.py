"""`posguard findings` as a person types it: list, show, decide, ignore; against a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.errors import ExitCode
from posguard.model.finding import Kind, Pass, Severity, VenueVerdict, VerdictKind
from posguard.model.run import RunOutcome
from posguard.model.venue import VenueId, World
from posguard.postgres import findings, runs
from posguard.postgres.pool import Database
from tests.conftest import run_script
from tests.fixtures.known import a_finding
from tests.program import posguard

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)


def finding(kind, symbol, *, exchange="binance", severity=Severity.CRITICAL, subject=""):
    return a_finding(
        kind,
        exchange=exchange,
        symbol=symbol,
        severity=severity,
        title=f"{kind} of {symbol}\x1b[31m",
        subject=subject,
        row_ids=(7,),
        database=({"id": "7", "quantity": "61.8"},),
        venue=({"quantity": "61"},),
        differing=("quantity",),
        evidence=("a fill closed it",),
        repair=f"posguard cleanup orphaned-db --symbol {symbol} --exchange {exchange}",
    )


ORPHAN = finding(Kind.ORPHANED_DB, "APTUSDT", subject="7")
AGED = finding(Kind.AGED_POSITION, "SOLUSDT", exchange="bybit", severity=Severity.INFO)


def passed(*seen):
    verdicts = tuple(
        VenueVerdict(VenueId(e), World.SIMULATOR, VerdictKind.CONCLUSIVE, (), 3, 1, 1, 5, NOW)
        for e in ("binance", "bybit")
    )
    return Pass(NOW, NOW + timedelta(seconds=3), seen, verdicts, rows_read=2, rows_compared=2)


@pytest.fixture
async def desk(bot_dsn, tmp_path):
    """Two findings of one run; the program on their database."""
    async with await Database.open(bot_dsn) as db, db.transaction() as connection:
        run = await runs.start_run(connection, started_at=NOW, source="cli")
        result = passed(ORPHAN, AGED)
        counts = await findings.record(connection, run, result)
        await runs.finish_run(connection, run, result, outcome=RunOutcome.PROBLEMS, counts=counts)

    def run_findings(*words):
        return posguard("findings", *words, folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value())

    return run_findings


async def test_list_and_show(desk):
    listed = desk("list", "--json").json["findings"]
    assert [f["kind"] for f in listed] == ["orphaned_db", "aged_position"]
    first = listed[0]
    assert (first["symbol"], first["state"], first["row_ids"]) == ("APTUSDT", "open", [7])
    assert [f["symbol"] for f in desk("list", "--exchange", "bybit", "--json").json["findings"]] == [
        "SOLUSDT"
    ]
    assert [f["symbol"] for f in desk("list", "--symbol", "apt/usdt:usdt", "--json").json["findings"]] == [
        "APTUSDT"
    ]
    assert desk("list", "--severity", "warning").out == "No finding matches.\n"
    text = desk("list").out
    assert "orphaned_db" in text
    assert "APTUSDT on binance" in text
    shown = desk("show", str(first["id"])).out
    for words in ("61.8", "! quantity: 61", "a fill closed it", "posguard cleanup orphaned-db", "found"):
        assert words in shown
    assert "\x1b" not in shown
    detail = desk("show", str(first["id"]), "--json").json
    assert detail["finding"] == first
    assert [e["event"] for e in detail["events"]] == ["found"]


async def test_acknowledge_dismiss_and_reopen(desk):
    orphan, aged = (str(f["id"]) for f in desk("list", "--json").json["findings"])
    acknowledged = desk("ack", orphan, "--reason", "looking", "--by", "ann", "--json").json["findings"][0]
    assert (acknowledged["state"], acknowledged["decided_by"]) == ("acknowledged", "ann")
    dismissed = desk("dismiss", orphan, aged, "--reason", "known", "--until", "2d", "--json").json["findings"]
    assert {f["state"] for f in dismissed} == {"dismissed"}
    until = datetime.fromisoformat(dismissed[0]["until"])
    assert timedelta(days=2) - timedelta(minutes=5) < until - datetime.now(UTC) <= timedelta(days=2)
    assert desk("list").out == "No finding matches.\n"
    assert len(desk("list", "--state", "dismissed", "--json").json["findings"]) == 2
    assert desk("reopen", orphan, "--json").json["findings"][0]["state"] == "open"
    events = [e["event"] for e in desk("show", orphan, "--json").json["events"]]
    assert events == ["found", "acknowledged", "dismissed", "reopened"]


async def test_one_refused_decision_leaves_the_others_undone(desk):
    orphan = str(desk("list", "--json").json["findings"][0]["id"])
    desk("ack", orphan, "999").fails_with(ExitCode.USAGE, "no finding 999")
    assert {f["state"] for f in desk("list", "--json").json["findings"]} == {"open"}


async def test_a_dismissal_needs_a_reason_and_a_future(desk):
    desk("dismiss", "1").fails_with(ExitCode.USAGE, "--reason")
    desk("dismiss", "1", "--reason", " ").fails_with(ExitCode.USAGE, "reason")
    desk("dismiss", "1", "--reason", "x", "--until", "2001-01-01").fails_with(ExitCode.USAGE, "past")
    desk("dismiss", "1", "--reason", "x", "--until", "soon").fails_with(ExitCode.USAGE, "8h")


async def test_ignore_rules_are_made_listed_and_ended(desk):
    made = desk(
        "ignore", "add", "--exchange", "binance", "--symbol", "btc/usdt:usdt", "--reason", "by hand", "--json"
    ).json["rules"][0]
    assert (made["symbol"], made["account"], made["until"]) == ("BTCUSDT", "main", None)
    assert "by hand" in desk("ignore", "list").out
    ended = desk("ignore", "end", str(made["id"]), "--json").json["rules"][0]
    assert ended["until"] is not None
    assert desk("ignore", "list").out == "No ignore rule.\n"
    assert len(desk("ignore", "list", "--all", "--json").json["rules"]) == 1
    desk("ignore", "end", str(made["id"])).fails_with(ExitCode.USAGE, "no ignore rule")


async def test_unknown_ids_kinds_exchanges_and_states_are_wrong_usage(desk):
    desk("show", "999").fails_with(ExitCode.USAGE, "no finding 999", "findings list")
    desk("list", "--kind", "moon").fails_with(ExitCode.USAGE, "moon", "orphaned_db")
    desk("list", "--exchange", "kraken").fails_with(ExitCode.USAGE, "kraken", "binance")
    desk("list", "--state", "lost").fails_with(ExitCode.USAGE, "lost")


def test_without_the_schema_one_line_says_what_to_run(empty_dsn, bot_dsn, tmp_path):
    for dsn in (empty_dsn, bot_dsn):
        if dsn is bot_dsn:
            run_script(dsn.get_secret_value(), "UPDATE posguard.schema_version SET version_num = '0000'")
        ended = posguard("findings", "list", folder=tmp_path, POSGUARD_DSN=dsn.get_secret_value())
        ended.fails_with(ExitCode.INCONCLUSIVE, "posguard db upgrade", "Nothing was changed")
    run_script(bot_dsn.get_secret_value(), "UPDATE posguard.schema_version SET version_num = '9999'")
    ended = posguard("findings", "list", folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value())
    ended.fails_with(ExitCode.INCONCLUSIVE, "9999", "Upgrade posguard")
