"""The JSON of every command: one model per command, Decimals and times as strings. docs/json.md is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from posguard.cli.options import Target

if TYPE_CHECKING:
    from posguard.model.finding import Finding, FindingEvent, IgnoreRule, StoredFinding


class Shape(BaseModel):
    """What all outputs have in common: nothing is left out, nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SchemaStanding(Shape):
    """`posguard db check --json`."""

    target: Target = Field(description="whose schema")
    current: str | None = Field(description="the version in the database; null: not there")
    newest: str = Field(description="the newest version this program knows")
    up_to_date: bool = Field(description="whether nothing is left to upgrade")


class SchemaChange(Shape):
    """`posguard db upgrade --json` and `posguard db downgrade --json`."""

    target: Target = Field(description="whose schema")
    before: str | None = Field(description="the version before; null: not there")
    after: str | None = Field(description="the version now")
    database: str | None = Field(default=None, description="the database's name (downgrade)")
    rows: dict[str, int] = Field(
        default_factory=dict, description="rows by table that a downgrade takes away"
    )
    confirm: str | None = Field(
        default=None, description="what --confirm has to say; null where nothing waits for it"
    )


class BotStep(Shape):
    """One step of target `bot`."""

    name: str = Field(description="its name in posguard.bot_upgrade_steps")
    says: str = Field(description="what it does")
    state: str = Field(description="to do, done, done before, or not needed")


class BotBlocker(Shape):
    """One thing that stands in the way of target `bot`."""

    kind: str = Field(description="duplicate, unknown_status, unfinished, column, role, server, managed …")
    rows: tuple[int, ...] = Field(description="rows of monitoring.positions")
    says: str = Field(description="what is in the way")
    clears: str = Field(description="the command or statement that clears it")


class BotTables(Shape):
    """`posguard db upgrade --target bot --json` and `posguard db downgrade --target bot --json`."""

    target: Target = Field(default=Target.BOT, description="whose tables")
    database: str = Field(description="the database's name")
    account: str | None = Field(description="the account of the present rows; null on the way back")
    done: bool = Field(description="whether this run changed anything")
    steps: tuple[BotStep, ...] = Field(description="in the order in which they run")
    blockers: tuple[BotBlocker, ...] = Field(description="what stands in the way; nothing is changed then")
    notes: tuple[str, ...] = Field(description="open transactions that a build would wait for")
    losses: dict[str, int] = Field(description="way back: rows by column whose data go")
    confirm: str | None = Field(description="what --confirm has to say; null where nothing waits for it")


class FindingShape(Shape):
    """One problem: what is wrong, both sides of it, how sure that is, and what mends it."""

    fingerprint: str = Field(description="the problem's stable identity: the same at every run")
    kind: str = Field(description="what is wrong; docs/runbook.md has a section for each kind")
    severity: str = Field(description="critical, warning or info")
    proof: str = Field(description="proven or suspected")
    exchange: str = Field(description="binance or bybit, or what the row says")
    account: str = Field(description="the account's name in the settings")
    symbol: str = Field(description="canonical, such as BTCUSDT")
    position_side: str = Field(description="both in one-way mode, long or short in hedge mode")
    subject: str = Field(
        description="tells two problems of one kind and place apart: a row id, an order id, or empty"
    )
    title: str = Field(description="the problem in one sentence")
    row_ids: tuple[int, ...] = Field(description="rows of monitoring.positions")
    order_ids: tuple[str, ...] = Field(description="orders on the venue")
    database: tuple[dict[str, str], ...] = Field(description="the database's side, a mapping for each row")
    venue: tuple[dict[str, str], ...] = Field(
        description="the venue's side, a mapping for each position or order"
    )
    differing: tuple[str, ...] = Field(description="the fields that do not agree")
    evidence: tuple[str, ...] = Field(description="a sentence each: what proves it, or what is missing")
    repair: str = Field(
        description="the command that mends it, or one a line to choose from; empty: no automatic repair"
    )
    caution: str = Field(description="what to make sure of before that command is typed; empty: nothing")
    repair_built: bool = Field(description="false while that command is not part of this version")
    runbook: str = Field(description="the section of docs/runbook.md")

    @classmethod
    def of(cls, finding: Finding) -> FindingShape:
        """The shape of a finding."""
        return FindingShape(
            fingerprint=finding.fingerprint,
            kind=finding.kind,
            severity=finding.severity,
            proof=finding.proof,
            exchange=finding.exchange,
            account=finding.account,
            symbol=finding.symbol,
            position_side=finding.position_side,
            subject=finding.subject,
            title=finding.title,
            row_ids=finding.row_ids,
            order_ids=finding.order_ids,
            database=tuple(dict(side) for side in finding.database),
            venue=tuple(dict(side) for side in finding.venue),
            differing=finding.differing,
            evidence=finding.evidence,
            repair=finding.repair,
            caution=finding.caution,
            repair_built=finding.repair_built,
            runbook=finding.runbook,
        )


