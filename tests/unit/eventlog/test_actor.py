"""Who is behind an event."""

import pytest

from apps.eventlog.domain.actor import current_actor, set_current_actor


@pytest.fixture(autouse=True)
def _forget():
    yield
    set_current_actor()


def test_nobody_is_behind_the_machinery():
    assert dict(current_actor()) == {}


def test_only_known_facts_are_kept():
    set_current_actor(user="ada", ip=None)
    assert dict(current_actor()) == {"user": "ada"}
    set_current_actor(user="ada", ip="192.0.2.1")
    assert dict(current_actor()) == {"user": "ada", "ip": "192.0.2.1"}
    set_current_actor()
    assert dict(current_actor()) == {}
