"""Each repair looked at once more, in the database and on the venue (CLN-4); what turned out wrong is taken back or alerted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cleanup.rowwork import undo
from posguard.model.finding import Kind
from posguard.model.managed import AlertKind
from posguard.model.plan import Action, LineState
from posguard.postgres import plans
from posguard.postgres.plans import Note

if TYPE_CHECKING:
    from posguard.cleanup.work import Seen, Work
    from posguard.model.plan import Line, StoredLine

_ENDS_ROW = frozenset({Action.CLOSE_ROW, Action.FAIL_ROW, Action.CLOSE_POSITION})


async def verify(work: Work) -> None:
    """Looks at every line that is done and was not looked at yet; one look for each venue."""
    async with work.db.snapshot() as connection:
        found = await plans.by_id(connection, work.plan.id)
    assert found is not None
    looks: dict[str, Seen] = {}
    for one in found.lines:
        if one.state is not LineState.DONE or one.verified is not None:
            continue
        exchange = one.line.key.exchange
        if exchange not in looks:
            looks[exchange] = await work.seen(one.line, whole=True)
        await _verified(work, one, *judged(looks[exchange], one.line))


def judged(seen: Seen, line: Line) -> tuple[bool | None, str]:
    """Whether what the line mended is gone; None and the reason where that cannot be told now."""
    result = seen.observed.result
    about = [f for f in result.findings if f.key.market == line.key.market]
    if line.action in _ENDS_ROW and any(
        f.kind is Kind.EXTERNAL_POSITION and f.key == line.key for f in about
    ):
        return False, "a position of this key is on the venue, and no open row owns it"
    if any(f.fingerprint == line.fingerprint for f in about):
        return False, "the problem is still there"
    verdict = next(
        (
            v
            for v in result.venues
            if (v.venue.exchange, v.venue.account) == (line.key.exchange, line.key.account)
        ),
        None,
    )
    if verdict is None or verdict.reasons:
        return None, "not verified: the venue could not be judged"
    if line.key in result.inconclusive_keys:
        return None, "not verified: rows or position of this key move right now"
    return True, ""


async def _verified(work: Work, one: StoredLine, verdict: bool | None, reason: str) -> None:
    if verdict is None:
        async with work.db.transaction() as connection:
            await work.note(connection, Note("verified", one.id, detail={"verified": None, "reason": reason}))
        return
    async with work.db.transaction() as connection:
        if not verdict and one.line.action in _ENDS_ROW and not one.line.orders:
            reason += "; " + await undo(connection, work, one)
        said = one.reason or reason if verdict else reason
        await plans.set_verified(connection, one.id, verified=verdict, reason=said)
        await work.note(connection, Note("verified", one.id, detail={"verified": verdict, "reason": reason}))
        if not verdict:
            await work.alert(connection, one, AlertKind.CLEANUP_NOT_VERIFIED, reason)