class EventShape(Shape):
    """One thing that happened to a finding."""

    at: datetime = Field(description="when")
    event: str = Field(description="found, proven, changed, acknowledged, dismissed, resolved, reopened …")
    run_id: int | None = Field(description="the run that did it; null: a person")
    actor: str = Field(description="the person or the rule")
    note: str = Field(description="what was said")


class StoredFindingShape(FindingShape):
    """A finding with its life."""

    id: int = Field(description="the number the desk knows it by")
    state: str = Field(description="open, acknowledged, dismissed or resolved")
    first_seen: datetime = Field(description="the first run that saw it")
    last_seen: datetime = Field(description="the last run that saw it")
    first_run: int = Field(description="that run's id")
    last_run: int = Field(description="that run's id")
    resolved_at: datetime | None = Field(description="null while it is not resolved")
    reopened: int = Field(description="how often it came back")
    decided_by: str = Field(description="who acknowledged or dismissed it")
    reason: str = Field(description="and why")
    until: datetime | None = Field(description="until when it is dismissed; null: no end")

    @classmethod
    def stored(cls, found: StoredFinding) -> Self:
        """The shape of a stored finding."""
        return cls(
            **dict(FindingShape.of(found.finding)),
            id=found.id,
            state=found.state,
            first_seen=found.first_seen,
            last_seen=found.last_seen,
            first_run=found.first_run,
            last_run=found.last_run,
            resolved_at=found.resolved_at,
            reopened=found.reopened,
            decided_by=found.decided_by,
            reason=found.reason,
            until=found.until,
        )


class FindingList(Shape):
    """`posguard findings list --json`."""

    findings: tuple[StoredFindingShape, ...] = Field(description="the worst first")


class FindingDetail(Shape):
    """`posguard findings show --json`."""

    finding: StoredFindingShape = Field(description="the finding")
    events: tuple[EventShape, ...] = Field(description="its life, the oldest first")

    @classmethod
    def of(cls, found: StoredFinding, events: list[FindingEvent]) -> Self:
        """The shape of a finding and its life."""
        lived = tuple(
            EventShape(at=e.at, event=e.event, run_id=e.run_id, actor=e.actor, note=e.note) for e in events
        )
        return cls(finding=StoredFindingShape.stored(found), events=lived)


class RuleShape(Shape):
    """An ignore rule: positions traded by hand."""

    id: int = Field(description="the rule's number")
    exchange: str = Field(description="of this exchange")
    account: str = Field(description="and account")
    symbol: str = Field(description="and canonical symbol")
    reason: str = Field(description="why")
    created_by: str = Field(description="who made it")
    created_at: datetime = Field(description="when")
    until: datetime | None = Field(description="until when it is in force; null: no end")

    @classmethod
    def of(cls, rule: IgnoreRule) -> Self:
        """The shape of a rule."""
        return cls(
            id=rule.id,
            exchange=rule.exchange,
            account=rule.account,
            symbol=rule.symbol,
            reason=rule.reason,
            created_by=rule.created_by,
            created_at=rule.created_at,
            until=rule.until,
        )


class RuleList(Shape):
    """`posguard findings ignore … --json`: the rules concerned."""

    rules: tuple[RuleShape, ...] = Field(description="the oldest first")


class CheckLine(Shape):
    """One thing `posguard check` looked at."""

    area: str = Field(description="settings, database, tables, privileges, schema, venues, logs or disk")
    what: str = Field(description="the thing")
    mark: str = Field(
        description="ok, warn, fail (in the way of the hourly run) or none (nothing to look at)"
    )
    said: str = Field(description="what was seen")
    todo: str = Field(description="what to do; empty: nothing")


class CheckReport(Shape):
    """`posguard check --json`."""

    passed: bool = Field(description="whether nothing failed; then the exit code is 0, else 3")
    lines: tuple[CheckLine, ...] = Field(description="everything looked at")


