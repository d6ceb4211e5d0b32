"""`posguard diagnose` and `reconcile` as a person types them: real PostgreSQL, real ccxt over HTTP to the simulator."""

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import fields
from datetime import UTC, datetime

import psycopg
import pytest

from posguard.demo.seed import seed
from posguard.demo.truth import compare
from posguard.demo.world import make_world
from posguard.errors import ExitCode
from posguard.model.finding import Finding
from posguard.postgres import migrate
from posguard.postgres.queries import script
from posguard.simulator.defaults import READ_KEY, READ_SECRET
from tests.conftest import run_script
from tests.fixtures.gateways import plant
from tests.program import PROGRAM, environment, posguard, posguard_beside

pytestmark = pytest.mark.postgres

CANARY = "canary-secret-51c9"
QUICK = {"POSGUARD_SNAPSHOTS": "2", "POSGUARD_SNAPSHOT_GAP": "0.02s", "POSGUARD_WEIGHT_SHARE": "1"}


def env(base_url, dsn, *exchanges, **more):
    """Both venues (or those named) on the simulator with keys that only read, and quick passes."""
    found = {"POSGUARD_DSN": dsn.get_secret_value(), **QUICK}
    for name in exchanges or ("binance", "bybit"):
        found |= {
            f"POSGUARD_{name.upper()}_KEY": READ_KEY,
            f"POSGUARD_{name.upper()}_SECRET": READ_SECRET,
            f"POSGUARD_{name.upper()}_WORLD": "simulator",
            f"POSGUARD_{name.upper()}_URL": base_url,
        }
    return found | more


def row(symbol, exchange, quantity="0.5", **more):
    """One active row with a recorded stop, as SQL."""
    columns = {
        "symbol": f"'{symbol}'",
        "exchange": f"'{exchange}'",
        "side": "'long'",
        "quantity": quantity,
        "entry_price": "100",
        "has_stop_loss": "true",
        "stop_loss_price": "95",
        **more,
    }
    return f"INSERT INTO monitoring.positions ({', '.join(columns)}) VALUES ({', '.join(columns.values())});"


@pytest.fixture
async def healthy(bot_dsn, control):
    """One position on each venue, with its stop, and its row."""
    rows = {}
    for exchange, symbol in (("binance", "SOLUSDT"), ("bybit", "ETHUSDT")):
        plant(rows, exchange, symbol, "5")
        run_script(bot_dsn.get_secret_value(), row(symbol, exchange, "5"))
    await control.load(**rows)
    return bot_dsn


def stored(dsn, table="runs"):
    with psycopg.connect(dsn.get_secret_value()) as connection:
        return connection.execute(f"SELECT count(*) FROM posguard.{table}").fetchone()[0]


def as_findings(report):
    names = {field.name for field in fields(Finding)}
    from posguard.demo.truth import Kind, PositionSide, Proof, Severity

    kinds = {"kind": Kind, "severity": Severity, "proof": Proof, "position_side": PositionSide}
    return [
        Finding(
            **{
                name: kinds[name](value)
                if name in kinds
                else tuple(value)
                if isinstance(value, list)
                else value
                for name, value in one.items()
                if name in names
            }
        )
        for one in report["findings"]
    ]


