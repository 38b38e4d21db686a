"""Why a job did not fire, and a dry run, as a client sees them."""

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from apps.content.domain.cid import cid_of
from apps.content.selectors import get_store
from apps.jobs.data import FiringKind
from apps.jobs.firings import FiringDraft, firings_add
from apps.jobs.models import Firing, Job
from apps.jobs.services import job_pause
from apps.progress import dry_run
from apps.watching.models import Sighting
from tests.factories.accounts import make_project
from tests.factories.jobs import (
    SCRIPT,
    TARGET,
    job_body,
    make_job,
    make_time_job,
    pipeline_body,
    report_step,
    time_body,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_url")]

URL = "/api/v1/jobs"


@pytest.fixture(autouse=True)
def _no_price(monkeypatch):
    monkeypatch.setattr(dry_run, "get_gas_price_wei", lambda: None)


def why(client, job):
    response = client.get(f"{URL}/{job.wire_id}/why")
    assert response.status_code == 200, response.json()
    return response.json()


def fire(job, count=1):
    keys = [f"link:{number}" for number in range(count)]
    drafts = [
        FiringDraft(job_id=job.id, key=key, kind=FiringKind.LINK, due_at=timezone.now()) for key in keys
    ]
    firings_add(drafts, now=timezone.now())


def test_a_paused_job_says_so_first_and_since_when(api_client, project):
    job = make_time_job(project=project)
    job_pause(job_id=job.id)
    body = why(api_client, job)
    assert body["answer"]["code"] == "status"
    assert body["status_since"]
    assert next(each for each in body["checks"] if each["check"] == "status")["ok"] is False


def test_what_a_paused_job_got_is_told_with_why_it_ran_nothing(api_client, project):
    job = make_time_job(project=project)
    job_pause(job_id=job.id)
    fire(job)
    (firing,) = why(api_client, job)["firings"]
    assert (firing["status"], firing["reason"], firing["run"]) == ("refused", "job_paused", None)
    assert firing["lateness_ms"] >= 0


def test_a_log_that_waits_is_shown_with_the_block_that_confirms_it(api_client, project, monkeypatch):
    event = {"chain_id": 31337, "address": TARGET, "event": "Ping(uint256 n)"}
    job = make_job(project=project, trigger_kind="event", event=event)
    Sighting.objects.create(
        job=job,
        key="event:0xab:0",
        chain_id=31337,
        block_number=7,
        block_hash="0xab",
        block_at=timezone.now(),
        log_index=0,
        log={},
        due_block=8,
        seen_at=timezone.now(),
    )
    body = why(api_client, job)
    assert [(each["status"], each["due_block"]) for each in body["sightings"]] == [("seen", 8)]
    checks = {each["check"]: each["ok"] for each in body["checks"]}
    assert (checks["chain_led"], checks["chain_heard"], checks["log_seen"]) == (False, False, None)


def test_an_event_whose_chain_has_no_url_is_not_known(api_client, project):
    event = {"chain_id": 31337, "address": TARGET, "event": "Ping(uint256 n)"}
    job = make_job(project=project, trigger_kind="event", event=event)
    body = api_client.post(f"{URL}/{job.wire_id}/dry-run").json()
    assert (body["would_fire"], body["why"]["code"]) == (None, "chain_unknown")
    assert body["trigger"]["matched"] is None


def test_a_call_whose_chain_is_away_is_shown_and_not_tried(api_client, project):
    action = {"chain_id": 31337, "target": TARGET, "function": "ping(uint256)"}
    step = {"key": "a", "action": action, "arguments": {"kind": "static", "values": ["5"]}}
    dynamic = {"key": "b", **report_step(script_source=SCRIPT)}
    job = make_job(project=project, **job_body(steps=[step, dynamic]))
    known, open_ = api_client.post(f"{URL}/{job.wire_id}/dry-run").json()["calls"]
    assert known["call_data"].endswith("05")
    assert (known["decided_by"], known["simulation"]) == ("definition", None)
    assert (open_["decided_by"], open_["call_data"]) == ("script", None)


def test_the_card_escapes_what_it_shows_and_says_more_than_a_colour():
    answer = {"code": "status", "explanation": "<b>it</b>"}
    check = {"check": "status", "ok": False, "observed": "<i>", "limit": "active", "explanation": ""}
    page = render_to_string("_job_why.html", {"why": {"answer": answer, "checks": [check], "firings": []}})
    assert "<b>it" not in page
    assert "<i>" not in page
    assert "✗ no" in page


def test_firings_come_in_pages_and_by_status(api_client, project):
    job = make_job(project=project)
    fire(job, 3)
    first = api_client.get(f"{URL}/{job.wire_id}/firings", {"limit": 2}).json()
    rest = api_client.get(f"{URL}/{job.wire_id}/firings", {"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["key"] for each in first["data"] + rest["data"]] == ["link:2", "link:1", "link:0"]
    assert api_client.get(f"{URL}/{job.wire_id}/firings", {"status": "refused"}).json()["data"] == []
    assert api_client.get(f"{URL}/{job.wire_id}/firings", {"status": "odd"}).status_code == 422


@pytest.mark.parametrize("way", ["why", "firings", "dry-run"])
def test_a_job_of_another_project_is_not_found(api_client, way):
    job = make_job(project=make_project())
    call = api_client.post if way == "dry-run" else api_client.get
    assert call(f"{URL}/{job.wire_id}/{way}").status_code == 404


def test_a_dry_run_of_a_body_stores_nothing(api_client, project):
    source = 'print(\'{"never": "kept"}\')'
    response = api_client.post(f"{URL}/dry-run", time_body(script_source=source))
    body = response.json()
    assert response.status_code == 200, body
    assert body["job"] is None
    assert len(body["next_fires"]) == 5
    assert (body["would_fire"], body["why"]["code"]) == (None, "price_unknown")
    assert not Job.objects.exists()
    assert not Firing.objects.exists()
    assert not get_store().has(cid_of(source.encode()))


def test_a_body_is_refused_as_its_creation_would_be(api_client, project):
    wrong = job_body(trigger_kind="time")
    tried, created = api_client.post(f"{URL}/dry-run", wrong), api_client.post(URL, wrong)
    assert tried.status_code == created.status_code == 422
    assert tried.json()["code"] == created.json()["code"]


def test_a_condition_over_static_values_is_evaluated_at_once(api_client, project):
    condition = {
        "sources": {"eth": {"kind": "static", "value": {"price": "3000.5"}}},
        "when": {"source": "eth", "route": "price", "is": "greater_than", "value": "3000"},
    }
    met = api_client.post(f"{URL}/dry-run", job_body(trigger_kind="condition", condition=condition)).json()
    assert (met["would_fire"], met["why"]["code"]) == (True, "condition_met")
    condition["when"]["value"] = "4000"
    body = job_body(trigger_kind="condition", condition=condition)
    assert api_client.post(f"{URL}/dry-run", body).json()["would_fire"] is False


def test_a_saved_pipeline_tells_how_far_a_failure_reaches(api_client, project):
    job = make_job(project=project, **pipeline_body("a", "b", "c"))
    body = api_client.post(f"{URL}/{job.wire_id}/dry-run").json()
    assert [each["descendants"] for each in body["blast_radius"]["per_step"]] == [2, 1, 0]
    assert body["blast_radius"]["largest"]["step"] == "a"
    assert (body["would_fire"], body["why"]["code"]) == (False, "by_hand_only")
