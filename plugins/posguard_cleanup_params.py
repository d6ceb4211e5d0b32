"""The form of the cleanup DAG and its Airflow variables: what is typed, checked again, as options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from posguard.errors import UsageError
from posguard.model.plan import Choice, Mode
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

# The modes whose plans need an approval, with commas; `every` for all of them.
APPROVAL = "posguard_cleanup_approval"
EVERY = "every"
# The fingerprint of the database on which a schedule may clean up production.
PRODUCTION = "posguard_cleanup_production"
PARAMS = ("mode", "exchange", "symbol", "min_age_hours", "action", "confirm", "production")
ALL_EXCHANGES, NO_ACTION = "all", "none"
EXCHANGE_CHOICES = (ALL_EXCHANGES, "binance", "bybit")
ACTION_CHOICES = (NO_ACTION, *Choice)
SYMBOL, CODE, FINGERPRINT = r"[0-9A-Za-z:/_.-]{0,30}", r"[0-9A-Za-z -]{0,12}", r"[0-9a-f]{0,16}"
MOST_HOURS = 24 * 365


@dataclass(frozen=True, slots=True)
class Asked:
    """What the params ask for. code empty: a plan; else the plan of this code is carried out."""

    mode: Mode
    scope: Scope
    min_age: timedelta
    choice: Choice | None
    code: str
    production: str


def read_params(params: Mapping[str, Any], conf: Mapping[str, Any] | None) -> Asked:
    """The params, each checked again: Airflow takes unknown ones, and lets a trailing newline through a pattern.

    Raises UsageError that names the param; nothing was done.
    """
    if unknown := sorted(set(conf or {}) - set(PARAMS)):
        raise _wrong(unknown[0], "is no param of this DAG", f"They are {', '.join(PARAMS)}.")
    hours = params["min_age_hours"]
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 <= hours <= MOST_HOURS:
        raise _wrong("min_age_hours", "is no number of hours", f"0 to {MOST_HOURS}.")
    choice = _one_of(params, "action", ACTION_CHOICES)
    exchange = _one_of(params, "exchange", EXCHANGE_CHOICES)
    mode = Mode(_one_of(params, "mode", tuple(Mode)))
    if choice != NO_ACTION and mode not in {Mode.ORPHANED_EX, Mode.ALL}:
        raise _wrong("action", f"does not belong to the mode {mode}", "It is for orphaned-ex and all.")
    return Asked(
        mode=mode,
        scope=Scope("" if exchange == ALL_EXCHANGES else exchange, _text(params, "symbol", SYMBOL)),
        min_age=timedelta(hours=hours),
        choice=None if choice == NO_ACTION else Choice(choice),
        code=_text(params, "confirm", CODE).strip(),
        production=_text(params, "production", FINGERPRINT),
    )


def approval_modes() -> frozenset[Mode]:
    """The modes that the Airflow variable names. Raises UsageError for a word that is none, so that no slip opens a door."""
    from airflow.sdk import Variable

    text = str(Variable.get(APPROVAL, default="") or "")
    words = {word.strip().lower() for word in text.split(",") if word.strip()}
    if EVERY in words:
        return frozenset(Mode)
    if unknown := sorted(words - set(Mode)):
        raise UsageError(
            f"The Airflow variable {APPROVAL} names the mode '{unknown[0]}', which does not exist. Nothing was done.",
            hint=f"Modes with commas, or {EVERY}: {', '.join(Mode)}.",
        )
    return frozenset(Mode(word) for word in words)


def _text(params: Mapping[str, Any], name: str, pattern: str) -> str:
    value = params[name] if params[name] is not None else ""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _wrong(name, "is not written as it has to be", "Look at its description.")
    return value


def _one_of(params: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = params[name]
    if value not in choices:
        raise _wrong(name, "is none of its choices", f"They are {', '.join(choices)}.")
    return str(value)


def _wrong(name: str, what: str, hint: str) -> UsageError:
    return UsageError(f"The param {name} {what}. Nothing was done.", hint=hint)
