"""/api/v1/events as a client sees it, and the admin's page of events."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.accounts.services import project_update
from apps.eventlog.data import ChainLink, EventDraft
from apps.eventlog.domain.chain import is_hash_of
from apps.eventlog.models import Event
from apps.eventlog.services import rows_create, rows_write
from apps.kernel.ids import new_id, to_wire
from tests.factories.accounts import make_key, make_operator_key, make_project, make_staff
from tests.support.sample_rows import SampleRow, make_row

pytestmark = [pytest.mark.usefixtures("samples"), pytest.mark.django_db]

NOW = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
RUN = new_id()


@pytest.fixture
def rows(project: Project) -> list[SampleRow]:
    """Two rows of the project's run with three events each, interleaved."""
    made = [make_row(), make_row()]
    facts: dict[str, Any] = {"run_id": RUN, "project_id": project.id, "trace_id": "ab" * 16}
    rows_create(
        made, [EventDraft(row=r, type="sample.created", payload={"set": {}}, **facts) for r in made], now=NOW
    )
    for number in (1, 2):
        drafts = [
            EventDraft(row=r, type="sample.counted", payload={"set": {"count": number}}, **facts)
            for r in made
        ]
        rows_write(made, [], drafts, now=NOW)
    return made


def listed(client: APIClient, **query: Any) -> list[dict[str, Any]]:
    response = client.get("/api/v1/events", query)
    assert response.status_code == 200, response.content
    return list(response.json()["data"])


def test_an_event_is_shown_whole(api_client, project, rows):
    shown = listed(api_client, aggregate=f"sample:{rows[0].aggregate_id}")[1]
    event = Event.objects.get(sequence_number=shown["sequence_number"])
    assert shown == {
        "id": to_wire("evt", event.event_id),
        "sequence_number": event.sequence_number,
        "aggregate": {"type": "sample", "id": rows[0].aggregate_id, "sequence": 2},
        "type": "sample.counted",
        "payload": {"set": {"count": 1}},
        "metadata": event.metadata,
        "run": to_wire("run", RUN),
        "project": project.wire_id,
        "trace_id": "ab" * 16,
        "span_id": event.span_id,
        "created_at": "2026-11-20T07:00:00Z",
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def test_what_is_shown_is_enough_to_check_the_chain(api_client, rows):
    head = ""
    for shown in listed(api_client, aggregate=f"sample:{rows[1].aggregate_id}"):
        at = datetime.fromisoformat(shown["created_at"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        link = ChainLink(
            aggregate_type=shown["aggregate"]["type"],
            aggregate_id=shown["aggregate"]["id"],
            aggregate_sequence=shown["aggregate"]["sequence"],
            event_type=shown["type"],
            payload=shown["payload"],
            trace_id=shown["trace_id"],
            created_at=at,
            previous_hash=head,
        )
        assert is_hash_of(link, shown["hash"])
        head = shown["hash"]
    assert head == rows[1].event_head


def test_events_come_oldest_first_or_newest_first(api_client, rows):
    numbers = [event["sequence_number"] for event in listed(api_client, run=to_wire("run", RUN))]
    assert numbers == sorted(numbers)
    assert len(numbers) == 6
    newest = [event["sequence_number"] for event in listed(api_client, run=to_wire("run", RUN), order="desc")]
    assert newest == numbers[::-1]


def test_pages_neither_skip_nor_repeat(api_client, rows):
    numbers, query = [], {"run": to_wire("run", RUN), "limit": 4}
    page = api_client.get("/api/v1/events", query).json()
    numbers += [event["sequence_number"] for event in page["data"]]
    assert page["has_more"] is True
    page = api_client.get("/api/v1/events", {**query, "cursor": page["next_cursor"]}).json()
    numbers += [event["sequence_number"] for event in page["data"]]
    assert (page["has_more"], page["next_cursor"]) == (False, None)
    assert numbers == list(Event.objects.filter(run_id=RUN).values_list("pk", flat=True))


def test_whoever_asks_after_the_last_number_gets_only_what_is_new(api_client, project, rows):
    last = listed(api_client)[-1]["sequence_number"]
    assert listed(api_client, after=last) == []
    project_update(project_id=project.id, name="Renamed")
    assert [event["type"] for event in listed(api_client, after=last)] == ["project.updated"]


def test_the_actor_of_a_request_is_in_the_metadata(api_client, api_key, project):
    api_client.patch(f"/api/v1/projects/{project.wire_id}", {"name": "Renamed"})
    (event,) = listed(api_client, type="project.updated")
    assert event["metadata"] == {"user": f"fk_{api_key.prefix}", "ip": "127.0.0.1"}
    assert event["payload"] == {"set": {"name": "Renamed"}}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"type": "sample.created"}, 2),
        ({"trace": "ab" * 16}, 6),
        ({"trace": "cd" * 16}, 0),
        ({"run": to_wire("run", new_id())}, 0),
        ({"task": to_wire("task", new_id())}, 0),
        ({"aggregate": "sample:nobody"}, 0),
    ],
)
def test_filters_narrow_the_list(api_client, rows, query, count):
    assert len(listed(api_client, **query)) == count


