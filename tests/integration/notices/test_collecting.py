"""From events to deliveries: who is told, once, of what happened after they asked."""

import json

import pytest

from apps.kernel.ids import to_wire
from apps.notices.data import DeliveryStatus
from apps.notices.errors import EventTypeUnknown
from apps.notices.models import Delivery, NoticeCursor
from apps.notices.selectors import is_collect_due
from apps.notices.services import endpoint_delete, endpoint_update
from tests.factories.accounts import make_project
from tests.factories.notices import collect, cursor, happen, make_webhook

pytestmark = pytest.mark.django_db


def types() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("event_type", flat=True))


def test_an_event_becomes_a_delivery_to_each_endpoint_that_asked_for_it(project):
    all_of_it = make_webhook(project).endpoint
    runs = make_webhook(project, event_types=["run.*"]).endpoint
    exact = make_webhook(project, event_types=["job.paused"]).endpoint

    happen(project, "run.failed", "job.paused", reason="funds")
    collect()

    told = {(row.endpoint_id, row.event_type) for row in Delivery.objects.all()}
    assert told == {
        (all_of_it.id, "run.failed"),
        (all_of_it.id, "job.paused"),
        (runs.id, "run.failed"),
        (exact.id, "job.paused"),
    }
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.PENDING}


def test_the_body_holds_the_type_the_time_and_public_ids(project):
    make_webhook(project)

    happen(project, "run.failed", reason="ünits")
    collect()

    body = json.loads(Delivery.objects.get().body)
    assert body["type"] == "run.failed"
    assert body["timestamp"].endswith("Z")
    assert body["data"]["project"] == to_wire("proj", project.id)
    assert body["data"]["reason"] == "ünits"
    assert body["data"]["event"].startswith("evt_")


def test_a_new_endpoint_is_told_only_of_what_happens_after_it(project):
    make_webhook(project)
    happen(project, "run.failed")
    make_webhook(project, url="https://later.example.com/")

    happen(project, "run.confirmed")
    collect()

    later = Delivery.objects.filter(endpoint__url="https://later.example.com/")
    assert list(later.values_list("event_type", flat=True)) == ["run.confirmed"]


def test_what_is_internal_or_anothers_is_told_to_nobody(project):
    make_webhook(project)
    other = make_project()

    happen(project, "run.charged", "task.decided", "job.priced")
    happen(other, "run.failed")
    collect()

    assert types() == []
    assert not is_collect_due()


def test_collecting_again_tells_nothing_twice(project):
    make_webhook(project)
    happen(project, "run.failed")
    assert collect() == 1
    read_to = cursor()

    assert collect() == 0
    NoticeCursor.objects.update(sequence_number=0)
    collect()

    assert types() == ["run.failed"]
    assert cursor() == read_to


def test_a_long_tail_is_read_in_parts(project):
    make_webhook(project)
    happen(project, *["run.failed"] * 450)

    assert [collect(), collect(), collect(), collect()] == [200, 200, 50, 0]
    assert Delivery.objects.count() == 450


def test_an_endpoint_that_is_off_or_deleted_is_told_nothing_and_its_queue_ends(project):
    off, gone = make_webhook(project).endpoint, make_webhook(project).endpoint
    happen(project, "run.failed")
    collect()

    endpoint_update(endpoint_id=off.id, is_active=False)
    endpoint_delete(endpoint_id=gone.id)
    happen(project, "run.confirmed")
    collect()

    assert types() == ["run.failed", "run.failed"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.CANCELLED}


def test_switched_on_again_it_is_told_of_what_follows(project):
    row = make_webhook(project).endpoint
    endpoint_update(endpoint_id=row.id, is_active=False)
    happen(project, "run.failed")
    endpoint_update(endpoint_id=row.id, is_active=True)
    happen(project, "run.confirmed")
    collect()
    assert types() == ["run.confirmed"]


def test_a_misspelt_type_is_refused(project):
    with pytest.raises(EventTypeUnknown) as refused:
        make_webhook(project, event_types=["run.*", "run.faild"])
    assert refused.value.pointer == "/event_types/1"


def test_a_large_event_is_told_shortened(project):
    make_webhook(project)
    happen(project, "run.failed", reason="x", detail="y" * 30_000)
    collect()
    body = json.loads(Delivery.objects.get().body)
    assert body["data"]["is_shortened"] is True
    assert body["data"]["reason"] == "x"
    assert "detail" not in body["data"]
