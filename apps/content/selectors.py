"""The control plane's content store, opened once per process from its settings."""

from functools import cache

from django.conf import settings

from apps.content.store import ContentStore, open_store


def get_store() -> ContentStore:
    """The store CONTENT_URL names; raises ContentUrlInvalid, ContentUnavailable."""
    return _open_once(settings.FOREKEEP.content.url)


def get_content(cid: str) -> bytes:
    """A content, verified. Raises CidInvalid, ContentMissing, ContentTampered, ContentUnavailable."""
    return get_store().get(cid)


@cache
def _open_once(url: str) -> ContentStore:
    return open_store(url)