async def test_found_is_planted_in_the_demo_world(empty_dsn, simulator, control, tmp_path):
    """`diagnose` on a database without posguard's schema, in both modes; it stores nothing."""
    world = make_world(datetime.now(UTC), 7)
    await seed(empty_dsn, control, world)
    given = env(simulator.base_url, empty_dsn)
    ended = await posguard_beside("diagnose", "--json", folder=tmp_path, **given)
    assert (ended.code, ended.err) == (ExitCode.CRITICAL, "")
    report = ended.json
    assert (report["exit_code"], report["demo"], report["conclusive"]) == (1, True, True)
    truth = compare(world.truth, as_findings(report), at=datetime.fromisoformat(report["started_at"]))
    assert truth.exact, "\n".join((*truth.missed, *truth.unexpected, *truth.differing))
    assert sum(c["critical"] + c["warning"] + c["info"] for c in report["checks"]) == len(report["findings"])
    assert report["statistics"]["by_status"]["rows"]
    text = await posguard_beside("diagnose", "--mode", "report", folder=tmp_path, **given)
    assert (text.code, text.err) == (ExitCode.CRITICAL, "")
    assert "\x1b" not in text.out
    for words in (
        "DEMO DATA",
        "KASUSDT on bybit: 2 open rows claim one position (#275, #276)",
        "posguard cleanup duplicates --symbol KASUSDT --exchange bybit",
        "no automatic repair: docs/runbook.md#side-mismatch",
        "Rows by status, created in the last 24 h",
        "suggested survivor",
    ):
        assert words in text.out
    with psycopg.connect(empty_dsn.get_secret_value()) as connection:
        assert connection.execute("SELECT to_regnamespace('posguard')").fetchone() == (None,)


async def test_a_healthy_world_ends_with_0_and_reconcile_records_it(healthy, simulator, tmp_path, webhook):
    given = env(simulator.base_url, healthy) | {"POSGUARD_HEARTBEAT_URL": webhook.url}
    ended = await posguard_beside("diagnose", folder=tmp_path, **given)
    assert (ended.code, ended.err) == (ExitCode.FINE, ""), ended
    assert "Clear: no finding." in ended.out
    assert "2 of 2 protected" in ended.out
    assert (stored(healthy), webhook.got) == (0, [])
    ended = await posguard_beside("reconcile", "--json", folder=tmp_path, **given)
    assert (ended.code, ended.err, ended.json["outcome"]) == (ExitCode.FINE, "", "clean")
    assert len(webhook.got) == 1  # the heartbeat of a complete run
    assert (stored(healthy), ended.json["run_id"], ended.json["findings"]) == (1, 1, [])


async def test_a_dismissed_problem_no_longer_counts(healthy, simulator, tmp_path):
    run_script(
        healthy.get_secret_value(),
        row(
            "SOLUSDT",
            "binance",
            "5",
            status="'pending_sl'",
            created_at="now() - interval '2h'",
            opened_at="now() - interval '2h'",
        ),
    )
    given = env(simulator.base_url, healthy)
    ended = await posguard_beside("reconcile", "--json", folder=tmp_path, **given)
    assert (ended.code, ended.json["outcome"]) == (ExitCode.CRITICAL, "problems")
    ids = [str(f["id"]) for f in ended.json["findings"]]
    assert {f["kind"] for f in ended.json["findings"]} == {"duplicate_position", "incomplete_position"}
    dismissed = posguard("findings", "dismiss", *ids, "--reason", "known", folder=tmp_path, **given)
    assert dismissed.code == 0
    for command in ("diagnose", "reconcile"):
        ended = await posguard_beside(command, "--json", folder=tmp_path, **given)
        assert (ended.code, ended.json["counts"]["critical"]) == (ExitCode.FINE, 0), ended
        assert ended.json["counts"]["dismissed"] == len(ids)
    text = await posguard_beside("diagnose", folder=tmp_path, **given)
    assert f"Dismissed and not counted: {len(ids)}" in text.out


async def test_filters(healthy, simulator, tmp_path):
    given = env(simulator.base_url, healthy)
    ended = await posguard_beside(
        "diagnose", "--exchange", "bybit", "--symbol", "eth/usdt:usdt", "--json", folder=tmp_path, **given
    )
    assert ended.code == ExitCode.FINE
    assert (ended.json["rows_read"], ended.json["scope"]) == (1, {"exchange": "bybit", "symbol": "ETHUSDT"})
    assert [v["exchange"] for v in ended.json["venues"]] == ["bybit"]
    # a market without a row is known, and what nobody knows is not
    ended = await posguard_beside("diagnose", "--symbol", "BTCUSDT", folder=tmp_path, **given)
    assert ended.code == ExitCode.FINE
    for command in ("diagnose", "reconcile"):
        ended = await posguard_beside(command, "--symbol", "NOPEUSDT", folder=tmp_path, **given)
        ended.fails_with(ExitCode.USAGE, "Nobody knows the symbol NOPEUSDT", "binance and bybit")
    posguard("diagnose", "--exchange", "kraken", folder=tmp_path).fails_with(
        ExitCode.USAGE, "kraken", "binance"
    )
    assert stored(healthy) == 0


