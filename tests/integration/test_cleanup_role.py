"""The whole of a cleanup under posguard_cleanup: enough to carry out and to take back, and not to delete."""

from __future__ import annotations

import re
import uuid
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr

from posguard.cleanup.backup import read_backup
from posguard.cleanup.restore import look, restore
from posguard.model.plan import Mode, PlanState
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from tests.conftest import run_script
from tests.fixtures.cleanup import Bench

pytestmark = pytest.mark.postgres


async def test_the_cleanup_role_may_clean_up_and_may_not_delete(demo, empty_dsn, server_dsn):
    prefix = f"r{uuid.uuid4().hex[:8]}"
    run_script(empty_dsn.get_secret_value(), roles_sql(prefix=prefix))
    run_script(server_dsn, f"ALTER ROLE {prefix}_cleanup PASSWORD 'pw'")
    address = re.sub(r"//[^@/]*@", f"//{prefix}_cleanup:pw@", empty_dsn.get_secret_value())
    try:
        async with AsyncExitStack() as stack:
            db = await stack.enter_async_context(await Database.open(SecretStr(address)))
            bench = Bench(db, demo.control, demo.readers, demo.traders, demo.folder)
            stored = await bench.plan(Mode.DUPLICATES)
            assert (await bench.apply(stored.code)).state is PlanState.APPLIED
            backup = read_backup(demo.folder / f"{stored.code}.json")
            dry = await look(db, demo.readers, backup)
            assert (await restore(db, demo.readers, backup, dry.code, actor="t")).done
            for statement in (
                "DELETE FROM monitoring.positions",
                "TRUNCATE monitoring.positions",
                "DELETE FROM posguard.cleanup_actions",
                "UPDATE posguard.cleanup_actions SET actor = 'x'",
                (
                    "INSERT INTO posguard.restoring (transaction_id, position_id, status, plan_id, login)"
                    " VALUES (pg_current_xact_id(), 1, 'active', 1, 'x')"
                ),
            ):
                with pytest.raises(
                    Exception, match="may not do this|permission denied|only ever added to|row-level security"
                ):
                    await bench.do(statement)
    finally:
        names = ", ".join(f"{prefix}_{role}" for role in ("cleanup", "reader", "migration"))
        run_script(
            empty_dsn.get_secret_value(), f"REASSIGN OWNED BY {names} TO CURRENT_USER; DROP OWNED BY {names}"
        )
        run_script(server_dsn, f"DROP ROLE {names}")
