"""One way by which alerts reach somebody, as the settings declare it."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_SCHEMES = {"slack": ("https", "http"), "webhook": ("https", "http"), "email": ("smtps", "smtp")}


class AlertRoute(BaseModel):
    """One way by which alerts reach somebody, and which alerts take it.

    `url` is the incoming webhook of Slack, the address of a webhook, or `smtp://user:password@host:587`: with STARTTLS, which
    only `?starttls=off` leaves out, or `smtps://` for TLS from the first byte. Mail needs `sender` and `to`. `token` is sent to
    a webhook as bearer. No `owners` means all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    kind: Literal["slack", "webhook", "email"]
    url: SecretStr
    token: SecretStr | None = None
    sender: SecretStr | None = None
    to: tuple[SecretStr, ...] = ()
    severities: tuple[Literal["critical", "warning", "info"], ...] = Field(
        default=("critical", "warning"), min_length=1
    )
    owners: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if wrong := self._wrong():
            message = f"the route {self.name}: {wrong}"
            raise ValueError(message)
        return self

    def _wrong(self) -> str:
        """What cannot be used, without a value of it; empty where all can."""
        schemes = _SCHEMES[self.kind]
        try:
            at = urlsplit(self.url.get_secret_value())
            usable = at.scheme in schemes and bool(at.hostname) and at.port != 0
        except ValueError:
            usable = False
        if not usable:
            return f"its url is not {' or '.join(f'{one}://' for one in schemes)} with a host"
        if at.username is not None and self.token is not None:
            return "a user in its url and a token exclude each other"
        if self.kind == "email" and (self.sender is None or not self.to):
            return "e-mail needs sender and to"
        addresses = (*self.to, *([self.sender] if self.sender else ()))
        if any(not _ADDRESS.fullmatch(one.get_secret_value()) for one in addresses):
            return "an address does not read name@host"
        return ""

    @property
    def place(self) -> str:
        """Where it leads, for people: the host and no more, since the rest of an address is as good as a password."""
        at = urlsplit(self.url.get_secret_value())
        return f"{at.scheme}://{at.hostname}" + (f", recipients: {len(self.to)}" if self.to else "")
