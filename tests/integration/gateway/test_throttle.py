"""Rate limits are counted in Redis, per key; Redis being away limits nobody."""

from dataclasses import replace

import pytest
import time_machine
from django.conf import settings
from rest_framework.test import APIClient

from apps.gateway.rest import throttles
from tests.factories.accounts import make_key


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(throttles, "_paused_until", 0.0)


def client_of(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_beyond_its_limit_a_key_gets_429_with_retry_after(project, redis_url):
    client = client_of(make_key(project, rate_limit_per_minute=3).secret)
    with time_machine.travel("2026-11-20T12:00:15Z", tick=False):
        answers = [client.get("/api/v1/projects") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1]["Retry-After"] == "45"
    assert answers[-1].json()["code"] == "rate_limited"


def test_the_next_minute_starts_anew(project, redis_url):
    client = client_of(make_key(project, rate_limit_per_minute=1).secret)
    with time_machine.travel("2026-11-20T12:00:15Z", tick=False) as clock:
        assert client.get("/api/v1/projects").status_code == 200
        assert client.get("/api/v1/projects").status_code == 429
        clock.shift(45)
        assert client.get("/api/v1/projects").status_code == 200


def test_each_key_has_its_own_count(project, redis_url):
    one, two = (client_of(make_key(project, rate_limit_per_minute=1).secret) for _ in range(2))
    assert one.get("/api/v1/projects").status_code == 200
    assert two.get("/api/v1/projects").status_code == 200


def test_while_redis_is_away_everything_is_let_through(project, monkeypatch):
    monkeypatch.setattr(
        settings,
        "FOREKEEP",
        replace(
            settings.FOREKEEP, broker=replace(settings.FOREKEEP.broker, redis_url="redis://127.0.0.1:1/0")
        ),
    )
    client = client_of(make_key(project, rate_limit_per_minute=1).secret)
    assert [client.get("/api/v1/projects").status_code for _ in range(3)] == [200, 200, 200]
