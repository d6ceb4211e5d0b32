"""What mends a finding: the exact command, or the section of the runbook where no automatic repair exists. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.finding import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from posguard.model.finding import Finding
    from posguard.model.position import PositionKey

# In the order in which `cleanup all` is safe: what protects first, what closes rows before what touches the venue.
MODES: Mapping[Kind, str] = {
    Kind.UNPROTECTED_POSITION: "unprotected",
    Kind.STOP_UNDERSIZED: "unprotected",
    Kind.STOP_WRONG_SIDE: "unprotected",
    Kind.DUPLICATE_POSITION: "duplicates",
    Kind.ORPHANED_DB: "orphaned-db",
    Kind.INCOMPLETE_POSITION: "incomplete",
    Kind.QUANTITY_MISMATCH: "mismatch",
    Kind.ZOMBIE_ORDER: "zombies",
    Kind.DUPLICATE_STOP: "zombies",
    Kind.EXTERNAL_POSITION: "orphaned-ex",
}
_CHOICE = {"orphaned-ex": " --action close|adopt"}
# The cleanup modes that exist. A command of another mode is shown as not built yet.
BUILT: frozenset[str] = frozenset(MODES.values())


def repair(kind: Kind, key: PositionKey) -> str:
    """The command that mends a finding; empty where there is no automatic repair."""
    mode = MODES.get(kind)
    if mode is None:
        return ""
    where = f"--symbol {key.symbol} --exchange {key.exchange}"
    return f"posguard cleanup {mode} {where}{_CHOICE.get(mode, '')}"


def is_built(kind: Kind) -> bool:
    """Whether the repair of a kind exists."""
    return MODES.get(kind) in BUILT


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One thing to do: a command, or a section of the runbook where `command` is empty; how many findings it is about."""

    command: str
    built: bool
    runbook: str
    findings: int
    worst: str


def recommendations(findings: Iterable[Finding]) -> tuple[Recommendation, ...]:
    """What to do about findings: each command once, what protects first, what only the runbook knows last."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        group = (finding.repair, "" if finding.repair else finding.runbook)
        groups.setdefault(group, []).append(finding)
    said = [
        Recommendation(
            command=command,
            built=mine[0].repair_built,
            runbook=mine[0].runbook,
            findings=len(mine),
            worst=min(mine, key=lambda finding: finding.severity.rank).severity.value,
        )
        for (command, _), mine in groups.items()
    ]
    order = list(MODES.values())
    return tuple(sorted(said, key=lambda r: (_rank(r.command, order), r.command, r.runbook)))


def _rank(command: str, order: list[str]) -> int:
    words = command.split()
    return order.index(words[2]) if words else len(order)
