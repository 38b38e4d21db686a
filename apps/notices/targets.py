"""Alert targets: made, changed, taken out, tried. Their URLs are sealed and shown to nobody."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.kernel.ids import new_id
from apps.notices.apprising import make_apprise
from apps.notices.data import SEALED_AS
from apps.notices.domain.event_types import ALERT_TYPES, require_types
from apps.notices.domain.targets import MAIL, require_target
from apps.notices.errors import EndpointInactive, EndpointsTooMany, TargetInvalid
from apps.notices.models import TARGET_FIELDS, Alert, AlertTarget
from apps.notices.writing import MOST, alerts_cancel, cursor_ensure, draft_of, lock_target
from apps.vault.sealing import seal


def target_create(*, project_id: UUID, label: str, url: str, event_types: Sequence[str] = ()) -> AlertTarget:
    """Make a target that is told of what happens from now on.

    Raises TargetInvalid, EventTypeUnknown, EndpointsTooMany.
    """
    types = require_types(event_types, ALERT_TYPES, "/event_types")
    schema = _require_url(url)
    with transaction.atomic():
        if AlertTarget.objects.filter(project_id=project_id, deleted_at=None).count() >= MOST:
            raise EndpointsTooMany(most=MOST)
        now = get_database_now()
        row = AlertTarget(
            id=new_id(),
            project_id=project_id,
            label=label,
            schema=schema,
            url=seal(url, SEALED_AS),
            event_types=list(types),
            after_number=cursor_ensure(),
            created_at=now,
        )
        rows_create([row], [draft_of(row, "alert_target.created", TARGET_FIELDS)], now=now)
    return row


def target_update(
    *,
    target_id: UUID,
    project_ids: Collection[UUID] | None = None,
    version: int | None = None,
    **wanted: Any,
) -> AlertTarget:
    """Change `label`, `url`, `event_types` or `is_active`; off, what is still to be sent is not.

    Raises TargetUnknown, TargetInvalid, EventTypeUnknown, PreconditionFailed.
    """
    with transaction.atomic():
        row = lock_target(target_id, project_ids, version)
        if "url" in wanted:
            row.schema, row.url, row.last_error = (
                _require_url(wanted["url"]),
                seal(wanted["url"], SEALED_AS),
                "",
            )
        if "event_types" in wanted:
            row.event_types = list(require_types(wanted["event_types"], ALERT_TYPES, "/event_types"))
        row.label = wanted.get("label", row.label)
        is_active = wanted.get("is_active", row.is_active)
        if is_active and not row.is_active:
            row.after_number = cursor_ensure()
        if row.is_active and not is_active:
            alerts_cancel([row.id])
        row.is_active = is_active
        changed = ("label", "schema", "event_types", "is_active")
        drafts = [draft_of(row, "alert_target.updated", changed)]
        rows_write([row], (*changed, "url", "after_number", "last_error"), drafts)
    return row


def target_delete(
    *, target_id: UUID, project_ids: Collection[UUID] | None = None, version: int | None = None
) -> None:
    """Take a target out. Raises TargetUnknown, PreconditionFailed."""
    with transaction.atomic():
        row = lock_target(target_id, project_ids, version)
        row.is_active, row.deleted_at, row.url = False, get_database_now(), ""
        alerts_cancel([row.id])
        changed = ("is_active", "deleted_at")
        rows_write([row], (*changed, "url"), [draft_of(row, "alert_target.deleted", changed)])


def target_test(*, target_id: UUID, project_ids: Collection[UUID] | None = None) -> Alert:
    """Have a test alert sent. Raises TargetUnknown, EndpointInactive."""
    with transaction.atomic():
        row = lock_target(target_id, project_ids)
        if not row.is_active:
            raise EndpointInactive(reason="by_hand")
        now = get_database_now()
        return Alert.objects.create(
            target=row,
            key=f"test:{new_id().hex}",
            title="Forekeep: a test",
            body=f"Alerts for {row.label} arrive here.",
            next_at=now,
            created_at=now,
        )


def _require_url(url: str) -> str:
    """The schema of a URL that is allowed, that apprise can read and that can be sent; or TargetInvalid."""
    schema = require_target(url)
    if schema == MAIL:
        if not settings.FOREKEEP.notices.mail_url:
            raise TargetInvalid(pointer="/url", reason="this deployment has no mail server set up")
        return schema
    if make_apprise().instantiate(url, suppress_exceptions=True) is None:
        raise TargetInvalid(pointer="/url", reason=f"{schema}:// needs other parts than these")
    return schema
