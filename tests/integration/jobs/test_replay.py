"""The events of a job, alone, give its row."""

from datetime import timedelta

import pytest
from django.db import transaction

from apps.eventlog.domain.replay import replay
from apps.eventlog.selectors import get_database_now, get_events
from apps.eventlog.verification import chain_verify
from apps.jobs.data import Bounds
from apps.jobs.selectors import get_job
from apps.jobs.services import (
    job_delete,
    job_mark_by_hand,
    job_pause,
    job_resume,
    job_take_by_hand,
    job_update,
)
from apps.jobs.writing import PUBLIC_FIELDS
from tests.factories.jobs import make_store, make_time_job, pipeline_body
from tests.support.firing import fire_taken

pytestmark = pytest.mark.django_db


def assert_replays(job):
    row = get_job(job.id)
    events = get_events(aggregate=("job", row.aggregate_id))
    assert replay(events) == row.get_json_fields(PUBLIC_FIELDS)
    assert [event.aggregate_sequence for event in events] == list(range(1, row.event_sequence + 1))
    assert chain_verify("job", row.aggregate_id) == []


def test_the_events_of_a_job_rebuild_its_row_at_every_step_of_its_life():
    body = pipeline_body(params=None, max_fires=5, expires_at="2099-01-01T00:00:00Z")
    body.pop("params")
    job = make_time_job(**body)
    assert_replays(job)

    job_update(
        job_id=job.id,
        changes={
            "name": "grüße",
            "speculation": {"mode": "conservative"},
            "steps": [{"key": "one", "script_source": "1", "params": [1.5, 2.0, None]}],
        },
        store=make_store(),
        bounds=Bounds(),
    )
    assert_replays(job)

    now = job.next_fire_at + timedelta(seconds=1)
    fire_taken(now)
    assert_replays(job)

    with transaction.atomic():
        job_mark_by_hand(
            job_take_by_hand(job_id=job.id, now=get_database_now()), tick_key="manual:5", now=now
        )
    assert_replays(job)

    for step in (job_pause, job_resume, job_delete):
        step(job_id=job.id)
        assert_replays(job)
