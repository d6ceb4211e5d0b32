"""The heartbeat: a complete run asks for an address, so that a watcher outside notices when none does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import structlog

if TYPE_CHECKING:
    from pydantic import SecretStr

    from posguard.model.run import StoredRun

log = structlog.get_logger(__name__)

PATIENCE = 5.0


async def beat(url: SecretStr | None, run: StoredRun) -> bool | None:
    """Asks for the address after a complete run over everything; None where there is nothing to ask for.

    False where it did not answer well, which is logged without the address. Never raises for it: a run is what it is.
    """
    if url is None or not run.conclusive or not run.scope.whole:
        return None
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session,
            session.get(url.get_secret_value(), headers={"User-Agent": "posguard"}) as answer,
        ):
            well, said = answer.status < 400, f"it answered {answer.status}"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        well, said = False, type(error).__name__
    if not well:
        log.error("heartbeat_not_taken", why=said)
    return well
