"""Reading projects, memberships and keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.accounts.data import KeyIdentity, Role, Scope
from apps.accounts.domain.scopes import get_role_scopes
from apps.accounts.errors import KeyUnknown, ProjectUnknown
from apps.accounts.models import ApiKey, Membership, Project

_IDENTITY_COLUMNS: Final = (
    "id",
    "name",
    "prefix",
    "project_id",
    "scopes",
    "rate_limit_per_minute",
    "expires_at",
    "last_used_at",
)


def get_projects(project_ids: frozenset[UUID] | None) -> "QuerySet[Project]":
    """The projects with these ids, all where None."""
    projects = Project.objects.all()
    return projects if project_ids is None else projects.filter(pk__in=project_ids)


def get_project(project_id: UUID, project_ids: frozenset[UUID] | None = None) -> Project:
    """One project among the visible ones; raise ProjectUnknown."""
    project = get_projects(project_ids).filter(pk=project_id).first()
    if project is None:
        raise ProjectUnknown()
    return project


def get_keys(project_ids: frozenset[UUID] | None) -> "QuerySet[ApiKey]":
    """The keys of these projects; all, the operator's own included, where None."""
    keys = ApiKey.objects.all()
    return keys if project_ids is None else keys.filter(project_id__in=project_ids)


def get_key(key_id: UUID, project_ids: frozenset[UUID] | None = None) -> ApiKey:
    """One key among the visible ones; raise KeyUnknown."""
    key = get_keys(project_ids).filter(pk=key_id).first()
    if key is None:
        raise KeyUnknown()
    return key


def get_member_scopes(user_id: int) -> Mapping[UUID, frozenset[Scope]]:
    """What a person may do in each of their active projects."""
    members = Membership.objects.filter(user_id=user_id, project__is_active=True)
    rows = members.values_list("project_id", "role")
    return {project_id: get_role_scopes(Role(role)) for project_id, role in rows}


def find_live_key(sha256: str, now: datetime) -> tuple[KeyIdentity, datetime | None] | None:
    """The live key with this hash and when it was last used; None where none is live."""
    is_live = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    is_open = Q(project=None) | Q(project__is_active=True)
    row: dict[str, Any] | None = (
        ApiKey.objects.filter(is_live & is_open, sha256=sha256).values(*_IDENTITY_COLUMNS).first()
    )
    if row is None:
        return None
    last_used_at = row.pop("last_used_at")
    scopes = frozenset(Scope(text) for text in row.pop("scopes"))
    return KeyIdentity(**row, scopes=scopes), last_used_at
