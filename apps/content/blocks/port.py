"""The port every place that keeps blocks implements. Blocks are named by CID, whole or absent."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from apps.content.data import Block


class Blocks(Protocol):
    """Blocks by CID; reading verifies nothing, that is the store's business."""

    def write(self, blocks: Sequence[Block]) -> None:
        """Keep these blocks, each whole or not at all; ContentStoreFull, ContentUnavailable."""
        ...

    def read(self, cids: Sequence[str]) -> Mapping[str, bytes]:
        """Those of these blocks that are there, as found; ContentUnavailable."""
        ...

    def has(self, cid: str) -> bool:
        """Whether there is such a block; ContentUnavailable."""
        ...
