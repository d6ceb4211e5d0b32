"""What `posguard check` makes of the facts: one line for each thing looked at. Pure: facts in, lines out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.exchange.budget import UNSHARED
from posguard.model.venue import World
from posguard.postgres.schema import NEWEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from posguard.model.venue import KeyPermissions, VenueId, VenueSnapshot
    from posguard.postgres.facts import DatabaseFacts, TableFacts


class Mark(StrEnum):
    """What a line says: fine, worth a look, in the way of the hourly run, or nothing there to look at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at: what was seen, and what to do about it where something is to do."""

    area: str
    what: str
    mark: Mark
    said: str
    todo: str = ""


NEEDED = ("id", "symbol", "exchange", "side", "quantity", "status")
# What the absence of a column or table switches off; nothing else depends on them.
COLUMNS_DISABLE = {
    "entry_price": "a stop is judged by the venue's mark price alone",
    "exchange_order_id": "the survivor among duplicates is named with less evidence",
    "created_at": "ages: incomplete (D1) and aged positions (D8) are not judged where opened_at is empty",
    "opened_at": "ages count from created_at",
    "updated_at": "freshness is not judged",
    "closed_at": "durations by status and the suites on closed rows are left out",
}
STOP_COLUMNS = ({"stop_loss_order_id"}, {"has_stop_loss", "stop_loss_price"})
TABLES_DISABLE = {
    "orders": "the suite on orders is not applicable",
    "events": "errors per hour, latencies and the suite on events are left out",
    "trailing_stop_state": "the suite on trailing stops is not applicable",
}
FIRST_SUPPORTED = 150_000
SOON = timedelta(days=14)
# A clock may run so far ahead; a zone that is wrong is off by half an hour at least.
AHEAD = timedelta(minutes=5)
LATE = timedelta(minutes=15)
FARTHEST_ZONE = timedelta(hours=26)
LITTLE_DISK = 1024**3


def made_up(mark: str | None) -> Iterator[Line]:
    """Whether the database says of itself that a demo made it."""
    if mark is not None:
        yield Line("database", "data", Mark.NONE, "DEMO DATA: a demo made this database up")


def server(facts: DatabaseFacts, max_skew: timedelta) -> Iterator[Line]:
    """The server itself: version, clock, standby."""
    where = f"PostgreSQL {facts.version_text}, database {facts.database}, role {facts.role}"
    if facts.version < FIRST_SUPPORTED:
        yield Line("database", "server", Mark.WARN, where, "posguard is tested from PostgreSQL 15 on.")
    else:
        yield Line("database", "server", Mark.OK, f"{where}, {facts.size / 1024**2:.0f} MB")
    skew = facts.clock_skew.total_seconds()
    clock = f"{skew:+.3f} s from this machine's"
    late = abs(facts.clock_skew) > max_skew
    yield Line(
        "database",
        "clock",
        Mark.WARN if late else Mark.OK,
        clock,
        "Set both machines' clocks by NTP: ages are judged across them." if late else "",
    )
    if facts.standby:
        yield Line(
            "database",
            "writing",
            Mark.FAIL,
            "this is a standby, and posguard cannot record there",
            "Name the primary in POSGUARD_DSN; `posguard diagnose` works here.",
        )


def bot_tables(facts: DatabaseFacts) -> Iterator[Line]:
    """The bot's tables: which are there, what the lack of a column or table switches off, whether they can be read."""
    positions = facts.tables.get("monitoring.positions")
    if positions is None:
        yield Line(
            "tables",
            "monitoring.positions",
            Mark.FAIL,
            "not there: this is not the bot's database",
            "Check the database's name in POSGUARD_DSN.",
        )
        return
    yield _readable("monitoring.positions", positions, Mark.FAIL)
    yield from _columns(positions)
    for name, disabled in TABLES_DISABLE.items():
        table = facts.tables.get(f"monitoring.{name}")
        if table is None:
            yield Line("tables", f"monitoring.{name}", Mark.WARN, f"not there: {disabled}")
        else:
            yield _readable(f"monitoring.{name}", table, Mark.WARN)
    yield from _indexes(facts)


def _readable(name: str, table: TableFacts, otherwise: Mark) -> Line:
    if table.readable:
        return Line("tables", name, Mark.OK, f"{len(table.columns)} columns, readable")
    return Line(
        "tables",
        name,
        otherwise,
        "the role may not read it",
        "`posguard db roles --role reader` prints the grants.",
    )


def _columns(positions: TableFacts) -> Iterator[Line]:
    missing = [name for name in NEEDED if name not in positions.columns]
    if missing:
        said = f"lacks {', '.join(missing)}: nothing can be reconciled"
        yield Line(
            "tables", "columns of positions", Mark.FAIL, said, "Check that this is the bot's database."
        )
    for name, disabled in COLUMNS_DISABLE.items():
        if name not in positions.columns:
            yield Line("tables", f"positions.{name}", Mark.WARN, f"not there: {disabled}")
    if not any(columns <= positions.columns for columns in STOP_COLUMNS):
        said = "neither stop_loss_order_id nor has_stop_loss with stop_loss_price: every row counts as without a stop"
        yield Line("tables", "recorded stops", Mark.WARN, said)
    elif "stop_loss_order_id" not in positions.columns:
        said = "no stop_loss_order_id: has_stop_loss and stop_loss_price tell whether a stop is recorded"
        yield Line("tables", "recorded stops", Mark.OK, said)


