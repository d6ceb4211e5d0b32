"""What is known, as people read it: the one place that turns stored runs, findings and results into words and counts.

Pure: values in, values out. The Airflow page, the saved file and the command line all show what is made here, so that they
say the same. Unknown is never good: no run, an old run and an inconclusive one each have a light of their own, and only a
complete, recent run without a critical finding or a warning is clear.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.duration import spell_duration
from posguard.model.finding import Kind, Proof, Severity, VerdictKind
from posguard.model.quality import Outcome
from posguard.model.venue import World
from posguard.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.model.finding import Finding, Skipped, StoredFinding, VenueVerdict
    from posguard.model.quality import ExpectationResult
    from posguard.model.run import StoredRun

STALE_AFTER = timedelta(hours=2)
TOP = 5


class Light(StrEnum):
    """The one word at the top. Grey are `inconclusive`, `stale` and `absent`: nobody knows."""

    CLEAR = "clear"
    WARNING = "warning"
    CRITICAL = "critical"
    INCONCLUSIVE = "inconclusive"
    STALE = "stale"
    ABSENT = "absent"

    @property
    def grey(self) -> bool:
        """Whether nobody knows how things stand."""
        return self in {Light.INCONCLUSIVE, Light.STALE, Light.ABSENT}


@dataclass(frozen=True, slots=True)
class Known:
    """What was read from posguard's tables at one instant.

    `runs` are the newest first, filtered ones included; `run` is the newest over everything that came to an end, well or
    not; `complete` the last of those in which every venue could be judged, however old. `findings` are all that are neither resolved nor dismissed. `results` belong to the run
    `results_of`, the newest that has any; `strips` maps (suite, expectation) to its results in the last runs, oldest first.
    `unsent` counts the messages of alerts that were tried and did not reach anybody, the oldest of them made at `unsent_since`.
    """

    at: datetime
    runs: tuple[StoredRun, ...] = ()
    run: StoredRun | None = None
    complete: StoredRun | None = None
    findings: tuple[StoredFinding, ...] = ()
    dismissed: int = 0
    results: tuple[ExpectationResult, ...] = ()
    results_of: int | None = None
    strips: Mapping[tuple[str, str], tuple[Outcome, ...]] = field(default_factory=dict)
    demo: bool = False
    unsent: int = 0
    unsent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """One number of the first screen; None means that nobody knows it. `kinds` are the findings behind it.

    `at_least` marks a number that a venue could add to which nobody could judge: its zero is no proof of none.
    """

    label: str
    number: int | None
    meaning: str
    kinds: tuple[Kind, ...] = ()
    of: int | None = None
    at_least: bool = False

    @property
    def name(self) -> str:
        """The label for this number: `1 duplicate`, `2 duplicates`."""
        return _ONE.get(self.label, self.label) if self.number == 1 else self.label

    @property
    def text(self) -> str:
        """The number as shown: `34 of 40`, `2`, `≥ 2`, or a dash where it is not known."""
        if self.number is None:
            return "–"
        if self.of is not None:
            return f"{self.number} of {self.of}"
        return f"≥ {self.number}" if self.at_least else str(self.number)

    @property
    def tone(self) -> str:
        """`unknown` where nobody knows the number, `unsure` where it counts what nobody knows, `hurts`, or `fine`."""
        if self.number is None:
            return "unknown"
        if self.of is not None:
            return "hurts" if self.number < self.of else "fine"
        if not self.number:
            return "unsure" if self.at_least else "fine"
        return "hurts" if self.kinds else "unsure"


@dataclass(frozen=True, slots=True)
class VenueLine:
    """One venue in one run. `reasons` say why it could not be judged; `world` is None where none is configured."""

    name: str
    world: World | None
    conclusive: bool
    reasons: tuple[str, ...]
    positions: int
    orders: int
    snapshots: int
    clock_skew_ms: int | None
    looked_at: datetime | None


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """What somebody must know in five seconds. `top` are the findings that hurt most, worst first."""

    at: datetime
    demo: bool
    light: Light
    headline: str
    counts: tuple[Count, ...]
    compared: str
    complete: str
    data_at: datetime | None
    age: str
    venues: tuple[VenueLine, ...]
    reasons: tuple[str, ...]
    top: tuple[StoredFinding, ...]

    @property
    def line(self) -> str:
        """The counts in one line: `34 of 45 protected · 2 duplicates · …`."""
        return " · ".join(f"{count.text} {count.name}" for count in self.counts)

    @property
    def worlds(self) -> str:
        """Each venue with its world, in one line."""
        return (
            ", ".join(f"{venue.name}: {venue.world or 'not configured'}" for venue in self.venues)
            or "no venue"
        )


def first_screen(known: Known) -> FirstScreen:
    """The first screen of what is known."""
    run = known.run
    venues = tuple(venue_line(v) for v in run.venues) if run else ()
    light = _light(known)
    return FirstScreen(
        at=known.at,
        demo=known.demo or any(v.world is World.SIMULATOR for v in venues),
        light=light,
        headline=_headline(known, light),
        counts=_counts(known),
        compared=compared(run) if run else "No row was compared yet.",
        complete=_complete(known),
        data_at=run.started_at if run else None,
        age=f"{spell_duration(known.at - run.started_at)} old" if run else "no data yet",
        venues=venues,
        reasons=_reasons(run),
        top=worst_first(f for f in known.findings if f.finding.severity is Severity.CRITICAL)[:TOP],
    )


def venue_line(verdict: VenueVerdict) -> VenueLine:
    """A venue's verdict as shown."""
    return VenueLine(
        name=str(verdict.venue),
        world=verdict.world,
        conclusive=verdict.verdict is VerdictKind.CONCLUSIVE,
        reasons=verdict.reasons,
        positions=verdict.positions,
        orders=verdict.orders,
        snapshots=verdict.snapshots,
        clock_skew_ms=verdict.clock_skew_ms,
        looked_at=verdict.looked_at,
    )


