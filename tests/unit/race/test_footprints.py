"""What a statement touches: what cannot be told writes, so that the reduction leaves nothing out."""

from __future__ import annotations

import pytest

from posguard.postgres.queries import SQL, queries
from posguard.race.footprints import (
    ADVISORY,
    CLOCK,
    LOCKS,
    ROWS,
    VENUE,
    Kind,
    Standing,
    read_statement,
    request_step,
    step_of,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BEGIN;", Kind.BEGIN),
        ("BEGIN ISOLATION LEVEL READ COMMITTED;", Kind.BEGIN),
        ("COMMIT;", Kind.COMMIT),
        ("ROLLBACK TO a;", Kind.ROLLBACK),
        ("SELECT pg_advisory_xact_lock($1)", Kind.LOCK),
        ("SELECT id FROM monitoring.positions WHERE status = 'active'", Kind.READ),
        ("-- UPDATE\nSELECT 'DELETE' FROM t", Kind.READ),
        ("WITH a AS (SELECT 1) SELECT count(*) FROM a", Kind.READ),
        ("SELECT * FROM t FOR UPDATE", Kind.WRITE),
        ("SELECT * FROM t FOR NO KEY UPDATE", Kind.WRITE),
        ("SELECT * FROM t; DELETE FROM t", Kind.WRITE),
        ("WITH a AS (UPDATE t SET x = 1 RETURNING x) SELECT x FROM a", Kind.WRITE),
        ("INSERT INTO t VALUES (1)", Kind.WRITE),
        ("SELECT my_function(1)", Kind.WRITE),
        ("SELECT nextval('s')", Kind.WRITE),
        ("SELECT x INTO y FROM t", Kind.WRITE),
        ("CALL work()", Kind.WRITE),
        ("VACUUM t", Kind.WRITE),
    ],
)
def test_kinds(text, kind):
    assert read_statement(text).kind is kind


def test_a_write_in_a_transaction_is_seen_at_its_commit():
    write = read_statement("UPDATE t SET x = 1")
    alone, within = step_of(write, None).touches, step_of(write, Standing()).touches
    assert alone.writes == {ROWS, LOCKS, CLOCK}
    assert within.writes == {LOCKS, CLOCK}
    look = step_of(read_statement("SELECT x FROM t"), None).touches
    assert alone.meets(look)
    assert not within.meets(look)
    commit = step_of(read_statement("COMMIT;"), Standing(wrote=True, locked=True)).touches
    assert commit.writes == {ROWS, LOCKS, ADVISORY}
    assert commit.meets(look)
    assert not step_of(read_statement("COMMIT;"), Standing()).touches.writes
    rollback = step_of(read_statement("ROLLBACK;"), Standing(wrote=True)).touches
    assert rollback.writes == {LOCKS}


def test_who_asks_the_time_can_tell_before_from_after():
    """A row is stamped when it is written, not when it is seen."""
    asks = step_of(read_statement("SELECT clock_timestamp()"), None).touches
    within = step_of(read_statement("INSERT INTO t VALUES (1)"), Standing()).touches
    assert asks.meets(within)


def test_database_and_venue_do_not_meet():
    write = step_of(read_statement("UPDATE t SET x = 1"), None).touches
    assert not write.meets(request_step("place_entry").touches)
    assert request_step("place_entry").touches.meets(request_step("snapshot").touches)
    assert not request_step("snapshot").touches.meets(request_step("find").touches)
    assert request_step("something_new").touches.writes == {VENUE}


def test_a_lock_taken_on_the_way_is_one():
    both = read_statement("SELECT pg_advisory_xact_lock(id) FROM t")
    assert ADVISORY in step_of(both, None).touches.writes


def test_no_statement_of_the_core_that_writes_is_taken_for_a_look():
    """The core's own queries, by the sign that aiosql gives them: `!` and `<!` run for effect."""
    text = (SQL / "managed.sql").read_text(encoding="utf-8")
    names = [line.split()[2] for line in text.splitlines() if line.startswith("-- name:")]
    assert len(names) > 10
    loaded = queries("managed")
    for name in names:
        statement = read_statement(getattr(loaded, name.rstrip("!^$<#*")).sql)
        if name.endswith("!") and "lock" not in name:
            assert statement.kind is Kind.WRITE, name
