"""The approval before a plan is carried out: it waits no longer than the plan lives, and silence rejects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from posguard_airflow import one_line

from posguard.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What is left of the plan's time for the scheduler to notice the answer and for apply to begin.
MARGIN = timedelta(minutes=1)
# Less than this is no time for a person to read a plan.
LEAST = timedelta(seconds=30)


class PlanApproval(ApprovalOperator):
    """Asks a person about the plan that the task `gate` handed on. Rejected, or without an answer, the run fails there.

    The answer is waited for until a minute before the plan expires; a plan with less left is refused at once.
    """

    def execute(self, context: Any) -> Any:
        """Asks."""
        plan: Mapping[str, Any] = context["ti"].xcom_pull(task_ids="gate", key="plan")
        with one_line():
            self.response_timeout = waiting_time(
                datetime.fromisoformat(plan["expires_at"]), datetime.now(UTC)
            )
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Takes the answer. One that is no approval ends the run."""
        with one_line():
            chosen = event.get("chosen_options") or []
            if "error" not in event and chosen != [self.APPROVE]:
                raise RefusedError(refusal(event), hint="Trigger again with the same code while it is valid.")
        return super().execute_complete(context, event)


def waiting_time(expires_at: datetime, now: datetime) -> timedelta:
    """How long an answer is waited for. Raises RefusedError where the plan expires too soon for one."""
    left = expires_at - MARGIN - now
    if left < LEAST:
        raise RefusedError(
            f"The plan expires at {expires_at:%Y-%m-%d %H:%M:%S} UTC, too soon for an approval. Nothing was changed.",
            hint="Trigger without a code for a new plan.",
        )
    return left


def refusal(event: Mapping[str, Any]) -> str:
    """Who rejected the plan, or that nobody answered in time."""
    user = event.get("responded_by_user")
    if user is None:
        return "Nobody approved the plan in time, which rejects it. Nothing was changed."
    return f"The plan was rejected by {approver(user)}. Nothing was changed."


def approver(user: Any) -> str:
    """The name of whoever answered."""
    found = user.get("name") or user.get("id") if isinstance(user, dict) else getattr(user, "name", "")
    return str(found or "somebody unnamed")
