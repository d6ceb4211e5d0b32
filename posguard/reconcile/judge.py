"""Which venues, keys and rows of a situation can be judged at all, and why not (REC-1, REC-3, REC-7, REC-8). Pure.

Invariants: a venue with one incomplete snapshot is inconclusive and says why; a row that moved is never compared; every row
read is either compared or skipped with a reason; unknown is never flat.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from posguard.model.duration import spell_duration
from posguard.model.finding import Skipped, VenueVerdict, VerdictKind
from posguard.model.position import PositionKey, PositionSide
from posguard.model.venue import VenueId
from posguard.settings import EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from posguard.model.position import PositionRow
    from posguard.reconcile.facts import Limits, Situation, VenueLook

MOVED = "changed while the venue was read"
MOVED_ON_VENUE = "its position changed between two snapshots"
UNLISTED = "the venue does not list its symbol"
WRONG_ACCOUNT = "probably the wrong account or world"
_WRONG_ACCOUNT_ROWS = 3


@dataclass(frozen=True)
class Judgement:
    """What may be compared. rows are the stable ones that the scope covers, legs resolved, grace not yet looked at.

    blind maps a key to why nothing of the venue can be said of it; waits maps a key to why nothing is said of it now.
    """

    rows: tuple[PositionRow, ...]
    verdicts: tuple[VenueVerdict, ...]
    blind: Mapping[PositionKey, str]
    waits: Mapping[PositionKey, str]
    moved: tuple[PositionRow, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def conclusive(self) -> frozenset[VenueId]:
        """The venues that can be judged."""
        return frozenset(v.venue for v in self.verdicts if v.verdict is VerdictKind.CONCLUSIVE)

    @cached_property
    def waiting_markets(self) -> frozenset[tuple[str, str, str]]:
        """The markets of which some key waits."""
        return frozenset(key.market for key in self.waits)


def judge(situation: Situation) -> Judgement:
    """What of a situation can be judged."""
    before, after = (_with_legs(rows, situation) for rows in (situation.before, situation.after))
    stable, moved = _split(before, after)
    unsettled = {row.key for row in moved} | _moving_on_venues(situation)
    verdicts = _verdicts(situation, stable, moved, unsettled)
    conclusive = {v.venue for v in verdicts if v.verdict is VerdictKind.CONCLUSIVE}
    symbol = situation.scope.symbol
    rows = tuple(row for row in stable if not symbol or row.symbol == symbol)
    blind: dict[PositionKey, str] = {}
    waits = dict.fromkeys(unsettled, MOVED_ON_VENUE)
    waits |= {row.key: MOVED for row in moved}
    for row in rows:
        venue = VenueId(row.exchange, row.account)
        if venue not in conclusive:
            blind[row.key] = f"{venue} could not be judged"
        elif row.symbol not in situation.looks[venue].markets:
            blind[row.key] = UNLISTED
        elif within_grace(row, situation):
            waits.setdefault(row.key, grace_reason(situation.limits))
    return Judgement(
        rows=rows,
        verdicts=verdicts,
        blind=blind,
        waits={key: why for key, why in waits.items() if key not in blind},
        moved=tuple(row for row in moved if not symbol or row.symbol == symbol),
        notes=_notes(situation),
    )


def within_grace(row: PositionRow, situation: Situation) -> bool:
    """Whether an unfinished row is too young to be a problem. A row without a time, or far in the future, is not."""
    age = row.age(situation.now)
    grace = situation.limits.grace
    return row.is_intermediate and age is not None and -grace <= age < grace


def grace_reason(limits: Limits) -> str:
    """What a row within grace is skipped with."""
    return f"within the grace of {spell_duration(limits.grace)}"


def skipped(judgement: Judgement, situation: Situation) -> tuple[Skipped, ...]:
    """The rows that were not compared with a venue, by reason."""
    by_reason: dict[str, set[int]] = defaultdict(set)
    for row in judgement.moved:
        by_reason[MOVED].add(row.id)
    for row in judgement.rows:
        why = judgement.blind.get(row.key) or judgement.waits.get(row.key)
        if why:
            by_reason[_own(why, row, situation)].add(row.id)
    return tuple(Skipped(why, tuple(sorted(ids))) for why, ids in sorted(by_reason.items()))


def _own(why: str, row: PositionRow, situation: Situation) -> str:
    """The reason as it reads for this row: one past its own grace waits for another row of its key."""
    waits_for_another = why == grace_reason(situation.limits) and not within_grace(row, situation)
    return f"another row of its key is {why}" if waits_for_another else why


def _with_legs(rows: Iterable[PositionRow], situation: Situation) -> list[PositionRow]:
    """The rows with their leg: on a hedge-mode venue a row that names none lives in the leg of its side."""
    found = []
    for row in rows:
        look = situation.looks.get(VenueId(row.exchange, row.account))
        bare = row.position_side is PositionSide.BOTH and row.side is not None
        if look is not None and look.has_legs and bare and row.side is not None:
            found.append(replace(row, position_side=PositionSide(row.side.value)))
        else:
            found.append(row)
    return found


def _split(
    before: list[PositionRow], after: list[PositionRow]
) -> tuple[list[PositionRow], list[PositionRow]]:
    """The rows that both reads saw alike, and all others; each by id."""
    first = {row.id: row for row in before}
    second = {row.id: row for row in after}
    stable, moved = [], []
    for row_id in sorted(first.keys() | second.keys()):
        old, new = first.get(row_id), second.get(row_id)
        if old and new and old.digest == new.digest and old.key == new.key:
            stable.append(new)
        else:
            moved += [row for row in (new or old,) if row]
    return stable, moved


def _moving_on_venues(situation: Situation) -> set[PositionKey]:
    """The keys whose position is not the same in every snapshot of a pass."""
    moving = set()
    for look in situation.looks.values():
        for key in {key for held in look.holdings for key in held}:
            sights = {(p.side, p.quantity) if (p := held.get(key)) else None for held in look.holdings}
            if len(sights) > 1:
                moving.add(key)
    return moving


def _verdicts(
    situation: Situation, stable: list[PositionRow], moved: list[PositionRow], unsettled: set[PositionKey]
) -> tuple[VenueVerdict, ...]:
    named = {VenueId(row.exchange, row.account) for row in (*stable, *moved)}
    exchange = situation.scope.exchange
    if exchange and not any(venue.exchange == exchange for venue in named | situation.looks.keys()):
        named.add(VenueId(exchange))
    return tuple(
        _verdict(situation, venue, stable, moved, unsettled)
        for venue in sorted(named | situation.looks.keys())
        if situation.scope.covers(venue.exchange)
    )


def _verdict(
    situation: Situation,
    venue: VenueId,
    stable: list[PositionRow],
    moved: list[PositionRow],
    unsettled: set[PositionKey],
) -> VenueVerdict:
    look = situation.looks.get(venue)
    if look is None:
        return _unasked(venue)
    mine = [row for row in stable if row.belongs_to(venue)]
    gone = [row for row in moved if row.belongs_to(venue)]
    reasons = list(look.gaps(situation.limits.snapshots))
    if not reasons:
        moving = len(gone) + sum(row.key in unsettled for row in mine)
        reasons += _too_much_moved(moving, len(mine) + len(gone), situation.limits)
        reasons += _wrong_account([row for row in mine if not within_grace(row, situation)], look)
    latest = look.latest
    return VenueVerdict(
        venue=venue,
        world=look.world,
        verdict=VerdictKind.INCONCLUSIVE if reasons else VerdictKind.CONCLUSIVE,
        reasons=tuple(reasons),
        snapshots=len(look.snapshots),
        positions=len(latest.positions) if latest else 0,
        orders=len(latest.orders) if latest else 0,
        clock_skew_ms=latest.clock_skew_ms if latest else None,
        looked_at=latest.finished_at if latest else None,
    )


def _unasked(venue: VenueId) -> VenueVerdict:
    prefix = f"POSGUARD_{venue.exchange.upper()}"
    reason = f"no credentials for {venue}: set {prefix}_KEY and {prefix}_SECRET"
    if venue.exchange not in EXCHANGES:
        reason = f"posguard speaks to {' and '.join(EXCHANGES)}, and open rows name '{venue.exchange}'"
    elif venue.account != "main":
        reason = f"no credentials for {venue}: name it in POSGUARD_VENUES"
    return VenueVerdict(venue, None, VerdictKind.INCONCLUSIVE, (reason,), 0, 0, 0, None, None)


def _too_much_moved(moving: int, rows: int, limits: Limits) -> list[str]:
    if not rows or moving / rows <= limits.max_skipped_share:
        return []
    share = f"{limits.max_skipped_share:.0%}"
    return [f"{moving} of {rows} open rows changed while the venue was read, more than {share}: look again"]


def _wrong_account(rows: list[PositionRow], look: VenueLook) -> list[str]:
    """REC-8: nothing matches at all, and nothing the venue shows bears an order id that a row records."""
    listed = [row for row in rows if row.symbol in look.markets]
    if len(listed) < _WRONG_ACCOUNT_ROWS or look.latest is None:
        return []
    held = {position.symbol for position in look.latest.positions}
    if any(row.symbol in held for row in rows):
        return []
    theirs = {order.order_id for order in look.latest.orders}
    theirs |= {fill.order_id for history in look.fills.values() for fill in history.fills}
    ours = {order_id for row in rows for order_id in (row.exchange_order_id, row.stop_loss_order_id)}
    if theirs & ours:
        return []
    said = (
        f"{WRONG_ACCOUNT}: none of {len(listed)} open rows is there, and none of its {len(held)} positions is"
    )
    return [f"{said} in the rows: check the key, the account and the world ({look.world})"]


def _notes(situation: Situation) -> tuple[str, ...]:
    return tuple(
        f"{venue} holds {', '.join(look.latest.unresolved)}, which none of its listed markets explains; not judged"
        for venue, look in sorted(situation.looks.items())
        if look.latest and look.latest.unresolved and situation.scope.covers(venue.exchange)
    )
