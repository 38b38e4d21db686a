"""A sender killed while it sends: the message goes out again under its old id."""

import os
import subprocess
import sys

import pytest
from django.db import connection

from apps.eventlog.selectors import get_database_now
from apps.notices.models import Delivery
from apps.notices.services import deliveries_send, webhook_sender
from tests.factories.accounts import make_project
from tests.factories.notices import collect, happen, make_due, make_webhook, with_loopback
from tests.support.receiver import serving
from tests.support.waiting import wait_until

_SENDING = """
import django
django.setup()
from apps.eventlog.selectors import get_database_now
from apps.notices.services import deliveries_send, webhook_sender
deliveries_send(now=get_database_now(), sender=webhook_sender())
"""


@pytest.mark.django_db(transaction=True)
def test_a_message_whose_sender_was_killed_is_sent_again_under_its_id(settings):
    if connection.vendor != "sqlite":
        pytest.skip("the killed process opens the test's own file")
    with_loopback(settings)
    project = make_project()
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "FOREKEEP_EGRESS_ALLOW": "127.0.0.1",
    }
    with serving() as receiver:
        make_webhook(project, url=receiver.url)
        happen(project, "run.failed")
        collect()
        receiver.goes_on.clear()
        sender = subprocess.Popen([sys.executable, "-c", _SENDING], env=environ)
        try:
            wait_until(lambda: receiver.received, timeout_seconds=30)
        finally:
            sender.kill()
            sender.wait()
        receiver.goes_on.set()
        assert Delivery.objects.get().status == "sending"

        make_due()
        told = deliveries_send(now=get_database_now(), sender=webhook_sender())

        assert told.outcomes == {"delivered": 1}
        assert len(receiver.ids) == 2
        assert len(set(receiver.ids)) == 1
