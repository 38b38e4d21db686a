"""Deliveries to a real receiver: signed, tried again, given up, replayed."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.notices.data import Answer, DeliveryFilter, DeliveryStatus
from apps.notices.errors import DeliveryOpen, EndpointInactive, EndpointInvalid
from apps.notices.models import Delivery, DeliveryAttempt, Endpoint
from apps.notices.services import (
    deliveries_purge,
    deliveries_replay,
    deliveries_send,
    delivery_replay,
    endpoint_rotate_secret,
    endpoint_test,
    webhook_sender,
)
from tests.factories.notices import (
    FakeSender,
    collect,
    happen,
    make_due,
    make_webhook,
    with_loopback,
    with_notices,
)
from tests.support.receiver import serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings):
    with_loopback(settings)
    with serving() as found:
        yield found


def send(sender=None, now=None):
    told = deliveries_send(now=now or get_database_now(), sender=sender or webhook_sender())
    return dict(told.outcomes)


def told(project, receiver, *types):
    """A webhook of the receiver, and deliveries to it."""
    issued = make_webhook(project, url=receiver.url)
    happen(project, *(types or ("run.failed",)))
    collect()
    return issued


def only():
    return Delivery.objects.get()


def test_a_message_arrives_with_a_signature_that_verifies(project, receiver):
    issued = told(project, receiver)

    assert send() == {"delivered": 1}

    (request,) = receiver.received
    body = Webhook(issued.secret).verify(request.body, dict(request.headers))
    assert body["type"] == "run.failed"
    assert request.headers["webhook-id"] == str(only())
    assert request.headers["content-type"] == "application/json"
    assert (only().status, only().attempts, only().last_status) == ("delivered", 1, 204)
    assert send() == {}


def test_for_a_day_after_a_rotation_both_secrets_verify(project, receiver):
    issued = told(project, receiver, "run.failed", "run.confirmed")
    newer = endpoint_rotate_secret(endpoint_id=issued.endpoint.id)
    _, second = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=second.pk).update(next_at=get_database_now() + timedelta(hours=1))

    send()
    for secret in (issued.secret, newer.secret):
        Webhook(secret).verify(receiver.received[0].body, dict(receiver.received[0].headers))

    Endpoint.objects.update(previous_until=get_database_now() - timedelta(seconds=1))
    make_due(second.pk)
    send()
    last = receiver.received[-1]
    assert last.headers["webhook-signature"].count("v1,") == 1
    Webhook(newer.secret).verify(last.body, dict(last.headers))


def test_a_receiver_that_fails_is_tried_again_with_the_same_id_and_body(project, receiver):
    told(project, receiver)
    receiver.answers = [(500, {}, "oh no"), (503, {"Retry-After": "120"}, ""), (200, {}, "thanks")]

    assert send() == {"retried": 1}
    before = only()
    assert before.status == "pending"
    assert before.last_error == "http_500"
    assert timedelta(0) < before.next_at - get_database_now() <= timedelta(seconds=5)
    make_due()
    assert send() == {"retried": 1}
    assert timedelta(seconds=115) < only().next_at - get_database_now() <= timedelta(seconds=120)
    make_due()
    assert send() == {"delivered": 1}

    assert len(set(receiver.ids)) == 1
    assert len({request.body for request in receiver.received}) == 1
    log = DeliveryAttempt.objects.order_by("number").values_list("number", "status", "answer")
    assert list(log) == [(1, 500, "oh no"), (2, 503, ""), (3, 200, "thanks")]
    assert Endpoint.objects.get().failing_since is None


def test_after_all_tries_it_has_failed(project, receiver, settings):
    with_notices(settings, attempts=3)
    told(project, receiver)
    receiver.answers = [(500, {}, "")]

    for _ in range(3):
        send()
        make_due()

    assert (only().status, only().attempts, only().next_at) == (DeliveryStatus.FAILED, 3, None)
    assert send() == {}
    assert Endpoint.objects.get().failing_since is not None


def test_a_receiver_that_is_away_is_tried_again(project, receiver):
    told(project, receiver)
    Endpoint.objects.update(url="http://127.0.0.1:9/hook")
    assert send() == {"retried": 1}
    assert only().last_error
    assert only().last_status is None


def test_a_receiver_that_hangs_holds_nobody_up_for_long(project, receiver, settings):
    with_notices(settings, timeout_seconds=0.3)
    told(project, receiver)
    receiver.goes_on.clear()
    assert send() == {"retried": 1}
    assert only().last_error == "source_timeout"


def test_a_receiver_that_is_gone_is_switched_off(project, receiver):
    told(project, receiver, "run.failed", "run.confirmed")
    receiver.answers = [(410, {}, "")]

    send()

    row = Endpoint.objects.get()
    assert (row.is_active, row.disabled_reason) == (False, "gone")
    assert Event.objects.filter(event_type="webhook.disabled").count() == 1
    assert not Delivery.objects.filter(next_at__isnull=False).exists()


def test_a_redirect_is_refused_and_not_followed(project, receiver):
    told(project, receiver)
    with serving() as inside:
        receiver.answers = [(307, {"Location": inside.url}, "")]
        assert send() == {"retried": 1}
        assert inside.received == []
    assert only().last_error == "redirect_refused"


def test_an_endpoint_that_failed_for_days_is_switched_off_with_an_event(project):
    make_webhook(project)
    happen(project, "run.failed", "run.confirmed")
    collect()
    Endpoint.objects.update(failing_since=get_database_now() - timedelta(days=4))

    send(FakeSender(Answer(status=500)))

    assert Endpoint.objects.get().disabled_reason == "failing"
    assert Event.objects.get(event_type="webhook.disabled").payload["reason"] == "failing"
    assert not Delivery.objects.filter(next_at__isnull=False).exists()


def test_one_success_ends_the_count_of_failing(project):
    make_webhook(project)
    happen(project, "run.failed", "run.confirmed")
    collect()
    Endpoint.objects.update(failing_since=get_database_now() - timedelta(days=4))
    send(FakeSender(Answer(status=200), Answer(status=500)))
    assert Endpoint.objects.get().is_active


def test_a_claim_that_lapsed_is_sent_again_under_the_same_id_and_the_late_answer_changes_nothing(project):
    make_webhook(project)
    happen(project, "run.failed")
    collect()
    second = FakeSender(Answer(status=200))

    class Slow(FakeSender):
        """While it waits, its claim lapses and another sends."""

        def send(self, requests):
            if requests:
                make_due()
                assert send(second) == {"delivered": 1}
            yield from super().send(requests)

    slow = Slow(Answer(status=500))
    assert send(slow) == {"late": 1}

    assert only().status == DeliveryStatus.DELIVERED
    assert slow.sent[0].headers["webhook-id"] == second.sent[0].headers["webhook-id"]
    assert sorted(DeliveryAttempt.objects.values_list("number", "status")) == [(1, 500), (2, 200)]


def test_a_last_try_that_never_came_back_ends_it(project, settings):
    with_notices(settings, attempts=1)
    make_webhook(project)
    happen(project, "run.failed")
    collect()

    class Killed(FakeSender):
        """Takes the requests and is gone."""

        def send(self, requests):
            return ()

    send(Killed())
    assert only().status == DeliveryStatus.SENDING
    make_due()
    assert send() == {}
    assert (only().status, only().last_error) == (DeliveryStatus.FAILED, "interrupted")


def test_an_endpoint_gets_only_a_few_requests_at_once(project):
    make_webhook(project)
    happen(project, *["run.failed"] * 10)
    collect()
    sender = FakeSender()
    under_way = []

    class Watching(FakeSender):
        """Looks at how many are under way, and asks for more meanwhile."""

        def send(self, requests):
            under_way.append(len(requests))
            if requests and len(under_way) == 1:
                assert send(sender) == {}
            yield from super().send(requests)

    send(Watching())
    assert under_way == [4]
    assert sender.sent == []


def test_a_delivery_is_replayed_under_its_old_id_with_its_tries_counted_afresh(project, settings):
    with_notices(settings, attempts=2)
    make_webhook(project)
    happen(project, "run.failed")
    collect()
    sender = FakeSender(Answer(status=500))
    for _ in range(2):
        send(sender)
        make_due()
    assert only().status == DeliveryStatus.FAILED

    delivery_replay(delivery_id=only().id)
    with pytest.raises(DeliveryOpen):
        delivery_replay(delivery_id=only().id)
    assert send(sender) == {"retried": 1}
    make_due()
    sender.answers = [Answer(status=200)]
    assert send(sender) == {"delivered": 1}

    assert len({each.headers["webhook-id"] for each in sender.sent}) == 1
    assert only().attempts == 4


def test_many_are_replayed_by_filter(project, settings):
    with_notices(settings, attempts=1)
    row = make_webhook(project).endpoint
    happen(project, *["run.failed", "run.confirmed"] * 2)
    collect()
    send(FakeSender(Answer(status=500)))

    chosen = DeliveryFilter(event_type="run.failed")
    assert deliveries_replay(endpoint_id=row.id, chosen=chosen) == 2
    assert deliveries_replay(endpoint_id=row.id, chosen=chosen) == 0
    assert deliveries_replay(endpoint_id=row.id, chosen=DeliveryFilter(), limit=1) == 1


def test_nothing_is_replayed_to_an_endpoint_that_is_off(project):
    row = make_webhook(project).endpoint
    happen(project, "run.failed")
    collect()
    send(FakeSender(Answer(status=410)))
    with pytest.raises(EndpointInactive):
        deliveries_replay(endpoint_id=row.id, chosen=DeliveryFilter())


def test_a_test_message_is_sent_whatever_was_asked_for(project, receiver):
    row = make_webhook(project, url=receiver.url, event_types=["run.failed"]).endpoint
    endpoint_test(endpoint_id=row.id)
    send()
    assert json.loads(receiver.received[0].body)["type"] == "webhook.test"


def test_old_deliveries_are_forgotten_with_their_log_and_open_ones_are_kept(project):
    make_webhook(project)
    happen(project, "run.failed")
    collect()
    send(FakeSender())
    happen(project, "run.confirmed")
    collect()
    long_ago = get_database_now() - timedelta(days=31)
    Delivery.objects.update(created_at=long_ago)

    assert deliveries_purge(now=get_database_now(), keep_days=30) == 1
    assert only().status == DeliveryStatus.PENDING
    assert not DeliveryAttempt.objects.exists()


def test_no_secret_is_in_an_event_a_log_line_or_a_row(project, receiver, caplog):
    issued = told(project, receiver)
    receiver.answers = [(500, {}, "")]
    send()
    newer = endpoint_rotate_secret(endpoint_id=issued.endpoint.id)
    everywhere = (
        str(list(Event.objects.values()))
        + caplog.text
        + str(list(Endpoint.objects.values()))
        + str(list(Delivery.objects.values()))
        + repr(issued)
    )
    for secret in (issued.secret, newer.secret):
        assert secret not in everywhere
        assert secret.removeprefix("whsec_") not in everywhere


def test_an_endpoint_inside_is_refused_when_made_and_when_sent(project, receiver, settings):
    told(project, receiver)
    settings.FOREKEEP = replace(settings.FOREKEEP, egress=replace(settings.FOREKEEP.egress, allow=()))

    assert send() == {"failed": 1}
    assert only().last_error == "address_refused"
    assert receiver.received == []
    with pytest.raises(EndpointInvalid):
        make_webhook(project, url=receiver.url)
