"""Plans as text: what happens to each row and why, orders and irreversible lines apart, what it costs to be wrong."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from posguard.cleanup.planning import grouped
from posguard.cli import output
from posguard.cli.moments import spell
from posguard.cli.output import clean

if TYPE_CHECKING:
    from posguard.model.plan import Line, StoredLine, StoredPlan


def change_words(line: Line) -> str:
    """What changes in the row, column by column."""
    if line.row is None and line.changes:
        named = ", ".join(f"{c.column} {c.after}" for c in line.changes)
        return f"new row: {named}"
    return ", ".join(f"{c.column} {c.before or '–'} → {c.after}" for c in line.changes) or "no row changes"


def subject(line: Line) -> str:
    """The row, or the key where no row changes."""
    return f"#{line.row.id} {line.key}" if line.row else str(line.key)


def show_plan(stored: StoredPlan, *, production: bool = False) -> None:
    """The whole plan, and how to carry it out."""
    plan = stored.plan
    if not plan.lines:
        print(f"cleanup {plan.options.mode}: nothing to do.")
    else:
        worlds = ", ".join(f"{venue} ({world})" for venue, world in sorted(plan.worlds.items()))
        print(
            f"Plan {plan.id}: cleanup {plan.options.mode} on {worlds}; database {plan.database_fingerprint}."
        )
    back = [one for one in stored.lines if one.line.reversible]
    apart = [one for one in stored.lines if not one.line.reversible]
    if back:
        print(f"\nRows only; `restore` takes these back ({len(back)}):")
        for one in back:
            show_line(one)
    if apart:
        print(f"\nIRREVERSIBLE: these send orders, which nothing takes back ({len(apart)}):")
        for one in apart:
            show_line(one)
    _costs(stored)
    _left_out(stored)
    for note in plan.notes:
        print(f"\nNote: {clean(note)}")
    if plan.lines:
        _confirm(stored, production=production)


def show_line(one: StoredLine) -> None:
    """One line: row, what happens, why, orders."""
    line = one.line
    print(clean(f"  {one.number}. {subject(line)}: {line.action.replace('_', ' ')}"))
    print(clean(f"     {change_words(line)}"))
    print(clean(f"     why: {line.why}"))
    for order in line.orders:
        print(clean(f"     order: {order.sentence}"))
    if line.fallback:
        named = ", ".join(f"{c.column} → {c.after}" for c in line.fallback)
        print(clean(f"     if its price is through: {named}"))


def _costs(stored: StoredPlan) -> None:
    costs: dict[str, list[int]] = defaultdict(list)
    for one in stored.lines:
        costs[one.line.cost].append(one.number)
    if costs:
        print("\nWhat it costs to be wrong:")
    for cost, numbers in costs.items():
        named = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
        print(f"  {'line' if len(numbers) == 1 else 'lines'} {named}: {cost}")


def _left_out(stored: StoredPlan) -> None:
    plan = stored.plan
    for sentence in plan.inconclusive:
        print(clean(f"\nNot judged, so nothing is planned there: {sentence}"))
    if plan.left_out:
        print(f"\nNothing is done about ({len(plan.left_out)}):")
    for why, ones in grouped(plan.left_out).items():
        for one in ones[:20]:
            print(clean(f"  {one.what}"))
        if len(ones) > 20:
            print(f"  and {len(ones) - 20} more")
        print(clean(f"     why: {why}"))


def _confirm(stored: StoredPlan, *, production: bool) -> None:
    plan = stored.plan
    more = f" --rows {plan.accepted_absences}" if plan.accepted_absences else ""
    more += f" --production {plan.database_fingerprint}" if production else ""
    print(f"\nNothing was changed. To do exactly this, until {spell(plan.expires_at)} UTC:")
    print(f"  posguard cleanup --confirm {stored.code}{more}")


def show_result(stored: StoredPlan) -> None:
    """What became of each line, the backup and the way back."""
    done = [one for one in stored.lines if one.state == "done"]
    print(f"Plan {stored.plan.id}: {stored.state}, {len(done)} of {len(stored.lines)} lines done.")
    output.table(
        ("line", "what", "state", "verified", "reason"),
        [
            (
                str(one.number),
                f"{subject(one.line)}: {one.line.action.replace('_', ' ')}",
                one.state,
                {None: "–", True: "yes", False: "NO"}[one.verified],
                one.reason or "–",
            )
            for one in stored.lines
        ],
    )
    if stored.state == "applying":
        print(f"\nNot ended: type `posguard cleanup --confirm {stored.code}` again to go on where it stands.")
    if stored.backup:
        print(
            f"\nBackup: {stored.backup}\nTo take back what can be taken back: posguard restore {stored.backup}"
        )
