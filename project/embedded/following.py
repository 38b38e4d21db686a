"""Drives the example jobs through the REST API, as any client would, and follows their runs."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import httpx2

from apps.kernel.errors import DomainError

_POLL_SECONDS: Final = 0.3
_TICK_PATIENCE_SECONDS: Final = 6.0
#: after so long the jobs that are not compared start, whatever became of those that are
_AHEAD_PATIENCE_SECONDS: Final = 20.0
#: how the names of two jobs end that are compared
_OFF: Final = ", speculation off"
_ON: Final = ", speculation on"


class ApiRefused(DomainError):
    """The API answered something else than success: method, path, status, body."""

    code = "api_refused"
    title = "The API refused a request"


@dataclass(slots=True, kw_only=True)
class Followed:
    """What was seen so far: the jobs by id, each run as last read, and the rollbacks by their run."""

    jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rollbacks: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

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

    def get_runs(self) -> list[Mapping[str, Any]]:
        """Every run the caller sees, without its tasks."""

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        """One run with its tasks."""

    def get_rollbacks(self, run_id: str) -> list[Mapping[str, Any]]:
        """The rollbacks of a run, with what each undid."""


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

    def get_runs(self) -> list[Mapping[str, Any]]:
        """Every run the key sees, without its tasks."""
        return self._get_all("/api/v1/runs", {})

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        """One run with its tasks."""
        run: Mapping[str, Any] = self._request("GET", f"/api/v1/runs/{run_id}")
        return run

    def get_rollbacks(self, run_id: str) -> list[Mapping[str, Any]]:
        """The rollbacks of a run, with what each undid."""
        rows = self._get_all("/api/v1/rollbacks", {"run": run_id})
        return [
            row if "items" in row else self._request("GET", f"/api/v1/rollbacks/{row['id']}") for row in rows
        ]

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

    The jobs that are compared start first and together; the others when those that run ahead are done,
    or after 20 s. A job whose trigger fires by itself within a few seconds is left to do so. `followed`
    is filled on the way, so that an early end still shows how far things came.
    """
    jobs = [job for job in api.get_jobs() if job["status"] in ("active", "completed")]
    followed.jobs = {str(job["id"]): job for job in jobs}
    _read_runs(api, followed)
    began = time.monotonic()
    idle = followed.jobs.keys() - _jobs_that_ran(followed)
    by_itself = {job_id for job_id in idle if _fires_soon(followed.jobs[job_id])}
    pairs = find_pairs(followed.jobs)
    compared = [job_id for pair in pairs.values() for job_id in pair if job_id in idle]
    ahead = {on for _, on in pairs.values()}
    others = sorted(idle - by_itself - set(compared))
    waves = [
        _Wave(compared, 0.0),
        _Wave(others, _AHEAD_PATIENCE_SECONDS, after_jobs=ahead),
        _Wave(sorted(by_itself), _TICK_PATIENCE_SECONDS),
    ]

    while time.monotonic() < deadline and not is_stopped():
        due = [wave for wave in waves if wave.is_due(followed, time.monotonic() - began)]
        for job_id in (job_id for wave in due for job_id in wave.job_ids):
            if job_id not in _jobs_that_ran(followed):
                api.run_now(job_id)
        waves = [wave for wave in waves if wave not in due]
        _read_runs(api, followed)
        if followed.is_finished():
            return
        time.sleep(_POLL_SECONDS)
    if not is_stopped():
        _read_runs(api, followed, is_last=True)


def read_rollbacks(api: JobsApi, followed: Followed) -> None:
    """Read what was rolled back in each run."""
    for run_id in sorted(followed.runs):
        followed.rollbacks[run_id] = list(api.get_rollbacks(run_id))


def find_pairs(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Name → the ids of the two jobs that are compared, the one with speculation off first."""
    ids = {str(job.get("name")): job_id for job_id, job in jobs.items()}
    names = sorted(name.removesuffix(_OFF) for name in ids if name.endswith(_OFF))
    return {name: (ids[name + _OFF], ids[name + _ON]) for name in names if name + _ON in ids}


def job_id_of(run: Mapping[str, Any]) -> str:
    """The wire id of the run's job, given as an id or as an object with one."""
    job = run.get("job") or run.get("job_id")
    return str(job["id"] if isinstance(job, Mapping) else job)


@dataclass(frozen=True, slots=True)
class _Wave:
    """Jobs to be run together, after so long, or as soon as these jobs' runs are over."""

    job_ids: Sequence[str]
    after_seconds: float
    after_jobs: Collection[str] | None = None

    def is_due(self, followed: Followed, waited_seconds: float) -> bool:
        """Whether its moment has come."""
        if waited_seconds >= self.after_seconds:
            return True
        over = _jobs_that_ran(followed, to_the_end=True)
        return self.after_jobs is not None and over.issuperset(self.after_jobs)


def _read_runs(api: JobsApi, followed: Followed, *, is_last: bool = False) -> None:
    """Read which runs there are, and those in full that are new, over, or all that are open at last.

    One request a look as long as nothing ends: what is measured here shares the machine with this.
    """
    for run in api.get_runs():
        known = followed.runs.get(str(run["id"]))
        if job_id_of(run) not in followed.jobs or (known is not None and not _is_open(known)):
            continue
        if known is None or is_last or not _is_open(run):
            followed.runs[str(run["id"])] = api.get_run(str(run["id"]))


def _jobs_that_ran(followed: Followed, *, to_the_end: bool = False) -> set[str]:
    return {job_id_of(run) for run in followed.runs.values() if not (to_the_end and _is_open(run))}


def _is_open(run: Mapping[str, Any]) -> bool:
    return bool(run["status"] == "open")


def _fires_soon(job: Mapping[str, Any]) -> bool:
    next_fire = job.get("next_fire_at")
    if not next_fire:
        return False
    left = datetime.fromisoformat(str(next_fire)) - datetime.now(UTC)
    return left.total_seconds() < _TICK_PATIENCE_SECONDS - 1
