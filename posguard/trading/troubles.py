"""Steps that end a row's way or tell a person of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.model.managed import Alert, AlertKind
from posguard.model.position import Status
from posguard.trading.facts import Leave, Move

if TYPE_CHECKING:
    from posguard.model.managed import ManagedRow
    from posguard.trading.facts import Step


def alert(row: ManagedRow, kind: AlertKind, text: str, *, severity: str = "critical") -> Alert:
    """An alert of one change of one row."""
    return Alert(f"core:{row.id}:{kind}:{row.version}", severity, kind, text, row.id)


def failed(row: ManagedRow, why: str) -> Step:
    """No position came to be."""
    return Move(
        row.but(status=Status.FAILED, exit_reason=why, needs_attention=False, attention_reason=None), why
    )


def flagged(row: ManagedRow, why: str, *, settled: bool = False) -> Step:
    """A person has to know, once; then the row is left to the next recovery."""
    if row.needs_attention:
        return Leave(settled=settled)
    text = f"{row.key}: {why}. Row #{row.id} is {row.status} and needs attention."
    return Move(
        row.but(needs_attention=True, attention_reason=why),
        why,
        alert(row, AlertKind.NEEDS_ATTENTION, text),
        keeps=True,
    )