def _indexes(facts: DatabaseFacts) -> Iterator[Line]:
    for index in facts.unique_indexes:
        if not index.valid:
            said = f"{index.name} is invalid: it holds no duplicates back"
            yield Line("tables", "unique index", Mark.WARN, said, "Find the duplicates, then REINDEX it.")
    if not any(index.valid for index in facts.unique_indexes):
        said = "no valid unique index on positions: the database holds no duplicates back"
        yield Line("tables", "unique index", Mark.WARN, said)


def privileges(facts: DatabaseFacts) -> Iterator[Line]:
    """What the role may do beyond what posguard needs, and whether it can record."""
    changeable = sorted(n for n, t in facts.tables.items() if n.startswith("monitoring.") and t.changeable)
    if facts.superuser or changeable:
        said = "is a superuser" if facts.superuser else f"may change {', '.join(changeable)}"
        todo = "Diagnosis needs to read only: `posguard db roles --role reader`."
        yield Line("privileges", f"role {facts.role}", Mark.WARN, said, todo)
    else:
        yield Line("privileges", f"role {facts.role}", Mark.OK, "cannot change the bot's tables")


def own_schema(facts: DatabaseFacts) -> Iterator[Line]:
    """Posguard's schema: its version, and whether the role can record in it."""
    ours = {n: t for n, t in facts.tables.items() if n.startswith("posguard.")}
    if not ours:
        yield Line(
            "schema",
            "posguard",
            Mark.FAIL,
            "not there: nothing can be recorded",
            "Run `posguard db upgrade`.",
        )
        return
    unwritable = sorted(n for n, t in ours.items() if n != "posguard.schema_version" and not t.writable)
    if unwritable:
        said = f"the role may not record in {', '.join(unwritable)}"
        yield Line(
            "schema", "recording", Mark.FAIL, said, "`posguard db roles --role reader` prints the grants."
        )
    if facts.schema_version == NEWEST:
        yield Line("schema", "posguard", Mark.OK, f"version {NEWEST}, the newest")
    elif facts.schema_version is None:
        yield Line(
            "schema", "posguard", Mark.FAIL, "its version cannot be read", "Run `posguard db upgrade`."
        )
    else:
        newer = facts.schema_version > NEWEST
        said = f"version {facts.schema_version}, and this program knows {NEWEST}"
        yield Line(
            "schema",
            "posguard",
            Mark.FAIL,
            said,
            "Upgrade posguard." if newer else "Run `posguard db upgrade`.",
        )


def coverage(facts: DatabaseFacts, configured: Collection[str]) -> Iterator[Line]:
    """Open rows of exchanges that no venue is configured for."""
    for exchange, rows in facts.open_rows.items():
        if exchange not in configured:
            name = exchange.upper() or "EXCHANGE"
            yield Line(
                "venues",
                exchange or "(no exchange)",
                Mark.FAIL,
                f"{rows} open rows and no credentials: they cannot be compared",
                f"Set POSGUARD_{name}_KEY and POSGUARD_{name}_SECRET.",
            )


def clock(venue: VenueId, skew_ms: int, max_skew: timedelta) -> Line:
    """A venue's clock."""
    late = abs(skew_ms) > max_skew.total_seconds() * 1000
    todo = "Set this machine's clock by NTP." if late else ""
    return Line(
        "venues",
        f"{venue} clock",
        Mark.FAIL if late else Mark.OK,
        f"{skew_ms:+d} ms from this machine's",
        todo,
    )


def world(venue: VenueId, named: World, address: str | None) -> Line:
    """Which world a venue's settings name; production is said in so many words."""
    said = "PRODUCTION: real money" if named is World.PRODUCTION else named.value
    return Line("venues", f"{venue} world", Mark.OK, f"{said}{f' at {address}' if address else ''}")


def looked(snapshot: VenueSnapshot) -> Line:
    """Whether a venue's positions and orders can be read whole."""
    name = f"{snapshot.venue} snapshot"
    if not snapshot.complete:
        return Line("venues", name, Mark.FAIL, "; ".join(snapshot.reasons), "Nothing is known of this venue.")
    said = f"complete: {len(snapshot.positions)} positions, {len(snapshot.orders)} live orders, {len(snapshot.markets)} markets"
    return Line("venues", name, Mark.OK, said)


def request_budget(share: float, *, shared: bool) -> Line:
    """Whether this process sees what the others ask of a venue."""
    if shared:
        said = f"{share:.0%} of a venue's limit, shared by all processes through posguard's schema"
        return Line("venues", "request budget", Mark.OK, said)
    return Line(
        "venues",
        "request budget",
        Mark.WARN,
        f"{share * UNSHARED:.1%} of a venue's limit for each process by itself: none sees what the others ask",
        "`posguard db upgrade`, and the grants of `posguard db roles --role reader`.",
    )


