"""/projects: the tenants a caller sees. Here and not in accounts, which lies below the gateway."""

from collections.abc import Sequence
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema
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
from apps.gateway.rest.speculation import CUSTOM, OFF, SpeculationField
from apps.kernel.ids import from_wire
from apps.kernel.speculation import choice_from_json
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.selectors import get_balances

_SPECULATION: Final = "how far the project's jobs may run ahead; replaced as a whole, null says nothing again"
_DRILLS: Final = (
    "whether its jobs may have proofs rejected on purpose (a step's `drill`); "
    "switched on by an operator only: every drill costs a keeper a share of its bond"
)


class ProjectOut(serializers.ModelSerializer[Project]):
    """A project as it is shown."""

    id = serializers.CharField(source="wire_id", read_only=True)
    speculation = SpeculationField(read_only=True)
    prepaid_units = serializers.SerializerMethodField(help_text="what it has to spend, as text")
    escrow_units = serializers.SerializerMethodField(help_text="what is held for its runs, as text")

    class Meta:
        model = Project
        fields = (
            "id",
            "name",
            "slug",
            "is_active",
            "speculation",
            "allows_drills",
            "prepaid_units",
            "escrow_units",
            "created_at",
        )
        read_only_fields = fields

    def get_prepaid_units(self, project: Project) -> str:
        """What it has to spend."""
        return str(self.context["balances"][project_prepaid(project.id)])

    def get_escrow_units(self, project: Project) -> str:
        """What is held for its runs."""
        return str(self.context["balances"][project_escrow(project.id)])


class ProjectIn(serializers.Serializer[Any]):
    """A new project."""

    name = serializers.CharField(max_length=NAME_MAX)
    slug = serializers.CharField(max_length=SLUG_MAX, required=False)
    speculation = SpeculationField(required=False, allow_null=True, help_text=_SPECULATION)
    allows_drills = serializers.BooleanField(required=False, help_text=_DRILLS)


class ProjectChange(serializers.Serializer[Any]):
    """What may change in a project."""

    name = serializers.CharField(max_length=NAME_MAX, required=False)
    is_active = serializers.BooleanField(required=False)
    speculation = SpeculationField(required=False, allow_null=True, help_text=_SPECULATION)
    allows_drills = serializers.BooleanField(required=False, help_text=_DRILLS)


_NEW: Final = [
    OpenApiExample("A project", value={"name": "Price reports", "slug": "price-reports"}, request_only=True)
]
_CHANGES: Final = [
    OpenApiExample("Nothing runs ahead", value={"speculation": OFF}, request_only=True),
    OpenApiExample("As far ahead as it goes", value={"speculation": CUSTOM}, request_only=True),
    OpenApiExample("As the network says", value={"speculation": None}, request_only=True),
]


class ProjectList(Idempotent, GenericAPIView[Project]):
    """The caller's projects; a person with a session may open one."""

    permission_classes = [scopes("projects:read", "projects:write")]
    serializer_class = ProjectOut

    @extend_schema(operation_id="projects_list", responses=ProjectOut(many=True))
    def get(self, request: Request) -> Response:
        """List projects, newest first."""
        page = self.paginate_queryset(get_projects(get_project_ids(request)))
        return self.get_paginated_response(_shown(page or ()))

    @extend_schema(
        operation_id="projects_create", request=ProjectIn, responses={201: ProjectOut}, examples=_NEW
    )
    def post(self, request: Request) -> Response:
        """Open a project owned by the logged-in person."""
        body = ProjectIn(data=request.data)
        body.is_valid(raise_exception=True)
        owner = caller_of(request).user
        if owner is None:
            reason = "a project is opened by a logged-in person"
            raise ScopeMissing(needed="a session of a person; no key opens projects", reason=reason)
        project = project_create(owner=owner, **_wanted(request, body))
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
        operation_id="projects_update",
        request=ProjectChange,
        responses=ProjectOut,
        parameters=[IF_MATCH],
        examples=_CHANGES,
    )
    def patch(self, request: Request, project_id: str) -> Response:
        """Rename a project, switch it on or off, or say how far its jobs may run ahead.

        What it says about running ahead counts from the next decision on, also for runs under way.
        """
        project = get_project(from_wire("proj", project_id), get_project_ids(request))
        version = require_match(request, project)
        body = ProjectChange(data=request.data)
        body.is_valid(raise_exception=True)
        return _answer(project_update(project_id=project.id, version=version, **_wanted(request, body)))


def _shown(projects: Sequence[Project]) -> Any:
    """The documents of projects, with their balances; one query for all of these."""
    keys = [key(project.id) for project in projects for key in (project_prepaid, project_escrow)]
    return ProjectOut(projects, many=True, context={"balances": get_balances(keys)}).data


def _wanted(request: Request, body: serializers.Serializer[Any]) -> dict[str, Any]:
    """What the body asks for, as the service takes it; raise ScopeMissing, SpeculationLimitsInvalid."""
    wanted: dict[str, Any] = dict(body.validated_data)
    if wanted.get("allows_drills") and not caller_of(request).is_operator:
        reason = "drills cost keepers money; only an operator allows them"
        raise ScopeMissing(pointer="/allows_drills", needed=Scope.OPERATOR.value, reason=reason)
    if "speculation" in wanted:
        wanted["speculation"] = choice_from_json(wanted["speculation"], "/speculation")
    return wanted


def _answer(project: Project, code: int = status.HTTP_200_OK, location: str | None = None) -> Response:
    headers = {"ETag": etag_of(project)} | ({"Location": location} if location else {})
    return Response(_shown([project])[0], status=code, headers=headers)
