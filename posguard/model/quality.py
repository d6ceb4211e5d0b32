"""What a suite found: one result per expectation, with violation and error told apart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from posguard.model.finding import Severity

KEYS_KEPT = 200


class Outcome(StrEnum):
    """What one run can say of one expectation.

    `violation` is a fact about the data, `error` a fact about the check (broken SQL, missing permission, time-out): the data
    were not judged. `not_applicable` says that this deployment lacks a column the expectation is about; it is neither.
    """

    PASS = "pass"  # noqa: S105 - no password
    VIOLATION = "violation"
    ERROR = "error"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """One expectation in one run.

    `expectation` is its stable id. `rows_checked` counts the rows of the table at the run's instant, None where they could
    not be counted. `failing` counts all failing rows, `failing_keys` names the first 200 of them in ascending order, as
    text. `message` is one sentence for people; `query` is the SQL that finds the failing rows of that instant again in psql,
    empty for a pass.
    """

    suite: str
    expectation: str
    title: str
    severity: Severity
    owner: str
    result: Outcome
    rows_checked: int | None = None
    failing: int = 0
    failing_keys: tuple[str, ...] = ()
    message: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeAt:
    """What an expectation said in one stored run, for a strip of runs."""

    run_id: int
    at: datetime
    suite: str
    expectation: str
    result: Outcome
    failing: int