async def test_a_wrong_key_makes_its_venue_inconclusive_and_no_other(healthy, simulator, tmp_path):
    given = env(simulator.base_url, healthy, POSGUARD_BYBIT_SECRET=CANARY)
    for command in ("diagnose", "reconcile"):
        ended = await posguard_beside(command, "--json", folder=tmp_path, **given)
        ended.fails_with(ExitCode.INCONCLUSIVE, "bybit", "POSGUARD_BYBIT_KEY")
        assert {v["exchange"]: v["verdict"] for v in ended.json["venues"]} == {
            "binance": "conclusive",
            "bybit": "inconclusive",
        }
        assert (ended.json["exit_code"], ended.json["counts"]["critical"]) == (3, 0)
        assert CANARY not in ended.out + ended.err


async def test_inconclusive_beats_critical_and_the_output_holds_both(healthy, simulator, tmp_path):
    run_script(healthy.get_secret_value(), row("APTUSDT", "binance"))
    given = env(simulator.base_url, healthy, POSGUARD_BYBIT_URL="http://127.0.0.1:1")
    ended = await posguard_beside("diagnose", "--json", folder=tmp_path, **given)
    ended.fails_with(ExitCode.INCONCLUSIVE, "bybit", "no connection")
    assert (ended.json["counts"]["critical"], ended.json["protected"]) == (1, None)
    text = await posguard_beside("diagnose", folder=tmp_path, **given)
    assert "≥" in text.out


@pytest.mark.parametrize(
    "fault", [{"kind": "empty_list"}, {"kind": "html"}, {"kind": "status", "status": 524}]
)
async def test_a_venue_that_once_answers_wrongly_resolves_nothing(
    healthy, simulator, control, tmp_path, fault
):
    """An external position is recorded; then its venue lies once: 3, and the finding stays open."""
    await control.load(positions=[{"venue": "binance", "symbol": "APTUSDT", "amount": "10", "entry": "3"}])
    given = env(simulator.base_url, healthy, POSGUARD_RESOLVE_AFTER="1")
    first = await posguard_beside("reconcile", "--json", folder=tmp_path, **given)
    assert first.code == ExitCode.CRITICAL, first
    await control.fault(**fault, venue="binance", path="*positionRisk*", count=1)
    ended = await posguard_beside("reconcile", "--json", folder=tmp_path, **given)
    ended.fails_with(ExitCode.INCONCLUSIVE, "binance")
    assert ended.json["changes"]["resolved"] == 0
    listed = posguard("findings", "list", "--json", folder=tmp_path, **given).json["findings"]
    assert {f["id"] for f in listed} >= {f["id"] for f in first.json["findings"]}


async def test_the_wrong_account_is_inconclusive(bot_dsn, simulator, control, tmp_path):
    for symbol in ("SOLUSDT", "ETHUSDT", "APTUSDT"):
        run_script(bot_dsn.get_secret_value(), row(symbol, "binance"))
    await control.load(positions=[{"venue": "binance", "symbol": "XRPUSDT", "amount": "10", "entry": "1"}])
    given = env(simulator.base_url, bot_dsn, "binance")
    ended = await posguard_beside("diagnose", "--json", folder=tmp_path, **given)
    ended.fails_with(ExitCode.INCONCLUSIVE, "wrong account")
    assert {f["kind"] for f in ended.json["findings"]} <= {"aged_position", "stop_not_recorded"}


