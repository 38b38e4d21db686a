"""Roles, scopes and names."""

import pytest

from apps.accounts.data import PROJECT_SCOPES, Role, Scope
from apps.accounts.domain.names import make_slug, require_name, require_slug
from apps.accounts.domain.scopes import (
    get_role_scopes,
    has_scope,
    parse_scopes,
    require_within,
)
from apps.accounts.errors import KeyInvalid, ProjectNameInvalid, ScopesExceeded, ScopeUnknown


def test_no_role_of_a_project_holds_what_is_the_operators():
    for role in Role:
        assert get_role_scopes(role) <= PROJECT_SCOPES
    assert Scope.OPERATOR not in PROJECT_SCOPES


def test_a_viewer_changes_nothing_and_sees_no_keys():
    viewer = get_role_scopes(Role.VIEWER)
    assert all(scope.value.endswith(":read") for scope in viewer)
    assert Scope.KEYS_READ not in viewer


def test_a_member_fires_jobs_but_issues_no_keys():
    member = get_role_scopes(Role.MEMBER)
    assert Scope.RUNS_WRITE in member
    assert Scope.KEYS_WRITE not in member


def test_scopes_are_parsed_and_an_unknown_one_is_pointed_at():
    assert parse_scopes(["jobs:read", "jobs:read"]) == {Scope.JOBS_READ}
    with pytest.raises(ScopeUnknown) as caught:
        parse_scopes(["jobs:read", "jobs:eat"])
    assert (caught.value.pointer, caught.value.scope) == ("/scopes/1", "jobs:eat")
    with pytest.raises(KeyInvalid):
        parse_scopes([])


def test_the_operator_may_do_everything_and_others_what_they_hold():
    assert has_scope(frozenset({Scope.OPERATOR}), Scope.JOBS_WRITE)
    assert not has_scope(frozenset({Scope.JOBS_READ}), Scope.JOBS_WRITE)


def test_a_key_holds_at_most_what_its_issuer_does():
    require_within(frozenset({Scope.JOBS_READ}), frozenset({Scope.JOBS_READ, Scope.KEYS_WRITE}))
    with pytest.raises(ScopesExceeded) as caught:
        require_within(frozenset({Scope.OPERATOR, Scope.JOBS_READ}), frozenset({Scope.JOBS_READ}))
    assert caught.value.scopes == ["operator"]


@pytest.mark.parametrize(("name", "slug"), [("Price Report", "price-report"), ("  A&B  ", "a-b"), ("x", "x")])
def test_a_slug_is_made_from_a_name(name, slug):
    assert make_slug(name) == slug


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a" * 121, "a\nb"])
def test_an_unusable_name_is_refused(name):
    with pytest.raises(ProjectNameInvalid):
        require_name(name)


@pytest.mark.parametrize("slug", ["", "A", "a--b", "-a", "a_b", "a" * 65, "é"])
def test_an_unusable_slug_is_refused(slug):
    with pytest.raises(ProjectNameInvalid) as caught:
        require_slug(slug)
    assert caught.value.pointer == "/slug"


def test_a_name_without_letters_or_digits_gives_no_slug():
    with pytest.raises(ProjectNameInvalid):
        make_slug("★★★")
