"""What can be wrong with what a job keeps."""

from apps.kernel.errors import Invalid, NotFound


class StorageUpdatesInvalid(Invalid):
    """Updates that are no object of plain JSON under plain keys. Fields: reason."""

    code = "storage_updates_invalid"
    title = "The storage updates are not valid"


class StorageTooLarge(Invalid):
    """More keys, a larger value, or more in all than a job may keep. Fields: reason, limit."""

    code = "storage_too_large"
    title = "The job would keep too much"


class StoredValueNotFound(NotFound):
    """The job keeps nothing under this key."""

    code = "stored_value_not_found"
    title = "Nothing is kept under this key"
