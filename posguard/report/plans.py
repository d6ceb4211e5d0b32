"""Cleanup plans as people read them: each line with what changes from what to what, why, and what became of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model.plan import LineState, PlanState
from posguard.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from posguard.model.plan import Change, LeftOut, Line, StoredLine, StoredPlan
    from posguard.model.scope import Scope

RESTORE = "posguard restore"
_VERIFIED = {None: "", True: "verified", False: "NOT verified"}


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line. changes and fallback are column, before, after; standing is its state in words."""

    stored: StoredLine
    subject: str
    what: str
    standing: str
    tone: str
    changes: tuple[tuple[str, str, str], ...]
    fallback: tuple[tuple[str, str, str], ...]
    orders: tuple[str, ...]

    @property
    def line(self) -> Line:
        """The line itself."""
        return self.stored.line


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """One plan. rows are the lines that restore can take back, apart those that send orders."""

    stored: StoredPlan
    standing: str
    tone: str
    headline: str
    rows: tuple[ShownLine, ...]
    apart: tuple[ShownLine, ...]
    costs: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, tuple[str, ...]], ...]
    confirmable: bool
    production: bool

    @property
    def lines(self) -> tuple[ShownLine, ...]:
        """All lines by number."""
        return tuple(sorted((*self.rows, *self.apart), key=lambda one: one.stored.number))


def show(stored: StoredPlan, now: datetime) -> ShownPlan:
    """A plan as shown."""
    plan = stored.plan
    lines = [show_line(one) for one in stored.lines]
    open_now = stored.state is PlanState.APPLYING or (
        stored.state is PlanState.PLANNED and bool(lines) and now < plan.expires_at
    )
    standing = standing_of(stored.state, plan.expires_at, now, lines=len(lines))
    return ShownPlan(
        stored=stored,
        standing=standing,
        tone=_TONES[standing],
        headline=_headline(stored),
        rows=tuple(one for one in lines if one.line.reversible),
        apart=tuple(one for one in lines if not one.line.reversible),
        costs=_costs(stored.lines),
        left_out=_left_out(plan.left_out),
        confirmable=open_now,
        production="production" in plan.worlds.values(),
    )


def standing_of(state: PlanState, expires_at: datetime, now: datetime, *, lines: int) -> str:
    """How a plan stands, in words: what was planned and never begun is open, expired, or has nothing to do."""
    if state is not PlanState.PLANNED:
        return {PlanState.APPLYING: "under way", PlanState.APPLIED: "applied"}.get(state, "partly done")
    if not lines:
        return "nothing to do"
    return "open" if now < expires_at else "expired"


_TONES = {
    "open": "info",
    "under way": "warning",
    "applied": "clear",
    "partly done": "critical",
    "expired": "grey",
    "nothing to do": "plain",
}


def tone_of(standing: str) -> str:
    """The colour of a standing."""
    return _TONES[standing]


def scope_words(scope: Scope) -> str:
    """What a plan looked at: `everything`, `everything on binance`, `APTUSDT`, `APTUSDT on binance`."""
    return str(scope) if scope.symbol or scope.whole else f"everything {scope}"


def show_line(one: StoredLine) -> ShownLine:
    """A line as shown."""
    line = one.line
    words = [one.state.value, _VERIFIED[one.verified]]
    return ShownLine(
        stored=one,
        subject=f"#{line.row.id} {line.key}" if line.row else str(line.key),
        what=line.action.replace("_", " "),
        standing=", ".join(word for word in words if word),
        tone=_line_tone(one),
        changes=_changes(line.changes, new=line.row is None),
        fallback=_changes(line.fallback, new=False),
        orders=tuple(order.sentence for order in line.orders),
    )


def told(action: Mapping[str, Any]) -> str:
    """What a step of the record says beyond its event."""
    detail = action["detail"] or {}
    parts = []
    if action["client_order_id"]:
        parts.append(f"order {action['client_order_id']}")
    if action["row_id"] is not None:
        parts.append(f"row #{action['row_id']}")
    known = ("reason", "state", "outcome", "why", "path")
    parts += [f"{name} {detail[name]}" for name in known if detail.get(name)]
    if "verified" in detail:
        parts.append({True: "verified", False: "NOT verified"}.get(detail["verified"], "not verified yet"))
    return ", ".join(parts)


