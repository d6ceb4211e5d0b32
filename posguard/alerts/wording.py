"""A message as its receivers read it: plain text, Slack's text, JSON. Pure.

What an alert says may hold anything that a venue or a database held: each form escapes it, and none makes a link or a mention
of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from posguard.alerts.routing import counts, last_of_topics
from posguard.model.alert import AlertEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Message

# What is written out of one message: of each kind for people, in all for machines.
OF_A_KIND = 5
LISTED = 200
# What Slack reads as markup of links and mentions; the rest of its markup does no harm.
_SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(message: Message, alerts: Sequence[WaitingAlert]) -> str:
    """The message as plain text, for e-mail."""
    told = last_of_topics(alerts)
    lines = [message.subject]
    for heading, kinds in _parts(told):
        lines += [
            "",
            heading,
            *(line for kind in kinds for line in (kind.title, *(f"- {one}" for one in kind.lines))),
        ]
    return "\n".join([*lines, "", *_closing(message)]) + "\n"


def slack(message: Message, alerts: Sequence[WaitingAlert]) -> dict[str, Any]:
    """The message for a Slack incoming webhook."""
    told = last_of_topics(alerts)
    lines = [f"*{_escaped(message.subject)}*"]
    for heading, kinds in _parts(told):
        lines.append(f"*{heading}*")
        for kind in kinds:
            lines += [_escaped(kind.title), *(f"• {_escaped(one)}" for one in kind.lines)]
    return {"text": "\n".join([*lines, *(_escaped(one) for one in _closing(message))])}


def document(message: Message, alerts: Sequence[WaitingAlert]) -> dict[str, Any]:
    """The message for a webhook, as plain JSON; docs/alerts.md has its fields."""
    told = last_of_topics(alerts)
    return {
        "key": message.key,
        "subject": message.subject,
        "severity": message.severity.value,
        "created_at": message.created_at.isoformat(),
        "counts": counts(told),
        "alerts": [_alert(one) for one in told[:LISTED]],
        "left_out": max(len(told) - LISTED, 0),
    }


def _alert(one: WaitingAlert) -> dict[str, Any]:
    return {
        "key": one.key,
        "topic": one.topic or None,
        "event": one.event.value,
        "severity": one.severity.value,
        "kind": one.kind,
        "owner": one.owner,
        "text": one.text,
        "created_at": one.created_at.isoformat(),
        "position_id": one.position_id,
        "since_then": one.later.value if one.later else None,
        "runbook": runbook(one),
        "details": dict(one.payload),
    }


def runbook(one: WaitingAlert) -> str:
    """The section of docs/runbook.md that an alert belongs to: named in its payload, else its kind's; empty where there is none."""
    return str(one.payload.get("runbook", one.kind.replace("_", "-")))


def _heading(one: WaitingAlert) -> str:
    return one.severity.value.upper() if one.event is AlertEvent.RAISED else "RESOLVED"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is written of the alerts of one kind under one heading."""

    title: str
    lines: list[str]


def _parts(told: Sequence[WaitingAlert]) -> list[tuple[str, list[_Kind]]]:
    """Headings with their kinds, so that a storm of one kind hides no other."""
    parts = []
    for heading, under in groupby(told, key=_heading):
        by_kind: dict[str, list[WaitingAlert]] = {}
        for one in under:
            by_kind.setdefault(one.kind, []).append(one)
        parts.append((heading, [_kind(alerts) for alerts in by_kind.values()]))
    return parts


def _kind(alerts: Sequence[WaitingAlert]) -> _Kind:
    section = runbook(alerts[0]) if alerts[0].event is AlertEvent.RAISED else ""
    number = f", {len(alerts)} of them" if len(alerts) > 1 else ""
    where = f" (docs/runbook.md#{section})" if section else ""
    lines = [_line(one) for one in alerts[:OF_A_KIND]]
    more = len(alerts) - OF_A_KIND
    return _Kind(f"{alerts[0].kind}{number}{where}", [*lines, *([f"… and {more} more"] if more > 0 else [])])


def _line(one: WaitingAlert) -> str:
    row = f" [row {one.position_id}]" if one.position_id is not None else ""
    return f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC {one.text}{row}{_since(one)}"


def _since(one: WaitingAlert) -> str:
    """What a late message must not hide: that it stands again, or no more."""
    return f" (LATE: it was {one.later.value}{_AGAIN[one.later]} since)" if one.later else ""


_AGAIN = {AlertEvent.RAISED: " again", AlertEvent.RESOLVED: ""}


def _closing(message: Message) -> list[str]:
    return [
        "First look: posguard alerts list, then posguard findings list.",
        f"Key {message.key}: a message that comes twice has the same key.",
    ]


def _escaped(line: str) -> str:
    return "".join(_SLACK.get(sign, sign) for sign in line)
