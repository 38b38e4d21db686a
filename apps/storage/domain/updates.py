"""What a custom script may keep between runs, and which of two runs that keep the same wins.

A run reads one snapshot, taken when it was opened, and asks for updates of it: a value for each key, null
for what is to be forgotten. They are carried out when the run's task is confirmed, all or none: each
updated key must still have the version of the snapshot (0: there was none). A version is never used
twice within a job. Performer, attesters and the database use these same rules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.eventlog.domain.forms import json_form
from apps.eventlog.errors import SecretInPayload
from apps.kernel.hashing import canonical_json
from apps.kernel.reading import FieldInvalid, escape, require_plain
from apps.storage.errors import StorageTooLarge, StorageUpdatesInvalid

ABSENT: Final = 0
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """What one job may keep. A value is as large as its canonical JSON; in all, keys count too."""

    keys_max: int
    value_max_bytes: int
    total_max_bytes: int

    def to_json(self) -> dict[str, int]:
        """The form a specification carries."""
        return {
            "keys_max": self.keys_max,
            "value_max_bytes": self.value_max_bytes,
            "total_max_bytes": self.total_max_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One value and its version."""

    value: Any
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a job kept when a run was opened, and what it may keep."""

    stored: Mapping[str, Stored]
    limits: StorageLimits

    @property
    def values(self) -> dict[str, Any]:
        """What the script reads."""
        return {key: each.value for key, each in self.stored.items()}

    @property
    def versions(self) -> dict[str, int]:
        """What updates are compared with."""
        return {key: each.version for key, each in self.stored.items()}

    def to_json(self) -> dict[str, Any]:
        """The form a specification carries."""
        stored = {
            key: {"value": self.stored[key].value, "version": self.stored[key].version}
            for key in sorted(self.stored)
        }
        return {"values": stored, "limits": self.limits.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one task's updates: carried out, or none of them with the reason and the keys."""

    written: Mapping[str, Any]
    deleted: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_applied(self) -> bool:
        """Whether anything of it is carried out."""
        return not self.reason


def snapshot_from_json(given: Any) -> Snapshot:
    """Read `Snapshot.to_json()` back; raise StorageUpdatesInvalid for anything else."""
    try:
        limits = StorageLimits(**{name: _count(value) for name, value in given["limits"].items()})
        stored = {
            _require_key(key, "/storage"): Stored(value=each["value"], version=_count(each["version"]))
            for key, each in given["values"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise StorageUpdatesInvalid(pointer="/storage", reason=repr(exc)[:200]) from None
    return Snapshot(stored=stored, limits=limits)


def read_updates(output: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """The updates an output asks for: key → value, None where the key is to be forgotten; mostly empty.

    Raises StorageUpdatesInvalid, and StorageTooLarge where the snapshot with them would be too large.
    """
    given = output.get("storage_updates")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise StorageUpdatesInvalid(pointer="/storage_updates", reason="an object is expected")
    most = 2 * snapshot.limits.keys_max
    if len(given) > most:
        raise StorageTooLarge(pointer="/storage_updates", reason="too many updates", limit=most)
    updates = {key: require_storable(key, given[key], "/storage_updates") for key in given}
    require_room(_merged(snapshot.values, updates), snapshot.limits, "/storage_updates")
    return {key: updates[key] for key in sorted(updates)}


def require_storable(key: Any, value: Any, pointer: str) -> Any:
    """The value as it is kept under a key; raise StorageUpdatesInvalid for a key or a value that is not.

    A value is read back and shown: what no store hands back unchanged, and what looks like a secret, is
    refused.
    """
    _require_key(key, pointer)
    where = f"{pointer}/{escape(key)}"
    try:
        require_plain(value, where)
        json_form(key)
        return json_form({key: value})[key]
    except FieldInvalid as exc:
        raise StorageUpdatesInvalid(pointer=where, **exc.fields) from None
    except SecretInPayload:
        raise StorageUpdatesInvalid(pointer=where, reason="it looks like a secret") from None


def require_room(values: Mapping[str, Any], limits: StorageLimits, pointer: str) -> None:
    """Raise StorageTooLarge unless a job may keep these values."""
    if len(values) > limits.keys_max:
        raise StorageTooLarge(pointer=pointer, reason="too many keys", limit=limits.keys_max)
    total = 0
    for key, value in values.items():
        size = len(canonical_json(value))
        if size > limits.value_max_bytes:
            where = f"{pointer}/{escape(key)}"
            raise StorageTooLarge(
                pointer=where, reason="a value too large", bytes=size, limit=limits.value_max_bytes
            )
        total += len(key) + size
    if total > limits.total_max_bytes:
        raise StorageTooLarge(
            pointer=pointer, reason="too much in all", bytes=total, limit=limits.total_max_bytes
        )


def plan_updates(
    present: Mapping[str, Stored],
    versions: Mapping[str, int],
    updates: Mapping[str, Any],
    limits: StorageLimits,
) -> Plan:
    """Compare and set: what these updates of a snapshot with these versions do to what is there now."""
    moved = tuple(key for key in sorted(updates) if _version_of(present, key) != versions.get(key, ABSENT))
    if moved:
        return Plan(written={}, conflicts=moved, reason="version_moved")
    try:
        merged = _merged({key: each.value for key, each in present.items()}, updates)
        require_room(merged, limits, "")
    except StorageTooLarge as exc:
        return Plan(written={}, conflicts=tuple(sorted(updates)), reason=exc.code)
    return Plan(
        written={key: value for key, value in sorted(updates.items()) if value is not None},
        deleted=tuple(key for key in sorted(updates) if updates[key] is None and key in present),
    )


def carry_out(present: Mapping[str, Stored], plan: Plan, *, version: int) -> dict[str, Stored]:
    """What is there after a plan, which gives everything it writes this version."""
    kept = {key: each for key, each in present.items() if key not in plan.deleted}
    return kept | {key: Stored(value=value, version=version) for key, value in plan.written.items()}


def _merged(values: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**values, **updates}.items() if value is not None}


def _version_of(present: Mapping[str, Stored], key: str) -> int:
    return present[key].version if key in present else ABSENT


def _require_key(key: Any, pointer: str) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise StorageUpdatesInvalid(
            pointer=pointer, reason="a key is 1 to 64 letters, digits, `_`, `.` and `-`", key=repr(key)[:80]
        )
    return key


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError("a count is a non-negative integer")
    return value
