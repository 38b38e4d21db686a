"""Time-ordered ids: UUIDv7 inside, `job_…` / `run_…` / `task_…` on the wire.

The wire form is the kind, an underscore and the UUID's 32 hex digits. On chain a task id is the
same 128 bits as a uint256.
"""

import os
import threading
import time
from typing import Final
from uuid import UUID

from apps.kernel.errors import Invalid


class IdMalformed(Invalid):
    """A wire id that is not `<kind>_<32 hex digits>`."""

    code = "id_malformed"
    title = "The id is malformed"


_COUNTER_BITS: Final = 12
_lock = threading.Lock()
_last_ms = 0
_counter = 0


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562, method 1), strictly increasing within this process."""
    global _last_ms, _counter
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, int.from_bytes(os.urandom(2)) & 0x3FF
        else:
            _counter += 1
            if _counter >> _COUNTER_BITS:
                _last_ms, _counter = _last_ms + 1, 0
        stamp, counter = _last_ms, _counter
    tail = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    value = (stamp & ((1 << 48) - 1)) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | tail
    return UUID(int=value)


def to_wire(kind: str, value: UUID) -> str:
    """Return `<kind>_<32 hex digits>`."""
    return f"{kind}_{value.hex}"


def from_wire(kind: str, text: str) -> UUID:
    """Parse a wire id of the given kind; raise IdMalformed for anything else."""
    prefix, _, digits = text.rpartition("_")
    if prefix != kind or len(digits) != 32:
        raise IdMalformed(kind=kind, value=text[:80])
    try:
        return UUID(hex=digits)
    except ValueError:
        raise IdMalformed(kind=kind, value=text[:80]) from None


def to_uint256(value: UUID) -> int:
    """Return the id as the chain's uint256 (128 bits, high half zero)."""
    return value.int
