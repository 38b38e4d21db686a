"""Recently authenticated keys, remembered for seconds by the hash of their text, never by the text."""

import threading
from collections import OrderedDict
from datetime import datetime

from apps.accounts.data import KeyIdentity


class KeyCache:
    """A bounded map hash → identity with an end to each entry; the least recently put goes first."""

    def __init__(self, *, max_entries: int) -> None:
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[KeyIdentity, datetime]] = OrderedDict()

    def get(self, sha256: str, now: datetime) -> KeyIdentity | None:
        """The identity, while neither the entry nor the key itself has expired."""
        with self._lock:
            entry = self._entries.get(sha256)
        if entry is None:
            return None
        identity, until = entry
        is_live = now < until and (identity.expires_at is None or now < identity.expires_at)
        return identity if is_live else None

    def put(self, sha256: str, identity: KeyIdentity, until: datetime) -> None:
        """Remember an identity until a moment."""
        with self._lock:
            self._entries[sha256] = (identity, until)
            self._entries.move_to_end(sha256)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def forget(self, sha256: str) -> None:
        """Forget one key at once."""
        with self._lock:
            self._entries.pop(sha256, None)

    def clear(self) -> None:
        """Forget all keys at once."""
        with self._lock:
            self._entries.clear()
