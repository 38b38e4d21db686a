"""The use cases of accounts: open and change a project, issue, revoke and recognise a key."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.accounts.data import NAME_MAX, PROJECT_SCOPES, IssuedKey, KeyIdentity, Role, Scope
from apps.accounts.domain.key_cache import KeyCache
from apps.accounts.domain.keys import PREFIX_BYTES, SECRET_BYTES, compute_key_hash, is_key_form, make_key_text
from apps.accounts.domain.names import make_slug, require_name, require_slug
from apps.accounts.domain.scopes import parse_scopes, require_within
from apps.accounts.errors import (
    KeyInvalid,
    KeyUnknown,
    ProjectInactive,
    ProjectUnknown,
    SlugTaken,
    Unauthenticated,
)
from apps.accounts.models import ApiKey, Membership, Project
from apps.accounts.selectors import find_live_key
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.kernel.errors import PreconditionFailed
from apps.kernel.speculation import Choice, require_choice

_LAST_USED_STEP: Final = timedelta(seconds=60)
_PROJECT_FIELDS: Final = (
    "name",
    "slug",
    "owner",
    "is_active",
    "speculation",
    "allows_drills",
    "created_at",
)
_KEY_FIELDS: Final = (
    "project",
    "name",
    "prefix",
    "scopes",
    "rate_limit_per_minute",
    "created_at",
    "expires_at",
    "revoked_at",
)

_cache: Final = KeyCache(max_entries=4_096)


def project_create(
    *,
    name: str,
    owner: Any,
    slug: str | None = None,
    speculation: Choice | None = None,
    allows_drills: bool = False,
) -> Project:
    """Open a project; its owner becomes its first member.

    Whoever lets `allows_drills` through must be an operator. Raises ProjectNameInvalid,
    SpeculationLimitsInvalid, SlugTaken.
    """
    clean, said = require_name(name), require_choice(speculation or Choice(), "/speculation").to_json()
    chosen = make_slug(clean) if slug is None else require_slug(slug)
    with transaction.atomic():
        if Project.objects.filter(slug=chosen).exists():
            raise SlugTaken(pointer="/slug", slug=chosen)
        now = get_database_now()
        project = Project(
            name=clean,
            slug=chosen,
            owner=owner,
            speculation=said,
            allows_drills=allows_drills,
            created_at=now,
        )
        payload = {"set": project.get_json_fields(_PROJECT_FIELDS)}
        rows_create(
            [project],
            [EventDraft(row=project, type="project.created", payload=payload, project_id=project.id)],
            now=now,
        )
        Membership.objects.create(project=project, user=owner, role=Role.OWNER.value, created_at=now)
    return project


def project_update(
    *,
    project_id: UUID,
    name: str | None = None,
    is_active: bool | None = None,
    speculation: Choice | None = None,
    allows_drills: bool | None = None,
    version: int | None = None,
) -> Project:
    """Change what is given, None being left as it is; what changes nothing writes nothing.

    What a project says about running ahead is replaced as a whole and counts from the next decision on.
    Whoever lets `allows_drills` through must be an operator. `version` is the event sequence the caller
    has seen. Raises ProjectUnknown, ProjectNameInvalid, SpeculationLimitsInvalid, PreconditionFailed.
    """
    wanted = {
        "name": None if name is None else require_name(name),
        "is_active": is_active,
        "speculation": None if speculation is None else require_choice(speculation, "/speculation").to_json(),
        "allows_drills": allows_drills,
    }
    with transaction.atomic():
        project = _lock_project(project_id)
        if version is not None and version != project.event_sequence:
            raise PreconditionFailed(expected=version, found=project.event_sequence)
        changes = {
            field: value
            for field, value in wanted.items()
            if value is not None and value != getattr(project, field)
        }
        if not changes:
            return project
        for field, value in changes.items():
            setattr(project, field, value)
        draft = EventDraft(
            row=project,
            type="project.updated",
            payload={"set": project.get_json_fields(tuple(changes))},
            project_id=project.id,
        )
        rows_write([project], tuple(changes), [draft])
    if is_active is False:
        _cache.clear()
    return project


def membership_set(*, project_id: UUID, user: Any, role: Role) -> Membership:
    """Give a person a role in a project, in place of the one they had. Raises ProjectUnknown."""
    with transaction.atomic():
        project = _lock_project(project_id)
        membership, _ = Membership.objects.update_or_create(
            project=project,
            user=user,
            defaults={"role": role.value},
            create_defaults={"role": role.value, "created_at": get_database_now()},
        )
        _append_member_event(project, "project.member_set", {"user_id": user.pk, "role": role.value})
    return membership


def membership_remove(*, project_id: UUID, user: Any) -> None:
    """Take a person out of a project; nobody there is a no-op. Raises ProjectUnknown."""
    with transaction.atomic():
        project = _lock_project(project_id)
        removed, _ = Membership.objects.filter(project=project, user=user).delete()
        if removed:
            _append_member_event(project, "project.member_removed", {"user_id": user.pk})


def api_key_create(
    *,
    project_id: UUID | None,
    name: str,
    scopes: Iterable[str],
    rate_limit_per_minute: int | None = None,
    expires_at: datetime | None = None,
    held: frozenset[Scope] | None = None,
) -> IssuedKey:
    """Issue a key; its secret is in the answer and nowhere else from then on.

    `held` are the issuer's scopes (None: the operator's own command). A key without a project is the
    operator's. Raises ProjectUnknown, ProjectInactive, KeyInvalid, ScopeUnknown, ScopesExceeded.
    """
    wanted = parse_scopes(scopes)
    if held is not None:
        require_within(wanted, held)
    clean, limit = _require_key_values(name, rate_limit_per_minute, wanted, project_id)
    text = make_key_text(secrets.token_bytes(PREFIX_BYTES), secrets.token_bytes(SECRET_BYTES))
    with transaction.atomic():
        now = get_database_now()
        if expires_at is not None and expires_at <= now:
            raise KeyInvalid(pointer="/expires_at", reason="the expiry is in the past")
        project = None if project_id is None else _lock_project(project_id)
        if project is not None and not project.is_active:
            raise ProjectInactive()
        key = ApiKey(
            project=project,
            name=clean,
            prefix=text.prefix,
            sha256=text.sha256,
            scopes=sorted(scope.value for scope in wanted),
            rate_limit_per_minute=limit,
            created_at=now,
            expires_at=expires_at,
        )
        payload = {"set": key.get_json_fields(_KEY_FIELDS)}
        draft = EventDraft(row=key, type="key.created", payload=payload, project_id=project_id)
        rows_create([key], [draft], now=now)
    return IssuedKey(id=key.id, prefix=text.prefix, secret=text.secret)


def api_key_revoke(*, key_id: UUID, project_ids: frozenset[UUID] | None = None) -> ApiKey:
    """Revoke a key among the visible ones; revoking it again is a no-op. Raises KeyUnknown."""
    with transaction.atomic():
        keys = ApiKey.objects.filter(pk=key_id)
        if project_ids is not None:
            keys = keys.filter(project_id__in=project_ids)
        rows = lock_rows(keys, skip_locked=False)
        if not rows:
            raise KeyUnknown()
        key = rows[0]
        if key.revoked_at is None:
            key.revoked_at = get_database_now()
            draft = EventDraft(
                row=key,
                type="key.revoked",
                payload={"set": key.get_json_fields(("revoked_at",))},
                project_id=key.project_id,
            )
            rows_write([key], ("revoked_at",), [draft])
    _cache.forget(key.sha256)
    return key


def authenticate(secret: str, *, now: datetime) -> KeyIdentity:
    """Who holds this key; raise Unauthenticated where it is unknown, revoked or expired.

    An answer is remembered under the key's hash for `web.api_key_cache_seconds`, so a revocation in
    another process takes at most that long. `last_used_at` is written at most once a minute.
    """
    if not is_key_form(secret):
        raise Unauthenticated()
    sha256 = compute_key_hash(secret)
    identity = _cache.get(sha256, now)
    if identity is None:
        found = find_live_key(sha256, now)
        if found is None:
            raise Unauthenticated()
        identity, last_used_at = found
        _cache.put(sha256, identity, now + timedelta(seconds=settings.FOREKEEP.web.api_key_cache_seconds))
        if last_used_at is None or last_used_at < now - _LAST_USED_STEP:
            _touch(identity.id, now)
    return identity


def _touch(key_id: UUID, now: datetime) -> None:
    """Last use is telemetry: no event, and no queue of writers behind one key."""
    is_due = Q(last_used_at=None) | Q(last_used_at__lt=now - _LAST_USED_STEP)
    ApiKey.objects.filter(is_due, pk=key_id).update(last_used_at=now)


def _lock_project(project_id: UUID) -> Project:
    rows = lock_rows(Project.objects.filter(pk=project_id), skip_locked=False)
    if not rows:
        raise ProjectUnknown()
    return rows[0]


def _append_member_event(project: Project, event_type: str, facts: dict[str, Any]) -> None:
    draft = EventDraft(row=project, type=event_type, payload={"set": {}, **facts}, project_id=project.id)
    rows_write([project], (), [draft])


def _require_key_values(
    name: str, rate_limit_per_minute: int | None, wanted: frozenset[Scope], project_id: UUID | None
) -> tuple[str, int]:
    clean = name.strip()
    if not clean or len(clean) > NAME_MAX or not clean.isprintable():
        raise KeyInvalid(pointer="/name", reason=f"1 to {NAME_MAX} printable characters expected")
    most: int = settings.FOREKEEP.web.rate_limit_per_minute
    limit = most if rate_limit_per_minute is None else rate_limit_per_minute
    if not 1 <= limit <= most:
        raise KeyInvalid(pointer="/rate_limit_per_minute", reason=f"1 to {most} expected")
    beyond = wanted - PROJECT_SCOPES
    if project_id is not None and beyond:
        reason = f"a project's key cannot hold {', '.join(sorted(scope.value for scope in beyond))}"
        raise KeyInvalid(pointer="/scopes", reason=reason)
    return clean, limit
