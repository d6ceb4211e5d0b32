"""The JSON of `posguard alerts`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.alert_route import AlertRoute
    from posguard.alerts.deliver import Tried
    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Draft, Message


class MessageShape(Shape):
    """A message to one route."""

    key: str = Field(description="the same at every try; what arrives twice has it twice")
    route: str = Field(description="the route of POSGUARD_ALERT_ROUTES")
    subject: str = Field(description="its first line")
    severity: str = Field(description="the worst of what it tells of")
    alerts: int = Field(description="how many alerts it tells of")
    created_at: datetime = Field(description="when it was put together")
    sent_at: datetime | None = Field(description="when its receiver took it; null: not sent")
    attempts: int = Field(description="how often it was tried")
    next_try: datetime | None = Field(description="when it is tried next; null: sent, or given up")
    given_up_at: datetime | None = Field(
        description="when a person decided that it is not to be sent; null: nobody did"
    )
    given_up_by: str | None = Field(description="who did")
    last_error: str = Field(description="why it was not sent, or what to know although it was")

    @classmethod
    def of(cls, message: Message) -> MessageShape:
        """The shape of a stored message."""
        return cls(
            key=message.key,
            route=message.route,
            subject=message.subject,
            severity=message.severity.value,
            alerts=message.alerts,
            created_at=message.created_at,
            sent_at=message.sent_at,
            attempts=message.attempts,
            next_try=None if message.sent_at or message.given_up_at else message.next_try,
            given_up_at=message.given_up_at,
            given_up_by=message.given_up_by,
            last_error=message.last_error,
        )


class StandingAlert(Shape):
    """An alert that was raised and not resolved since."""

    topic: str = Field(description="what it is about; its end has the same topic")
    severity: str = Field(description="critical, warning or info")
    kind: str = Field(description="the kind; docs/runbook.md has a section for each")
    owner: str = Field(description="whom it concerns")
    text: str = Field(description="what it says")
    raised_at: datetime = Field(description="when it was raised last")
    runbook: str = Field(description="the section of docs/runbook.md")

    @classmethod
    def of(cls, alert: WaitingAlert) -> StandingAlert:
        """The shape of a standing alert."""
        from posguard.alerts.wording import runbook

        return cls(
            topic=alert.topic,
            severity=alert.severity.value,
            kind=alert.kind,
            owner=alert.owner,
            text=alert.text,
            raised_at=alert.created_at,
            runbook=runbook(alert),
        )


class AlertList(Shape):
    """`posguard alerts list --json`."""

    standing: tuple[StandingAlert, ...] = Field(
        description="the worst first; without the trading core's, which tell of what happened"
    )
    messages: tuple[MessageShape, ...] = Field(
        description="not sent yet, the worst first; with --all then those that are, the newest first"
    )
    waiting: int = Field(description="alerts that no sender has put into a message yet")
    unsent: int = Field(description="messages that are not sent")
    failing: int = Field(description="of these, tried at least once")
    without_route: dict[str, int] = Field(
        description="of these, how many wait for routes that are not set here, by route"
    )


class PlannedMessage(Shape):
    """A message that `posguard alerts send` would put together."""

    key: str = Field(description="its key")
    route: str = Field(description="the route")
    kind: str = Field(description="slack, webhook or email")
    place: str = Field(description="where it leads: host alone")
    subject: str = Field(description="its first line")
    severity: str = Field(description="the worst of what it tells of")
    alerts: int = Field(description="how many alerts it tells of")

    @classmethod
    def of(cls, draft: Draft, route: AlertRoute) -> PlannedMessage:
        """The shape of a message that is not stored."""
        return cls(
            key=draft.key,
            route=draft.route,
            kind=route.kind,
            place=route.place,
            subject=draft.subject,
            severity=draft.severity.value,
            alerts=len(draft.alert_ids),
        )


class SendPlan(Shape):
    """`posguard alerts send --dry-run --json`."""

    messages: tuple[PlannedMessage, ...] = Field(description="what would be put together now")
    unsent: tuple[MessageShape, ...] = Field(
        description="older messages that would be tried when they are due"
    )
    waiting: int = Field(description="alerts in no message yet")
    left_out: int = Field(description="of these, alerts that no route takes")


class SentMessage(Shape):
    """A message that was tried."""

    key: str = Field(description="its key")
    route: str = Field(description="the route")
    subject: str = Field(description="its first line")
    alerts: int = Field(description="how many alerts it tells of")
    sent: bool = Field(description="whether its receiver took it")
    attempts: int = Field(description="how often it was tried by now")
    error: str = Field(description="why not, or what to know all the same; empty where all is well")

    @classmethod
    def of(cls, tried: Tried) -> SentMessage:
        """The shape of a try."""
        message = tried.message
        return cls(
            key=message.key,
            route=message.route,
            subject=message.subject,
            alerts=message.alerts,
            sent=tried.sent,
            attempts=message.attempts,
            error=tried.error or tried.note,
        )


class SendReport(Shape):
    """`posguard alerts send --json` and `posguard alerts test --json`."""

    messages: tuple[SentMessage, ...] = Field(description="what was tried")
    sent: int = Field(description="how many receivers took theirs")
    failed: int = Field(description="how many did not; they are tried again")

    @classmethod
    def of(cls, tried: list[Tried]) -> SendReport:
        """The shape of a pass."""
        sent = sum(one.sent for one in tried)
        shapes: Any = tuple(SentMessage.of(one) for one in tried)
        return cls(messages=shapes, sent=sent, failed=len(tried) - sent)


class Moved(Shape):
    """`posguard alerts move --json` and `posguard alerts give-up --json`."""

    done: bool = Field(description="false: shown, and nothing was changed")
    route: str = Field(description="the route that they waited for")
    to: str = Field(description="the route they go by now; empty where they were given up")
    messages: tuple[MessageShape, ...] = Field(description="which these are")

    @classmethod
    def of(cls, route: str, to: str, messages: Sequence[Message], *, done: bool) -> Moved:
        """The shape of what was moved or given up."""
        return cls(
            done=done, route=route, to=to, messages=tuple(MessageShape.of(message) for message in messages)
        )
