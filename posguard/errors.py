"""One tree of errors: what a retry can cure, what an operator must decide, what is a bug.

Every message says what happened, what was and was not changed, and what to type next. No message holds a secret: what comes
from a driver or a venue goes through `posguard.settings.redact` first.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line answers to the shell."""

    FINE = 0
    CRITICAL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    REFUSED = 4
    PARTLY = 5


class PosguardError(Exception):
    """Something posguard says to its operator in one line, without a traceback."""

    exit_code: ExitCode = ExitCode.INCONCLUSIVE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class RetryableError(PosguardError):
    """The world did not answer; the same call may go through later."""


class DatabaseUnavailableError(RetryableError):
    """The database could not be reached or broke the connection; nothing was changed unless the message says so."""


class VenueUnavailableError(RetryableError):
    """The venue did not answer, or not in a shape that can be trusted; nothing about it is known."""


class OperatorError(PosguardError):
    """A person has to decide or to set something."""


class UsageError(OperatorError):
    """The command's words are off."""

    exit_code = ExitCode.USAGE


class InputError(OperatorError):
    """A value that was handed over cannot be used; `field` names it. Nothing was written or sent."""

    exit_code = ExitCode.USAGE

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{field}: {message} Nothing was written or sent.", hint=hint)
        self.field = field


class SettingsError(OperatorError):
    """A setting is missing or wrong."""


class LogError(OperatorError):
    """A log, or a file of patterns for it, cannot be used as it is."""


class SuiteError(OperatorError):
    """A suite file cannot be used as it is written."""


class SchemaError(OperatorError):
    """The database lacks what posguard needs, or is not the bot's."""


class CredentialsError(OperatorError):
    """The venue or the database refused the credentials."""


class NotBuiltError(OperatorError):
    """The command is planned and not part of this version."""


class RefusedError(OperatorError):
    """A gate refused; nothing was changed."""

    exit_code = ExitCode.REFUSED


class ConflictError(RefusedError):
    """What is there now does not go together with what was to be written; nothing was changed."""


class PosguardBugError(PosguardError):
    """An invariant of posguard's own code does not hold; the traceback is wanted."""
