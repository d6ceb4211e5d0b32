"""HTML from what is known: Jinja2 with autoescape always on, a sheet of our own, no script, nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from posguard.errors import PosguardError
from posguard.model.duration import parse_duration, spell_duration
from posguard.model.finding import FindingState, Kind, Severity
from posguard.model.run import RunOutcome
from posguard.report.chart import tone, trend
from posguard.report.drawing import FILTERS
from posguard.report.lanes import NAMES, NARROW, draw, spell_gap
from posguard.report.plans import RESTORE, scope_words, show, standing_of, told, tone_of
from posguard.report.runbook import section
from posguard.report.sides import both_sides
from posguard.report.suites import suites
from posguard.report.view import (
    Light,
    by_severity,
    compared,
    first_screen,
    short_title,
    skipped_text,
    standing,
    venue_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.model.finding import Finding, StoredFinding
    from posguard.model.log_statistics import Statistics
    from posguard.model.race import Race
    from posguard.model.run import StoredRun
    from posguard.postgres.planlists import PlanSummary
    from posguard.report.read import KnownFinding, KnownPlan, KnownRun
    from posguard.report.view import Known

# Same-origin only, no script at all; style attributes are refused too, so the charts are plain SVG attributes.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page stands: `base` is the path before its links, `current` the entry of its navigation.

    A page with `inline_style` is a file of its own: it carries its sheet and has no links to others.
    """

    at: datetime
    base: str = ""
    current: str = ""
    limit: int = 50
    inline_style: Markup = field(default_factory=Markup)
    policy: str = POLICY
    unfold: bool = False

    def link(self, path: str) -> str:
        """The address of another page of the report."""
        return self.base + path

    def finding_link(self, finding_id: int) -> str:
        """The address of a finding: its page, or its place in the file."""
        return f"#finding-{finding_id}" if self.inline_style else self.link(f"/findings/{finding_id}")


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters of the list of findings, as typed; `state` empty means what counts: open and acknowledged."""

    state: str = ""
    severity: str = ""
    kind: tuple[str, ...] = ()
    exchange: str = ""
    symbol: str = ""

    @property
    def states(self) -> tuple[FindingState, ...]:
        """The states asked for; none means any."""
        if self.state == "any":
            return ()
        if self.state in set(FindingState):
            return (FindingState(self.state),)
        return (FindingState.OPEN, FindingState.ACKNOWLEDGED)

    @property
    def severities(self) -> tuple[Severity, ...]:
        """The severity asked for; none means any."""
        return (Severity(self.severity),) if self.severity in set(Severity) else ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds asked for; none means any."""
        return tuple(Kind(kind) for kind in self.kind if kind in set(Kind))


def overview(known: Known, page: Page) -> str:
    """The first page."""
    screen = first_screen(known)
    lost = screen.light is Light.INCONCLUSIVE
    return html_of(
        "overview.html",
        page=page,
        screen=screen,
        runbook=_runbook("inconclusive-venue") if lost else "",
        run=known.run,
        groups=by_severity(known.findings),
        dismissed=known.dismissed,
        suites=suites(known.results, known.strips),
        results_of=known.results_of,
        unsent=known.unsent,
        unsent_since=known.unsent_since,
        trend=trend(known.runs),
    )


def finding_list(known: Known, found: Sequence[StoredFinding], asked: Asked, page: Page) -> str:
    """The findings that match a filter."""
    return html_of(
        "findings.html",
        page=page,
        screen=first_screen(known),
        run=known.run,
        findings=found,
        asked=asked,
        kinds=tuple(Kind),
    )


def one_finding(known: Known, found: KnownFinding, page: Page) -> str:
    """One finding with both sides, its life and its section of the runbook."""
    return html_of(
        "finding.html",
        page=page,
        screen=first_screen(known),
        run=known.run,
        stored=found.stored,
        events=found.events,
        plans=found.plans,
        form=_form(found.stored.finding),
        race=found.race,
        drawn=draw(found.race) if found.race else None,
        narrow=draw(found.race, width=NARROW) if found.race else None,
        runbook=_runbook(found.stored.finding.runbook),
    )


def plan_list(
    known: Known,
    shown: Sequence[PlanSummary],
    page: Page,
    *,
    backups: Sequence[PlanSummary] = (),
    before: int | None = None,
) -> str:
    """The plans, and the backups with the command that takes each back."""
    older = shown[-1].id if len(shown) == page.limit else None
    return html_of(
        "plans.html",
        page=page,
        screen=first_screen(known),
        plans=shown,
        backups=backups,
        older=older,
        asked_before=before is not None,
    )


def one_plan(known: Known, found: KnownPlan, page: Page) -> str:
    """One plan: its lines with what changes, what sends orders apart, its record, its backup."""
    return html_of(
        "plan.html",
        page=page,
        screen=first_screen(known),
        shown=show(found.stored, page.at),
        findings=found.findings,
        actions=[(action, told(action)) for action in found.actions[-page.limit :]],
        earlier=max(0, len(found.actions) - page.limit),
    )


def run_list(known: Known, runs: Sequence[StoredRun], page: Page, *, before: int | None = None) -> str:
    """The history of runs."""
    older = runs[-1].id if len(runs) == page.limit else None
    return html_of(
        "runs.html",
        page=page,
        screen=first_screen(known),
        runs=runs,
        older=older,
        asked_before=before is not None,
        trend=trend(runs),
    )


