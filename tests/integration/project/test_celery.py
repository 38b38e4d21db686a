"""The control plane's Celery app on a real broker: trace, metrics, JSON only, sets of messages."""

import time
from dataclasses import replace
from typing import Any

import kombu.exceptions
import pytest
import redis
from celery.contrib.testing.worker import start_worker
from django.conf import settings

from apps.kernel.trace import Trace, current_trace, new_trace, set_current_trace
from project import celery as project_celery
from project.celery import INTAKE_QUEUE, NOTICES_QUEUE, PROVE_QUEUE, STAGES_QUEUE, build_app, sending_together
from project.env import Broker
from project.metrics import TASKS_TOTAL
from tests.support.waiting import wait_until

SEEN: list[tuple[str, Trace]] = []


@pytest.fixture
def celery_app(redis_url: str) -> Any:
    app = build_app(replace(settings.FOREKEEP.broker, amqp_url=None))

    @app.task(name="tests.note", shared=False)
    def note(*, text: str) -> None:
        SEEN.append((text, current_trace()))

    @app.task(name="tests.pass_on", shared=False)
    def pass_on(*, text: str) -> None:
        app.send_task("tests.note", kwargs={"text": text}, queue=STAGES_QUEUE)

    @app.task(name="tests.fail", shared=False)
    def fail() -> None:
        raise ValueError("on purpose")

    return app


@pytest.fixture
def worker(celery_app):
    SEEN.clear()
    with start_worker(
        celery_app, pool="solo", perform_ping_check=False, queues=[STAGES_QUEUE], loglevel="WARNING"
    ):
        yield


def count(task: str, outcome: str) -> float:
    return TASKS_TOTAL.labels(task=task, outcome=outcome)._value.get()


def test_a_message_carries_its_senders_trace_through_the_worker_and_on(celery_app, worker):
    trace = new_trace()
    set_current_trace(trace)
    celery_app.send_task("tests.pass_on", kwargs={"text": "hello"}, queue=STAGES_QUEUE)
    ((text, seen),) = wait_until(lambda: SEEN)
    assert (text, seen.trace_id) == ("hello", trace.trace_id)
    assert seen.span_id != trace.span_id


def test_two_messages_are_two_traces_where_their_senders_are(celery_app, worker):
    traces = [new_trace(), new_trace()]
    for number, trace in enumerate(traces):
        set_current_trace(trace)
        celery_app.tasks["tests.note"].apply_async(kwargs={"text": str(number)})
    wait_until(lambda: len(SEEN) == 2)
    assert {text: seen.trace_id for text, seen in SEEN} == {
        "0": traces[0].trace_id,
        "1": traces[1].trace_id,
    }


def test_tasks_are_counted_by_name_and_outcome(celery_app, worker):
    done, failed = count("tests.note", "succeeded"), count("tests.fail", "failed")
    celery_app.tasks["tests.note"].apply_async(kwargs={"text": "x"})
    celery_app.tasks["tests.fail"].apply_async()
    wait_until(lambda: count("tests.fail", "failed") == failed + 1)
    assert count("tests.note", "succeeded") == done + 1


def test_results_are_kept_nowhere(celery_app, worker, redis_url):
    celery_app.tasks["tests.note"].apply_async(kwargs={"text": "x"})
    wait_until(lambda: SEEN)
    with redis.Redis.from_url(redis_url) as client:
        assert not [key for key in client.scan_iter() if b"celery-task-meta" in key]


def test_only_json_is_read_and_written(celery_app):
    assert celery_app.conf.accept_content == ["json"]
    with pytest.raises(kombu.exceptions.EncodeError):
        celery_app.send_task("tests.note", kwargs={"text": object()}, queue=STAGES_QUEUE)


def test_the_queues_are_the_stages_the_intake_the_proofs_and_the_notices(celery_app):
    queues = {STAGES_QUEUE, INTAKE_QUEUE, PROVE_QUEUE, NOTICES_QUEUE}
    assert set(celery_app.amqp.queues) == queues == {"stages", "intake", "prove", "notices"}


def test_a_set_of_messages_goes_out_together(celery_app, redis_url, monkeypatch):
    monkeypatch.setattr(project_celery, "app", celery_app)
    with redis.Redis.from_url(redis_url) as client:
        with sending_together() as producer:
            for number in range(50):
                celery_app.tasks["tests.note"].apply_async(kwargs={"text": str(number)}, producer=producer)
            assert client.llen(STAGES_QUEUE) == 0
        assert client.llen(STAGES_QUEUE) == 50


def test_with_the_broker_away_sending_fails_soon_and_clearly():
    app = build_app(Broker(redis_url="redis://127.0.0.1:1/0", amqp_url=None))
    started = time.monotonic()
    with pytest.raises(kombu.exceptions.OperationalError):
        app.send_task("tests.note", kwargs={"text": "x"}, queue=STAGES_QUEUE)
    assert time.monotonic() - started < 5


def test_the_broker_options_differ_by_transport():
    redis_options = project_celery.broker_options(Broker(redis_url="redis://x", amqp_url=None))
    assert redis_options["ack_emulation"] is False
    assert redis_options["socket_keepalive"] is True
    assert redis_options["health_check_interval"] > 0
    amqp_options = project_celery.broker_options(Broker(redis_url="redis://x", amqp_url="amqp://x"))
    assert amqp_options == {"confirm_publish": True}


def test_a_lost_connection_is_taken_up_again_for_ever(celery_app):
    conf = celery_app.conf
    assert conf.broker_connection_retry
    assert conf.broker_connection_retry_on_startup
    assert conf.broker_connection_max_retries is None
