"""A disk cache before another place: read once from there, then from here, never trusted blindly."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

from apps.content.blocks.disk import DiskBlocks
from apps.content.blocks.port import Blocks
from apps.content.data import Block
from apps.content.errors import ContentStoreFull, ContentUnavailable


class CachedBlocks:
    """Writes go through; a damaged cache entry is dropped and read again; a full cache is no error."""

    def __init__(self, *, origin: Blocks, cache: DiskBlocks, is_intact: Callable[[Block], bool]) -> None:
        self._origin = origin
        self._cache = cache
        self._is_intact = is_intact

    def write(self, blocks: Sequence[Block]) -> None:
        """See Blocks."""
        self._origin.write(blocks)
        self._keep(blocks)

    def read(self, cids: Sequence[str]) -> Mapping[str, bytes]:
        """See Blocks."""
        found = dict(self._cache.read(cids))
        for cid, data in list(found.items()):
            if not self._is_intact(Block(cid=cid, data=data)):
                self._cache.discard(cid)
                del found[cid]

        missing = [cid for cid in cids if cid not in found]
        if missing:
            fetched = [Block(cid=cid, data=data) for cid, data in self._origin.read(missing).items()]
            self._keep([block for block in fetched if self._is_intact(block)])
            found |= {block.cid: block.data for block in fetched}
        return found

    def has(self, cid: str) -> bool:
        """See Blocks."""
        return self._cache.has(cid) or self._origin.has(cid)

    def _keep(self, blocks: Sequence[Block]) -> None:
        with contextlib.suppress(ContentStoreFull, ContentUnavailable):
            self._cache.write(blocks)
