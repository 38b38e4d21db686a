"""/projects: the tenants a caller sees. Here and not in accounts, which lies below the gateway."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.data import NAME_MAX, SLUG_MAX, Scope
from apps.accounts.models import Project
from apps.accounts.selectors import get_project, get_projects
from apps.accounts.services import project_create, project_update
from apps.gateway.errors import ScopeMissing
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.etags import etag_of, require_match
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import IF_MATCH
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire


class ProjectOut(serializers.ModelSerializer[Project]):
    """A project as it is shown."""

    id = serializers.CharField(source="wire_id", read_only=True)

    class Meta:
        model = Project
        fields = ("id", "name", "slug", "is_active", "created_at")
        read_only_fields = fields


class ProjectIn(serializers.Serializer[Any]):
    """A new project."""

    name = serializers.CharField(max_length=NAME_MAX)
    slug = serializers.CharField(max_length=SLUG_MAX, required=False)


class ProjectChange(serializers.Serializer[Any]):
    """What may change in a project."""

    name = serializers.CharField(max_length=NAME_MAX, required=False)
    is_active = serializers.BooleanField(required=False)


class ProjectList(Idempotent, GenericAPIView[Project]):
    """The caller's projects; a person with a session may open one."""

    permission_classes = [scopes("projects:read", "projects:write")]
    serializer_class = ProjectOut

    @extend_schema(operation_id="projects_list", responses=ProjectOut(many=True))
    def get(self, request: Request) -> Response:
        """List projects, newest first."""
        page = self.paginate_queryset(get_projects(get_project_ids(request)))
        return self.get_paginated_response(ProjectOut(page, many=True).data)

    @extend_schema(operation_id="projects_create", request=ProjectIn, responses={201: ProjectOut})
    def post(self, request: Request) -> Response:
        """Open a project owned by the logged-in person."""
        body = ProjectIn(data=request.data)
        body.is_valid(raise_exception=True)
        owner = caller_of(request).user
        if owner is None:
            reason = "a project is opened by a logged-in person"
            raise ScopeMissing(needed=Scope.OPERATOR.value, reason=reason)
        project = project_create(owner=owner, **body.validated_data)
        return _answer(project, status.HTTP_201_CREATED, location=f"/api/v1/projects/{project.wire_id}")


class ProjectDetail(GenericAPIView[Project]):
    """One project."""

    permission_classes = [scopes("projects:read", "projects:write")]
    serializer_class = ProjectOut

    @extend_schema(operation_id="projects_retrieve", responses=ProjectOut)
    def get(self, request: Request, project_id: str) -> Response:
        """Show one project."""
        return _answer(get_project(from_wire("proj", project_id), get_project_ids(request)))

    @extend_schema(
        operation_id="projects_update", request=ProjectChange, responses=ProjectOut, parameters=[IF_MATCH]
    )
    def patch(self, request: Request, project_id: str) -> Response:
        """Rename a project, or switch it on or off."""
        project = get_project(from_wire("proj", project_id), get_project_ids(request))
        version = require_match(request, project)
        body = ProjectChange(data=request.data)
        body.is_valid(raise_exception=True)
        return _answer(project_update(project_id=project.id, version=version, **body.validated_data))


def _answer(project: Project, code: int = status.HTTP_200_OK, location: str | None = None) -> Response:
    headers = {"ETag": etag_of(project)} | ({"Location": location} if location else {})
    return Response(ProjectOut(project).data, status=code, headers=headers)