def test_a_task_is_a_short_name_for_its_aggregate(api_client, project, monkeypatch):
    monkeypatch.setattr(SampleRow, "AGGREGATE", "task")
    row = make_row()
    draft = EventDraft(row=row, type="task.discovered", payload={}, project_id=project.id)
    rows_create([row], [draft], now=NOW)
    (event,) = listed(api_client, task=to_wire("task", row.pk))
    assert event["type"] == "task.discovered"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"run": "run_1"}, "id_malformed"),
        ({"task": "job_" + "0" * 32}, "id_malformed"),
        ({"aggregate": "sample"}, "filter_invalid"),
        ({"aggregate": "a:\x00"}, "filter_invalid"),
        ({"trace": "AB" * 16}, "filter_invalid"),
        ({"type": "'; --"}, "filter_invalid"),
        ({"after": "-1"}, "filter_invalid"),
        ({"after": "9" * 40}, "filter_invalid"),
        ({"order": "up"}, "filter_invalid"),
        ({"cursor": "???"}, "cursor_invalid"),
        ({"limit": "0"}, "limit_invalid"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(api_client, query, code):
    response = api_client.get("/api/v1/events", query)
    assert (response.status_code, response.json()["code"]) == (422, code)


def test_other_projects_events_and_those_of_no_project_are_not_seen(api_client, rows):
    other = make_project()
    stray = make_row()
    rows_create([stray], [EventDraft(row=stray, type="sample.stray", payload={})], now=NOW)
    seen = listed(api_client, limit=100)
    assert seen
    assert other.wire_id not in {event["project"] for event in seen}
    assert listed(api_client, type="sample.stray") == []
    assert api_client.get("/api/v1/events", {"project": other.wire_id}).status_code == 404


def test_an_operator_sees_everything(rows):
    stray = make_row()
    rows_create([stray], [EventDraft(row=stray, type="sample.stray", payload={})], now=NOW)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_operator_key().secret}")
    assert len(listed(client, type="sample.stray")) == 1
    assert len(listed(client, type="sample.created")) == 2


def test_reading_events_needs_the_scope(project):
    client = APIClient()
    assert client.get("/api/v1/events").status_code == 401
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project, 'jobs:read').secret}")
    response = client.get("/api/v1/events")
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")


def test_the_admin_shows_events_and_changes_none(client, rows):
    client.force_login(make_staff())
    event = Event.objects.all()[0]
    assert client.get("/admin/eventlog/event/").status_code == 200
    assert client.get("/admin/eventlog/event/", {"q": event.aggregate_id}).status_code == 200
    assert client.get(f"/admin/eventlog/event/{event.pk}/change/").status_code == 200
    assert client.post(f"/admin/eventlog/event/{event.pk}/change/", {"event_type": "x"}).status_code == 403
    assert client.get(f"/admin/eventlog/event/{event.pk}/delete/").status_code == 403
    assert client.get("/admin/eventlog/event/add/").status_code == 403
