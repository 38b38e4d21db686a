"""The rules of notices: who asked, what follows from an answer, signatures, where alerts may go."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from apps.notices.data import Answer, DeliveryStatus
from apps.notices.domain.event_types import is_alerting, is_asked_for
from apps.notices.domain.retrying import STEPS, compute_wait, judge, read_retry_after
from apps.notices.domain.signing import make_secret, sign_headers
from apps.notices.domain.targets import mail_url, require_target
from apps.notices.errors import TargetInvalid

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def verdict(answer, tries=1, most=8):
    return judge(answer, tries=tries, most=most, fraction=0.5, now=NOW)


def test_a_family_an_exact_name_and_an_empty_list_ask():
    assert is_asked_for("run.failed", ["run.*"])
    assert is_asked_for("run.failed", ["run.failed"])
    assert is_asked_for("run.failed", [])
    assert not is_asked_for("run.failed", ["runs.*", "run.confirmed"])


def test_a_pause_alerts_where_it_has_a_reason_or_was_asked_for():
    assert is_alerting("job.paused", {"reason": "failures"}, [])
    assert not is_alerting("job.paused", {}, [])
    assert is_alerting("job.paused", {}, ["job.paused"])
    assert not is_alerting("run.confirmed", {}, [])


def test_waits_grow_have_jitter_and_never_vanish():
    assert [compute_wait(n, 0.999).total_seconds() for n in range(1, 9)] == [0.999 * s for s in STEPS]
    assert compute_wait(1, 0.0) == timedelta(seconds=1)
    assert compute_wait(20, 0.5) == timedelta(seconds=STEPS[-1] / 2)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(status=204), DeliveryStatus.DELIVERED),
        (Answer(status=410), DeliveryStatus.FAILED),
        (Answer(status=404), DeliveryStatus.PENDING),
        (Answer(status=302), DeliveryStatus.PENDING),
        (Answer(error="source_timeout"), DeliveryStatus.PENDING),
        (Answer(error="address_refused", is_final=True), DeliveryStatus.FAILED),
    ],
)
def test_what_follows_from_an_answer(answer, status):
    assert verdict(answer).status is status


def test_the_last_try_ends_it():
    assert verdict(Answer(status=500), tries=8).status is DeliveryStatus.FAILED


def test_a_receiver_may_ask_for_at_most_a_day():
    assert read_retry_after("99999999", NOW) == timedelta(days=1)
    assert read_retry_after("Thu, 26 Nov 2026 12:01:00 GMT", NOW) == timedelta(minutes=1)
    assert read_retry_after("soon", NOW) is None
    assert verdict(Answer(status=503, retry_after="600")).next_at == NOW + timedelta(seconds=600)


def test_a_signature_verifies_with_each_secret():
    first, second = make_secret(b"a" * 32), make_secret(b"b" * 32)
    body = json.dumps({"type": "run.failed"})
    headers = sign_headers("dlv_1", body, [second, first], datetime.now(UTC))
    for secret in (first, second):
        assert Webhook(secret).verify(body, headers) == {"type": "run.failed"}


def test_a_target_is_a_public_service_or_a_mail_address():
    assert require_target("tgram://1:a/2?silent=yes") == "tgram"
    assert require_target("mailto:team@example.com") == "mailto"
    for url in ("mailtos://smtp.example.com", "json://x", "tgram:x", "discord://a/b?template=/etc/passwd"):
        with pytest.raises(TargetInvalid):
            require_target(url)
    assert mail_url("mailto://h?from=a@b.example", "x+y@z.example").endswith("&to=x%2By%40z.example")