def test_no_exchange_at_all_still_judges_the_database(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    posguard("diagnose", folder=tmp_path, POSGUARD_DSN=dsn).fails_with(
        ExitCode.INCONCLUSIVE, "POSGUARD_BINANCE_KEY"
    )
    run_script(
        dsn, row("SOLUSDT", "bybit", created_at="now() - interval '5h'", opened_at="now() - interval '5h'")
    )
    ended = posguard("diagnose", "--json", folder=tmp_path, POSGUARD_DSN=dsn)
    ended.fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_BYBIT_KEY")
    assert "aged_position" in {f["kind"] for f in ended.json["findings"]}


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def test_databases_that_do_not_answer_or_are_not_the_bots(empty_dsn, bot_dsn, server_dsn, tmp_path):
    def ended(dsn, command="diagnose"):
        given = {} if dsn is None else {"POSGUARD_DSN": dsn}
        return posguard(command, folder=tmp_path, **given)

    for command in ("diagnose", "reconcile"):
        ended(None, command).fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_DSN")
    refused = ended(f"postgresql://u:{CANARY}@127.0.0.1:{closed_port()}/bot")
    refused.fails_with(ExitCode.INCONCLUSIVE, "did not answer", "Check that it runs")
    assert CANARY not in refused.err
    ended("postgresql://u:p@h:port/bot").fails_with(ExitCode.INCONCLUSIVE, "postgresql://user:password")
    missing = server_dsn.rpartition("/")[0] + "/not_there"
    ended(missing).fails_with(ExitCode.INCONCLUSIVE, "not_there")
    ended(empty_dsn.get_secret_value()).fails_with(ExitCode.INCONCLUSIVE, "monitoring.positions")
    run_script(empty_dsn.get_secret_value(), script("bot_schema"))
    ended(empty_dsn.get_secret_value(), "reconcile").fails_with(ExitCode.INCONCLUSIVE, "posguard db upgrade")


async def test_the_reader_role_is_enough_and_cannot_write_the_bots_tables(
    empty_dsn, simulator, control, tmp_path
):
    import uuid
    from urllib.parse import urlsplit

    dsn, prefix = empty_dsn.get_secret_value(), f"p{uuid.uuid4().hex[:8]}"
    run_script(dsn, script("bot_schema"))
    rows = plant({}, "binance", "SOLUSDT", "5")
    await control.load(**rows)
    run_script(dsn, row("SOLUSDT", "binance", "5"))
    printed = posguard("db", "roles", "--prefix", prefix, folder=tmp_path)
    roles = [f"{prefix}_{role}" for role in ("cleanup", "reader", "migration")]
    try:
        run_script(dsn, printed.out)
        for role in roles:
            run_script(dsn, f"ALTER ROLE {role} PASSWORD 'x'")
        migrate.upgrade(empty_dsn.__class__(_as(dsn, roles[2], urlsplit)))
        given = env(simulator.base_url, empty_dsn, "binance", POSGUARD_DSN=_as(dsn, roles[1], urlsplit))
        for command in ("reconcile", "diagnose", "check"):
            ended = await posguard_beside(command, folder=tmp_path, **given)
            assert (ended.code, ended.err) == (ExitCode.FINE, ""), ended
        with psycopg.connect(given["POSGUARD_DSN"]) as connection:
            for statement in ("UPDATE monitoring.positions SET side = 'x'", "DELETE FROM monitoring.events"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement)
    finally:
        for role in roles:
            run_script(dsn, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def _as(dsn, role, urlsplit):
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}").geturl()


async def test_ctrl_c_is_one_line_and_130(healthy, simulator, control, tmp_path):
    await control.fault("latency", seconds=60, path="*positionRisk*")
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "diagnose",
        cwd=tmp_path,
        env=environment(**env(simulator.base_url, healthy, POSGUARD_VENUE_TIMEOUT="60s")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # whoever started the tests in the background may have had SIGINT ignored, which children inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    async with asyncio.timeout(60):
        while not any("positionRisk" in entry.path for entry in simulator.log):  # noqa: ASYNC110 - the log has no event
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert len(err.decode().splitlines()) == 1
    assert b"Interrupted" in err
