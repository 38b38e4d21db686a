"""The use cases of the vault: put a secret, delete it, seal all of them anew. Events carry names alone."""

from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.errors import ProjectInactive, ProjectUnknown
from apps.accounts.models import Project
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.vault.domain.names import is_name, require_name, require_value
from apps.vault.errors import SecretNotFound
from apps.vault.models import SECRET_FIELDS, Secret
from apps.vault.sealing import reseal, seal


def secret_put(project_id: UUID, name: str, value: str) -> tuple[Secret, bool]:
    """Keep a value under a name, in place of the one before; and whether there was none.

    Raises ProjectUnknown, ProjectInactive, SecretNameInvalid, SecretValueInvalid.
    """
    require_name(name)
    require_value(value)
    with transaction.atomic():
        _lock_project(project_id)
        now = get_database_now()
        found = _lock(project_id, name)
        if found is not None:
            found.sealed, found.updated_at = seal(value, found.purpose), now
            draft = _draft(found, "secret.replaced", ("updated_at",))
            rows_write([found], ("sealed", "updated_at"), [draft], now=now)
            return found, False
        secret = Secret(project_id=project_id, name=name, created_at=now, updated_at=now)
        secret.sealed = seal(value, secret.purpose)
        rows_create([secret], [_draft(secret, "secret.created", SECRET_FIELDS)], now=now)
    return secret, True


def secret_delete(project_id: UUID, name: str) -> None:
    """Forget a value; who refers to the name gets SecretUnknown from now on. Raises SecretNotFound."""
    with transaction.atomic():
        found = _lock(project_id, name) if is_name(name) else None
        if found is None:
            raise SecretNotFound()
        now = get_database_now()
        found.sealed, found.updated_at, found.deleted_at = "", now, now
        draft = _draft(found, "secret.deleted", ("updated_at", "deleted_at"))
        rows_write([found], ("sealed", "updated_at", "deleted_at"), [draft], now=now)


def secrets_reseal() -> int:
    """Seal every live value with SECRET_KEY as it is now, so that the one before can be forgotten.

    Returns how many. Raises SecretUnreadable, having changed nothing.
    """
    with transaction.atomic():
        rows = lock_rows(Secret.objects.filter(deleted_at=None), skip_locked=False)
        for row in rows:
            row.sealed = reseal(row.sealed, row.purpose)
        rows_write(rows, ("sealed",), [_draft(row, "secret.resealed", ()) for row in rows])
    return len(rows)


def _lock_project(project_id: UUID) -> None:
    """Whoever puts waits here for the one before: two of them make one secret."""
    found = lock_rows(Project.objects.filter(pk=project_id), skip_locked=False)
    if not found:
        raise ProjectUnknown()
    if not found[0].is_active:
        raise ProjectInactive()


def _lock(project_id: UUID, name: str) -> Secret | None:
    rows = Secret.objects.filter(project_id=project_id, name=name, deleted_at=None)
    return next(iter(lock_rows(rows, skip_locked=False)), None)


def _draft(secret: Secret, event: str, fields: tuple[str, ...]) -> EventDraft:
    payload: dict[str, Any] = {"name": secret.name, "set": secret.get_json_fields(fields)}
    return EventDraft(row=secret, type=event, payload=payload, project_id=secret.project_id)
