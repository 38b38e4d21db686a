"""What a caller may do, where."""

from uuid import UUID

from apps.accounts.data import Scope
from apps.gateway.data import Caller

ONE, TWO = UUID(int=1), UUID(int=2)


def caller(by_project=None, everywhere=()) -> Caller:
    return Caller(
        id="key:1",
        name="fk_1",
        by_project=by_project or {},
        everywhere=frozenset(everywhere),
        rate_limit_per_minute=60,
    )


def test_scopes_are_held_project_by_project():
    person = caller({ONE: frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE}), TWO: frozenset({Scope.JOBS_READ})})
    assert person.projects_with(Scope.JOBS_READ) == frozenset({ONE, TWO})
    assert person.projects_with(Scope.JOBS_WRITE) == frozenset({ONE})
    assert person.is_allowed(Scope.JOBS_WRITE)
    assert not person.is_allowed(Scope.KEYS_READ)
    assert person.scopes_in(TWO) == {Scope.JOBS_READ}
    assert person.project_ids == frozenset({ONE, TWO})


def test_the_operator_sees_all_projects():
    operator = caller(everywhere={Scope.OPERATOR})
    assert operator.is_operator
    assert operator.is_allowed(Scope.KEYS_WRITE)
    assert operator.projects_with(Scope.KEYS_WRITE) is None
    assert operator.project_ids is None


def test_a_key_of_no_project_with_one_scope_has_just_that_one_everywhere():
    monitor = caller(everywhere={Scope.RUNS_READ})
    assert monitor.projects_with(Scope.RUNS_READ) is None
    assert monitor.projects_with(Scope.JOBS_READ) == frozenset()
    assert not monitor.is_operator


def test_nobody_holds_anything_outside_of_their_projects():
    person = caller({ONE: frozenset({Scope.KEYS_WRITE})})
    assert person.scopes_in(None) == frozenset()
    assert person.scopes_in(TWO) == frozenset()
