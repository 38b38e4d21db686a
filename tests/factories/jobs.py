"""Jobs for tests, made through the service, and rows in any state for what only reads them."""

import itertools
from typing import Any

from apps.accounts.models import Project
from apps.content.store import ContentStore, open_store
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.services import job_create
from tests.factories.accounts import make_project

SCRIPT = "import json, sys\nprint(json.dumps({'echo': json.load(sys.stdin)['params']}))\n"
TARGET = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"

_numbers = itertools.count(1)


def make_store() -> ContentStore:
    """A content store of its own, in memory."""
    return open_store(f"memory://jobs-{next(_numbers)}")


def job_body(**fields: Any) -> dict[str, Any]:
    """A valid job as JSON: manual, one step with an inline script, unless told otherwise."""
    body: dict[str, Any] = {"name": f"job {next(_numbers)}", "trigger_kind": "manual"}
    if "steps" not in fields:
        body["script_source"] = SCRIPT
    return {**body, **fields}


def time_body(*, seconds: int = 60, **fields: Any) -> dict[str, Any]:
    """A valid job that fires every so many seconds."""
    fields.setdefault("schedule", {"kind": "interval", "seconds": seconds})
    return job_body(**{**fields, "trigger_kind": "time"})


def pipeline_body(*keys: str, **fields: Any) -> dict[str, Any]:
    """A valid job of steps in a chain."""
    names = keys or ("load", "clean", "publish")
    steps = [
        {"key": key, "script_source": SCRIPT, "parents": list(names[max(0, n - 1) : n])}
        for n, key in enumerate(names)
    ]
    return job_body(steps=steps, **fields)


def drill_body(**fields: Any) -> dict[str, Any]:
    """A valid pipeline whose second step's first proof is rejected on purpose."""
    body = pipeline_body(**fields)
    body["steps"][1]["drill"] = {"reject_proof": 1}
    return body


def report_step(**fields: Any) -> dict[str, Any]:
    """The fields of a step whose script computes the arguments of a call."""
    action = {"chain_id": 31337, "target": TARGET, "function": "report(bytes32,uint256)"}
    return {"action": action, "arguments": {"kind": "dynamic"}, **fields}


def make_job(*, project: Project | None = None, store: ContentStore | None = None, **body: Any) -> Any:
    """A job created by its service; the fields of `job_body` by keyword."""
    definition = definition_from_json(body if "name" in body else job_body(**body), Bounds())
    return job_create(
        project_id=(project or make_project()).id, definition=definition, store=store or make_store()
    )


def make_time_job(*, project: Project | None = None, store: ContentStore | None = None, **body: Any) -> Any:
    """A job that fires on a schedule, every 60 seconds unless told otherwise."""
    return make_job(project=project, store=store, **time_body(**body))