# What can lose money this minute, before what misleads the bot, before what waits for somebody to tidy up.
DANGER = {
    kind: rank
    for rank, kind in enumerate(
        (
            Kind.UNPROTECTED_POSITION,
            Kind.STOP_WRONG_SIDE,
            Kind.STOP_UNDERSIZED,
            Kind.SIDE_MISMATCH,
            Kind.EXTERNAL_POSITION,
            Kind.DUPLICATE_POSITION,
            Kind.INCOMPLETE_POSITION,
            Kind.STOP_NOT_RECORDED,
            Kind.QUANTITY_MISMATCH,
            Kind.ORPHANED_DB,
        )
    )
}


def worst_first(findings: Iterable[StoredFinding]) -> tuple[StoredFinding, ...]:
    """By severity, then what puts most money at risk, proven before suspected, the oldest first."""

    def order(stored: StoredFinding) -> tuple[object, ...]:
        finding = stored.finding
        danger = DANGER.get(finding.kind, len(DANGER))
        return (
            finding.severity.rank,
            danger,
            finding.proof is not Proof.PROVEN,
            stored.first_seen,
            stored.id,
        )

    return tuple(sorted(findings, key=order))


def by_severity(findings: Iterable[StoredFinding]) -> dict[Severity, tuple[StoredFinding, ...]]:
    """The findings in order under each severity that has any."""
    ordered = worst_first(findings)
    groups = {s: tuple(f for f in ordered if f.finding.severity is s) for s in Severity}
    return {severity: group for severity, group in groups.items() if group}


def compared(run: StoredRun) -> str:
    """How many open rows a run read, compared and left out, and why."""
    if run.rows_read is None or run.rows_compared is None:
        return "The run ended before it compared a row."
    text = f"{plural(run.rows_read, 'open row')} read, {run.rows_compared} compared"
    left = run.rows_read - run.rows_compared
    why = "; ".join(skipped_text(s) for s in run.skipped)
    if left or why:
        text += f", {left} not" + (f": {why}" if why else "")
    return text + "."


def skipped_text(skipped: Skipped, *, ids: int = 5) -> str:
    """A reason with the rows it left out, the first few by id."""
    shown = ", ".join(f"#{row}" for row in skipped.row_ids[:ids])
    more = len(skipped.row_ids) - ids
    rest = f" and {more} more" if more > 0 else ""
    return f"{skipped.reason} ({shown}{rest})" if shown else skipped.reason


def short_title(finding: Finding) -> str:
    """The title without the key it opens with, for places that show the key beside it."""
    text = finding.title.removeprefix(f"{finding.key}: ")
    return text[:1].upper() + text[1:]


def standing(stored: StoredFinding, run: StoredRun | None) -> str:
    """What the newest run says of a finding that it did not report; empty where it did report it."""
    if run is None or stored.last_run >= run.id or not stored.counts:
        return ""
    seen = {(v.venue.exchange, v.venue.account): v.verdict for v in run.venues}
    verdict = seen.get((stored.finding.exchange, stored.finding.account))
    if verdict is not VerdictKind.CONCLUSIVE:
        return "not judged in the last run"
    if not stored.clean_passes:
        return "not judged in the last run"
    return "not seen in the last " + ("run" if stored.clean_passes == 1 else f"{stored.clean_passes} runs")


