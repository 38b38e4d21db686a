"""A content as blocks: one raw block, or a balanced UnixFS tree of raw chunks.

The same tree kubo builds for `ipfs add --cid-version=1` (chunks of 256 KiB, raw leaves, 174 links
to a node), so the root CID is the same. Sources: the UnixFS and DAG-PB specifications of
github.com/ipfs/specs and ipld/ipld. Reading is strict: a node with anything this writer never
writes is refused.
"""

from collections.abc import Iterator
from typing import Final

from apps.content.data import CHUNK_BYTES, LINKS_PER_NODE, Block, Codec, FileNode, Link
from apps.content.domain.names import block_cid, cid_bytes, cid_text, parse_cid, parse_cid_bytes
from apps.content.errors import CidInvalid, ContentTampered

_FILE_TYPE: Final = 2


def cid_of(data: bytes) -> str:
    """The CID of a content, without storing it."""
    return content_blocks(data)[-1].cid


def content_blocks(data: bytes) -> tuple[Block, ...]:
    """All blocks of a content, children before parents; the last one is the root."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)] or [b""]
    blocks = [Block(cid=block_cid(Codec.RAW, chunk), data=chunk) for chunk in chunks]
    level = [
        Link(cid=block.cid, content_bytes=len(block.data), stored_bytes=len(block.data)) for block in blocks
    ]

    while len(level) > 1:
        parents = []
        for at in range(0, len(level), LINKS_PER_NODE):
            node = FileNode(links=tuple(level[at : at + LINKS_PER_NODE]))
            encoded = encode_node(node)
            block = Block(cid=block_cid(Codec.DAG_PB, encoded), data=encoded)
            blocks.append(block)
            parents.append(
                Link(
                    cid=block.cid,
                    content_bytes=node.content_bytes,
                    stored_bytes=len(encoded) + sum(link.stored_bytes for link in node.links),
                )
            )
        level = parents

    return tuple(blocks)


def encode_node(node: FileNode) -> bytes:
    """The canonical dag-pb bytes: links first, then the UnixFS data."""
    links = b"".join(
        _field(2, _field(1, cid_bytes(parse_cid(link.cid))) + _field(2, b"") + _number(3, link.stored_bytes))
        for link in node.links
    )
    sizes = b"".join(_number(4, link.content_bytes) for link in node.links)
    return links + _field(1, _number(1, _FILE_TYPE) + _number(3, node.content_bytes) + sizes)


def decode_node(cid: str, data: bytes) -> FileNode:
    """Read a dag-pb node of a chunked file; raise ContentTampered for any other bytes."""
    raw_links: list[bytes] = []
    unixfs = b""
    for number, value in _fields(cid, data):
        if number == 2 and isinstance(value, bytes) and not unixfs:
            raw_links.append(value)
        elif number == 1 and isinstance(value, bytes) and not unixfs:
            unixfs = value
        else:
            raise ContentTampered(cid=cid, reason="not a file node")

    sizes = [value for number, value in _fields(cid, unixfs) if number == 4 and isinstance(value, int)]
    if len(sizes) != len(raw_links) or not sizes:
        raise ContentTampered(cid=cid, reason="links and sizes differ in number")
    links = [_decode_link(cid, raw, size) for raw, size in zip(raw_links, sizes, strict=True)]

    node = FileNode(links=tuple(links))
    if encode_node(node) != data:
        raise ContentTampered(cid=cid, reason="not in canonical form")
    return node


def child_bytes_of(content_bytes: int) -> int:
    """How much content each full child of a root over `content_bytes` holds."""
    child_bytes = CHUNK_BYTES
    while child_bytes * LINKS_PER_NODE < content_bytes:
        child_bytes *= LINKS_PER_NODE
    return child_bytes


def require_balanced(cid: str, node: FileNode, child_bytes: int) -> None:
    """Raise ContentTampered unless all children are full (`child_bytes`) but the last.

    So a tree has no more blocks and no more levels than its declared size explains.
    """
    codec = Codec.RAW if child_bytes == CHUNK_BYTES else Codec.DAG_PB
    is_balanced = (
        len(node.links) <= LINKS_PER_NODE
        and all(link.content_bytes == child_bytes for link in node.links[:-1])
        and 0 < node.links[-1].content_bytes <= child_bytes
        and all(parse_cid(link.cid).codec is codec for link in node.links)
    )
    if not is_balanced:
        raise ContentTampered(cid=cid, reason="not a balanced tree of chunks")


def _decode_link(cid: str, raw: bytes, content_bytes: int) -> Link:
    fields = dict(_fields(cid, raw))
    child, stored_bytes = fields.get(1), fields.get(3)
    if not isinstance(child, bytes) or not isinstance(stored_bytes, int):
        raise ContentTampered(cid=cid, reason="not a link")
    try:
        child_cid = cid_text(parse_cid_bytes(child))
    except CidInvalid as exc:
        raise ContentTampered(cid=cid, reason="a link to an unknown kind of block") from exc
    return Link(cid=child_cid, content_bytes=content_bytes, stored_bytes=stored_bytes)


def _fields(cid: str, data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The protobuf fields of a message: varints as int, length-delimited ones as bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(cid, data, at)
        value, at = _read_varint(cid, data, at)
        if tag & 7 == 0:
            yield tag >> 3, value
        elif tag & 7 == 2 and at + value <= len(data):
            yield tag >> 3, data[at : at + value]
            at += value
        else:
            raise ContentTampered(cid=cid, reason="not protobuf")


def _read_varint(cid: str, data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ContentTampered(cid=cid, reason="not protobuf")


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
