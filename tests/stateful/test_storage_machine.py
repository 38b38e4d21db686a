"""Random runs of custom jobs over what they keep, side by side, confirmed in sets, rolled back, crashed.

The model knows every write by a mark of its own and never by a version: a run's updates are carried out
when every key it updates still bears the mark its snapshot had, and all of them fit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_database_now
from apps.jobs.data import JobStatus
from apps.jobs.models import Job
from apps.jobs.services import job_delete, job_pause
from apps.kernel.errors import DomainError
from apps.kernel.ids import new_id
from apps.storage.data import StorageWrite
from apps.storage.domain.updates import read_updates, snapshot_from_json
from apps.storage.errors import StorageTooLarge
from apps.storage.models import StoredValue
from apps.storage.selectors import get_snapshots
from apps.storage.services import storage_apply, storage_delete, storage_lock, storage_put
from tests.factories.jobs import make_job
from tests.support.overlap import at_once

KEYS_MAX = 3
KEYS = st.sampled_from("abcde")
UPDATES = st.dictionaries(KEYS, st.none() | st.integers(0, 3) | st.just([{"n": 1.5}]), min_size=1, max_size=5)
ACTION = {"chain_id": 31337, "custom": True, "targets": ["0x" + "11" * 20]}


def refusal(work: Callable[[], Any]) -> str:
    """The code the work is refused with; empty where it is done."""
    try:
        work()
    except DomainError as refused:
        return refused.code
    return ""


@dataclass
class Run:
    """A run under way: its job, what it read, and the marks of the model at that time."""

    job: UUID
    task: UUID
    snapshot: dict[str, Any]
    marks: dict[str, int]


class StorageMachine(RuleBasedStateMachine):
    """Two custom jobs and one that is none."""

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self._settings = django_settings.FOREKEEP
        storage = replace(self._settings.storage, keys_max=KEYS_MAX)
        django_settings.FOREKEEP = replace(self._settings, storage=storage)
        self.jobs = [make_job(action=ACTION).id for _ in range(2)]
        self.plain = make_job().id
        self.kept: dict[UUID, dict[str, tuple[Any, int]]] = {job: {} for job in self.jobs}
        self.deleted: set[UUID] = set()
        self.runs: list[Run] = []
        self.told = {"job.storage_updated": 0, "job.storage_conflict": 0}
        self.mark = 0
        self.versions: dict[UUID, int] = dict.fromkeys(self.jobs, 0)

    def teardown(self) -> None:
        assert chain_verify() == []
        django_settings.FOREKEEP = self._settings
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    @rule(which=st.integers(0, 1), count=st.integers(1, 3))
    def open_runs(self, which: int, count: int) -> None:
        """Runs that are opened together read the same."""
        job = self.jobs[which]
        if job in self.deleted:
            return
        definitions = dict(Job.objects.filter(pk__in=[job, self.plain]).values_list("pk", "definition"))
        snapshots = get_snapshots(definitions)
        assert list(snapshots) == [job]
        values = {key: each["value"] for key, each in snapshots[job]["values"].items()}
        assert values == {key: value for key, (value, _) in self.kept[job].items()}
        marks = {key: mark for key, (_, mark) in self.kept[job].items()}
        self.runs.extend(Run(job, new_id(), snapshots[job], marks) for _ in range(count))

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), crashes=st.booleans())
    def confirm_some(self, data: Any, crashes: bool) -> None:
        """A set of tasks is confirmed in one transaction, which may die and come again."""
        chosen = data.draw(
            st.lists(st.sampled_from(range(len(self.runs))), unique=True, min_size=1, max_size=4)
        )
        runs = [self.runs[index] for index in chosen]
        self.runs = [run for run in self.runs if run not in runs]
        wanted = [(run, self._updates(run, data.draw(UPDATES))) for run in runs]
        writes = [self._write(run, updates) for run, updates in wanted if updates]
        if crashes:
            with transaction.atomic():
                self._apply(writes)
                transaction.set_rollback(True)
        with transaction.atomic():
            self._apply(writes)
        for run, updates in sorted(wanted, key=lambda one: one[0].task):
            if updates:
                self._expect(run, updates)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def roll_back_one(self, data: Any) -> None:
        """What is not confirmed keeps nothing."""
        self.runs.remove(data.draw(st.sampled_from(self.runs)))

    @rule(which=st.integers(0, 1), key=KEYS, value=st.integers(0, 3), has_seen=st.booleans())
    def put_by_hand(self, which: int, key: str, value: int, has_seen: bool) -> None:
        """A person's value, with or without the version seen last."""
        job = self.jobs[which]
        row = StoredValue.objects.filter(job=job, key=key).first()
        version = (row.version if row else 0) if has_seen else None
        is_full = key not in self.kept[job] and len(self.kept[job]) == KEYS_MAX
        expected = "job_ended" if job in self.deleted else "storage_too_large" if is_full else ""
        assert refusal(lambda: storage_put(job_id=job, key=key, value=value, version=version)) == expected
        if expected:
            return
        self.mark += 1
        self.kept[job][key] = (value, self.mark)
        self.told["job.storage_updated"] += 1

    @rule(which=st.integers(0, 1), key=KEYS)
    def forget_by_hand(self, which: int, key: str) -> None:
        """A person forgets a key."""
        job = self.jobs[which]
        missing = "" if key in self.kept[job] else "stored_value_not_found"
        expected = "job_ended" if job in self.deleted else missing
        assert refusal(lambda: storage_delete(job_id=job, key=key)) == expected
        if expected:
            return
        del self.kept[job][key]
        self.told["job.storage_updated"] += 1

    @rule(which=st.integers(0, 1))
    def pause(self, which: int) -> None:
        """Another event of the job between two writes."""
        if self.jobs[which] not in self.deleted:
            job_pause(job_id=self.jobs[which])

    @precondition(lambda self: self.kept[self.jobs[1]])
    @rule()
    def delete_the_second_job(self) -> None:
        """What it kept stays as it is."""
        job_delete(job_id=self.jobs[1])
        self.deleted.add(self.jobs[1])

    @invariant()
    def the_rows_are_the_models(self) -> None:
        for job in self.jobs:
            rows = {row.key: row for row in StoredValue.objects.filter(job=job)}
            assert {key: row.value for key, row in rows.items()} == {
                key: value for key, (value, _) in self.kept[job].items()
            }
            assert len(rows) <= KEYS_MAX
        assert not StoredValue.objects.filter(job=self.plain).exists()

    @invariant()
    def versions_only_grow_and_are_the_events_that_wrote_them(self) -> None:
        for job in self.jobs:
            events = Event.objects.filter(aggregate_id=job.hex, event_type="job.storage_updated")
            written = {event.aggregate_sequence: event.payload for event in events}
            assert all(payload["version"] == number for number, payload in written.items())
            for row in StoredValue.objects.filter(job=job):
                assert row.key in written[row.version]["keys"]
            newest = max(written, default=0)
            assert newest >= self.versions[job]
            self.versions[job] = newest

    @invariant()
    def every_write_and_every_conflict_is_told_once(self) -> None:
        for kind, count in self.told.items():
            assert Event.objects.filter(event_type=kind).count() == count

    def _updates(self, run: Run, drawn: dict[str, Any]) -> dict[str, Any]:
        """What a keeper would let through; a task that asks for more fails, and keeps nothing."""
        try:
            return read_updates({"storage_updates": drawn}, snapshot_from_json(run.snapshot))
        except StorageTooLarge:
            return {}

    def _write(self, run: Run, updates: dict[str, Any]) -> StorageWrite:
        return StorageWrite(
            job_id=run.job,
            task_id=run.task,
            run_id=new_id(),
            trace_id="a" * 32,
            versions=snapshot_from_json(run.snapshot).versions,
            updates=updates,
        )

    def _apply(self, writes: list[StorageWrite]) -> None:
        jobs = storage_lock({write.job_id for write in writes})
        storage_apply(writes, jobs, now=get_database_now())

    def _expect(self, run: Run, updates: dict[str, Any]) -> None:
        if run.job in self.deleted:
            return
        now = self.kept[run.job]
        same = all((now[key][1] if key in now else None) == run.marks.get(key) for key in updates)
        self.mark += 1
        after = {**now, **{key: (value, self.mark) for key, value in updates.items()}}
        after = {key: pair for key, pair in after.items() if pair[0] is not None}
        if same and len(after) <= KEYS_MAX:
            self.kept[run.job] = after
            self.told["job.storage_updated"] += 1
        else:
            self.told["job.storage_conflict"] += 1


@pytest.mark.django_db
def test_what_jobs_keep_is_what_their_confirmed_runs_agreed_on():
    run_state_machine_as_test(
        StorageMachine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


@pytest.mark.django_db(transaction=True)
def test_confirmations_at_the_same_time_count_every_run_once_or_not_at_all():
    job = make_job(action=ACTION)
    snapshot = get_snapshots({job.id: job.definition})[job.id]

    def confirm(number: int) -> None:
        write = StorageWrite(
            job_id=job.id,
            task_id=new_id(),
            run_id=new_id(),
            trace_id="a" * 32,
            versions=snapshot_from_json(snapshot).versions,
            updates={"winner": number},
        )
        with transaction.atomic():
            storage_apply([write], storage_lock([job.id]), now=get_database_now())

    at_once(*(lambda number=number: confirm(number) for number in range(4)), seed=1)

    assert StoredValue.objects.count() == 1
    told = list(
        Event.objects.filter(event_type__startswith="job.storage").values_list("event_type", flat=True)
    )
    assert sorted(told) == ["job.storage_conflict"] * 3 + ["job.storage_updated"]
    assert Job.objects.get(pk=job.pk).status == JobStatus.ACTIVE
    assert chain_verify() == []
