"""A message as its receivers read it: plain text, Slack's text, JSON. Pure.

What an alert says may hold anything that a venue or a database held: each form escapes it, and none makes a link or a mention
of it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from posguard.alerts.routing import counts, last_of_topics
from posguard.model.alert import AlertEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Message

# What is written out of one message: for people, and for machines.
SHOWN = 20
LISTED = 200
# What Slack reads as markup of links and mentions; the rest of its markup does no harm.
_SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(message: Message, alerts: Sequence[WaitingAlert]) -> str:
    """The message as plain text, for e-mail."""
    told = last_of_topics(alerts)
    lines = [message.subject, ""]
    for heading, group in groupby(told[:SHOWN], key=_heading):
        lines += [heading, *(f"- {_line(one)}" for one in group), ""]
    return "\n".join([*lines, *_closing(message, told)]) + "\n"


def slack(message: Message, alerts: Sequence[WaitingAlert]) -> dict[str, Any]:
    """The message for a Slack incoming webhook."""
    told = last_of_topics(alerts)
    lines = [f"*{_escaped(message.subject)}*"]
    for heading, group in groupby(told[:SHOWN], key=_heading):
        lines += [f"*{heading}*", *(f"• {_escaped(_line(one))}" for one in group)]
    return {"text": "\n".join([*lines, *(_escaped(one) for one in _closing(message, told))])}


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


def _line(one: WaitingAlert) -> str:
    section = runbook(one) if one.event is AlertEvent.RAISED else ""
    where = f" (docs/runbook.md#{section})" if section else ""
    row = f" [row {one.position_id}]" if one.position_id is not None else ""
    return f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC {one.kind}: {one.text}{row}{where}{_since(one)}"


def _since(one: WaitingAlert) -> str:
    """What a late message must not hide: that it stands again, or no more."""
    return f" (LATE: it was {one.later.value}{_AGAIN[one.later]} since)" if one.later else ""


_AGAIN = {AlertEvent.RAISED: " again", AlertEvent.RESOLVED: ""}


def _closing(message: Message, told: Sequence[WaitingAlert]) -> list[str]:
    left = len(told) - SHOWN
    more = [f"… and {left} more."] if left > 0 else []
    return [
        *more,
        "First look: posguard alerts list, then posguard findings list.",
        f"Key {message.key}: a message that comes twice has the same key.",
    ]


def _escaped(line: str) -> str:
    return "".join(_SLACK.get(sign, sign) for sign in line)
