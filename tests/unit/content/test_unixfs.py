"""The tree of a chunked file: written balanced, read strictly."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.content.data import CHUNK_BYTES, Codec, FileNode, Link
from apps.content.domain.names import block_cid
from apps.content.domain.unixfs import (
    child_bytes_of,
    content_blocks,
    decode_node,
    encode_node,
    require_balanced,
)
from apps.content.errors import ContentTampered

RAW = block_cid(Codec.RAW, b"chunk")
NODE = block_cid(Codec.DAG_PB, b"node")


def link(cid: str = RAW, content_bytes: int = CHUNK_BYTES) -> Link:
    return Link(cid=cid, content_bytes=content_bytes, stored_bytes=content_bytes)


def test_the_root_comes_last_and_the_chunks_in_order():
    data = bytes(CHUNK_BYTES) + b"tail"
    *chunks, root = content_blocks(data)
    assert b"".join(block.data for block in chunks) == data
    node = decode_node(root.cid, root.data)
    assert [found.cid for found in node.links] == [block.cid for block in chunks]
    assert node.content_bytes == len(data)


def test_a_node_reads_back_as_it_was_written():
    node = FileNode(links=(link(), link(), link(content_bytes=7)))
    assert decode_node("x", encode_node(node)) == node


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x00",
        b"\xff" * 12,
        encode_node(FileNode(links=(link(),))) + b"\x0a\x00",
        encode_node(FileNode(links=(link(),)))[:-1],
        b"\x0a\x04\x08\x02\x18\x00",
        b"\x12\x00" + b"\x0a\x06\x08\x02\x18\x01\x20\x01",
        b"\x0a\x06\x08\x01\x18\x01\x20\x01",
    ],
)
def test_bytes_that_are_no_file_node_are_refused(damaged: bytes):
    with pytest.raises(ContentTampered):
        decode_node("x", damaged)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_node_or_refused(data: bytes):
    try:
        node = decode_node("x", data)
    except ContentTampered:
        return
    assert encode_node(node) == data


@given(st.data())
def test_a_node_with_one_byte_changed_is_another_node_or_refused(data):
    node = FileNode(links=(link(), link(content_bytes=9)))
    encoded = bytearray(encode_node(node))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ContentTampered):
        assert decode_node("x", bytes(encoded)) != node


def test_children_of_a_root_are_full_at_one_height():
    sizes = [child_bytes_of(size) for size in (CHUNK_BYTES + 1, 174 * CHUNK_BYTES, 174 * CHUNK_BYTES + 1)]
    assert sizes == [CHUNK_BYTES, CHUNK_BYTES, 174 * CHUNK_BYTES]
    assert all(small <= large for small, large in pairwise(sizes))


@pytest.mark.parametrize(
    "links",
    [
        (link(content_bytes=1), link()),
        (link(), link(content_bytes=0)),
        (link(), link(content_bytes=CHUNK_BYTES + 1)),
        (link(), link(cid=NODE)),
        tuple(link() for _ in range(175)),
    ],
)
def test_a_tree_that_is_not_balanced_is_refused(links: tuple[Link, ...]):
    with pytest.raises(ContentTampered):
        require_balanced("x", FileNode(links=links), CHUNK_BYTES)
