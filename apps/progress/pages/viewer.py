"""Who is looking at a page, and at which project's things."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest

from apps.accounts.data import Scope
from apps.accounts.models import Project
from apps.accounts.selectors import get_projects
from apps.gateway.data import Caller
from apps.gateway.rest.authentication import caller_of_user

_SESSION_KEY: Final = "project"
_ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A logged-in person: the projects they may see and the one they have chosen (None: all of them)."""

    user: Any
    caller: Caller
    projects: Sequence[Project]
    chosen: Project | None

    @property
    def project_ids(self) -> frozenset[UUID] | None:
        """The projects to show; None means all."""
        return frozenset({self.chosen.id}) if self.chosen else self.visible_ids

    @property
    def visible_ids(self) -> frozenset[UUID] | None:
        """The projects that may be shown; None means all."""
        return self.caller.project_ids

    def may(self, scope: Scope, project_id: UUID) -> bool:
        """Whether the person holds a scope in a project."""
        held = self.caller.scopes_in(project_id)
        return scope in held or Scope.OPERATOR in held


def get_viewer(request: HttpRequest) -> Viewer:
    """The viewer of a logged-in request; `?project=<slug>` (or `all`) is remembered in the session."""
    caller = caller_of_user(request.user)
    projects = list(get_projects(caller.project_ids))
    slug = request.GET.get("project")
    if slug is None:
        slug = request.session.get(_SESSION_KEY, _ALL)
    chosen = next((project for project in projects if project.slug == slug), None)
    if "project" in request.GET:
        request.session[_SESSION_KEY] = chosen.slug if chosen else _ALL
    return Viewer(user=request.user, caller=caller, projects=projects, chosen=chosen)
