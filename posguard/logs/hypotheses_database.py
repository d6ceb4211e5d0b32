"""The explanations of an incident that the database decides: each a pure function from the case to what becomes of it.

Indexes, triggers and rows are read as they are now; a verdict on them says so, since they may have been others then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from posguard.logs.case import row
from posguard.logs.hypotheses import HELD, OPEN, REFUTED, second_process
from posguard.model.incident import Evidence, Hypothesis, UniqueIndexFact
from posguard.model.position import TERMINAL

if TYPE_CHECKING:
    from posguard.logs.case import Case

_WORD = re.compile(r"[a-z_]+")
# What makes a position one of its own, as far as a deployment has it.
_KEY = {"symbol", "exchange", "account", "side", "position_side"}
_THEN = "how it was then: the bot's migrations, or a backup of that time"


def trigger(case: Case) -> Hypothesis:
    """A trigger of the database inserted a row."""
    ask = ("trigger", "Did a trigger insert a row?")
    ours = [t for t in case.database.triggers if t.calls.startswith("posguard.")]
    foreign = [t for t in case.database.triggers if t not in ours and t.enabled]
    if not foreign:
        beside = f" posguard's own ({', '.join(t.name for t in ours)}) insert no position." if ours else ""
        return Hypothesis(*ask, REFUTED, f"monitoring.positions has no trigger of anybody else now.{beside}")
    told = tuple(Evidence("pg_trigger", t.definition) for t in foreign)
    missing = tuple(f"what {t.calls} does: \\sf {t.calls} in psql" for t in foreign)
    return Hypothesis(*ask, OPEN, "monitoring.positions has triggers that may insert.", told, missing)


def lock_key(case: Case) -> Hypothesis:
    """Two processes locked different keys for one symbol, because Python salts the hash of a text per process."""
    ask = ("lock key that differs between processes", "Did two processes lock different keys for one symbol?")
    other = second_process(case)
    if other.standing is REFUTED:
        why = "One process ran: its salt is one, so its keys for one symbol are the same."
        return Hypothesis(*ask, REFUTED, why, other.evidence)
    if other.standing is HELD:
        why = "Two processes ran, and the old core's key is salted per process, so it locks nothing between them."
        return Hypothesis(*ask, HELD, why, other.evidence)
    return Hypothesis(*ask, OPEN, "It takes two processes, and no line says how many ran.", (), other.missing)


def index(case: Case) -> Hypothesis:
    """The unique index was missing or invalid."""
    ask = ("index missing or invalid", "Was the unique index missing, or invalid?")
    guards = [i for i in case.database.indexes if _guards(i)]
    told = tuple(
        Evidence("pg_index", f"{i.definition}{'' if i.valid else ' (INVALID)'}", case.database.read_at)
        for i in guards
    )
    if not guards:
        return Hypothesis(*ask, HELD, "No unique index covers symbol and exchange now.", told, (_THEN,))
    if not any(i.valid for i in guards):
        return Hypothesis(*ask, HELD, "It is invalid: it holds nothing apart.", told)
    rows = tuple(row(r) for r in case.rows)
    narrow = all(_narrow(i) for i in guards if i.valid)
    why = "It is there and valid now."
    if narrow and len(case.rows) > 1:
        why += " But it covers rows in status active alone, so a row in another status passes it."
    return Hypothesis(*ask, REFUTED, why, (*told, *rows))


def _guards(fact: UniqueIndexFact) -> bool:
    """Whether an index keeps two open rows of one position apart: one with a further column lets both in, and so does one over
    closed rows.
    """
    columns = [set(_WORD.findall(column.lower())) & _KEY for column in _columns(fact.definition)]
    condition = _condition(fact)
    open_rows = not condition or "'active'" in condition or ("'closed'" in condition and "<>" in condition)
    return all(columns) and {"symbol", "exchange"} <= set().union(*columns) and open_rows


def _narrow(fact: UniqueIndexFact) -> bool:
    """Whether it covers rows in status active and no others that are open."""
    condition = _condition(fact)
    return "'active'" in condition and "'pending_entry'" not in condition


def _condition(fact: UniqueIndexFact) -> str:
    return fact.definition.partition(" WHERE ")[2]


def _columns(definition: str) -> list[str]:
    """The columns and expressions of an index, as the catalogue writes them."""
    found, depth = [""], 0
    for letter in definition[definition.find("(") :].partition(" WHERE ")[0]:
        depth += (letter == "(") - (letter == ")")
        if not depth:
            break
        if depth == 1 and letter == ",":
            found.append("")
        else:
            found[-1] += letter
    return found


def symbol_bytes(case: Case) -> Hypothesis:
    """The rows' symbols look alike and are different texts."""
    ask = ("symbol not byte-equal", "Do the rows' symbols or exchanges differ in their bytes?")
    told = tuple(
        Evidence(
            "monitoring.positions",
            f"#{r.id} symbol {r.raw_symbol!r} = {r.symbol_bytes}, exchange {r.exchange!r} = {r.exchange_bytes}",
        )
        for r in case.rows
    )
    if len(case.rows) < 2:
        return Hypothesis(*ask, OPEN, "There are not two rows to compare.", told, (_ROWS,))
    if len({(r.symbol_bytes, r.exchange_bytes) for r in case.rows}) > 1:
        return Hypothesis(*ask, HELD, "They differ, so the index takes them for two markets.", told)
    return Hypothesis(*ask, REFUTED, "They are equal, byte for byte.", told)


_ROWS = "both rows: a row may have been deleted since; look in a backup of that time"


def still_open(case: Case) -> tuple[int, ...]:
    """The ids of the case's rows that stand open now: what has to be looked after at once."""
    return tuple(r.id for r in case.rows if r.status not in TERMINAL)
