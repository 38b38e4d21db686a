"""The operator's pages for people, projects and keys: reading, and actions that go through services."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts.models import ApiKey, Membership, Project
from apps.accounts.services import api_key_revoke, project_create, project_update
from apps.kernel.errors import DomainError
from apps.kernel.speculation import SpeculationLimitsInvalid, choice_from_json

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """People who can log in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class PeopleGroupAdmin(GroupAdmin, ModelAdmin):
    """Groups of people."""


class MembershipRows(TabularInline):
    """Who belongs to the project."""

    model = Membership
    extra = 0
    can_delete = False
    fields = readonly_fields = ("user", "role", "created_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Members are set through the service."""
        return False


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """A project as an operator edits it."""

    class Meta:
        model = Project
        fields = ("name", "slug", "owner", "speculation", "allows_drills")
        help_texts: ClassVar = {
            "speculation": "How far its jobs may run ahead, as JSON: {} as the network says, "
            '{"enabled": false} not at all, {"mode": "conservative" | "balanced" | "aggressive"}, or '
            '{"mode": "custom", "max_depth": 1-20, "max_branches": 1-16}.',
            "allows_drills": "Its steps may have proofs rejected on purpose, to see a rollback. "
            "Every drill costs the keeper that performed the step a share of its bond.",
        }

    def clean_speculation(self) -> dict[str, Any]:
        """The choice in its stored form; a refusal is the form's."""
        try:
            return choice_from_json(self.cleaned_data["speculation"]).to_json()
        except SpeculationLimitsInvalid as exc:
            raise forms.ValidationError(f"{exc.field}: {exc.reason}".removeprefix(": ")) from None


@admin.register(Project)
class ProjectAdmin(ModelAdmin):
    """Projects: opened and edited here, switched on and off by actions."""

    form = ProjectForm
    list_display = ("slug", "name", "owner", "is_active", "allows_drills", "created_at")
    list_filter = ("is_active", "allows_drills")
    search_fields = ("slug", "name")
    fields = ("name", "slug", "owner", "speculation", "allows_drills")
    inlines = (MembershipRows,)
    actions = ("switch_on", "switch_off")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Slug and owner are chosen once."""
        return ("slug", "owner") if obj else ()

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Open or edit through the service; a refusal is shown, nothing is written around it."""
        said: dict[str, Any] = {
            "name": obj.name,
            "speculation": obj.speculation_choice,
            "allows_drills": obj.allows_drills,
        }
        try:
            if change:
                project_update(project_id=obj.id, **said)
                return
            created = project_create(slug=obj.slug, owner=obj.owner, **said)
        except DomainError as exc:
            messages.error(request, f"{exc.title}: {exc}")
            return
        obj.pk = created.pk

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Projects are switched off, never deleted."""
        return False

    @admin.action(description="Switch on")
    def switch_on(self, request: HttpRequest, queryset: "QuerySet[Project]") -> None:
        """Let the projects' keys work again."""
        self._switch(request, queryset, True)

    @admin.action(description="Switch off")
    def switch_off(self, request: HttpRequest, queryset: "QuerySet[Project]") -> None:
        """Stop the projects' keys from working."""
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: "QuerySet[Project]", is_active: bool) -> None:
        for project_id in queryset.values_list("pk", flat=True):
            project_update(project_id=project_id, is_active=is_active)
        messages.success(request, f"{len(queryset)} projects switched {'on' if is_active else 'off'}")


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys: seen and revoked here, issued by `POST /api/v1/keys` or `manage.py api_key_create`."""

    list_display = ("name", "prefix", "project", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("project",)
    search_fields = ("name", "prefix")
    list_select_related = ("project",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No secret is ever shown in the admin."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Looked at in detail, never edited; the list's actions need the permission."""
        return obj is None and request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators look."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keys are revoked, never deleted."""
        return False

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> None:
        """End the selected keys."""
        for key_id in queryset.values_list("pk", flat=True):
            api_key_revoke(key_id=key_id)
        messages.success(request, f"{len(queryset)} keys revoked")
