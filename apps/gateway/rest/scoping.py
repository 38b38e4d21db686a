"""Which projects a request sees, and which one it acts in. Foreign things answer 404."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from apps.accounts import selectors
from apps.accounts.errors import ProjectUnknown
from apps.accounts.models import Project
from apps.gateway.errors import ProjectNeeded
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.permissions import needed_scope
from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire


def get_project_ids(request: Request) -> frozenset[UUID] | None:
    """The projects in which the caller holds the scope this view needs; None means all.

    `?project=proj_…` narrows them to one; a foreign one raises ProjectUnknown.
    """
    visible = caller_of(request).projects_with(needed_scope(request))
    named = _project_from_query(request)
    if named is None:
        return visible
    _require_visible(named, visible)
    return frozenset({named})


def get_project(request: Request) -> Project:
    """The one project the request acts in.

    Named by `?project=proj_…` or the body's `project`, else the caller's only one. Raises
    ProjectNeeded where it is neither, ProjectUnknown where it is not the caller's.
    """
    visible = caller_of(request).projects_with(needed_scope(request))
    named = _project_from_query(request) or _project_from_body(request)
    if named is None:
        if visible is None or len(visible) != 1:
            raise ProjectNeeded(pointer="/project")
        (named,) = visible
    _require_visible(named, visible)
    return selectors.get_project(named)


class ProjectScoped:
    """A view whose rows belong to projects: what of a queryset the caller may see."""

    request: Request

    def get_visible(self, queryset: Any, field: str = "project_id") -> Any:
        """The queryset narrowed to the caller's projects."""
        project_ids = get_project_ids(self.request)
        return queryset if project_ids is None else queryset.filter(**{f"{field}__in": project_ids})

    def get_project(self) -> Project:
        """The one project the request acts in."""
        return get_project(self.request)


def _project_from_query(request: Request) -> UUID | None:
    text = request.query_params.get("project")
    return from_wire("proj", text) if text else None


def _project_from_body(request: Request) -> UUID | None:
    body = request.data
    text = body.get("project") if isinstance(body, dict) else None
    if text is None:
        return None
    if not isinstance(text, str):
        raise Invalid(pointer="/project", reason="a text expected")
    return from_wire("proj", text)


def _require_visible(project_id: UUID, visible: frozenset[UUID] | None) -> None:
    if visible is not None and project_id not in visible:
        raise ProjectUnknown()