class ScopeShape(Shape):
    """What was looked at; empty texts mean everything."""

    exchange: str = Field(description="one exchange, or empty")
    symbol: str = Field(description="one canonical symbol, or empty")


class VenueShape(Shape):
    """What one look at a venue was worth."""

    exchange: str = Field(description="binance or bybit, or what the rows say")
    account: str = Field(description="the account's name in the settings")
    world: str | None = Field(
        description="simulator, testnet, demo or production; null: no venue is configured"
    )
    verdict: str = Field(description="conclusive or inconclusive")
    reasons: tuple[str, ...] = Field(description="why it could not be judged")
    snapshots: int = Field(description="complete snapshots taken")
    positions: int = Field(description="positions it holds")
    orders: int = Field(description="live orders it holds")
    clock_skew_ms: int | None = Field(description="its clock minus this machine's")
    looked_at: datetime | None = Field(description="when")


class SkippedShape(Shape):
    """Open rows that were left out."""

    reason: str = Field(description="why")
    row_ids: tuple[int, ...] = Field(description="which")


class CheckedShape(Shape):
    """One check: how many problems of one kind."""

    feature: str = Field(description="D1 to D8")
    kind: str = Field(description="the kind of finding")
    critical: int = Field(description="critical ones that are not dismissed")
    warning: int = Field(description="warnings that are not dismissed")
    info: int = Field(description="for information, not dismissed")
    judged: bool = Field(
        description="false where a venue this check needs could not be judged: 0 proves nothing"
    )


class AdviceShape(Shape):
    """One thing to do."""

    command: str = Field(
        description="the exact command, or one a line to choose from; empty: no automatic repair"
    )
    caution: str = Field(description="what to make sure of before it is typed; empty: nothing")
    built: bool = Field(description="false while that command is not part of this version")
    runbook: str = Field(description="the section of docs/runbook.md")
    findings: int = Field(description="how many findings it is about")
    worst: str = Field(description="the worst severity among them")


class DiagnosedFinding(FindingShape):
    """A finding of a pass that is not recorded."""

    dismissed: bool = Field(
        description="whether the desk or an ignore rule dismisses it; then it does not count"
    )


class Report(Shape):
    """What `posguard diagnose --json` and `posguard reconcile --json` have in common."""

    demo: bool = Field(description="DEMO DATA: the world is made up")
    exit_code: int = Field(description="0 no critical problem, 1 critical problem, 3 inconclusive (beats 1)")
    conclusive: bool = Field(description="whether every venue could be judged")
    started_at: datetime = Field(description="when the pass began")
    finished_at: datetime = Field(description="and ended")
    scope: ScopeShape = Field(description="what was looked at")
    headline: str = Field(description="the first screen's sentence")
    line: str = Field(description="protected, duplicates, orphans … in one line")
    counts: dict[str, int] = Field(description="critical, warning, info, proven, suspected, dismissed")
    checks: tuple[CheckedShape, ...] = Field(description="D1 to D8, every kind, those without a finding too")
    positions: int | None = Field(
        description="venue positions whose protection was judged; null: a venue could not be judged"
    )
    protected: int | None = Field(description="of these, covered whole by live stops; null: as above")
    rows_read: int = Field(description="open rows read")
    rows_compared: int = Field(description="of these, compared with a venue")
    skipped: tuple[SkippedShape, ...] = Field(description="those left out")
    venues: tuple[VenueShape, ...] = Field(description="each venue")
    recommendations: tuple[AdviceShape, ...] = Field(description="what to do, what protects first")
    statistics: dict[str, Any] = Field(
        description="rows by status, errors per hour, windows, baseline; no_source where there is none"
    )
    notes: tuple[str, ...] = Field(description="what else is to be said")


class DiagnosisReport(Report):
    """`posguard diagnose --json`; both modes, the same fields."""

    findings: tuple[DiagnosedFinding, ...] = Field(description="everything found, the worst first")


class ReconcileReport(Report):
    """`posguard reconcile --json`."""

    run_id: int = Field(description="the run's number in posguard.runs")
    outcome: str = Field(description="clean, problems or inconclusive")
    changes: dict[str, int] = Field(description="findings found, changed, reopened and resolved by this run")
    findings: tuple[StoredFindingShape, ...] = Field(
        description="what this run saw, dismissed ones too, worst first"
    )
