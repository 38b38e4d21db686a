"""The same key gives the same answer, also when requests come at the same moment (invariant 26)."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import ApiKey
from apps.gateway.data import IdempotentRequest, StoredAnswer
from apps.gateway.errors import IdempotencyInFlight, IdempotencyMismatch
from apps.gateway.models import IdempotencyRecord
from apps.gateway.services import idempotency_begin, idempotency_finish, idempotency_purge
from tests.factories.accounts import make_key, make_project

BODY = {"name": "once", "scopes": ["jobs:read"]}
KEY = {"Idempotency-Key": "order-7"}


def begin(request: IdempotentRequest, now: datetime) -> UUID:
    """Claim the key, where nothing was answered before."""
    attempt = idempotency_begin(request=request, now=now, in_flight_seconds=60)
    assert isinstance(attempt, UUID)
    return attempt


def named(key: str = "a", body: str = "b") -> IdempotentRequest:
    return IdempotentRequest(caller="key:1", key=key, body_sha256=body)


def keys_named_once() -> int:
    return ApiKey.objects.filter(name="once").count()


def test_without_the_header_every_request_is_its_own(api_client):
    assert api_client.post("/api/v1/keys", BODY).status_code == 201
    assert api_client.post("/api/v1/keys", BODY).status_code == 201
    assert keys_named_once() == 2


def test_the_second_request_gets_the_first_answer(api_client):
    first = api_client.post("/api/v1/keys", BODY, headers=KEY)
    second = api_client.post("/api/v1/keys", BODY, headers=KEY)
    assert first.status_code == second.status_code == 201
    assert second["Idempotency-Replayed"] == "true"
    assert second["Location"] == first["Location"]
    assert second.json() == {**first.json(), "secret": None}
    assert keys_named_once() == 1


def test_the_secret_of_an_issued_key_is_not_kept(api_client):
    secret = api_client.post("/api/v1/keys", BODY, headers=KEY).json()["secret"]
    assert secret not in str(list(IdempotencyRecord.objects.values()))


@pytest.mark.parametrize(
    ("path", "body"), [("/api/v1/keys", {**BODY, "name": "twice"}), ("/api/v1/keys?limit=1", BODY)]
)
def test_another_request_under_the_same_key_is_refused(api_client, path, body):
    api_client.post("/api/v1/keys", BODY, headers=KEY)
    response = api_client.post(path, body, headers=KEY)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")


def test_another_caller_may_use_the_same_key(project, api_client):
    other = APIClient()
    other.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project).secret}")
    assert api_client.post("/api/v1/keys", BODY, headers=KEY).status_code == 201
    assert other.post("/api/v1/keys", BODY, headers=KEY).status_code == 201
    assert keys_named_once() == 2


def test_a_refusal_is_answered_again_too(api_client):
    bad = {**BODY, "scopes": ["jobs:eat"]}
    first = api_client.post("/api/v1/keys", bad, headers=KEY)
    second = api_client.post("/api/v1/keys", bad, headers=KEY)
    assert first.status_code == second.status_code == 422
    assert second.json() == first.json()
    assert second["Content-Type"] == "application/problem+json"
    assert second["Idempotency-Replayed"] == "true"


def test_after_a_failure_of_ours_the_key_is_free_and_nothing_was_written(api_client, monkeypatch):
    def broken(*args):
        raise RuntimeError("after the key was written")

    with monkeypatch.context() as patch:
        patch.setattr("apps.gateway.rest.key_views.get_key", broken)
        assert api_client.post("/api/v1/keys", BODY, headers=KEY).status_code == 500
    assert keys_named_once() == 0
    assert api_client.post("/api/v1/keys", BODY, headers=KEY).status_code == 201
    assert keys_named_once() == 1


def test_a_request_in_flight_answers_409_with_retry_after(api_client, api_key, monkeypatch):
    api_client.post("/api/v1/keys", BODY, headers=KEY)
    IdempotencyRecord.objects.update(status=None, started_at=timezone.now())
    response = api_client.post("/api/v1/keys", BODY, headers=KEY)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_in_flight")
    assert 1 <= int(response["Retry-After"]) <= 60


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
def test_a_key_that_cannot_be_used_is_refused(api_client, key):
    response = api_client.post("/api/v1/keys", BODY, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_invalid")


def test_without_the_scope_no_key_is_kept(project):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project, 'jobs:read').secret}")
    assert client.post("/api/v1/keys", BODY, headers=KEY).status_code == 403
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.django_db
def test_a_request_whose_process_died_is_taken_over_once():
    now = timezone.now()
    first = begin(named(), now)
    with pytest.raises(IdempotencyInFlight):
        idempotency_begin(request=named(), now=now + timedelta(seconds=59), in_flight_seconds=60)
    later = now + timedelta(seconds=60)
    second = begin(named(), later)
    with pytest.raises(IdempotencyInFlight):
        idempotency_begin(request=named(), now=later, in_flight_seconds=60)
    answer = StoredAnswer(status=201, body="{}")
    with pytest.raises(IdempotencyInFlight):
        idempotency_finish(request=named(), attempt=first, answer=answer)
    idempotency_finish(request=named(), attempt=second, answer=answer)
    assert idempotency_begin(request=named(), now=later, in_flight_seconds=60) == answer
    with pytest.raises(IdempotencyMismatch):
        idempotency_begin(request=named(body="c"), now=later, in_flight_seconds=60)


@pytest.mark.django_db
def test_old_answers_are_purged():
    now = timezone.now()
    idempotency_begin(request=named("old"), now=now - timedelta(days=2), in_flight_seconds=60)
    idempotency_begin(request=named("new"), now=now, in_flight_seconds=60)
    assert idempotency_purge(now=now, keep_seconds=86_400) == 1
    assert IdempotencyRecord.objects.get().key == "new"


def at_once(count: int, call):
    """The results of `call` run by `count` threads that start together."""
    gate = threading.Barrier(count)

    def run(_number: int):
        gate.wait(timeout=10)
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_requests_exactly_one_does_the_work():
    secret = make_key(make_project()).secret

    def post():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client.post("/api/v1/keys", BODY, headers=KEY)

    answers = at_once(8, post)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert keys_named_once() == 1
    done = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(done) == 1
    assert post().json()["id"] in done


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_take_overs_exactly_one_wins():
    now = timezone.now()
    idempotency_begin(request=named(), now=now - timedelta(minutes=5), in_flight_seconds=60)

    def take_over() -> UUID | None:
        try:
            return begin(named(), now)
        except IdempotencyInFlight:
            return None

    assert len([attempt for attempt in at_once(8, take_over) if attempt]) == 1


@pytest.mark.django_db(transaction=True)
def test_work_that_is_taken_over_while_it_runs_rolls_back():
    request, now = named(), timezone.now()
    attempt = begin(request, now)
    project = make_project()
    idempotency_begin(request=request, now=now + timedelta(seconds=61), in_flight_seconds=60)
    answer = StoredAnswer(status=201, body="{}")

    def work() -> None:
        with transaction.atomic():
            make_key(project)
            idempotency_finish(request=request, attempt=attempt, answer=answer)

    with pytest.raises(IdempotencyInFlight):
        work()
    assert ApiKey.objects.count() == 0
