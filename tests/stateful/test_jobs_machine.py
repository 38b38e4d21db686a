"""Random lives of jobs over the real services and database, with a clock that only this test moves.

Invariants: 13 (only listed moves, endings absorb), 16 (a tick fires at most once), 17
(nothing before it is due), 18 (active jobs are woken), 25 (replay gives the row).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from apps.eventlog.domain.replay import replay
from apps.eventlog.selectors import get_events
from apps.jobs import services
from apps.jobs.data import JOB_TABLE, LIVE, Bounds, JobStatus, Patience, format_instant
from apps.jobs.errors import ExpiresInPast, IntervalLongerThanLife, JobEnded, MaxFiresInvalid, NeverFires
from apps.jobs.firings import jobs_look_ahead
from apps.jobs.models import Firing, Job
from apps.jobs.selectors import check, get_job
from apps.jobs.writing import PUBLIC_FIELDS
from tests.factories.accounts import make_project
from tests.factories.jobs import job_body, make_job, make_store
from tests.support.firing import fire_taken

START = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
GRACE = 60
SCHEDULES = st.sampled_from(
    [
        {"kind": "interval", "seconds": 45},
        {"kind": "interval", "seconds": 700, "start_at": "2026-03-28T22:00:00Z"},
        {"kind": "cron", "expression": "*/10 * * * *", "zone": "Europe/Berlin"},
        {"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"},
        {"kind": "specific", "instants": ["2030-01-01T00:00:00Z"]},
    ]
)


@dataclass
class Seen:
    """What this test saw a job do."""

    ticks: list[str] = field(default_factory=list)
    counted: int = 0
    statuses: list[str] = field(default_factory=lambda: ["active"])


class JobMachine(RuleBasedStateMachine):
    """A handful of jobs of one project."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self.now = START
        self._clock = patch.object(services, "get_database_now", lambda: self.now)
        self._clock.start()
        self.project, self.store = make_project(), make_store()
        self.seen: dict[UUID, Seen] = {}
        self.requests = 0

    def teardown(self) -> None:
        """Leave clock and database as they were."""
        self._clock.stop()
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    @rule(
        target=jobs,
        schedule=st.none() | SCHEDULES,
        policy=st.sampled_from(["skip", "one", "all"]),
        limit=st.integers(1, 4),
        recurring=st.booleans(),
        max_fires=st.none() | st.integers(1, 5),
        life=st.none() | st.integers(1, 8_000),
    )
    def create(
        self, schedule: Any, recurring: bool, max_fires: int | None, life: int | None, **fields: Any
    ) -> Any:
        """A job of any kind; one that could never fire is refused and leaves nothing."""
        body = job_body(
            trigger_kind="time" if schedule else "manual",
            schedule=schedule,
            missed_policy=fields["policy"],
            missed_limit=fields["limit"],
            recurring=recurring,
            max_fires=max_fires if recurring else None,
            expires_at=format_instant(self.now + timedelta(seconds=life)) if life else None,
        )
        try:
            with transaction.atomic():
                job = make_job(project=self.project, store=self.store, **body)
        except (NeverFires, IntervalLongerThanLife):
            assert life is not None
            return None
        self.seen[job.id] = Seen()
        return job.id

    @rule(job_id=jobs, change=st.sampled_from([services.job_pause, services.job_resume, services.job_delete]))
    def change(self, job_id: Any, change: Callable[..., Job]) -> None:
        """Pause, resume or delete, whatever state it is in."""
        self._act(job_id, lambda: change(job_id=job_id))

    @rule(job_id=jobs, max_fires=st.none() | st.integers(1, 6), life=st.none() | st.integers(-50, 5_000))
    def edit(self, job_id: Any, max_fires: int | None, life: int | None) -> None:
        """Give it another end."""
        expires_at = None if life is None else format_instant(self.now + timedelta(seconds=life))
        changes = {"recurring": True, "max_fires": max_fires, "expires_at": expires_at}
        self._act(
            job_id,
            lambda: services.job_update(job_id=job_id, changes=changes, store=self.store, bounds=Bounds()),
        )

    @rule(job_id=jobs)
    def run_by_hand(self, job_id: Any) -> None:
        """Fire it by name."""
        self.requests += 1
        key = f"manual:{self.requests}"

        def run() -> None:
            job = services.job_take_by_hand(job_id=job_id, now=self.now)
            services.job_mark_by_hand(job, tick_key=key, now=self.now)
            seen = self.seen[job.id]
            seen.ticks.append(key)
            seen.counted += job.trigger_kind == "manual"

        self._act(job_id, run)

    @rule(seconds=st.integers(1, GRACE))
    def sweep(self, seconds: int) -> None:
        """Time goes on by less than the grace, and the stage sweeps."""
        self._sweep(seconds)

    @rule(seconds=st.integers(GRACE, 20_000))
    def outage(self, seconds: int) -> None:
        """Nothing swept for a long time."""
        self._sweep(seconds)

    @rule(seconds=st.integers(1, GRACE), ahead=st.integers(1, 2_000))
    def look_ahead(self, seconds: int, ahead: int) -> None:
        """Ticks are laid out for a while before their time, and then the stage sweeps."""
        self._sweep(seconds, ahead)

    @rule()
    def expire(self) -> None:
        """The sweep of expiries."""
        services.jobs_expire(now=self.now)

    @invariant()
    def moves_are_listed_and_endings_absorb(self) -> None:
        """13: each change of status is in the table."""
        for job in Job.objects.filter(project=self.project):
            statuses = self.seen[job.id].statuses
            if statuses[-1] != job.status:
                statuses.append(job.status)
            assert all(
                JOB_TABLE.is_legal(JobStatus(before), JobStatus(after))
                for before, after in pairwise(statuses)
            )

    @invariant()
    def no_tick_fires_twice_and_the_count_is_right(self) -> None:
        """16, and no more fires than allowed."""
        for job in Job.objects.filter(project=self.project):
            seen = self.seen[job.id]
            assert len(set(seen.ticks)) == len(seen.ticks)
            assert job.fire_count == seen.counted
            assert job.max_fires is None or job.fire_count <= job.max_fires

    @invariant()
    def nothing_sleeps_for_ever(self) -> None:
        """18."""
        assert list(check()) == []

    @invariant()
    def events_give_the_rows(self) -> None:
        """25."""
        for job in Job.objects.filter(project=self.project):
            events = get_events(aggregate=("job", job.aggregate_id))
            assert replay(events) == job.get_json_fields(PUBLIC_FIELDS)
            assert len(events) == job.event_sequence

    def _sweep(self, seconds: int, ahead: int = 0) -> None:
        self.now += timedelta(seconds=seconds)
        patience = Patience(grace_seconds=GRACE)
        until = self.now + timedelta(seconds=ahead)
        jobs_look_ahead(now=self.now, until=until, limit=100, patience=patience)
        for one in fire_taken(self.now, patience=patience):
            assert all(firing.due_at <= self.now for firing in one.firings)
            seen = self.seen[one.job.id]
            seen.ticks += [firing.key for firing in one.firings]
            seen.counted += len(one.firings)
        assert not Firing.objects.filter(status="fired").exists()
        assert not Firing.objects.filter(status="pending", due_at__lte=self.now).exists()

    def _act(self, job_id: Any, act: Callable[[], Any]) -> None:
        if job_id is None:
            return
        before = get_job(job_id)
        try:
            with transaction.atomic():
                act()
        except JobEnded:
            is_over = before.expires_at is not None and before.expires_at <= self.now
            assert before.status not in LIVE or is_over
        except (MaxFiresInvalid, ExpiresInPast):
            pass
        else:
            return
        assert get_job(job_id).event_sequence == before.event_sequence


@pytest.mark.django_db
def test_jobs_keep_their_invariants_through_any_life():
    run_state_machine_as_test(
        JobMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
