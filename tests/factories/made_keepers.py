"""Keepers that no keystore stands behind, and hashes nobody computed."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

from apps.eventlog.data import EventDraft
from apps.eventlog.services import rows_create
from apps.keepers.models import PUBLIC_FIELDS, Keeper

CHAIN_ID: Final = 31_337
_numbers = itertools.count(1)


def made_hash(*parts: object) -> str:
    """A made-up 32-byte hash, the same for the same parts."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def make_keepers(count: int = 6, *, now: datetime | None = None) -> list[Keeper]:
    """Registered keepers, all but the last of them online, the first with the most points."""
    at = now or datetime.now(UTC)
    batch = next(_numbers)
    rows = [
        Keeper(
            address="0x" + made_hash("keeper", batch, index)[2:42],
            bls_public_key="0x" + made_hash("bls", batch, index)[2:] * 3,
            name=f"keeper-{index + 1}",
            version="0.1.0",
            online=index < count - 1,
            last_checkin_at=at - timedelta(seconds=7 * index if index < count - 1 else 4_000),
            registered_at=at - timedelta(days=30),
            reputation_decayed_at=at,
            stake_units=32_000_000_000,
            reputation=5_000 + 137 * (count - index),
            points=9_431 * (count - index),
            capabilities=["python", f"chain:{CHAIN_ID}"],
            tasks_confirmed=41 * (count - index),
            tasks_failed=index,
            latency_ms_ewma=640 + 210 * index,
        )
        for index in range(count)
    ]
    drafts = [
        EventDraft(row=row, type="keeper.registered", payload={"set": row.get_json_fields(PUBLIC_FIELDS)})
        for row in rows
    ]
    rows_create(rows, drafts)
    return rows
