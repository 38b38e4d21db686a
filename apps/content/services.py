"""Storing contents. There are no rows: a content is its own name."""

from django.conf import settings

from apps.content.errors import ContentTooLarge
from apps.content.selectors import get_store


def content_put(data: bytes) -> str:
    """Store an upload and return its CID; again is a no-op.

    Raises ContentTooLarge beyond the upload limit, ContentStoreFull, ContentUnavailable.
    """
    limit_bytes = settings.FOREKEEP.content.upload_max_bytes
    if len(data) > limit_bytes:
        raise ContentTooLarge(limit_bytes=limit_bytes)
    return get_store().put(data)
