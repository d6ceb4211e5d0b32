"""Runs tasks under Airflow's own supervisor, each in a process of its own, and keeps their logs as a worker would.

    python -m tests.dags.supervised FOLDER < cases.json

The cases map a name to `{"file": path, "dag": id, "task": id, "env": {...}, "conf": {...}}`; the log is FOLDER/<name>.log. Airflow's API server is
the one part that is missing: the client answers as it does, and knows no Connection or variable, so that they come from the
environment.
"""

from __future__ import annotations

import json
import os
import sys
from uuid import UUID

AT = "2026-01-01T00:00:00Z"
UNSET = (
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "end_date",
    "partition_key",
)
RUN = dict.fromkeys(UNSET) | {
    "run_id": "test_run",
    "start_date": AT,
    "run_after": AT,
    "run_type": "manual",
    "state": "running",
    "consumed_asset_events": [],
}


def main(folder: str) -> None:
    """Reads the cases from standard input and supervises one after the other."""
    os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] = folder
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"
    bundles = [
        {
            "name": "tested",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": "/"},
        }
    ]
    os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(bundles)

    import httpx
    from airflow.executors.workloads import BundleInfo, TaskInstance
    from airflow.sdk.api.client import Client
    from airflow.sdk.execution_time.supervisor import supervise_task

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(("/connections/", "/variables/")):
            return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "None here"}})
        if request.url.path.endswith("/run"):
            run = RUN | {"dag_id": case["dag"], "conf": case.get("conf")}
            context = {"dag_run": run, "max_tries": 2, "should_retry": True}
            return httpx.Response(200, json=context)
        return httpx.Response(200, json={})

    for number, (name, case) in enumerate(json.load(sys.stdin).items()):
        os.environ.update(case["env"])
        task = TaskInstance(
            id=UUID(int=number + 1),
            dag_version_id=UUID(int=1),
            dag_id=case["dag"],
            task_id=case["task"],
            run_id="test_run",
            try_number=1,
            pool_slots=1,
            queue="default",
            priority_weight=1,
            map_index=-1,
        )
        with Client(base_url=None, dry_run=True, token="", transport=httpx.MockTransport(answer)) as client:
            supervise_task(
                ti=task,
                bundle_info=BundleInfo(name="tested", version=None),
                dag_rel_path=case["file"].lstrip("/"),
                token="",
                client=client,
                log_path=f"{name}.log",
            )
        for variable in case["env"]:
            del os.environ[variable]


if __name__ == "__main__":
    main(*sys.argv[1:])
