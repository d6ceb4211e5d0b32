"""One message to one receiver: Slack and webhooks over HTTP, e-mail over SMTP.

What goes wrong is told in our own words: neither an address nor what a receiver answered is in them, since either may hold a
secret.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import stamina

from posguard.alerts import wording
from posguard.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.alert_route import AlertRoute
    from posguard.model.alert import WaitingAlert
    from posguard.postgres.alerts import Message

KEY_HEADER = "Idempotency-Key"
MAIL_KEY_HEADER = "X-Posguard-Key"
# Seconds of one try, and of all tries that are made without giving the message back.
PATIENCE = 10.0
TRIES = 2
_LONGEST_PAUSE = 600.0
_BUSY = {408, 425, 429, 500, 502, 503, 504}


class DeliveryError(RetryableError):
    """A message was not taken, or nobody knows; `pause` is for how long the receiver wants to be left alone."""

    def __init__(self, message: str, *, soon: bool = True, pause: timedelta | None = None) -> None:
        super().__init__(message)
        self.soon = soon
        self.pause = pause


def _soon(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.soon and error.pause is None


async def send(
    route: AlertRoute,
    message: Message,
    alerts: Sequence[WaitingAlert],
    *,
    patience: float = PATIENCE,
    tries: int = TRIES,
) -> str:
    """Hands a message to a route's receiver, a second time after a moment where that may help; every try has the message's key.

    Returns what is to be remembered beside its being sent, mostly nothing. Raises DeliveryError; then it may have arrived.
    """
    async for attempt in stamina.retry_context(on=_soon, attempts=tries, timeout=None, wait_initial=0.5):
        with attempt:
            if route.kind == "email":
                return await _email(route, message, alerts, patience)
            body = (
                wording.slack(message, alerts) if route.kind == "slack" else wording.document(message, alerts)
            )
            await _post(route, message.key, body, patience)
    return ""


async def _post(route: AlertRoute, key: str, body: Mapping[str, Any], patience: float) -> None:
    headers = {KEY_HEADER: key, "User-Agent": "posguard"}
    if route.token is not None:
        headers["Authorization"] = f"Bearer {route.token.get_secret_value()}"
    limit = aiohttp.ClientTimeout(total=patience)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            # a redirect would carry the message, and its token, to whoever is named there
            session.post(
                route.url.get_secret_value(), json=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            status, pause = answer.status, answer.headers.get("Retry-After", "")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise DeliveryError(_words(error, patience)) from None
    if not 200 <= status < 300:
        raise DeliveryError(f"it answered {status}", soon=status in _BUSY, pause=_pause(pause))


def _pause(text: str) -> timedelta | None:
    return timedelta(seconds=min(float(text), _LONGEST_PAUSE)) if text.isascii() and text.isdigit() else None


async def _email(route: AlertRoute, message: Message, alerts: Sequence[WaitingAlert], patience: float) -> str:
    mail = written(route, message, alerts)
    try:
        async with asyncio.timeout(4 * patience):
            refused, wanted = await asyncio.to_thread(_hand_over, route, mail, patience)
    except (smtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        raise DeliveryError(_words(error, patience), soon=_passing(error)) from None
    # those who took it have it: a second try would be one more mail for each of them
    return f"{refused} of {wanted} recipients were refused" if refused else ""


def written(route: AlertRoute, message: Message, alerts: Sequence[WaitingAlert]) -> EmailMessage:
    """The message as an e-mail. Its Message-ID is made of the key: the same at every try."""
    sender = route.sender.get_secret_value() if route.sender else ""
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Subject"] = " ".join(message.subject.split())
    mail["From"] = sender
    mail["To"] = ", ".join(one.get_secret_value() for one in route.to)
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = f"<{message.key}@{sender.rpartition('@')[2].strip('<> ') or 'posguard'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail[MAIL_KEY_HEADER] = message.key
    mail.set_content(wording.text(message, alerts))
    return mail


def _hand_over(route: AlertRoute, mail: EmailMessage, patience: float) -> tuple[int, int]:
    """Runs in a thread. Returns how many of how many recipients were refused."""
    at = urlsplit(route.url.get_secret_value())
    host, context = at.hostname or "", ssl.create_default_context()
    # the name is not looked up: a machine without one would wait for seconds
    given: dict[str, Any] = {"timeout": patience, "local_hostname": "[127.0.0.1]"}
    whole = at.scheme == "smtps"
    connect: Any = smtplib.SMTP_SSL if whole else smtplib.SMTP
    if whole:
        given["context"] = context
    with connect(host, at.port or (465 if whole else 587), **given) as server:
        if not whole and parse_qs(at.query).get("starttls") != ["off"]:
            server.starttls(context=context)
        if at.username:
            server.login(unquote(at.username), unquote(at.password or ""))
        to = [one.get_secret_value() for one in route.to]
        return len(server.send_message(mail, to_addrs=to)), len(to)


def _passing(error: BaseException) -> bool:
    """Whether a moment later it may be otherwise: what a server says for good (5xx) is not."""
    code = getattr(error, "smtp_code", 0)
    return not isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPNotSupportedError) and code < 500


def _words(error: BaseException, patience: float) -> str:
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words.format(patience=patience, code=getattr(error, "smtp_code", ""))
    return f"it could not be reached ({type(error).__name__})"


_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((TimeoutError,), "no answer in {patience:g} s"),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError),
        "its certificate or its TLS was refused",
    ),
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "its name is not known"),
    ((aiohttp.ClientConnectorError, ConnectionRefusedError), "the connection was refused"),
    ((aiohttp.ServerDisconnectedError, ConnectionError), "the connection broke"),
    ((aiohttp.InvalidURL,), "its address cannot be read"),
    ((smtplib.SMTPAuthenticationError,), "the login was refused ({code})"),
    ((smtplib.SMTPRecipientsRefused,), "every recipient was refused"),
    ((smtplib.SMTPNotSupportedError,), "it does not offer what is needed (STARTTLS, or a login)"),
    ((smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected), "the connection broke"),
    ((smtplib.SMTPResponseException,), "it answered {code}"),
)
