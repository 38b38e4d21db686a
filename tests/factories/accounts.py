"""Real projects, people and keys for tests, made through the services."""

import itertools
from typing import Any

from django.contrib.auth import get_user_model

from apps.accounts.data import PROJECT_SCOPES, IssuedKey, Scope
from apps.accounts.models import Project
from apps.accounts.services import api_key_create, project_create

_numbers = itertools.count(1)


def make_user(**fields: Any) -> Any:
    """A person with a unique name."""
    fields.setdefault("username", f"person-{next(_numbers)}")
    return get_user_model().objects.create_user(**fields)


def make_staff(**fields: Any) -> Any:
    """An operator who may log in everywhere."""
    return make_user(is_staff=True, is_superuser=True, **fields)


def make_project(*, owner: Any = None, name: str | None = None) -> Project:
    """A project of its own with an owner."""
    return project_create(name=name or f"Project {next(_numbers)}", owner=owner or make_user())


def make_key(project: Project | None, *scopes: str, rate_limit_per_minute: int | None = None) -> IssuedKey:
    """A key of a project with these scopes (all of a project's where none is named)."""
    return api_key_create(
        project_id=project.id if project else None,
        name=f"key {next(_numbers)}",
        scopes=scopes or sorted(scope.value for scope in PROJECT_SCOPES),
        rate_limit_per_minute=rate_limit_per_minute,
    )


def make_operator_key() -> IssuedKey:
    """A key that may do everything."""
    return make_key(None, Scope.OPERATOR.value)
