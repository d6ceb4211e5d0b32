"""The SQL of the database roles that posguard works under, for a person to read and run."""

from __future__ import annotations

import re
from typing import Literal

from posguard.errors import UsageError
from posguard.postgres.queries import script

Role = Literal["migration", "reader", "core", "cleanup", "monitor"]
# In the order in which they have to be run.
ROLES: tuple[Role, ...] = ("migration", "reader", "core", "cleanup", "monitor")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def roles_sql(*roles: Role, prefix: str = "posguard") -> str:
    """The SQL that makes the roles (all of them by default) and grants each exactly what its commands need.

    Plain SQL for psql or any other client; running it again changes nothing; no password is in it. `prefix` names them:
    <prefix>_reader and so on. Raises UsageError where the prefix is no plain lower-case name.
    """
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"'{prefix}' is no prefix for role names: lower-case letters, digits and underscores. Nothing was done."
        )
    texts = []
    for role in sorted(roles or ROLES, key=ROLES.index):
        text = script(f"roles_{role}").rstrip()
        texts.append(re.sub(r"posguard_(migration|reader|core|cleanup|monitor)\b", rf"{prefix}_\1", text))
    return "\n\n".join(texts)
