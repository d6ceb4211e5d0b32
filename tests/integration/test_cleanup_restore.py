"""Cleanups taken back: every row as it was, conflicts named, damaged files and leading names refused."""

from __future__ import annotations

import json
import stat

import pytest

from posguard.cleanup.backup import named_path, read_backup, write_backup
from posguard.cleanup.restore import look, restore
from posguard.errors import ConflictError, PosguardError, RefusedError, UsageError
from posguard.model.plan import Choice, Mode
from posguard.model.scope import Scope

pytestmark = pytest.mark.postgres

ROW_MODES = (Mode.DUPLICATES, Mode.ORPHANED_DB, Mode.MISMATCH)


async def cleaned(demo, mode, **more):
    stored = await demo.plan(mode, **more)
    done = await demo.apply(stored.code)
    return done, read_backup(demo.folder / f"{stored.code}.json")


def same_but_for_time(row):
    return {name: value for name, value in row.items() if name not in {"version", "updated_at"}}


async def test_every_row_comes_back_as_it_was(demo):
    for mode in ROW_MODES:
        rows, found = await demo.rows(), await demo.found()
        _, backup = await cleaned(demo, mode)
        dry = await look(demo.db, demo.readers, backup)
        assert not dry.conflicts
        with pytest.raises(RefusedError, match="is not the code"):
            await restore(demo.db, demo.readers, backup, "ABCD-EFGH", actor="t")
        done = await restore(demo.db, demo.readers, backup, dry.code, actor="t")
        assert done.done
        now = await demo.rows()
        assert {n: same_but_for_time(r) for n, r in now.items()} == {
            n: same_but_for_time(r) for n, r in rows.items()
        }
        assert await demo.found() == found
        with pytest.raises(RefusedError, match="left to restore"):
            await restore(demo.db, demo.readers, backup, dry.code, actor="t")


async def test_adopted_rows_are_retired_and_orders_are_said_to_stay(demo):
    done, backup = await cleaned(demo, Mode.ORPHANED_EX, choice=Choice.ADOPT)
    made = {one.made_row for one in done.lines}
    dry = await look(demo.db, demo.readers, backup)
    assert {r.row_id for r in dry.retired} == made
    await restore(demo.db, demo.readers, backup, dry.code, actor="t")
    rows = await demo.rows()
    assert {(rows[n]["status"], rows[n]["exit_reason"]) for n in made} == {
        ("rolled_back", "adoption taken back")
    }
    _, closed = await cleaned(demo, Mode.UNPROTECTED, scope=Scope("bybit", "GRTUSDT"))
    dry = await look(demo.db, demo.readers, closed)
    assert dry.rows == ()
    assert [s for s in dry.gone if "GRTUSDT" in s]


async def test_of_unfinished_rows_those_come_back_for_which_no_order_was_sent(demo):
    before = await demo.rows()
    done, backup = await cleaned(demo, Mode.INCOMPLETE)
    after = await demo.rows()
    quiet = {one.line.row.id: one for one in done.lines if not one.line.orders}
    sending = {one.line.row.id: one for one in done.lines if one.line.orders}
    assert quiet
    assert sending
    assert {c.after for one in quiet.values() for c in one.line.changes if c.column == "status"} >= {
        "failed",
        "active",
    }
    dry = await look(demo.db, demo.readers, backup)
    assert {r.row_id for r in dry.rows} == quiet.keys()
    assert dry.conflicts == ()
    assert all(any(str(one.line.key) in said for said in dry.gone) for one in sending.values())
    posts = await demo.posts()
    assert (await restore(demo.db, demo.readers, backup, dry.code, actor="t")).done
    now = await demo.rows()
    assert all(
        same_but_for_time(now[n]) == same_but_for_time(before[n]) for n in before.keys() - sending.keys()
    )
    assert all(now[n] == after[n] for n in sending)
    assert await demo.posts() == posts, "nothing is sent to take anything back"


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        (Mode.ZOMBIES, {}),
        (Mode.UNPROTECTED, {"scope": Scope("binance", "WLDUSDT")}),
        (Mode.ORPHANED_EX, {"choice": Choice.CLOSE, "scope": Scope("bybit", "SANDUSDT")}),
    ],
    ids=lambda value: str(value) if isinstance(value, Mode) else "",
)
async def test_of_a_mode_that_sends_orders_every_line_is_named_and_nothing_is_restored(demo, mode, more):
    done, backup = await cleaned(demo, mode, **more)
    dry = await look(demo.db, demo.readers, backup)
    assert (dry.rows, dry.retired, dry.conflicts) == ((), (), ())
    assert len(dry.gone) == len(done.lines) > 0
    assert all(str(one.line.key) in said for one, said in zip(done.lines, dry.gone, strict=True))
    with pytest.raises(RefusedError, match="left to restore"):
        await restore(demo.db, demo.readers, backup, dry.code, actor="t")


