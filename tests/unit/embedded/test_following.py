"""Driving the example jobs, against an API made of lists."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from project.embedded.following import Followed, run_examples

LATER = 60.0


class FakeApi:
    """Jobs that open a run when asked, each run finished at the second look."""

    def __init__(self, jobs: list[dict[str, Any]], runs: list[dict[str, Any]] | None = None) -> None:
        self.jobs = jobs
        self.runs = runs or []
        self.asked: list[str] = []
        self.looks = 0

    def close(self) -> None:
        """Nothing is open."""

    def get_jobs(self) -> list[Mapping[str, Any]]:
        return list(self.jobs)

    def run_now(self, job_id: str) -> None:
        self.asked.append(job_id)
        self.runs.append({"id": f"run_{job_id}", "job": {"id": job_id}, "status": "open", "tasks": []})

    def get_runs(self, job_id: str) -> list[Mapping[str, Any]]:
        return [run for run in self.runs if run["job"]["id"] == job_id]

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        self.looks += 1
        run = next(run for run in self.runs if run["id"] == run_id)
        return {**run, "status": "confirmed" if self.looks > len(self.runs) else "open"}


def job(job_id: str, **changes: Any) -> dict[str, Any]:
    return {"id": job_id, "name": job_id, "status": "active", "next_fire_at": None, **changes}


def follow(api: FakeApi, seconds: float = LATER, *, is_stopped: bool = False) -> Followed:
    followed = Followed()
    run_examples(api, followed, deadline=time.monotonic() + seconds, is_stopped=lambda: is_stopped)
    return followed


def test_every_active_job_is_run_and_followed_to_its_end() -> None:
    api = FakeApi([job("a"), job("b")])

    followed = follow(api)

    assert api.asked == ["a", "b"]
    assert followed.is_finished()
    assert {run["status"] for run in followed.runs.values()} == {"confirmed"}


def test_a_job_that_has_run_by_its_trigger_is_not_run_again() -> None:
    ran = {"id": "run_a", "job": {"id": "a"}, "status": "open", "tasks": []}
    api = FakeApi([job("a", status="completed"), job("b")], [ran])

    followed = follow(api)

    assert api.asked == ["b"]
    assert set(followed.runs) == {"run_a", "run_b"}


def test_a_job_that_fires_by_itself_in_a_moment_is_left_to_do_so() -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    api = FakeApi([job("a", next_fire_at=soon)])

    followed = follow(api, seconds=0.5)

    assert api.asked == []
    assert not followed.is_finished()


def test_paused_jobs_are_left_alone() -> None:
    api = FakeApi([job("a"), job("b", status="paused")])

    assert set(follow(api).jobs) == {"a"}
    assert api.asked == ["a"]


def test_a_stop_or_the_deadline_ends_the_following_with_what_was_seen() -> None:
    assert not follow(FakeApi([job("a")]), is_stopped=True).is_finished()
    assert not follow(FakeApi([job("a")]), seconds=-1).is_finished()
