"""Which alerts go where, together, and when a message that was not sent is tried again. Pure: values in, values out.

1. An alert goes to each route that takes its severity and its owner; its end goes where its beginning went, since an end
   carries the worst severity that was told.
2. What waits together goes out in one message a route, and of one topic the last alert alone is told in it.
3. The same alerts for the same route make the same key, whoever puts them together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.model.alert import AlertEvent
from posguard.model.finding import Severity
from posguard.postgres.alerts import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from posguard.alert_route import AlertRoute
    from posguard.model.alert import WaitingAlert

_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=5)
_SUBJECT = 150


def wants(route: AlertRoute, alert: WaitingAlert) -> bool:
    """Whether a route takes an alert: its severity, and its owner where the route names owners."""
    return alert.severity.value in route.severities and (not route.owners or alert.owner in route.owners)


def last_of_topics(alerts: Iterable[WaitingAlert]) -> list[WaitingAlert]:
    """Of each topic the last alert, of what has no topic each; beginnings before ends, the worst first, then the oldest."""
    last = {alert.topic or alert.key: alert for alert in sorted(alerts, key=lambda one: one.id)}
    return sorted(
        last.values(), key=lambda one: (one.event is AlertEvent.RESOLVED, one.severity.rank, one.id)
    )


def drafts(alerts: Sequence[WaitingAlert], routes: Iterable[AlertRoute]) -> list[Draft]:
    """One message for each route that wants any of the alerts."""
    made = []
    for route in routes:
        mine = [alert for alert in alerts if wants(route, alert)]
        if mine:
            told = last_of_topics(mine)
            made.append(
                Draft(
                    key=_key(route, mine),
                    route=route.name,
                    subject=subject(told),
                    severity=min((one.severity for one in told), key=lambda one: one.rank),
                    alert_ids=tuple(one.id for one in mine),
                )
            )
    return made


def _key(route: AlertRoute, alerts: Iterable[WaitingAlert]) -> str:
    # with the number, which is never given twice: an alert of old may be forgotten, and its key come again
    text = "\x1f".join([route.name, *sorted(f"{alert.key}:{alert.id}" for alert in alerts)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def subject(told: Sequence[WaitingAlert]) -> str:
    """One line: the alert itself where there is one, else how many of what."""
    if len(told) == 1:
        (only,) = told
        word = only.severity.value if only.event is AlertEvent.RAISED else "resolved"
        line = f"posguard: {word}: {only.text}"
        return line if len(line) <= _SUBJECT else line[: _SUBJECT - 1] + "…"
    return f"posguard: {spelled(counts(told))}"


def counts(told: Iterable[WaitingAlert]) -> dict[str, int]:
    """How many of each severity were raised, and how many were resolved; what is none is left out."""
    found = Counter(one.severity.value if one.event is AlertEvent.RAISED else "resolved" for one in told)
    return {name: found[name] for name in (*Severity, "resolved") if found[name]}


def spelled(numbers: dict[str, int]) -> str:
    """`3 critical, 12 warning, 5 resolved`."""
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def gathered(age: timedelta | None, window: timedelta) -> bool:
    """Whether what waits has waited long enough to go out; age is the oldest's, None where nothing waits."""
    return age is not None and age >= window


def delay(attempts: int, chance: float) -> timedelta:
    """How long a message that failed waits: 5 s, doubled with each try up to 5 min, less up to half of it by chance (0 to 1).

    Chance keeps the messages of one outage from all coming back in the same moment.
    """
    whole: timedelta = min(_FIRST_DELAY * 2 ** min(max(attempts - 1, 0), 16), _LONGEST_DELAY)
    return whole * (1 - chance / 2)
