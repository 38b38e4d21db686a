"""Blocks as files: `<root>/<shard>/<cid>`, written aside and renamed, so a file is whole or absent.

A block that is there already is compared, not trusted: a damaged one is replaced. What a killed
writer leaves behind lies in `<root>/.tmp` and is swept when the folder is opened an hour later.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from apps.content.data import CHUNK_BYTES, Block
from apps.content.errors import ContentStoreFull, ContentUnavailable

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LEFTOVER_SECONDS: Final = 3600


class DiskBlocks:
    """Blocks under one folder; any number of processes may share it."""

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        self._root = root
        self._temporary = root / ".tmp"
        self._durable = durable
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _store_error(exc) from exc
        self._sweep()

    def write(self, blocks: Sequence[Block]) -> None:
        """See Blocks."""
        for block in blocks:
            path = self._path(block.cid)
            if not _holds(path, block.data):
                self._write_whole(path, block.data)

    def read(self, cids: Sequence[str]) -> Mapping[str, bytes]:
        """See Blocks. At most one byte more than a block may have is read of each."""
        found = {}
        for cid in cids:
            try:
                with self._path(cid).open("rb", buffering=0) as file:
                    found[cid] = file.read(CHUNK_BYTES + 1)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise _store_error(exc) from exc
        return found

    def has(self, cid: str) -> bool:
        """See Blocks."""
        return self._path(cid).is_file()

    def discard(self, cid: str) -> None:
        """Forget a block (a cache does that with a damaged one)."""
        with contextlib.suppress(OSError):
            self._path(cid).unlink()

    def _path(self, cid: str) -> Path:
        return self._root / cid[-3:-1] / cid

    def _write_whole(self, path: Path, data: bytes) -> None:
        temporary = self._temporary / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                _write_all(descriptor, data)
                if self._durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _move(temporary, path)
            if self._durable:
                _sync_folder(path.parent)
        except OSError as exc:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise _store_error(exc) from exc

    def _sweep(self) -> None:
        """Remove what killed writers left; a writer at work has touched its file within the hour."""
        before = time.time() - _LEFTOVER_SECONDS
        with contextlib.suppress(OSError):
            for path in self._temporary.iterdir():
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.unlink()


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _move(temporary: Path, path: Path) -> None:
    """Give the file its name; its folder is made only where it is missing."""
    try:
        temporary.replace(path)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        temporary.replace(path)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store_error(exc: OSError) -> ContentStoreFull | ContentUnavailable:
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno in _FULL:
        return ContentStoreFull(reason=reason)
    return ContentUnavailable(reason=reason)
