"""Projects and keys on a real database: events, refusals, and what is never stored."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import services
from apps.accounts.data import Role, Scope
from apps.accounts.errors import (
    KeyInvalid,
    KeyUnknown,
    ProjectInactive,
    ProjectUnknown,
    ScopesExceeded,
    SlugTaken,
    Unauthenticated,
)
from apps.accounts.models import ApiKey, Membership, Project
from apps.accounts.selectors import get_member_scopes
from apps.accounts.services import (
    api_key_create,
    api_key_revoke,
    authenticate,
    membership_remove,
    membership_set,
    project_create,
    project_update,
)
from apps.eventlog.domain.replay import replay
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_events
from apps.kernel.errors import PreconditionFailed
from apps.kernel.ids import new_id
from apps.kernel.speculation import Choice, Mode, SpeculationLimitsInvalid
from tests.factories.accounts import make_key, make_project, make_user

pytestmark = pytest.mark.django_db


def use(secret: str):
    return authenticate(secret, now=timezone.now())


def test_a_new_project_has_its_owner_as_member_and_one_event():
    owner = make_user()
    project = project_create(name="Price Report", owner=owner)
    assert (project.slug, project.is_active) == ("price-report", True)
    assert Membership.objects.get(project=project).role == Role.OWNER
    (event,) = get_events(aggregate=("project", project.id.hex))
    assert event.event_type == "project.created"
    assert event.payload["set"]["slug"] == "price-report"
    assert event.project_id == project.id


def test_a_slug_is_used_once():
    make_project(name="Prices")
    with pytest.raises(SlugTaken):
        make_project(name="prices")


def test_a_change_writes_what_changed_and_nothing_writes_nothing():
    project = make_project()
    project_update(project_id=project.id, name="Another")
    project_update(project_id=project.id, name="Another")
    stored = Project.objects.get(pk=project.id)
    assert (stored.name, stored.event_sequence) == ("Another", 2)


def test_an_edit_on_an_old_version_is_refused():
    project = make_project()
    project_update(project_id=project.id, name="First", version=1)
    with pytest.raises(PreconditionFailed):
        project_update(project_id=project.id, name="Second", version=1)


def test_members_come_change_and_go_with_events():
    project, person = make_project(), make_user()
    membership_set(project_id=project.id, user=person, role=Role.VIEWER)
    assert Scope.JOBS_WRITE not in get_member_scopes(person.pk)[project.id]
    membership_set(project_id=project.id, user=person, role=Role.MEMBER)
    assert Scope.JOBS_WRITE in get_member_scopes(person.pk)[project.id]
    membership_remove(project_id=project.id, user=person)
    membership_remove(project_id=project.id, user=person)
    assert get_member_scopes(person.pk) == {}
    types = [event.event_type for event in get_events(aggregate=("project", project.id.hex))]
    assert types == ["project.created", "project.member_set", "project.member_set", "project.member_removed"]
    assert chain_verify() == []


def test_a_keys_secret_is_given_once_and_stored_nowhere():
    issued = make_key(make_project())
    key = ApiKey.objects.get(pk=issued.id)
    tail = issued.secret.partition("_")[2].partition("_")[2]
    stored = [str(value) for value in ApiKey.objects.values_list().get(pk=key.pk)]
    events = [str(values) for values in Event.objects.values_list()]
    assert not any(tail in text for text in (*stored, *events))
    assert key.prefix == issued.prefix
    assert len(key.sha256) == 64


def test_a_key_authenticates_with_its_project_and_scopes():
    project = make_project()
    issued = make_key(project, "jobs:read")
    identity = use(issued.secret)
    assert (identity.id, identity.project_id) == (issued.id, project.id)
    assert identity.scopes == {Scope.JOBS_READ}


@pytest.mark.parametrize("text", ["", "nonsense", "fk_abcdefgh_" + "a" * 43, "fk_abcdefgh_" + "é" * 43])
def test_an_unknown_key_is_refused(text):
    with pytest.raises(Unauthenticated):
        use(text)


def test_a_changed_character_is_another_key():
    secret = make_key(make_project()).secret
    with pytest.raises(Unauthenticated):
        use(secret[:-1] + ("A" if secret[-1] != "A" else "B"))


def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing():
    issued = make_key(make_project())
    use(issued.secret)
    api_key_revoke(key_id=issued.id)
    with pytest.raises(Unauthenticated):
        use(issued.secret)
    assert api_key_revoke(key_id=issued.id).event_sequence == 2


def test_another_projects_key_cannot_be_revoked():
    issued, foreign = make_key(make_project()), make_project()
    with pytest.raises(KeyUnknown):
        api_key_revoke(key_id=issued.id, project_ids=frozenset({foreign.id}))
    assert use(issued.secret)


def test_an_expired_key_is_refused_also_while_it_is_remembered():
    now = timezone.now()
    issued = api_key_create(
        project_id=make_project().id, name="short", scopes=["jobs:read"], expires_at=now + timedelta(hours=1)
    )
    almost = now + timedelta(hours=1) - timedelta(seconds=1)
    assert authenticate(issued.secret, now=almost)
    with pytest.raises(Unauthenticated):
        authenticate(issued.secret, now=now + timedelta(hours=1))


def test_the_keys_of_a_project_that_is_switched_off_are_refused():
    project = make_project()
    issued = make_key(project)
    use(issued.secret)
    project_update(project_id=project.id, is_active=False)
    with pytest.raises(Unauthenticated):
        use(issued.secret)
    with pytest.raises(ProjectInactive):
        make_key(project)
    project_update(project_id=project.id, is_active=True)
    assert use(issued.secret)


def test_authenticating_again_asks_the_database_nothing(django_assert_num_queries):
    secret = make_key(make_project()).secret
    now = timezone.now()
    authenticate(secret, now=now)
    with django_assert_num_queries(0):
        authenticate(secret, now=now)


def test_the_last_use_is_written_at_most_once_a_minute():
    issued = make_key(make_project())
    now = timezone.now()
    for seconds in (0, 30, 59):
        services._cache.clear()
        authenticate(issued.secret, now=now + timedelta(seconds=seconds))
    assert ApiKey.objects.get(pk=issued.id).last_used_at == now
    services._cache.clear()
    authenticate(issued.secret, now=now + timedelta(seconds=61))
    assert ApiKey.objects.get(pk=issued.id).last_used_at == now + timedelta(seconds=61)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "  "},
        {"name": "a\x00b"},
        {"scopes": []},
        {"scopes": ["operator"]},
        {"rate_limit_per_minute": 0},
        {"rate_limit_per_minute": 10**9},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(change):
    values = {"name": "key", "scopes": ["jobs:read"], **change}
    with pytest.raises(KeyInvalid):
        api_key_create(project_id=make_project().id, **values)


def test_nobody_issues_a_key_that_may_do_more_than_they_may():
    held = frozenset({Scope.JOBS_READ, Scope.KEYS_WRITE})
    with pytest.raises(ScopesExceeded):
        api_key_create(project_id=make_project().id, name="key", scopes=["jobs:write"], held=held)


def test_a_key_needs_a_project_that_exists():
    with pytest.raises(ProjectUnknown):
        api_key_create(project_id=new_id(), name="key", scopes=["jobs:read"])


def test_replaying_the_events_of_a_key_gives_its_row():
    issued = make_key(make_project())
    key = api_key_revoke(key_id=issued.id)
    fields: dict[str, Any] = {}
    for event in get_events(aggregate=("key", key.id.hex)):
        fields |= event.payload["set"]
    assert fields == key.get_json_fields(list(fields))
    assert set(fields) == set(services._KEY_FIELDS)


def test_what_a_project_says_about_running_ahead_is_stored_as_said_with_its_event():
    project = make_project()
    assert (project.speculation, project.speculation_choice) == ({}, Choice())
    custom = Choice(mode=Mode.CUSTOM, max_depth=20, max_branches=8)
    project_update(project_id=project.id, speculation=custom)
    project_update(project_id=project.id, speculation=custom)
    stored = Project.objects.get(pk=project.id)
    assert stored.speculation == {"mode": "custom", "max_depth": 20, "max_branches": 8}
    assert (stored.speculation_choice, stored.event_sequence) == (custom, 2)
    project_update(project_id=project.id, speculation=Choice())
    events = get_events(aggregate=("project", project.id.hex))
    assert replay(events)["speculation"] == Project.objects.get(pk=project.id).speculation == {}


def test_a_choice_that_is_not_on_offer_is_not_stored():
    project = make_project()
    for bad in (Choice(mode=Mode.CUSTOM, max_depth=21, max_branches=1), Choice(max_branches=2)):
        with pytest.raises(SpeculationLimitsInvalid):
            project_update(project_id=project.id, speculation=bad)
        with pytest.raises(SpeculationLimitsInvalid):
            project_create(name="New", owner=project.owner, speculation=bad)
    assert Project.objects.get(pk=project.id).event_sequence == 1
    assert not Project.objects.filter(name="New").exists()


def test_drills_are_allowed_by_the_project_and_not_by_default():
    project = make_project()
    assert not project.allows_drills
    project_update(project_id=project.id, allows_drills=True)
    (_, event) = get_events(aggregate=("project", project.id.hex))
    assert event.payload["set"] == {"allows_drills": True}
