"""The values of content addressing."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: A file up to this size is one raw block; above, it is cut into chunks of this size (kubo's default).
CHUNK_BYTES: Final = 262_144
#: Children of one node of a chunked file (kubo's default).
LINKS_PER_NODE: Final = 174
#: The most a store takes for one content unless it is opened with another limit.
STORE_MAX_BYTES: Final = 64 * 1024 * 1024


class Codec(IntEnum):
    """How a block's bytes are read (multicodec numbers)."""

    #: The bytes are the content.
    RAW = 0x55
    #: The bytes are a dag-pb node of a UnixFS file.
    DAG_PB = 0x70


@dataclass(frozen=True, slots=True, kw_only=True)
class Cid:
    """A CIDv1 over sha2-256."""

    codec: Codec
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block and the CID text its bytes hash to."""

    cid: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One child of a file node: its CID, the content bytes below it, and all bytes stored below it."""

    cid: str
    content_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNode:
    """A dag-pb node of a chunked file: its children in order."""

    links: tuple[Link, ...]

    @property
    def content_bytes(self) -> int:
        """The size of the content below."""
        return sum(link.content_bytes for link in self.links)
