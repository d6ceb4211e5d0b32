"""What mends a finding: the exact command, or the section of the runbook where no automatic repair exists. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.model.duration import type_duration
from posguard.model.finding import Kind, Proof, caution_of
from posguard.model.plan import MIN_AGE
from posguard.model.position import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from posguard.model.finding import Finding
    from posguard.model.position import PositionKey, PositionRow

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
# Where a person has to choose: the options of each choice.
_CHOICES: Mapping[str, tuple[str, ...]] = {"orphaned-ex": ("--action close", "--action adopt")}
# Statuses whose order may still be on its way: the core's own recovery settles them, and no cleanup does.
_CORES = frozenset({Status.SUBMITTING, Status.CLOSING, Status.UNRESOLVED})
# The cleanup modes that exist. A command of another mode is shown as not built yet.
BUILT: frozenset[str] = frozenset(MODES.values())


def repair(kind: Kind, key: PositionKey, option: str = "") -> str:
    """The command that mends a finding, with an option where one is needed; empty where there is no automatic repair.

    Where a person has to choose there is a complete command for each choice, one a line.
    """
    mode = MODES.get(kind)
    if mode is None:
        return ""
    command = f"posguard cleanup {mode} --symbol {key.symbol} --exchange {key.exchange}"
    return "\n".join(" ".join(filter(None, (command, more, option))) for more in _CHOICES.get(mode, ("",)))


def repair_of_orphan(key: PositionKey, proof: Proof) -> str:
    """The command for an open row whose position is gone: what is only suspected takes a person's word."""
    return repair(Kind.ORPHANED_DB, key, "" if proof is Proof.PROVEN else "--accept-absence")


def repair_of_unfinished(row: PositionRow, now: datetime, grace: timedelta) -> str:
    """The command for an unfinished row, with the --age that takes it in where it is young.

    Empty where no cleanup takes it: a row without a time or with one to come, and those that the core settles itself.
    """
    age = row.age(now)
    if age is None or age < timedelta() or row.status in _CORES:
        return ""
    young = f"--age {type_duration(grace)}" if age < MIN_AGE else ""
    return repair(Kind.INCOMPLETE_POSITION, row.key, young)


def is_built(kind: Kind) -> bool:
    """Whether the repair of a kind exists."""
    return MODES.get(kind) in BUILT


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One thing to do: a command, or a section of the runbook where `command` is empty; how many findings it is about.

    Where a person has to choose `command` holds one complete command a line.
    """

    command: str
    built: bool
    runbook: str
    findings: int
    worst: str

    @property
    def caution(self) -> str:
        """What to make sure of first; empty where nothing."""
        return caution_of(self.command)


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