def one_run(known: Known, shown: KnownRun, page: Page) -> str:
    """One run: its venues, what it changed, its suites."""
    run = shown.run
    return html_of(
        "run.html",
        page=page,
        screen=first_screen(known),
        shown=run,
        compared=compared(run),
        venues=tuple(venue_line(v) for v in run.venues),
        changes=shown.changes,
        skipped=[skipped_text(s, ids=50) for s in run.skipped],
        suites=suites(shown.results),
    )


def race_list(known: Known, races: Sequence[tuple[int, Race]], page: Page) -> str:
    """The races that the bot's logs tell of, newest first, each with its finding."""
    return html_of("races.html", page=page, screen=first_screen(known), races=races)


def log_report(
    races: Sequence[Race],
    numbers: Statistics,
    page: Page,
    *,
    damage: Sequence[str] = (),
    unknown: Sequence[str] = (),
    limit: int = 50,
) -> str:
    """An analysis of the bot's logs as a page of its own, each race drawn, at most `limit` of them.

    With a reason in `unknown` why there may be more races, it is never called clear.
    """
    tables = (
        ("Errors by symbol", numbers.errors_by_symbol),
        ("Errors by exchange", numbers.errors_by_exchange),
        ("Errors by hour (UTC)", {f"{at:%Y-%m-%d %H:00}": n for at, n in numbers.errors_by_hour.items()}),
        ("Events by category", numbers.categories),
        ("Events by level" if numbers.parsed_entries is None else "Records by level", numbers.levels),
    )
    return html_of(
        "log_report.html",
        page=page,
        screen=None,
        races=[(race, draw(race), draw(race, width=NARROW)) for race in races[:limit]],
        left_out=max(0, len(races) - limit),
        silent=sum(not race.surfaced for race in races),
        numbers=numbers,
        tables=tables,
        damage=damage,
        unknown=unknown,
    )


def problem(error: PosguardError, page: Page, *, what: str = "cannot be read") -> str:
    """The page that stands where nothing can be shown: what happened and what to do."""
    return html_of("problem.html", page=page, screen=None, what=what, message=error.message, hint=error.hint)


@cache
def static(name: str) -> str:
    """The text of a file that the pages use: report.css, icon.svg, icon-dark.svg."""
    return files("posguard.report").joinpath("static", name).read_text(encoding="utf-8")


def file_page(at: datetime) -> Page:
    """The page of a saved file: its sheet inside, allowed by its hash and nothing else."""
    sheet = static("report.css")
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return Page(at=at, inline_style=Markup(sheet), policy=policy, limit=10_000)  # noqa: S704 - our own file


def words(text: str) -> str:
    """`orphaned_db` as `Orphaned in the database`; other ids with their underscores gone."""
    return _WORDS.get(text) or text.replace("_", " ").capitalize()


_WORDS = {
    Kind.ORPHANED_DB.value: "Orphaned in database",
    Kind.EXTERNAL_POSITION.value: "External position",
    "info": "Information",
    "clear": "Clear",
    "absent": "No data",
}


def _runbook(anchor: str) -> Markup:
    return Markup(section(anchor))  # noqa: S704 - our own file, through a renderer that takes no raw HTML


def _moment(at: datetime) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC")


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def _clock_day(at: datetime) -> str:
    return f"{at:%Y-%m-%d} {_clock(at)}"


def _host(at: datetime, zone: str) -> str:
    return _clock_day(at.astimezone(ZoneInfo(zone)))


def _ago(at: datetime, now: datetime) -> Markup:
    text = spell_duration(now - at).split(" ")
    short = " ".join(text[:2])
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"first seen {at:%Y-%m-%d %H:%M:%S} UTC", short
    )


def _number(value: float) -> str:
    return f"{value:g}"


def _outcome(run: StoredRun) -> str:
    return "under way" if run.outcome is RunOutcome.RUNNING else run.outcome.value


def _form(finding: Finding) -> tuple[tuple[str, str], ...]:
    """What to fill into the form of the cleanup DAG for a finding's command; empty where the form cannot do it."""
    if not finding.commands or "--accept-absence" in finding.repair:
        return ()
    words = [command.split() for command in finding.commands]
    said = [("mode", words[0][2])]
    if "--age" in words[0]:
        age = parse_duration(words[0][words[0].index("--age") + 1], bare="h")
        said.append(("least age in hours", f"{math.floor(age / timedelta(hours=1) * 100) / 100:g}"))
    if actions := [line[line.index("--action") + 1] for line in words if "--action" in line]:
        said.append(("action", " or ".join(actions)))
    return tuple(said)


def _standing(summary: PlanSummary, now: datetime) -> str:
    return standing_of(summary.state, summary.expires_at, now, lines=summary.lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _kinds_query(kinds: Iterable[Kind]) -> str:
    return urlencode([("kind", kind.value) for kind in kinds])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("posguard.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.filters |= {
        "actor": NAMES.__getitem__,
        "ago": _ago,
        "capitalize_first": _capital,
        "clock": _clock,
        "clock_day": _clock_day,
        "gap": spell_gap,
        "host": _host,
        "kinds_query": _kinds_query,
        "moment": _moment,
        "number": _number,
        "outcome": _outcome,
        "plan_scope": scope_words,
        "plan_standing": _standing,
        "plan_tone": tone_of,
        "short_title": short_title,
        "sides": both_sides,
        "spell": spell_duration,
        "standing": standing,
        "tone": tone,
        "words": words,
    }
    environment.globals["restore"] = RESTORE
    return environment


def html_of(template: str, **values: Any) -> str:
    """A template with its values, everything escaped."""
    context: Mapping[str, Any] = values
    return _environment().get_template(template).render(context)
