"""Real listener processes over a real node: killed, doubled, without a node; nothing is missed or doubled."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from apps.eventlog.selectors import get_database_now
from apps.jobs.models import Firing, Job
from apps.jobs.services import job_pause, job_resume
from apps.watching.leases import lease_take
from apps.watching.models import ChainCursor, WatchLease
from apps.watching.selectors import get_unheard
from scheduling.events import catch_up
from tests.support.emitting import Emitter, make_event_job
from tests.support.processes import Process, is_led_by, kill, starting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
#: generous: the machine may be busy
_PATIENCE = 60.0


@pytest.fixture
def start_listener(emitter: Emitter, redis_url: str, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts one more listener; all are killed after the test."""
    values = {"FOREKEEP_TRIGGERS_CHAIN_URLS": f"31337=ws://127.0.0.1:{emitter.node.port}"}
    with starting("workers.listener", redis_url=redis_url, home=tmp_path, values=values) as start:
        yield start


def said(job: Job) -> list[str]:
    fired = Firing.objects.filter(job=job).order_by("pk")
    return sorted(firing.evidence["args"]["value"] for firing in fired)


def wait_for(condition: Callable[[], object]) -> None:
    wait_until(condition, timeout_seconds=_PATIENCE, every_seconds=0.1)


def test_a_listener_killed_with_9_and_started_again_misses_and_doubles_nothing(
    emitter: Emitter, start_listener: Callable[[], Process]
):
    job = make_event_job()
    first = start_listener()
    emitter.emit(1)
    wait_for(lambda: said(job) == ["1"])
    emitter.emit(2)
    kill(first)
    emitter.emit(3)
    emitter.mine(5)
    emitter.emit(4)
    start_listener()
    emitter.emit(5)
    wait_for(lambda: said(job) == ["1", "2", "3", "4", "5"])


def test_one_of_two_listeners_leads_and_the_other_takes_over(
    emitter: Emitter, start_listener: Callable[[], Process]
):
    job = make_event_job()
    first, second = start_listener(), start_listener()
    wait_for(lambda: is_led_by(first) or is_led_by(second))
    leader, other = (first, second) if is_led_by(first) else (second, first)
    emitter.emit(1)
    wait_for(lambda: said(job) == ["1"])
    assert not is_led_by(other)
    kill(leader)
    emitter.emit(2)
    wait_for(lambda: is_led_by(other))
    wait_for(lambda: said(job) == ["1", "2"])


def test_a_node_that_goes_and_comes_back_is_heard_again(
    emitter: Emitter, start_listener: Callable[[], Process]
):
    job = make_event_job()
    start_listener()
    emitter.emit(1)
    wait_for(lambda: said(job) == ["1"])
    assert get_unheard(get_database_now(), (31337,)) == []
    emitter.node.save()
    emitter.node.kill()
    wait_for(lambda: ChainCursor.objects.get().error)
    (line,) = get_unheard(get_database_now(), (31337,))
    assert line.startswith("chain 31337: chain_unreachable since ")
    emitter.node.start()
    Emitter(emitter.node).emit(2)
    wait_for(lambda: said(job) == ["1", "2"])
    wait_for(lambda: get_unheard(get_database_now(), (31337,)) == [])


def test_the_subscription_follows_jobs_that_come_pause_and_go_on(
    emitter: Emitter, start_listener: Callable[[], Process]
):
    listener = start_listener()
    wait_for(lambda: is_led_by(listener))
    job = make_event_job()
    emitter.emit(1)
    wait_for(lambda: said(job) == ["1"])
    other = make_event_job(filters={"value": {"greater_than": "1"}})
    emitter.emit(2)
    wait_for(lambda: said(job) == ["1", "2"] and said(other) == ["2"])
    job_pause(job_id=job.id)
    emitter.emit(3)
    wait_for(lambda: said(other) == ["2", "3"])
    assert said(job) == ["1", "2"]
    job_resume(job_id=job.id)
    at = int(get_database_now().timestamp()) + 2
    emitter.node.request("evm_setNextBlockTimestamp", at)
    emitter.emit(4)
    wait_for(lambda: "4" in said(job))


def test_beat_alone_fires_events_where_no_listener_leads(emitter: Emitter, redis_url: str):
    job = make_event_job()
    emitter.emit(1)
    catch_up()
    assert said(job) == ["1"]
    lease_take(name="chain:31337", holder="a listener", seconds=60)
    emitter.emit(2)
    catch_up()
    assert said(job) == ["1"], "whoever leads reads"
    WatchLease.objects.update(expires_at=get_database_now())
    catch_up()
    assert said(job) == ["1", "2"]


def test_a_chain_nobody_reads_is_told_of_once_a_job_has_waited_for_long(emitter: Emitter):
    job = make_event_job()
    assert get_unheard(get_database_now(), (31337,)) == []
    Job.objects.filter(pk=job.pk).update(armed_at=get_database_now() - timedelta(seconds=30))
    (line,) = get_unheard(get_database_now(), (31337,))
    assert line.startswith("chain 31337: not read for ")
    assert get_unheard(get_database_now(), ()) == ["chain 31337: no URL is set"]
    assert json.dumps(line)