async def test_with_one_conflict_nothing_comes_back_and_it_is_named(demo):
    done, backup = await cleaned(demo, Mode.ALL, scope=Scope("binance"))
    ids = {one.line.key.symbol: one.line.row.id for one in done.lines if one.line.row}
    code = (await look(demo.db, demo.readers, backup)).code
    await demo.do("UPDATE monitoring.positions SET status = 'failed' WHERE id = $1", ids["OPUSDT"])
    await demo.do(
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
        " VALUES ('APTUSDT', 'binance', 'long', 1, 1, 'active')"
    )
    await demo.control.act("close", venue="binance", symbol="INJUSDT")
    before = await demo.rows()
    with pytest.raises(ConflictError) as refused:
        await restore(demo.db, demo.readers, backup, code, actor="t")
    assert await demo.rows() == before
    for words in (f"#{ids['OPUSDT']} has changed", "holds the key of row", "INJUSDT on binance was there"):
        assert words in str(refused.value)
    assert refused.value.exit_code == 4


async def test_a_row_that_an_index_refuses_is_a_conflict_and_the_others_stay_too(demo):
    _, backup = await cleaned(demo, Mode.DUPLICATES)
    dry = await look(demo.db, demo.readers, backup)
    await demo.do(
        "CREATE UNIQUE INDEX one ON monitoring.positions (upper(translate(split_part(symbol, ':', 1), '/', '')), exchange)"
        " WHERE status NOT IN ('closed', 'failed', 'rolled_back', 'canceled')"
    )
    before = await demo.rows()
    with pytest.raises(ConflictError, match=r"the database refuses it \(one\)"):
        await restore(demo.db, demo.readers, backup, dry.code, actor="t")
    assert await demo.rows() == before


async def test_a_damaged_file_and_that_of_another_database_are_refused(demo):
    _, backup = await cleaned(demo, Mode.DUPLICATES)
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    text = backup.path.read_text()
    for number, broken in enumerate((text[:-40], text.replace("active", "closed", 1), "{}", "[]", "", "\0")):
        bad = demo.folder / f"bad{number}.json"
        bad.write_text(broken)
        with pytest.raises(RefusedError, match="damaged"):
            read_backup(bad)
    said = {**backup.said, "plan": {**backup.said["plan"], "database": "another"}}
    with pytest.raises(RefusedError, match="another database"):
        await look(demo.db, demo.readers, write_backup(demo.folder / "other.json", said))


async def test_a_venue_that_cannot_be_read_restores_nothing(demo):
    _, backup = await cleaned(demo, Mode.DUPLICATES)
    await demo.control.fault("html", venue="bybit")
    with pytest.raises(PosguardError, match="cannot be read"):
        await look(demo.db, demo.readers, backup)


def test_names_that_lead_elsewhere_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backups").mkdir()
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "backups" / "link.json").symlink_to(tmp_path / "real.json")
    (tmp_path / "way").symlink_to("/tmp")
    folder = tmp_path / "backups"
    for name in ("../x.json", "a/../../x.json", "/etc/x.json", "", " ", "a\0b", str(tmp_path / "x.json")):
        with pytest.raises(UsageError):
            named_path(folder, name)
    for name in ("link.json", "way/x.json"):
        with pytest.raises(RefusedError, match="is a link"):
            named_path(folder, name)
    assert named_path(folder, "x.json") == folder / "x.json"
    assert named_path(folder, str(folder / "x.json")) == folder / "x.json"


def test_a_backup_is_written_whole_or_not_at_all_and_never_over_another(tmp_path):
    path = tmp_path / "new" / "x.json"
    write_backup(path, {"plan": {"code": "A"}, "data": [{"n": 1}]})
    with pytest.raises(RefusedError, match="is there already"):
        write_backup(path, {"plan": {"code": "B"}})
    assert json.loads(path.read_text())["plan"]["code"] == "A"
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]
    with pytest.raises(PosguardError, match="cannot be written"):
        write_backup(tmp_path / ("n" * 300), {"plan": {}})
