"""A store over a disk folder or a memory file system: whole contents, verified, or an error."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apps.content.blocks.disk import DiskBlocks
from apps.content.data import CHUNK_BYTES, Block, Codec, FileNode, Link
from apps.content.domain.cid import cid_of
from apps.content.domain.names import block_cid
from apps.content.domain.unixfs import content_blocks, encode_node
from apps.content.errors import (
    CidInvalid,
    ContentMissing,
    ContentStoreFull,
    ContentTampered,
    ContentTooLarge,
    ContentUnavailable,
    ContentUrlInvalid,
)
from apps.content.store import ContentStore, open_store

SIZES = [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 17]


@pytest.fixture(params=["file", "memory", "cached"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "file":
        return open_store(f"file://{tmp_path}/content")
    if request.param == "memory":
        return open_store(f"memory://{tmp_path.name}")
    return open_store(f"memory://{tmp_path.name}", cache_dir=tmp_path / "cache")


def block_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("bafk*")) + sorted(path for path in root.rglob("bafy*"))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_is_got(store: ContentStore, size: int):
    data = os.urandom(size)
    cid = store.put(data)
    assert cid == cid_of(data)
    assert store.has(cid)
    assert store.get(cid) == data


def test_a_content_of_two_levels_is_got(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    data = bytes(174 * CHUNK_BYTES) + b"tail"
    assert store.get(store.put(data)) == data


def test_putting_again_changes_nothing(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(b"once")
    before = [(path, path.stat().st_ino) for path in block_files(tmp_path)]
    assert store.put(b"once") == cid
    assert [(path, path.stat().st_ino) for path in block_files(tmp_path)] == before


def test_a_content_that_is_not_there_is_missing(store: ContentStore):
    cid = cid_of(b"never put")
    assert not store.has(cid)
    with pytest.raises(ContentMissing):
        store.get(cid)


def test_text_that_is_no_cid_is_refused(store: ContentStore):
    for read in (store.get, store.has):
        with pytest.raises(CidInvalid):
            read("../../etc/passwd")


def test_a_tampered_block_is_refused(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(b"the truth")
    (path,) = block_files(tmp_path)
    path.write_bytes(b"the trutH")
    with pytest.raises(ContentTampered):
        store.get(cid)


def test_a_tampered_block_of_a_chunked_content_is_refused(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(os.urandom(3 * CHUNK_BYTES))
    for path in block_files(tmp_path):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ContentTampered):
            store.get(cid)
        path.write_bytes(whole)
    assert len(store.get(cid)) == 3 * CHUNK_BYTES


def test_a_lost_chunk_is_missing(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(os.urandom(2 * CHUNK_BYTES))
    block_files(tmp_path)[0].unlink()
    with pytest.raises(ContentMissing):
        store.get(cid)


def test_a_block_grown_to_any_size_is_read_no_further_than_a_block_goes(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(b"small")
    (path,) = block_files(tmp_path)
    os.truncate(path, 1 << 40)
    with pytest.raises(ContentTampered):
        store.get(cid)


def test_putting_again_heals_a_damaged_block(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    cid = store.put(b"the truth")
    (path,) = block_files(tmp_path)
    path.write_bytes(b"")
    assert store.put(b"the truth") == cid
    assert store.get(cid) == b"the truth"


def test_more_than_the_limit_is_refused_and_nothing_is_written(tmp_path: Path):
    store = open_store(f"file://{tmp_path}", max_bytes=10)
    assert store.get(store.put(b"0123456789")) == b"0123456789"
    with pytest.raises(ContentTooLarge) as refused:
        store.put(b"0123456789-")
    assert (refused.value.limit_bytes, refused.value.size_bytes) == (10, 11)
    assert len(block_files(tmp_path)) == 1


def test_a_tree_that_declares_more_than_the_limit_is_not_walked(tmp_path: Path):
    open_store(f"file://{tmp_path}").put(bytes(2 * CHUNK_BYTES))
    with pytest.raises(ContentTooLarge):
        open_store(f"file://{tmp_path}", max_bytes=CHUNK_BYTES).get(cid_of(bytes(2 * CHUNK_BYTES)))


def test_a_parent_that_lies_about_its_childs_size_is_refused(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    chunk = store.put(bytes(CHUNK_BYTES))
    short = store.put(b"short")
    lying = encode_node(
        FileNode(
            links=(
                Link(cid=chunk, content_bytes=CHUNK_BYTES, stored_bytes=CHUNK_BYTES),
                Link(cid=short, content_bytes=900, stored_bytes=900),
            )
        )
    )
    root = Block(cid=block_cid(Codec.DAG_PB, lying), data=lying)
    DiskBlocks(tmp_path).write([root])
    with pytest.raises(ContentTampered):
        store.get(root.cid)


def test_raw_bytes_that_look_like_a_node_are_only_bytes(tmp_path: Path):
    store = open_store(f"file://{tmp_path}")
    root = content_blocks(bytes(2 * CHUNK_BYTES))[-1]
    cid = store.put(root.data)
    assert store.get(cid) == root.data
    assert not store.has(root.cid)


def test_many_writers_and_readers_of_one_content_see_it_whole_or_not_at_all(tmp_path: Path):
    data = os.urandom(3 * CHUNK_BYTES)
    cid = cid_of(data)
    start = threading.Barrier(8)

    def write(_: int) -> str:
        start.wait()
        return open_store(f"file://{tmp_path}").put(data)

    def read(_: int) -> bool:
        start.wait()
        store = open_store(f"file://{tmp_path}")
        for _attempt in range(200):
            if store.has(cid):
                return store.get(cid) == data
        return True

    with ThreadPoolExecutor(8) as pool:
        writes, reads = pool.map(write, range(4)), pool.map(read, range(4))
        assert set(writes) == {cid}
        assert all(reads)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    store = open_store(f"file://{tmp_path}")
    real_write = os.write

    def full(descriptor: int, view: memoryview) -> int:
        if len(view) > 3:
            return real_write(descriptor, view[:3])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("apps.content.blocks.disk.os.write", full)
    with pytest.raises(ContentStoreFull):
        store.put(b"0123456789")
    monkeypatch.undo()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not store.has(cid_of(b"0123456789"))


def test_a_disk_that_is_full_for_the_root_leaves_a_content_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = open_store(f"file://{tmp_path}")
    data = os.urandom(2 * CHUNK_BYTES)
    real_write = os.write

    def full(descriptor: int, view: memoryview) -> int:
        if len(view) < CHUNK_BYTES:
            raise OSError(errno.ENOSPC, "full")
        return real_write(descriptor, view)

    monkeypatch.setattr("apps.content.blocks.disk.os.write", full)
    with pytest.raises(ContentStoreFull):
        store.put(data)
    with pytest.raises(ContentMissing):
        store.get(cid_of(data))


def test_what_a_killed_writer_left_an_hour_ago_is_swept_and_a_fresh_one_is_not(tmp_path: Path):
    open_store(f"file://{tmp_path}")
    old, fresh = tmp_path / ".tmp" / "1-old", tmp_path / ".tmp" / "2-fresh"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    open_store(f"file://{tmp_path}")
    assert not old.exists()
    assert fresh.exists()


def test_a_cache_answers_when_the_origin_has_forgotten(tmp_path: Path):
    store = open_store(f"file://{tmp_path}/origin", cache_dir=tmp_path / "cache")
    cid = store.put(b"kept near")
    for path in block_files(tmp_path / "origin"):
        path.unlink()
    assert store.get(cid) == b"kept near"


def test_a_damaged_cache_entry_is_read_again_from_the_origin(tmp_path: Path):
    store = open_store(f"file://{tmp_path}/origin", cache_dir=tmp_path / "cache")
    cid = store.put(b"kept near")
    (path,) = block_files(tmp_path / "cache")
    path.write_bytes(b"kept naer")
    assert store.get(cid) == b"kept near"
    assert path.read_bytes() == b"kept near"


def test_a_block_read_from_the_origin_is_kept_in_the_cache(tmp_path: Path):
    cid = open_store(f"file://{tmp_path}/origin").put(b"far away")
    cached = open_store(f"file://{tmp_path}/origin", cache_dir=tmp_path / "cache")
    assert cached.get(cid) == b"far away"
    assert len(block_files(tmp_path / "cache")) == 1


def test_a_tampered_origin_is_refused_and_not_cached(tmp_path: Path):
    cid = open_store(f"file://{tmp_path}/origin").put(b"far away")
    block_files(tmp_path / "origin")[0].write_bytes(b"far awaY")
    cached = open_store(f"file://{tmp_path}/origin", cache_dir=tmp_path / "cache")
    with pytest.raises(ContentTampered):
        cached.get(cid)
    assert block_files(tmp_path / "cache") == []


@pytest.mark.parametrize("url", ["", "content", "file://host/path", "http://x/y", "file://", "s3://"])
def test_an_unknown_store_url_is_refused(url: str):
    with pytest.raises(ContentUrlInvalid):
        open_store(url)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(ContentUnavailable):
        open_store(f"file://{tmp_path}/a file/content")


def test_a_durable_store_keeps_what_it_is_given(tmp_path: Path):
    store = open_store(f"file://{tmp_path}", durable=True)
    assert store.get(store.put(b"through a power cut")) == b"through a power cut"
