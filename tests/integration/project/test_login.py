"""Logging in: one page for everybody, and a brake on guessing."""

from unittest.mock import patch

import pytest
import redis
from django.conf import settings
from django.test import Client

from apps.gateway.rest.login_tries import TRIES, WINDOW_SECONDS
from tests.factories.accounts import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_url")]

PASSWORD = "correct horse battery"


@pytest.fixture
def person():
    """Somebody with a password."""
    user = make_user()
    user.set_password(PASSWORD)
    user.save()
    return user


def attempt(name, password, address="192.0.2.1"):
    """One try, from a browser of its own."""
    return Client(REMOTE_ADDR=address).post("/login", {"username": name, "password": password})


def test_after_five_wrong_passwords_for_a_name_even_the_right_one_waits(person):
    for number in range(TRIES):
        assert attempt(person.username, "wrong", f"192.0.2.{number}").status_code == 200
    refused = attempt(person.username.upper(), PASSWORD, "192.0.2.99")
    assert refused.status_code == 429
    assert "Too many wrong passwords. Try again in 15 minutes." in refused.content.decode()
    assert 0 < int(refused["Retry-After"]) <= WINDOW_SECONDS


def test_after_five_wrong_passwords_from_an_address_it_waits_and_others_do_not(person):
    for number in range(TRIES):
        attempt(f"nobody-{number}", "wrong")
    assert attempt(person.username, PASSWORD).status_code == 429
    assert attempt(person.username, PASSWORD, "192.0.2.2").status_code == 302


def test_right_passwords_are_not_counted(person):
    for _ in range(3):
        for _ in range(TRIES - 2):
            assert attempt(person.username, "wrong", "192.0.2.7").status_code == 200
        with redis.Redis.from_url(settings.FOREKEEP.broker.redis_url) as client:
            for key in client.scan_iter("forekeep:login:address:*"):
                client.delete(key)
        assert attempt(person.username, PASSWORD, "192.0.2.7").status_code == 302
    for _ in range(2 * TRIES):
        assert attempt(person.username, PASSWORD, "192.0.2.8").status_code == 302


def test_while_redis_is_away_people_log_in(person):
    with patch("apps.gateway.rest.login_tries.get_redis", side_effect=redis.ConnectionError):
        for _ in range(TRIES + 1):
            assert attempt(person.username, "wrong").status_code == 200
        assert attempt(person.username, PASSWORD).status_code == 302


def test_the_admin_has_the_same_login(person):
    response = Client().get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == "/login?next=/admin/"
    posted = Client().post("/admin/login/?next=/admin/", {"username": person.username, "password": "wrong"})
    assert (posted.status_code, posted["Location"]) == (302, "/login?next=/admin/")
    client = Client()
    client.force_login(person)
    assert client.get("/admin/", follow=True).status_code == 403
