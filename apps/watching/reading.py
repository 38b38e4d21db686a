"""Asking a chain's node: logs in ranges it accepts, and the first block that is young enough."""

from typing import Final

from apps.chains.client import ChainClient
from apps.chains.data import Block, Log
from apps.chains.errors import ChainFault, ChainUnreachable
from apps.triggers.data import LogFilter

#: contracts asked about at once
_ADDRESSES: Final = 500


class RangeReader:
    """Reads logs range by range; a range a node refuses is halved, and stays so for this reader."""

    def __init__(self, client: ChainClient, blocks: int) -> None:
        self._client = client
        self._blocks = blocks

    def read(self, wanted: LogFilter | None, first: int, limit: int) -> tuple[int, list[Log]]:
        """The logs from `first` on, and the last block they were read to; raise ChainFault for one block."""
        if wanted is None:
            return limit, []
        while True:
            last = min(first + self._blocks - 1, limit)
            try:
                return last, self._logs(wanted, first, last)
            except ChainFault:
                if last == first:
                    raise
                self._blocks = max(1, (last - first + 1) // 2)

    def _logs(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        found: list[Log] = []
        for at in range(0, len(wanted.addresses), _ADDRESSES):
            addresses = wanted.addresses[at : at + _ADDRESSES]
            found += self._client.get_logs(
                addresses=addresses, from_block=first, to_block=last, topics=wanted.topics
            )
        return found


def find_first_block(client: ChainClient, head: Block, since: int) -> int:
    """The first block whose timestamp is not before `since`: the head's next where none is.

    Steps back from the head, twice as far each time, then halves: timestamps never fall.
    """
    if head.timestamp < since:
        return head.number + 1
    young, step = head.number, 1
    while True:
        old = max(young - step, -1)
        if old < 0 or _timestamp(client, old) < since:
            break
        young, step = old, 2 * step
    while young - old > 1:
        middle = (young + old) // 2
        if _timestamp(client, middle) < since:
            old = middle
        else:
            young = middle
    return young


def _timestamp(client: ChainClient, number: int) -> int:
    block = client.get_blocks([number]).get(number)
    if block is None:
        raise ChainUnreachable(reason=f"block {number} is not there")
    return block.timestamp
