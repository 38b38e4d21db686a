"""Reading secrets: their names for those who look, their values for those who send them."""

from collections.abc import Collection, Iterable
from uuid import UUID

from django.db.models import QuerySet

from apps.vault.errors import SecretUnknown
from apps.vault.models import Secret
from apps.vault.sealing import unseal


def get_secrets(project_ids: Collection[UUID] | None) -> "QuerySet[Secret]":
    """The live secrets of these projects, of all where None; what is sealed is not read."""
    rows = Secret.objects.filter(deleted_at=None).defer("sealed")
    return rows if project_ids is None else rows.filter(project_id__in=project_ids)


def require_secrets(project_id: UUID, names: Iterable[str]) -> None:
    """Raise SecretUnknown for the first of these names that the project has no secret of."""
    wanted = sorted(set(names))
    if wanted:
        _require_all(wanted, get_secrets([project_id]).filter(name__in=wanted).values_list("name", flat=True))


def get_secret_values(project_id: UUID, names: Iterable[str]) -> dict[str, str]:
    """The values by name. Raises SecretUnknown, SecretUnreadable.

    For what leaves at once in a request: to be kept, logged or answered by nobody.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = {row.name: row for row in get_secrets([project_id]).filter(name__in=wanted).defer(None)}
    _require_all(wanted, rows)
    return {name: unseal(row.sealed, row.purpose) for name, row in rows.items()}


def _require_all(wanted: Iterable[str], found: Iterable[str]) -> None:
    known = set(found)
    for name in wanted:
        if name not in known:
            raise SecretUnknown(name=name[:64])
