"""Two passes over one chain at a time: each log still fires once."""

import threading

import pytest
from django.db import connection

from apps.chains.client import ChainClient
from apps.eventlog.selectors import get_database_now
from apps.jobs.models import Firing
from apps.watching.chains import events_catch_up
from tests.support.emitting import Emitter, make_event_job

pytestmark = pytest.mark.django_db(transaction=True)


def test_passes_at_the_same_time_fire_each_log_once(emitter: Emitter):
    jobs = [make_event_job(), make_event_job(confirmations=1)]
    ready = threading.Barrier(3)
    failed: list[Exception] = []

    def read() -> None:
        client = ChainClient(emitter.node.url)
        try:
            ready.wait()
            for _ in range(15):
                events_catch_up(31337, client, now=get_database_now())
        except Exception as exc:
            failed.append(exc)
        finally:
            client.close()
            connection.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    for value in range(30):
        emitter.emit(value)
    emitter.mine(2)
    for thread in threads:
        thread.join()
    client = ChainClient(emitter.node.url)
    events_catch_up(31337, client, now=get_database_now())
    client.close()
    assert not failed
    for job in jobs:
        values = [firing.evidence["args"]["value"] for firing in Firing.objects.filter(job=job)]
        assert sorted(values, key=int) == [str(value) for value in range(30)]