def plan_text(stored: StoredPlan, *, lines: int, how: bool = True) -> str:
    """A plan and what became of it as plain text: the first so many lines, irreversible ones apart.

    how: a plan that may be carried out says how that is done.
    """
    plan = stored.plan
    shown = show(stored, plan.created_at)
    text = [shown.headline]
    for title, group in (
        ("Rows only; `restore` takes these back", shown.rows),
        ("IRREVERSIBLE: these send orders, which nothing takes back", shown.apart),
    ):
        if group:
            text.append(f"{title} ({len(group)}):")
            text += [part for one in group[:lines] for part in _line_text(one)]
        if len(group) > lines:
            text.append(f"  and {len(group) - lines} more, on the page")
    text += [f"If it is wrong ({numbers}): {cost}" for cost, numbers in shown.costs]
    text += [f"Not judged, so nothing is planned there: {sentence}" for sentence in plan.inconclusive]
    for why, whats in shown.left_out:
        text.append(f"Nothing is done about {plural(len(whats), 'problem')}: {why}")
        text += [f"  {what}" for what in whats[:10]]
    text += [f"Note: {note}" for note in plan.notes]
    text += _ending(stored, shown, how=how)
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in one) for one in text)


def _ending(stored: StoredPlan, shown: ShownPlan, *, how: bool) -> list[str]:
    plan = stored.plan
    if stored.backup:
        return [f"Backup: {stored.backup}", f"To take back what can be taken back: {RESTORE} {stored.backup}"]
    if not how or not shown.confirmable or stored.state is not PlanState.PLANNED:
        return []
    more = f", production {plan.database_fingerprint}" if shown.production else ""
    until = f"{plan.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    how_to = f"this is done by triggering posguard_cleanup with confirm {stored.code}{more}"
    return [f"Nothing was changed. Until {until} {how_to}."]


def _headline(stored: StoredPlan) -> str:
    plan = stored.plan
    if not stored.lines:
        return f"Plan {stored.id}: cleanup {plan.options.mode}, {scope_words(plan.options.scope)}: nothing to do."
    worlds = ", ".join(f"{venue} ({world})" for venue, world in sorted(plan.worlds.items()))
    where = f"cleanup {plan.options.mode} on {worlds}, database {plan.database_fingerprint}"
    if stored.state is PlanState.PLANNED:
        return f"Plan {stored.id}: {where}: {plural(len(stored.lines), 'line')}."
    done = sum(one.state is LineState.DONE for one in stored.lines)
    return f"Plan {stored.id}: {where}: {stored.state}, {done} of {len(stored.lines)} lines done."


def _line_text(one: ShownLine) -> Iterable[str]:
    yield f"  {one.stored.number}. {one.subject}: {one.what} [{one.standing}]"
    for column, before, after in one.changes:
        yield f"     {column}: {before} → {after}"
    yield f"     why: {one.line.why}"
    for order in one.orders:
        yield f"     order: {order}"
    for column, _, after in one.fallback:
        yield f"     if its price is through: {column} → {after}"
    if one.stored.reason:
        yield f"     {one.standing}: {one.stored.reason}"


def _changes(changes: Iterable[Change], *, new: bool) -> tuple[tuple[str, str, str], ...]:
    none = "no row" if new else "NULL"
    return tuple((c.column, none if c.before is None else c.before, c.after or "NULL") for c in changes)


def _line_tone(one: StoredLine) -> str:
    if one.verified is False or one.state in {LineState.FAILED, LineState.UNRESOLVED}:
        return "critical"
    return {LineState.DONE: "clear", LineState.SKIPPED: "grey", LineState.INTENDED: "warning"}.get(
        one.state, "plain"
    )


def _costs(lines: Iterable[StoredLine]) -> tuple[tuple[str, str], ...]:
    """What it costs to be wrong, with the lines it is about."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in lines:
        numbers[one.line.cost].append(one.number)
    return tuple((cost, _named(of)) for cost, of in numbers.items())


def _named(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
    return f"{'line' if len(numbers) == 1 else 'lines'} {text}"


def _left_out(left: Iterable[LeftOut]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for one in left:
        groups[one.why].append(one.what)
    return tuple((why, tuple(whats)) for why, whats in groups.items())
