"""Blocks as objects behind fsspec: S3 in production, memory in tests. An object is whole or absent."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import fsspec

from apps.content.data import Block
from apps.content.errors import ContentUnavailable


class RemoteBlocks:
    """Blocks under one URL, one request per block, many at once where the file system can.

    The client belongs to the process that made it: after a fork a fresh one is made.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._owner_pid = -1
        self._client: Any = None
        self._prefix = ""

    def write(self, blocks: Sequence[Block]) -> None:
        """See Blocks."""
        with self._translated() as client:
            client.pipe({self._key(block.cid): block.data for block in blocks})

    def read(self, cids: Sequence[str]) -> Mapping[str, bytes]:
        """See Blocks."""
        with self._translated() as client:
            found = client.cat([self._key(cid) for cid in cids], on_error="return")
        by_name = {key.rpartition("/")[2]: value for key, value in found.items()}
        blocks: dict[str, bytes] = {}
        for cid in cids:
            value = by_name.get(cid)
            if isinstance(value, bytes):
                blocks[cid] = value
            elif isinstance(value, Exception) and not isinstance(value, FileNotFoundError):
                raise ContentUnavailable(reason=_reason(value)) from value
        return blocks

    def has(self, cid: str) -> bool:
        """See Blocks."""
        with self._translated() as client:
            return bool(client.exists(self._key(cid)))

    def _key(self, cid: str) -> str:
        return f"{self._prefix}/{cid[-3:-1]}/{cid}"

    @contextmanager
    def _translated(self) -> Iterator[Any]:
        """The client of this process; whatever it raises becomes ContentUnavailable."""
        try:
            with self._lock:
                if self._owner_pid != os.getpid():
                    self._client, prefix = fsspec.core.url_to_fs(self._url, use_listings_cache=False)
                    self._prefix = prefix.rstrip("/")
                    self._owner_pid = os.getpid()
            yield self._client
        except Exception as exc:
            raise ContentUnavailable(reason=_reason(exc)) from exc


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:200]
