"""Reading keepers."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import QuerySet

from apps.eventlog.domain.replay import replay, replay_differences
from apps.eventlog.models import Event
from apps.keepers.data import KeeperStatus, KeeperValue
from apps.keepers.errors import KeeperUnknown
from apps.keepers.models import PUBLIC_FIELDS, Keeper


def get_assignable_keepers() -> tuple[KeeperValue, ...]:
    """Every keeper that may be given work now (registered and online), by address. One query."""
    rows = Keeper.objects.filter(status=KeeperStatus.REGISTERED, online=True).order_by("address")
    return tuple(row.value for row in rows.defer("bls_public_key", "contact"))


def get_bls_public_keys(addresses: Collection[str]) -> dict[str, bytes]:
    """The BLS public key of each known keeper among the addresses. One query."""
    rows = Keeper.objects.filter(address__in=addresses).values_list("address", "bls_public_key")
    return {address: bytes.fromhex(key.removeprefix("0x")) for address, key in rows}


def get_keepers(
    *, status: KeeperStatus | None = None, online: bool | None = None
) -> "QuerySet[Keeper, Keeper]":
    """Keepers, filtered."""
    rows = Keeper.objects.all()
    if status is not None:
        rows = rows.filter(status=status)
    if online is not None:
        rows = rows.filter(online=online)
    return rows


def get_keeper(address: str) -> Keeper:
    """One keeper, its address in any case; raise KeeperUnknown."""
    keeper = Keeper.objects.filter(address=address.lower()).first()
    if keeper is None:
        raise KeeperUnknown(address=address[:42])
    return keeper


def get_keeper_addresses() -> list[str]:
    """Every keeper that has not retired: whose stake is worth reading again."""
    rows = Keeper.objects.exclude(status=KeeperStatus.RETIRED).order_by("address")
    return list(rows.values_list("address", flat=True))


def find_replay_differences() -> Mapping[str, dict[str, tuple[Any, Any]]]:
    """Invariant 25: keepers whose events do not give their row, by address; empty when all is well."""
    events: dict[str, list[Event]] = {}
    for event in Event.objects.filter(aggregate_type=Keeper.AGGREGATE).order_by("sequence_number").iterator():
        events.setdefault(event.aggregate_id, []).append(event)
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for keeper in Keeper.objects.iterator():
        state = replay(events.get(keeper.address, ()))
        differences = replay_differences(state, {name: getattr(keeper, name) for name in PUBLIC_FIELDS})
        if differences:
            found[keeper.address] = differences
    return found
