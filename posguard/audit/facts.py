"""Everything that an audit is made from, as it was read; what nobody could look at stands in `gaps`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posguard.audit.watched import Watch
from posguard.model.finding import RACE_KINDS, FindingState

if TYPE_CHECKING:
    from datetime import datetime

    from posguard.audit.log import LogFacts
    from posguard.model.analysis import Analysis
    from posguard.model.audit import Gap, Window
    from posguard.model.finding import StoredFinding
    from posguard.model.quality import ExpectationResult
    from posguard.model.race import Race
    from posguard.model.run import StoredRun
    from posguard.postgres.audit import LoadedLog, RowFacts


@dataclass(frozen=True, slots=True)
class KnownRace:
    """A race with the id of its finding; None where none is stored. `location` is the place in the bot's code, if the log names it."""

    race: Race
    finding_id: int | None = None
    location: str = ""


@dataclass(frozen=True)
class Facts:
    """What was read for one window. None means that nobody knows: `findings` without a complete look, `results` without a run of the suites.

    `run` is the pass that `findings` stand on, `findings_from` and `results_from` say in words where they come from. `races`
    are those that happened in the window, by log and by posguard's tables. `present` tells whether the window reaches the time
    at which it was read: what stands now says something of it then.
    """

    window: Window
    at: datetime
    demo: bool
    database: str
    rows: RowFacts
    runs: tuple[StoredRun, ...] = ()
    run: StoredRun | None = None
    findings: tuple[StoredFinding, ...] | None = None
    findings_from: str = ""
    results: tuple[ExpectationResult, ...] | None = None
    results_from: str = ""
    races: tuple[KnownRace, ...] = ()
    log: LogFacts | None = None
    loaded: tuple[LoadedLog, ...] = ()
    analysis: Analysis | None = None
    present: bool = False
    watch: Watch = field(default_factory=Watch)
    gaps: tuple[Gap, ...] = ()

    @property
    def log_read(self) -> bool:
        """Whether any of the bot's log was read for the window."""
        return self.log is not None or bool(self.loaded)

    @property
    def log_whole(self) -> bool:
        """Whether all of it was: only then is no race seen no race."""
        return self.log_read and not any(gap.of_log for gap in self.gaps)

    @property
    def counted(self) -> tuple[StoredFinding, ...]:
        """The findings that make issues: neither dismissed by the desk nor told of as a race."""
        return tuple(
            one
            for one in self.findings or ()
            if one.state is not FindingState.DISMISSED and one.finding.kind not in RACE_KINDS
        )

    @property
    def dismissed(self) -> int:
        """How many the desk dismissed."""
        return sum(one.state is FindingState.DISMISSED for one in self.findings or ())

    @property
    def conclusive(self) -> bool:
        """Whether a complete look at database and exchanges lies in the window."""
        return self.run is not None and self.run.conclusive
