"""Conditions over real sources: asked once, decided exactly, fired once, with what was seen."""

import pytest

from apps.eventlog.selectors import get_database_now
from apps.jobs.models import Firing, Job
from apps.jobs.services import job_pause, job_resume
from apps.progress.dry_run import dry_run_job
from apps.progress.why import get_why
from apps.tasks.models import Run
from apps.tasks.services import runs_fire
from apps.vault.services import secret_put
from apps.watching.conditions import LEASE
from apps.watching.leases import lease_take
from apps.watching.models import ConditionState, SourceState

pytestmark = pytest.mark.django_db(transaction=True)


def keys(job):
    """The keys of the job's firings."""
    return list(Firing.objects.filter(job=job).order_by("pk").values_list("key", flat=True))


def test_a_condition_fires_when_it_becomes_met_and_not_again_while_it_stays_so(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": "99.99"}}))
    assert poll() == 0
    source.set("/p", {"data": {"price": "100.01"}})
    assert poll() == 1
    assert poll() == 0
    source.set("/p", {"data": {"price": 50}})
    poll()
    source.set("/p", {"data": {"price": 101}})
    poll()
    assert keys(job) == ["condition:1", "condition:2"]


def test_what_was_seen_goes_with_the_firing_and_the_run(source, watch, poll):
    job = watch(source.set("/p?key=hidden", {"data": {"price": "100.500"}}))
    poll()
    runs_fire(now=get_database_now(), limit=10)
    run = Run.objects.get(job=job)
    seen = run.trigger["evidence"]["observations"]["price"]
    assert seen["values"] == {"data.price": "100.5"}
    assert seen["url"] == source.url + "/p"
    assert run.tasks.get().spec["trigger"]["rule"] == job.condition


def test_a_source_is_asked_once_however_many_jobs_read_it(source, watch, poll):
    url = source.set("/p", {"data": {"price": 5}})
    for limit in range(20):
        watch(url, str(limit))
    poll()
    assert source.count("/p") == 1
    assert Firing.objects.count() == 5


def test_an_exact_tie_is_no_more_than_the_limit(source, watch, poll):
    above = watch(source.set("/p", {"data": {"price": "0.30000000000000000001"}}), "0.3")
    equal = watch(source.set("/q", {"data": {"price": 0.3}}), "0.3")
    poll()
    assert (len(keys(above)), len(keys(equal))) == (1, 0)


def test_hysteresis_keeps_a_hovering_value_from_firing_twice(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": 101}}), "100", leaf={"hysteresis": "5"})
    for price in (101, 98, 101, 94, 101):
        source.set("/p", {"data": {"price": price}})
        poll()
    assert keys(job) == ["condition:1", "condition:2"]


def test_a_level_fires_again_after_its_pause_and_not_before(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": 101}}), fires={"fires": "level", "repeat_seconds": 3_600})
    poll()
    poll()
    assert keys(job) == ["condition:1"]
    ConditionState.objects.update(last_fired_at=job.created_at.replace(year=2020))
    poll()
    assert keys(job) == ["condition:1", "condition:2"]


def test_a_paused_job_is_not_asked_for_and_begins_anew_when_it_is_resumed(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": 101}}))
    poll()
    job_pause(job_id=job.id)
    poll()
    assert source.count("/p") == 1
    job_resume(job_id=job.id)
    poll()
    assert keys(job) == ["condition:1", "condition:2"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((500, b"no"), "source_status"),
        ((302, b""), "redirect_refused"),
        ((200, b"not json"), "source_not_json"),
        ((200, b'{"data": {"price": NaN}}'), "source_not_json"),
        ((200, b'{"data": {"price": "NaN"}}'), "value_not_finite"),
        ((200, b'{"data": {"price": true}}'), "value_not_number"),
        ((200, b'{"data": {}}'), "route_matches_nothing"),
        ((200, b" " * 1_100_000), "response_too_large"),
    ],
)
def test_a_source_that_says_no_number_fires_nothing_and_is_told_of(source, watch, poll, answer, code):
    job = watch(source.set("/p", answer), condition=None)
    assert poll() == 0
    state = SourceState.objects.get()
    faults = [state.fault, *state.recent[0]["faults"].values()]
    assert code in faults
    assert keys(job) == []


def test_an_outage_does_not_fire_again_what_had_fired(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": 101}}))
    poll()
    source.set("/p", (503, b""))
    poll()
    source.set("/p", {"data": {"price": 102}})
    poll()
    assert keys(job) == ["condition:1"]


def test_all_and_any_join_several_sources(source, watch, poll):
    condition = {
        "sources": {
            "a": {"kind": "http", "url": source.set("/a", {"v": 1})},
            "b": {"kind": "http", "url": source.set("/b", {"v": "-2.5"}), "method": "POST", "body": {"q": 1}},
            "c": {"kind": "static", "value": {"list": [{"n": "7"}]}},
        },
        "when": {
            "all": [
                {"source": "a", "route": "v", "is": "between", "low": "1", "high": "2"},
                {
                    "any": [
                        {"source": "b", "route": "$.v", "is": "less_than", "value": "-2"},
                        {"source": "c", "route": "$.list[0].n", "is": "equals", "value": "8"},
                    ]
                },
            ]
        },
    }
    job = watch(condition=condition)
    assert poll() == 1
    (firing,) = Firing.objects.filter(job=job)
    assert firing.evidence["observations"]["c"]["values"] == {"$.list[0].n": "7"}
    assert next(asked for asked in source.asked if asked[1] == "/b")[3] == b'{"q": 1}'


def test_a_secret_goes_into_the_request_and_nowhere_else(source, watch, poll, project):
    secret_put(project.id, "token", "very-hidden-value")
    source.set("/p", {"data": {"price": 101}})
    condition = {
        "sources": {
            "price": {"kind": "http", "url": source.url + "/p", "headers": {"X-Token": {"secret": "token"}}}
        },
        "when": {"route": "data.price", "is": "greater_than", "value": "1"},
    }
    watch(condition=condition)
    poll()
    assert source.asked[0][2]["X-Token"] == "very-hidden-value"
    kept = [*SourceState.objects.values(), *Firing.objects.values(), *ConditionState.objects.values()]
    assert "very-hidden-value" not in str(kept)


def test_an_unchanged_answer_is_left_out_by_its_tag(source, watch, poll):
    source.is_tagging = True
    watch(source.set("/p", {"data": {"price": 1}}))
    assert poll() == 0
    assert SourceState.objects.get().recent[0]["values"] == {"data.price": "1"}


def test_why_it_did_not_fire_is_answered_with_values_and_limits(source, watch, poll):
    job = watch(source.set("/p", {"data": {"price": "99.5"}}))
    poll()
    lease_take(name=LEASE, holder="somebody", seconds=60)
    why = get_why(Job.objects.get(pk=job.pk))
    assert why["answer"]["code"] == "condition_met"
    assert "99.5" in why["answer"]["explanation"]
    (comparison,) = why["evaluations"][0]["comparisons"]
    assert (comparison["value"], comparison["limits"], comparison["met"]) == ("99.5", ["100"], False)
    source.set("/p", {"data": {"price": 101}})
    poll()
    assert get_why(Job.objects.get(pk=job.pk))["answer"]["code"] == "edge"


def test_a_dry_run_asks_the_sources_and_fires_nothing(source, watch):
    job = watch(source.set("/p", {"data": {"price": "101"}}))
    found = dry_run_job(job)
    assert (found["would_fire"], found["trigger"]["met"]) == (True, True)
    assert not Firing.objects.exists()
    source.set("/p", (500, b""))
    assert dry_run_job(job)["would_fire"] is None