def key(found: KeyPermissions, now: datetime) -> Iterator[Line]:
    """What a key may do, and what it should not."""
    name = f"{found.venue} key"
    if not found.can_read:
        yield Line("venues", name, Mark.FAIL, "may not read", "Allow reading of futures for it.")
        return
    concerns = list(_concerns(found, now))
    if not concerns:
        yield Line("venues", name, Mark.OK, _allowed(found))
    for said, todo in concerns:
        yield Line("venues", name, Mark.WARN, said, todo)
    for note in found.notes:
        yield Line("venues", name, Mark.NONE, note)


def _concerns(found: KeyPermissions, now: datetime) -> Iterator[tuple[str, str]]:
    if found.can_withdraw:
        yield "CAN WITHDRAW", "posguard never needs that: make a key that can only read."
    if found.can_trade:
        yield "may trade", "Diagnosis only reads: make a read-only key."
    if found.ip_restricted is False:
        yield "is not bound to IP addresses", "Bind it to this machine's."
    if found.expires_at and found.expires_at - now < SOON:
        yield f"expires on {found.expires_at:%Y-%m-%d}", "Renew it."


def _allowed(found: KeyPermissions) -> str:
    words = {True: "yes", False: "no", None: "the venue does not say"}
    return f"reads; trades: {words[found.can_trade]}; withdraws: {words[found.can_withdraw]}"


def disk(folder: str, free: int) -> Line:
    """Room for reports, backups and logs."""
    little = free < LITTLE_DISK
    return Line(
        "disk",
        folder,
        Mark.WARN if little else Mark.OK,
        f"{free / 1024**3:.1f} GB free",
        "Reports and backups go there: free some." if little else "",
    )


def unread(names: Collection[str]) -> Iterator[Line]:
    """Variables that nobody reads."""
    for name in names:
        yield Line(
            "settings", name, Mark.WARN, "nobody reads it", "docs/configuration.md lists every setting."
        )


def env_file(mode: int) -> Line:
    """A .env file holds secrets."""
    if mode & 0o077:
        return Line("settings", ".env", Mark.WARN, "can be read by others", "chmod 600 .env")
    return Line("settings", ".env", Mark.OK, "readable by its owner alone")


@dataclass(frozen=True, slots=True)
class SourceLook:
    """What a look at a declared log found: its newest record by the declared zone, or why it cannot be read."""

    name: str
    zone: str
    files: int
    newest: datetime | None
    trouble: str = ""
    remote: bool = False


def alert_routes(places: Collection[str]) -> Line:
    """Whether anybody is told; Airflow's Connections may say it too, which only Airflow knows."""
    todo = "POSGUARD_ALERT_ROUTES says where alerts go, then `posguard alerts test`; docs/alerts.md."
    if not places:
        return Line("alerts", "routes", Mark.NONE, "none set: what is found is told to nobody", todo)
    return Line("alerts", "routes", Mark.OK, ", ".join(places))


def log_sources(looks: Collection[SourceLook], now: datetime) -> Iterator[Line]:
    """The declared logs: readable, how old the newest line is, and whether the zone can be right."""
    if not looks:
        todo = "POSGUARD_LOG_SOURCES declares them: docs/logs.md."
        yield Line("logs", "sources", Mark.NONE, "none declared: nothing is read of the bot's logs", todo)
    for look in looks:
        yield _source(look, now)


def _source(look: SourceLook, now: datetime) -> Line:
    name = f"source {look.name}"
    if look.remote:
        return Line("logs", name, Mark.NONE, f"on object storage, read as {look.zone}: the DAGs read it")
    if look.trouble:
        return Line("logs", name, Mark.WARN, look.trouble.rstrip("."), "Check its paths and their rights.")
    if look.newest is None:
        return Line("logs", name, Mark.WARN, f"no record in {_files(look)}", "Is this the bot's log?")
    said, todo = _newest(look, now - look.newest)
    return Line("logs", name, Mark.WARN if todo else Mark.OK, said, todo)


def _newest(look: SourceLook, age: timedelta) -> tuple[str, str]:
    """How old the newest line is by the declared zone, and what to do where that is odd."""
    if age < -AHEAD:
        ahead = -age.total_seconds() / 3600
        said = f"newest line {ahead:.1f} h ahead of this machine's clock, read as {look.zone}"
        return said, "The declared zone is wrong, or a clock is."
    said = f"{_files(look)}, newest line {_age(age)} old, read as {look.zone}"
    if age < LATE:
        return said, ""
    if age <= FARTHEST_ZONE and _to_half_hour(age) < AHEAD:
        return said, "Right where the bot is idle or stopped; else the declared zone is wrong by that."
    return said, "Does the bot run, and is this the file it writes?"


def _files(look: SourceLook) -> str:
    return f"{look.files} file" if look.files == 1 else f"{look.files} files"


def _age(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _to_half_hour(age: timedelta) -> timedelta:
    """How far an age is from whole half hours, by which zones differ."""
    half = timedelta(minutes=30)
    return min(age % half, half - age % half)
