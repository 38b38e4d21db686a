"""What was revoked by its stamp, within bounds.

Celery keeps revoked stamps in a list that only grows, without end and with every repetition, and searches it
from its start for every stamp of every message that comes. This takes the list's place: the newest
`capacity` stamps, each once, found by hash. A node that restarts has forgotten them; the epoch in the
database is what makes a revoked attempt's work worthless.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from celery.worker import state

from apps.speculation.domain.lineage import STAMP

CAPACITY: Final = 20_000


class RevokedStamps:
    """The stamps of one header; Celery adds lists to it and asks what it contains. Safe between threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, None] = OrderedDict()

    def __add__(self, stamps: Iterable[Any]) -> "RevokedStamps":
        """Keep more stamps; itself, so that Celery's `kept = kept + new` goes on with the same set."""
        with self._lock:
            for stamp in stamps:
                self._kept[str(stamp)] = None
                self._kept.move_to_end(str(stamp))
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return self

    def __contains__(self, stamp: object) -> bool:
        return stamp in self._kept

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(tuple(self._kept))

    def __bool__(self) -> bool:
        """True even when empty: Celery puts a list in the place of what is false."""
        return True

    def is_revoking(self, request: Any) -> bool:
        """Whether a message's stamps are revoked by now: Celery looks only before it waits for a thread."""
        stamped = getattr(request, "stamps", None)
        stamps = stamped.get(STAMP) if isinstance(stamped, Mapping) else None
        return isinstance(stamps, list) and any(stamp in self for stamp in stamps if isinstance(stamp, str))


def install_revoked_stamps() -> RevokedStamps:
    """Put an empty set in the place of this process' list of revoked lineages."""
    revoked = RevokedStamps()
    kept: dict[str, Any] = state.revoked_stamps
    kept[STAMP] = revoked
    return revoked
