"""Two collectors and two senders at once: everything is told once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.eventlog.selectors import get_database_now
from apps.notices.models import Delivery
from apps.notices.services import deliveries_send, notices_collect
from tests.factories.accounts import make_project
from tests.factories.notices import FakeSender, happen, make_webhook


def both(work):
    def run(_number):
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(2)))


@pytest.mark.django_db(transaction=True)
def test_two_at_once_tell_everything_once():
    project = make_project()
    for number in range(5):
        make_webhook(project, url=f"https://hooks.example.com/{number}")
    happen(project, *["run.failed"] * 8)

    both(lambda: [notices_collect(now=get_database_now(), limit=3) for _ in range(6)])
    notices_collect(now=get_database_now())
    assert Delivery.objects.count() == 40

    sender = FakeSender()
    both(lambda: [deliveries_send(now=get_database_now(), sender=sender) for _ in range(6)])
    sent = [request.delivery for request in sender.sent]
    assert len(sent) == len(set(sent))
    assert set(Delivery.objects.values_list("status", flat=True)) <= {"delivered", "pending"}
