"""Contents by their own hash: what is read is what was named, or an error.

`put` cuts a content into blocks and stores the root last, so a root that can be read has all its
blocks. `get` hashes every block it reads. A store is safe to share between threads and processes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from apps.content.blocks.cached import CachedBlocks
from apps.content.blocks.disk import DiskBlocks
from apps.content.blocks.port import Blocks
from apps.content.blocks.remote import RemoteBlocks
from apps.content.data import CHUNK_BYTES, STORE_MAX_BYTES, Block, Codec, Link
from apps.content.domain.names import parse_cid
from apps.content.domain.unixfs import child_bytes_of, content_blocks, decode_node, require_balanced
from apps.content.errors import ContentMissing, ContentTampered, ContentTooLarge, ContentUrlInvalid
from apps.kernel.hashing import sha256


class ContentStore(Protocol):
    """Where contents live."""

    def put(self, data: bytes) -> str:
        """Store a content and return its CID; again is a no-op that also heals damaged blocks.

        Raises ContentTooLarge, ContentStoreFull, ContentUnavailable.
        """
        ...

    def get(self, cid: str) -> bytes:
        """The content, every block verified.

        Raises CidInvalid, ContentMissing, ContentTampered, ContentTooLarge, ContentUnavailable.
        """
        ...

    def has(self, cid: str) -> bool:
        """Whether the root block is there (unverified); raises CidInvalid, ContentUnavailable."""
        ...


class BlockContentStore:
    """The one ContentStore: contents over any place that keeps blocks."""

    def __init__(self, blocks: Blocks, *, max_bytes: int = STORE_MAX_BYTES) -> None:
        self._blocks = blocks
        self._max_bytes = max_bytes

    def put(self, data: bytes) -> str:
        """See ContentStore."""
        if len(data) > self._max_bytes:
            raise ContentTooLarge(limit_bytes=self._max_bytes, size_bytes=len(data))
        *below, root = content_blocks(data)
        if below:
            self._blocks.write(below)
        self._blocks.write([root])
        return root.cid

    def get(self, cid: str) -> bytes:
        """See ContentStore."""
        root = parse_cid(cid)
        data = self._read_verified([cid])[cid]
        if root.codec is Codec.RAW:
            return data

        node = decode_node(cid, data)
        if node.content_bytes > self._max_bytes:
            raise ContentTooLarge(limit_bytes=self._max_bytes, size_bytes=node.content_bytes)
        child_bytes = child_bytes_of(node.content_bytes)
        require_balanced(cid, node, child_bytes)
        return self._read_below(node.links, child_bytes)

    def has(self, cid: str) -> bool:
        """See ContentStore."""
        parse_cid(cid)
        return self._blocks.has(cid)

    def _read_below(self, links: Sequence[Link], child_bytes: int) -> bytes:
        """The content under one level of links, a level at a time."""
        while child_bytes > CHUNK_BYTES:
            found = self._read_verified([link.cid for link in links])
            child_bytes = child_bytes_of(child_bytes)
            below: list[Link] = []
            for link in links:
                node = decode_node(link.cid, found[link.cid])
                require_balanced(link.cid, node, child_bytes)
                _require_size(link, node.content_bytes)
                below.extend(node.links)
            links = below

        found = self._read_verified([link.cid for link in links])
        for link in links:
            _require_size(link, len(found[link.cid]))
        return b"".join(found[link.cid] for link in links)

    def _read_verified(self, cids: Sequence[str]) -> Mapping[str, bytes]:
        found = self._blocks.read(list(dict.fromkeys(cids)))
        for cid in cids:
            if cid not in found:
                raise ContentMissing(cid=cid)
            if not is_intact(Block(cid=cid, data=found[cid])):
                raise ContentTampered(cid=cid, reason="the bytes hash to another id")
        return found


def is_intact(block: Block) -> bool:
    """Whether the bytes hash to the block's name."""
    return parse_cid(block.cid).digest == sha256(block.data)


def open_store(
    url: str, cache_dir: Path | None = None, *, max_bytes: int = STORE_MAX_BYTES, durable: bool = False
) -> ContentStore:
    """Open `file:///path`, `s3://bucket/prefix` or `memory://prefix`, with a disk cache where given.

    S3 takes its endpoint and credentials from the AWS SDK's own environment. `durable` makes disk
    writes survive a power cut (fsync). Raises ContentUrlInvalid, ContentUnavailable.
    """
    parts = urlsplit(url)
    blocks: Blocks
    if parts.scheme == "file" and not parts.netloc and parts.path:
        blocks = DiskBlocks(Path(unquote(parts.path)), durable=durable)
    elif parts.scheme in ("s3", "memory") and (parts.netloc or parts.path):
        blocks = RemoteBlocks(url)
    else:
        raise ContentUrlInvalid(url=url, accepted="file:///path, s3://bucket/prefix, memory://prefix")
    if cache_dir is not None:
        blocks = CachedBlocks(origin=blocks, cache=DiskBlocks(cache_dir), is_intact=is_intact)
    return BlockContentStore(blocks, max_bytes=max_bytes)


def _require_size(link: Link, found_bytes: int) -> None:
    if link.content_bytes != found_bytes:
        raise ContentTampered(cid=link.cid, reason="another size than its parent says")
