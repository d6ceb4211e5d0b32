"""What a step reads and writes, read off the statement or the request before it runs. Pure.

Two steps commute where neither writes what the other reads or writes; schedules that differ only in the order of such
steps are one. What cannot be told is taken to write, so that nothing is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from posguard.model.position import Status

# What steps meet on. ROWS: what a statement sees. LOCKS: rows and index entries that a transaction holds. Everything is
# one key's, for all actors work on one.
ROWS, LOCKS, ADVISORY, VENUE = "rows", "row locks", "advisory locks", "venue"
# Every write is stamped with the server's clock, though nobody sees it yet; who reads the clock can tell before from after.
CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step reads and what it writes."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def meets(self, other: Footprint) -> bool:
        """Whether the order of the two matters."""
        return bool(self.writes & (other.reads | other.writes) or other.writes & self.reads)

    def joined(self, other: Footprint) -> Footprint:
        """Both in one."""
        if not other.reads and not other.writes:
            return self
        return Footprint(self.reads | other.reads, self.writes | other.writes)


def footprint(*, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()) -> Footprint:
    """A footprint of these names."""
    return Footprint(frozenset(reads), frozenset(writes))


NOTHING = Footprint()
EVERYTHING = footprint(reads=(ROWS, VENUE), writes=(ROWS, LOCKS, ADVISORY, VENUE, CLOCK))


@dataclass(frozen=True, slots=True)
class Step:
    """One statement or one request: what a person is shown, and what it touches."""

    label: str
    touches: Footprint


class Kind(StrEnum):
    """What a statement is to a schedule."""

    BEGIN = "begin"  # no step: it neither sees nor changes anything
    COMMIT = "commit"
    ROLLBACK = "rollback"
    LOCK = "lock"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's kind, its name for a person, whether it takes advisory locks beside what it does, and asks the time."""

    kind: Kind
    label: str
    locks: bool = False
    asks_time: bool = False


@dataclass(slots=True)
class Standing:
    """What an open transaction has done so far."""

    wrote: bool = False
    locked: bool = False


