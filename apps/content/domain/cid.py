"""What others ask about content ids: the CID of a content, its digest, whether a text is one."""

from apps.content.domain.names import parse_cid
from apps.content.domain.unixfs import cid_of

__all__ = ["cid_digest", "cid_of", "parse_cid"]


def cid_digest(text: str) -> bytes:
    """The 32-byte digest inside a CID, which is what goes on chain; raise CidInvalid."""
    return parse_cid(text).digest
