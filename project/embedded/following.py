"""Drives the example jobs through the REST API, as any client would, and follows their runs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import httpx2

from apps.kernel.errors import DomainError

_POLL_SECONDS: Final = 0.3
_TICK_PATIENCE_SECONDS: Final = 6.0


class ApiRefused(DomainError):
    """The API answered something else than success: method, path, status, body."""

    code = "api_refused"
    title = "The API refused a request"


@dataclass(slots=True, kw_only=True)
class Followed:
    """What was seen so far: the jobs by id, and each run as last read."""

    jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def get_tasks(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Every task with its run, in the order the runs were opened."""
        runs = sorted(self.runs.values(), key=lambda run: str(run["id"]))
        return [(run, task) for run in runs for task in run["tasks"]]

    def is_finished(self) -> bool:
        """Whether every job has a run and no run is open."""
        all_ran = _jobs_that_ran(self) >= self.jobs.keys()
        return bool(self.jobs) and all_ran and not any(map(_is_open, self.runs.values()))


class JobsApi(Protocol):
    """What following needs of the API."""

    def get_jobs(self) -> list[Mapping[str, Any]]:
        """Every job the caller sees."""

    def run_now(self, job_id: str) -> None:
        """Open a run of a job now."""

    def get_runs(self, job_id: str) -> list[Mapping[str, Any]]:
        """The runs of a job, without their tasks."""

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        """One run with its tasks."""


class Api:
    """JobsApi over HTTP with an API key."""

    def __init__(self, *, url: str, key: str) -> None:
        self._client = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10.0, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get_jobs(self) -> list[Mapping[str, Any]]:
        """Every job the key sees."""
        return self._get_all("/api/v1/jobs", {})

    def run_now(self, job_id: str) -> None:
        """Open a run of a job now."""
        self._request("POST", f"/api/v1/jobs/{job_id}/run-now", json={})

    def get_runs(self, job_id: str) -> list[Mapping[str, Any]]:
        """The runs of a job, without their tasks."""
        return self._get_all("/api/v1/runs", {"job": job_id})

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        """One run with its tasks."""
        run: Mapping[str, Any] = self._request("GET", f"/api/v1/runs/{run_id}")
        return run

    def _get_all(self, path: str, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self._request(
                "GET", path, params={**query, "limit": "100", **({"cursor": cursor} if cursor else {})}
            )
            rows += page["data"]
            cursor = page["next_cursor"]
            if not page["has_more"]:
                return rows

    def _request(self, method: str, path: str, **options: Any) -> Any:
        response = self._client.request(method, path, **options)
        if not response.is_success:
            raise ApiRefused(method=method, path=path, status=response.status_code, body=response.text[:500])
        return response.json()


def run_examples(
    api: JobsApi, followed: Followed, *, deadline: float, is_stopped: Callable[[], bool]
) -> None:
    """Let every active job run once and follow all runs to their end, or to the deadline.

    A job whose trigger fires by itself within a few seconds is left to do so; the others are run
    now. `followed` is filled on the way, so that an early end still shows how far things came.
    """
    jobs = [job for job in api.get_jobs() if job["status"] in ("active", "completed")]
    followed.jobs = {str(job["id"]): job for job in jobs}
    _read_runs(api, followed)
    began = time.monotonic()
    idle = followed.jobs.keys() - _jobs_that_ran(followed)
    waiting = {job_id for job_id in idle if _fires_soon(followed.jobs[job_id])}
    for job_id in sorted(idle - waiting):
        api.run_now(job_id)
    while time.monotonic() < deadline and not is_stopped():
        _read_runs(api, followed)
        if followed.is_finished():
            return
        if waiting and time.monotonic() - began > _TICK_PATIENCE_SECONDS:
            for job_id in sorted(waiting - _jobs_that_ran(followed)):
                api.run_now(job_id)
            waiting = set()
        time.sleep(_POLL_SECONDS)


def job_id_of(run: Mapping[str, Any]) -> str:
    """The wire id of the run's job, given as an id or as an object with one."""
    job = run.get("job") or run.get("job_id")
    return str(job["id"] if isinstance(job, Mapping) else job)


def _read_runs(api: JobsApi, followed: Followed) -> None:
    """Read what may have changed: new runs, and runs that were open."""
    for job_id in followed.jobs:
        for run in api.get_runs(job_id):
            known = followed.runs.get(str(run["id"]))
            if known is None or _is_open(known):
                followed.runs[str(run["id"])] = api.get_run(str(run["id"]))


def _jobs_that_ran(followed: Followed) -> set[str]:
    return {job_id_of(run) for run in followed.runs.values()}


def _is_open(run: Mapping[str, Any]) -> bool:
    return bool(run["status"] == "open")


def _fires_soon(job: Mapping[str, Any]) -> bool:
    next_fire = job.get("next_fire_at")
    if not next_fire:
        return False
    left = datetime.fromisoformat(str(next_fire)) - datetime.now(UTC)
    return left.total_seconds() < _TICK_PATIENCE_SECONDS - 1