_NOISE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_BEGINS = re.compile(r"\s*(BEGIN|START\s+TRANSACTION|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_COMMITS = re.compile(r"\s*(COMMIT|END)\b", re.IGNORECASE)
_ROLLS_BACK = re.compile(r"\s*(ROLLBACK|ABORT)\b", re.IGNORECASE)
_ADVISORY = re.compile(r"\bpg_(?:try_)?advisory_\w+", re.IGNORECASE)
_READS = re.compile(r"\s*(SELECT|WITH|VALUES|TABLE|SHOW)\b", re.IGNORECASE)
_CHANGES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|FOR\s+(?:NO\s+KEY\s+)?UPDATE|FOR\s+(?:KEY\s+)?SHARE|INTO)\b",
    re.IGNORECASE,
)
_VERB = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?([\w.\"]+)", re.IGNORECASE)
_SOURCE = re.compile(r"\bFROM\s+(?:ONLY\s+)?([\w.\"]+)", re.IGNORECASE)
_TIME = re.compile(
    r"\b(clock_timestamp|statement_timestamp|transaction_timestamp|now|current_timestamp)\b", re.IGNORECASE
)
_CALL = re.compile(r"([\w.]+)\s*\(")
# Words before a parenthesis that call nothing, and functions that only reckon. Any other function may write.
_HARMLESS = re.compile(
    r"""
    and|any|all|array|as|by|case|coalesce|distinct|else|exists|filter|from|having|in|into|join|lateral|
    materialized|not|on|or|order|over|partition|select|then|union|using|values|when|where|with|count|sum|
    avg|min|max|abs|round|floor|ceil|greatest|least|nullif|lower|upper|btrim|trim|ltrim|rtrim|translate|
    split_part|replace|concat|substring|length|position|now|clock_timestamp|statement_timestamp|
    transaction_timestamp|extract|date_part|date_trunc|age|make_interval|interval|to_char|to_jsonb|
    jsonb_agg|json_agg|jsonb_build_object|jsonb_each|jsonb_object_agg|row_to_json|array_agg|string_agg|
    bool_or|bool_and|unnest|row_number|rank|generate_series|numeric|varchar|char|cast|row|set_config|
    current_setting|pg_backend_pid|hashtext|hashtextextended|to_regclass|to_regnamespace|shobj_description
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STATUSES = frozenset(status.value for status in Status)


_BOUNDS = ((_BEGINS, Kind.BEGIN), (_COMMITS, Kind.COMMIT), (_ROLLS_BACK, Kind.ROLLBACK))


@lru_cache(maxsize=4096)
def read_statement(text: str) -> Statement:
    """What a statement's text tells. Several statements in one text are one step that writes."""
    bare = _NOISE.sub(" ", text).strip()
    for words, kind in _BOUNDS:
        if words.match(bare):
            return Statement(kind, kind.value)
    verb, source = _VERB.search(bare), _SOURCE.search(bare)
    writes = not _READS.match(bare) or bool(_CHANGES.search(bare)) or ";" in bare.rstrip("; \n")
    locks, time = _ADVISORY.search(bare) is not None, _TIME.search(bare) is not None
    if locks and not writes and source is None:
        return Statement(Kind.LOCK, "take the lock", locks)
    if not writes and _calls(bare):
        return Statement(Kind.WRITE, f"call {_name(source)}", locks)
    if verb is not None:
        return Statement(Kind.WRITE, f"{verb[1].split()[0].lower()} {_name(verb, 2)}", locks)
    if writes:
        return Statement(Kind.WRITE, f"change {_name(source)}", locks)
    label = "ask the time" if time and source is None else f"read {_name(source)}"
    return Statement(Kind.READ, label, locks, time)


def _calls(bare: str) -> bool:
    """Whether a function is called that may write."""
    return any(_HARMLESS.fullmatch(call) is None for call in _CALL.findall(bare))


def _name(found: re.Match[str] | None, group: int = 1) -> str:
    return "something" if found is None else found[group].replace('"', "").rpartition(".")[2]


def step_of(statement: Statement, standing: Standing | None, values: tuple[object, ...] = ()) -> Step:
    """The step that a statement is, in a transaction that stands so (None: in one of its own)."""
    touches = _touches(statement.kind, standing)
    if statement.locks:
        touches = touches.joined(footprint(writes=(ADVISORY,)))
    if statement.asks_time:
        touches = touches.joined(footprint(reads=(CLOCK,)))
    return Step(_label(statement, values), touches)


def _label(statement: Statement, values: tuple[object, ...]) -> str:
    if statement.kind is not Kind.WRITE:
        return statement.label
    said = [value for value in values if isinstance(value, str) and value in _STATUSES]
    return " ".join([statement.label, "/".join(said)]).strip()


def _touches(kind: Kind, standing: Standing | None) -> Footprint:
    match kind:
        case Kind.BEGIN:
            return NOTHING
        case Kind.READ:
            return footprint(reads=(ROWS,))
        case Kind.LOCK:
            return footprint(writes=(ADVISORY,))
        case Kind.WRITE if standing is not None:
            # seen by nobody before the commit, and yet in the way of every other writer
            return footprint(reads=(ROWS,), writes=(LOCKS, CLOCK))
        case Kind.WRITE:
            return footprint(reads=(ROWS,), writes=(ROWS, LOCKS, CLOCK))
        case Kind.COMMIT | Kind.ROLLBACK:
            return _ending(standing or Standing(), seen=kind is Kind.COMMIT)


def _ending(standing: Standing, *, seen: bool) -> Footprint:
    writes = [LOCKS] * standing.wrote + [ROWS] * (standing.wrote and seen) + [ADVISORY] * standing.locked
    return footprint(writes=tuple(writes))


_LOOKS = frozenset({"snapshot", "fills", "orders_since", "find", "permissions", "clock_skew_ms", "market"})


def request_step(name: str) -> Step:
    """The step that a request to the venue is."""
    looks = name in _LOOKS
    touches = footprint(reads=(VENUE,)) if looks else footprint(reads=(VENUE,), writes=(VENUE,))
    return Step(f"venue: {name.replace('_', ' ')}", touches)