def _light(known: Known) -> Light:
    run = known.run
    if run is None:
        return Light.ABSENT
    if known.at - run.started_at > STALE_AFTER:
        return Light.STALE
    if not run.conclusive:
        return Light.INCONCLUSIVE
    hurting = {f.finding.severity for f in known.findings}
    hurting |= {r.severity for r in known.results if r.result is Outcome.VIOLATION}
    if Severity.CRITICAL in hurting:
        return Light.CRITICAL
    if Severity.WARNING in hurting or any(r.result is Outcome.ERROR for r in known.results):
        return Light.WARNING
    return Light.CLEAR


def _headline(known: Known, light: Light) -> str:
    found = found_text(known.findings)
    run = known.run
    match light:
        case Light.ABSENT:
            return "No run yet: nothing is known."
        case Light.STALE if run:
            return f"Stale: the last run is {spell_duration(known.at - run.started_at)} old. It left {found}."
        case Light.INCONCLUSIVE if run:
            lost = [str(v.venue) for v in run.venues if v.verdict is not VerdictKind.CONCLUSIVE]
            who = " and ".join(lost) or "any venue"
            return f"Inconclusive: nobody knows how {who} stands. Known: {found}."
        case Light.CLEAR:
            return f"Clear: {found}." if known.findings else "Clear: no finding."
        case _:
            return f"{found[0].upper()}{found[1:]}."


def found_text(findings: Sequence[StoredFinding]) -> str:
    """`18 critical findings, 9 warnings, 2 for information`; `no finding` where there is none."""
    number = Counter(f.finding.severity for f in findings)
    parts = []
    if number[Severity.CRITICAL]:
        parts.append(plural(number[Severity.CRITICAL], "critical finding"))
    if number[Severity.WARNING]:
        parts.append(plural(number[Severity.WARNING], "warning"))
    if number[Severity.INFO]:
        parts.append(f"{number[Severity.INFO]} for information")
    return ", ".join(parts) or "no finding"


_ONE = {"duplicates": "duplicate", "orphans": "orphan", "mismatches": "mismatch"}
# label, meaning, kinds, and whether it takes a venue's answer to find them
_GROUPS = (
    ("duplicates", "positions that more than one open row claims", (Kind.DUPLICATE_POSITION,), False),
    (
        "orphans",
        "open rows without a position, and positions without a row",
        (Kind.ORPHANED_DB, Kind.EXTERNAL_POSITION),
        True,
    ),
    ("mismatches", "quantity or side differs", (Kind.QUANTITY_MISMATCH, Kind.SIDE_MISMATCH), True),
    ("incomplete", "rows that never became active", (Kind.INCOMPLETE_POSITION,), False),
)
UNPROTECTED = (Kind.UNPROTECTED_POSITION, Kind.STOP_UNDERSIZED, Kind.STOP_WRONG_SIDE)


def _counts(known: Known) -> tuple[Count, ...]:
    kinds = Counter(f.finding.kind for f in known.findings)
    run = known.run
    protected = Count(
        "protected",
        _counted(run, "protected"),
        "venue positions whose live stop covers all of their quantity",
        UNPROTECTED,
        of=_counted(run, "positions"),
    )
    part = run is not None and not run.conclusive
    groups = tuple(
        Count(
            label,
            sum(kinds[k] for k in members) if run else None,
            meaning,
            members,
            at_least=part and of_venue,
        )
        for label, meaning, members, of_venue in _GROUPS
    )
    left = None
    if run and run.rows_read is not None and run.rows_compared is not None:
        left = run.rows_read - run.rows_compared
    return (protected, *groups, Count("unknown", left, "open rows that could not be compared"))


def _counted(run: StoredRun | None, name: str) -> int | None:
    """A count that needs every venue: a part of the positions says nothing of all."""
    return run.counts.get(name) if run and run.conclusive else None


def _complete(known: Known) -> str:
    if known.complete is None or known.complete.finished_at is None:
        return "Never complete so far."
    at = known.complete.finished_at
    return f"Last complete {at:%Y-%m-%d %H:%M:%S} UTC, {spell_duration(known.at - at)} ago."


def _reasons(run: StoredRun | None) -> tuple[str, ...]:
    if run is None or run.conclusive:
        return ()
    said = [
        f"{v.venue}: {reason}"
        for v in run.venues
        if v.verdict is not VerdictKind.CONCLUSIVE
        for reason in v.reasons or ("no reason given",)
    ]
    return (*said, *run.notes) if said else run.notes or ("The run ended without a verdict.",)
