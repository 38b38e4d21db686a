"""Projects, memberships and API keys. Of a key's secret only the SHA-256 is stored."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.data import Role
from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire
from apps.kernel.speculation import Choice, choice_from_json


class Project(EventedModel):
    """The tenant: owns jobs, runs, keys and money."""

    AGGREGATE: ClassVar[str] = "project"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=64, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owned_projects"
    )
    is_active = models.BooleanField(default=True)
    #: what the project says about running ahead, `Choice.to_json()`; `{}` says nothing
    speculation = models.JSONField(default=dict, blank=True)
    #: whether steps may have their proofs rejected on purpose; set by an operator, as it costs keepers money
    allows_drills = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("slug",)
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="project_name_not_empty"),
            models.CheckConstraint(condition=~Q(slug=""), name="project_slug_not_empty"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def wire_id(self) -> str:
        """`proj_…`."""
        return to_wire("proj", self.id)

    @property
    def speculation_choice(self) -> Choice:
        """What the project says about running ahead."""
        return choice_from_json(self.speculation)


class Membership(models.Model):
    """One person in one project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=[(role.value, role.value) for role in Role])
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("project", "user"), name="membership_once_per_project"),
            models.CheckConstraint(
                condition=Q(role__in=[role.value for role in Role]), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} of {self.project_id}"


class ApiKey(EventedModel):
    """A key of one project, or of the operator where `project` is empty."""

    AGGREGATE: ClassVar[str] = "key"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="keys")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=16, unique=True)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    rate_limit_per_minute = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(condition=Q(rate_limit_per_minute__gte=1), name="key_rate_limit_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (fk_{self.prefix}_…)"

    @property
    def wire_id(self) -> str:
        """`key_…`."""
        return to_wire("key", self.id)
