"""Driving the example jobs, against an API made of lists."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from project.embedded import following
from project.embedded.following import Api, Followed, find_pairs, read_rollbacks, run_examples

LATER = 60.0


class FakeApi:
    """Jobs that open a run when asked; a run is over when it has been listed often enough."""

    def __init__(
        self, jobs: list[dict[str, Any]], runs: list[dict[str, Any]] | None = None, looks: int = 2
    ) -> None:
        self.jobs = jobs
        self.looks_needed = looks
        self.asked: list[str] = []
        self.looks: dict[str, int] = {}
        self.read: list[str] = []
        self.runs: dict[str, dict[str, Any]] = {run["id"]: run for run in runs or []}

    def get_jobs(self) -> list[Mapping[str, Any]]:
        return list(self.jobs)

    def run_now(self, job_id: str) -> None:
        self.asked.append(job_id)
        self.runs[f"run_{job_id}"] = {"id": f"run_{job_id}", "job": {"id": job_id, "name": ""}}

    def get_runs(self) -> list[Mapping[str, Any]]:
        for run_id in self.runs:
            self.looks[run_id] = self.looks.get(run_id, 0) + 1
        return [{**run, "status": self.status_of(run_id)} for run_id, run in self.runs.items()]

    def get_run(self, run_id: str) -> Mapping[str, Any]:
        self.read.append(run_id)
        return {**self.runs[run_id], "status": self.status_of(run_id), "tasks": []}

    def get_rollbacks(self, run_id: str) -> list[Mapping[str, Any]]:
        return [{"id": "rbk_1", "run": run_id}]

    def status_of(self, run_id: str) -> str:
        """A run named `run_slow…` never ends."""
        is_over = self.looks.get(run_id, 0) >= self.looks_needed and "slow" not in run_id
        return "confirmed" if is_over else "open"


def job(job_id: str, **changes: Any) -> dict[str, Any]:
    return {"id": job_id, "name": job_id, "status": "active", "next_fire_at": None, **changes}


def follow(api: FakeApi, seconds: float = LATER, *, is_stopped: bool = False) -> Followed:
    followed = Followed()
    run_examples(api, followed, deadline=time.monotonic() + seconds, is_stopped=lambda: is_stopped)
    return followed


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look as often as it goes."""
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.0)


def test_every_active_job_is_run_and_followed_to_its_end() -> None:
    api = FakeApi([job("a"), job("b")])

    followed = follow(api)

    assert api.asked == ["a", "b"]
    assert followed.is_finished()
    assert {run["status"] for run in followed.runs.values()} == {"confirmed"}


def test_a_job_that_has_run_by_its_trigger_is_not_run_again() -> None:
    ran = {"id": "run_a", "job": {"id": "a"}}
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


def test_a_job_that_did_not_fire_by_itself_is_run_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_fires_soon", lambda job: job["id"] == "a")
    monkeypatch.setattr(following, "_TICK_PATIENCE_SECONDS", 0.05)
    api = FakeApi([job("a"), job("b")])

    assert follow(api).is_finished()
    assert api.asked == ["b", "a"]


def test_paused_jobs_are_left_alone() -> None:
    api = FakeApi([job("a"), job("b", status="paused")])

    assert set(follow(api).jobs) == {"a"}
    assert api.asked == ["a"]


def test_a_stop_or_the_deadline_ends_the_following_with_what_was_seen() -> None:
    assert not follow(FakeApi([job("a")]), is_stopped=True).is_finished()
    assert not follow(FakeApi([job("a")]), seconds=-1).is_finished()


PAIR = [job("slow", name="Chain, speculation off"), job("on", name="Chain, speculation on")]


def test_what_is_compared_starts_together_and_before_the_rest() -> None:
    api = FakeApi([job("a"), *PAIR], looks=5)

    follow(api, seconds=0.3)

    assert api.asked == ["slow", "on", "a"]
    assert api.looks["run_slow"] == api.looks["run_on"]


def test_the_rest_waits_until_what_runs_ahead_is_done_and_not_for_what_does_not() -> None:
    api = FakeApi([job("a"), *PAIR], looks=50)
    asked_at: dict[str, int] = {}
    run_now = api.run_now

    def noted(job_id: str) -> None:
        asked_at[job_id] = api.looks.get("run_on", 0)
        run_now(job_id)

    api.run_now = noted  # type: ignore[method-assign]
    followed = follow(api, seconds=0.5)

    assert asked_at == {"slow": 0, "on": 0, "a": 50}
    assert followed.runs["run_a"]["status"] == "confirmed"
    assert followed.runs["run_slow"]["status"] == "open"


def test_the_rest_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_AHEAD_PATIENCE_SECONDS", 0.05)
    api = FakeApi([job("a"), *PAIR], looks=10**9)

    follow(api, seconds=0.4)

    assert api.asked == ["slow", "on", "a"]


def test_a_run_is_read_whole_when_it_is_new_when_it_is_over_and_at_the_last() -> None:
    api = FakeApi([job("a"), job("slow")], looks=50)

    follow(api, seconds=0.5)

    assert [run_id for run_id in api.read if run_id == "run_a"] == ["run_a"] * 2
    assert [run_id for run_id in api.read if run_id == "run_slow"] == ["run_slow"] * 2


def test_a_run_of_a_job_that_is_not_followed_is_left_alone() -> None:
    stranger = {"id": "run_x", "job": {"id": "x"}}
    api = FakeApi([job("a")], [stranger])

    assert set(follow(api).runs) == {"run_a"}


def test_the_rollbacks_of_each_run_are_kept_by_their_run() -> None:
    followed = Followed(runs={"run_a": {"id": "run_a"}})

    read_rollbacks(FakeApi([]), followed)

    assert followed.rollbacks == {"run_a": [{"id": "rbk_1", "run": "run_a"}]}


def test_a_rollback_that_is_listed_without_its_items_is_read_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "/api/v1/rollbacks": {
            "data": [{"id": "rbk_1", "items": [1]}, {"id": "rbk_2"}],
            "has_more": False,
            "next_cursor": None,
        },
        "/api/v1/rollbacks/rbk_2": {"id": "rbk_2", "items": [2]},
    }
    monkeypatch.setattr(Api, "_request", lambda _self, _method, path, **_options: answers[path])
    api = Api(url="http://127.0.0.1:1", key="k")

    assert [rollback["items"] for rollback in api.get_rollbacks("run_1")] == [[1], [2]]
    api.close()


def test_two_jobs_are_a_pair_by_how_their_names_end() -> None:
    jobs = {
        "a": job("a", name="Chain, speculation on"),
        "b": job("b", name="Chain, speculation off"),
        "c": job("c", name="Alone, speculation off"),
        "d": job("d", name="Pipeline"),
    }

    assert find_pairs(jobs) == {"Chain": ("b", "a")}
