"""What the content store refuses, and what can go wrong with what it holds."""

from apps.kernel.errors import Conflict, DomainError, Invalid, NotFound


class CidInvalid(Invalid):
    """Text that is no CIDv1 of a kind stored here (raw or dag-pb, sha2-256, base32)."""

    code = "cid_invalid"
    title = "The content id is not valid"


class ContentTooLarge(Invalid):
    """More bytes than the store, or the door, takes."""

    code = "content_too_large"
    title = "The content is too large"


class ContentMissing(NotFound):
    """A block of this content is not in the store."""

    code = "content_missing"
    title = "No such content"


class ContentTampered(Conflict):
    """A stored block does not hash to its name, or a file's tree does not add up."""

    code = "content_tampered"
    title = "The stored content does not match its id"


class ContentStoreFull(DomainError):
    """The disk, or the quota, has no room; nothing of the block was kept."""

    code = "content_store_full"
    title = "The content store is full"


class ContentUnavailable(DomainError):
    """The store cannot be reached or refuses access; trying again may help."""

    code = "content_unavailable"
    title = "The content store cannot be reached"


class ContentUrlInvalid(Invalid):
    """A store URL of an unknown kind."""

    code = "content_url_invalid"
    title = "The content store's URL is not valid"
