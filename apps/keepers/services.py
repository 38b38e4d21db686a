"""What changes keepers: joining, signs of life, silence, finished work, an operator's word.

Public columns are written with an event in the same transaction; a heartbeat that changes nothing but
the heartbeat's own columns is one UPDATE and no event. Stake and alerts come in through ports.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.keepers.data import (
    KEEPER_TABLE,
    CheckIn,
    KeeperOutcome,
    KeeperStatus,
    OfflineAlerts,
    OfflineKeeper,
    Registration,
    RegistryEntry,
    StakeRegistry,
)
from apps.keepers.domain.presence import (
    is_alert_due,
    require_fresh,
    require_not_retired,
    require_unused,
)
from apps.keepers.domain.reputation import DECAY_PERIOD, Record, compute_decay, compute_record
from apps.keepers.errors import BlsKeyForeign, KeeperUnknown, PossessionInvalid, StakeTooSmall
from apps.keepers.models import PUBLIC_FIELDS, Keeper
from apps.kernel.bls import verify_possession
from apps.kernel.eip712 import TypedDomain, require_signer
from apps.kernel.hashing import to_hex

_RECORD_FIELDS = ("reputation", "points", "tasks_confirmed", "tasks_failed", "latency_ms_ewma")
_PROFILE_FIELDS = ("bls_public_key", "name", "version", "capabilities", "stake_units")


def keeper_register(
    registration: Registration,
    signature: bytes,
    *,
    domain: TypedDomain,
    registry: StakeRegistry,
    min_stake_units: int,
    window_seconds: int,
) -> tuple[Keeper, bool]:
    """Let a keeper join, or change its profile; return the row and whether it is new.

    Raises SignatureInvalid, PossessionInvalid, CheckinStale, CheckinReplayed, StakeTooSmall,
    BlsKeyForeign, KeeperRetired, RegistryUnreachable. The chain is asked before the transaction.
    """
    require_signer(registration.digest(domain), signature, registration.keeper)
    if not verify_possession(registration.bls_public_key, registration.keeper, registration.possession):
        raise PossessionInvalid()
    now = get_database_now()
    require_fresh(timestamp=registration.timestamp, now=now, window_seconds=window_seconds)
    entry = _require_stake(registration, registry, min_stake_units)

    try:
        with transaction.atomic():
            return _register_locked(registration, entry.stake_units, now)
    except IntegrityError:
        raise BlsKeyForeign(reason="the address or the key was registered a moment ago") from None


def keeper_check_in(
    check_in: CheckIn, signature: bytes, *, domain: TypedDomain, window_seconds: int
) -> datetime:
    """Record a sign of life; return when it was recorded.

    One UPDATE for a keeper that is online and has not changed its version; otherwise the row is locked and
    the change has an event. Raises SignatureInvalid, CheckinStale, CheckinReplayed, KeeperUnknown,
    KeeperRetired.
    """
    require_signer(check_in.digest(domain), signature, check_in.keeper)
    now = get_database_now()
    require_fresh(timestamp=check_in.timestamp, now=now, window_seconds=window_seconds)

    is_recorded = Keeper.objects.filter(
        address=check_in.keeper, online=True, version=check_in.version, last_nonce__lt=check_in.nonce
    ).update(last_nonce=check_in.nonce, last_checkin_at=now, uptime_seconds=check_in.uptime)
    if not is_recorded:
        with transaction.atomic():
            _check_in_locked(check_in, now)
    return now


def keepers_sweep_offline(
    *, offline_after_seconds: int, alert_cooldown_seconds: int, alerts: OfflineAlerts, limit: int = 500
) -> tuple[OfflineKeeper, ...]:
    """Mark keepers offline that were silent for too long; return those an alert was due for.

    The alert port is called after commit, so a crash in between loses that alert rather than repeating it.
    """
    now = get_database_now()
    silent = Keeper.objects.filter(
        online=True, last_checkin_at__lt=now - timedelta(seconds=offline_after_seconds)
    )
    with transaction.atomic():
        rows = lock_rows(silent, limit)
        due: list[OfflineKeeper] = []
        drafts: list[EventDraft] = []
        for row in rows:
            row.online = False
            is_due = is_alert_due(
                alerted_at=row.offline_alerted_at, now=now, cooldown_seconds=alert_cooldown_seconds
            )
            if is_due:
                row.offline_alerted_at = now
                due.append(_offline_keeper(row))
            facts = {"last_checkin_at": row.last_checkin_at, "alerted": is_due}
            drafts.append(_draft(row, "keeper.went_offline", ("online",), **facts))
        rows_write(rows, ("online", "offline_alerted_at"), drafts, now=now)
        if due:
            transaction.on_commit(lambda: alerts.send(tuple(due)))
    return tuple(due)


def keepers_record_outcomes(outcomes: Sequence[KeeperOutcome]) -> None:
    """Add what finished tasks mean to their keepers' records, all in one transaction.

    Raises KeeperUnknown, and then changes nothing. The same keeper may occur more than once.
    """
    by_address: dict[str, list[KeeperOutcome]] = {}
    for outcome in outcomes:
        by_address.setdefault(outcome.address, []).append(outcome)
    with transaction.atomic():
        rows = _lock_all(by_address)
        drafts = []
        for row in rows:
            before = _record_of(row)
            record = before
            for outcome in by_address[row.address]:
                record = compute_record(record, outcome)
            row.reputation, row.points = record.reputation, record.points
            row.tasks_confirmed, row.tasks_failed = record.tasks_confirmed, record.tasks_failed
            row.latency_ms_ewma = record.latency_ms
            drafts.append(_draft(row, "keeper.work_recorded", _RECORD_FIELDS))
        rows_write(rows, _RECORD_FIELDS, drafts)


def keepers_mark_assigned(assigned_at: Mapping[str, datetime]) -> None:
    """Remember when keepers were last chosen; one statement per distinct moment, no event."""
    by_moment: dict[datetime, list[str]] = {}
    for address, moment in assigned_at.items():
        by_moment.setdefault(moment, []).append(address)
    for moment, addresses in by_moment.items():
        Keeper.objects.filter(address__in=addresses).update(last_assigned_at=moment)


def keepers_decay_reputation(*, limit: int = 500) -> int:
    """Take the decay of every whole period that has passed; return how many keepers it touched."""
    now = get_database_now()
    with transaction.atomic():
        rows = lock_rows(Keeper.objects.filter(reputation_decayed_at__lte=now - DECAY_PERIOD), limit)
        fields = ("reputation", "reputation_decayed_at")
        for row in rows:
            row.reputation, row.reputation_decayed_at = compute_decay(
                row.reputation, row.reputation_decayed_at, now
            )
        rows_write(rows, fields, [_draft(row, "keeper.reputation_decayed", fields) for row in rows], now=now)
    return len(rows)


def keepers_refresh_stakes(stakes: Mapping[str, int]) -> int:
    """Take over stakes read from the chain; return how many changed. Unknown keepers are ignored."""
    with transaction.atomic():
        locked = lock_rows(Keeper.objects.filter(address__in=stakes), skip_locked=False)
        rows = [row for row in locked if row.stake_units != stakes[row.address]]
        for row in rows:
            row.stake_units = stakes[row.address]
        drafts = [_draft(row, "keeper.stake_changed", ("stake_units",)) for row in rows]
        rows_write(rows, ("stake_units",), drafts)
    return len(rows)


def keepers_suspend(addresses: Collection[str], *, reason: str) -> int:
    """Hold keepers back from new work; return how many moved. Raises KeeperUnknown, IllegalTransition."""
    return _move(addresses, KeeperStatus.SUSPENDED, "keeper.suspended", reason)


def keepers_reinstate(addresses: Collection[str], *, reason: str) -> int:
    """Let suspended keepers work again; return how many moved. Raises KeeperUnknown, IllegalTransition."""
    return _move(addresses, KeeperStatus.REGISTERED, "keeper.reinstated", reason)


def keepers_retire(addresses: Collection[str], *, reason: str) -> int:
    """Part with keepers for good; return how many moved. Raises KeeperUnknown, IllegalTransition."""
    return _move(addresses, KeeperStatus.RETIRED, "keeper.retired", reason)


def _require_stake(
    registration: Registration, registry: StakeRegistry, min_stake_units: int
) -> RegistryEntry:
    entry = registry.get_entry(registration.keeper)
    if entry is None or not entry.is_active or entry.stake_units < min_stake_units:
        offered = entry.stake_units if entry and entry.is_active else 0
        raise StakeTooSmall(stake_units=offered, required_units=min_stake_units)
    if entry.bls_public_key != registration.bls_public_key:
        raise BlsKeyForeign(reason="the registry contract holds another key for this keeper")
    return entry


def _register_locked(registration: Registration, stake_units: int, now: datetime) -> tuple[Keeper, bool]:
    found = lock_rows(Keeper.objects.filter(address=registration.keeper), skip_locked=False)
    is_new = not found
    row = found[0] if found else _new_row(registration, now)
    require_not_retired(address=row.address, status=row.status)
    require_unused(nonce=registration.nonce, last_nonce=row.last_nonce)
    key = to_hex(registration.bls_public_key)
    if Keeper.objects.filter(bls_public_key=key).exclude(address=row.address).exists():
        raise BlsKeyForeign(reason="another keeper registered this key")

    row.bls_public_key, row.name, row.version = key, registration.name, registration.version
    row.capabilities, row.stake_units = list(registration.capabilities), stake_units
    row.contact, row.last_nonce = dict(registration.contact), registration.nonce

    if is_new:
        rows_create([row], [_draft(row, "keeper.registered", PUBLIC_FIELDS)], now=now)
    else:
        draft = _draft(row, "keeper.updated", _PROFILE_FIELDS)
        rows_write([row], (*_PROFILE_FIELDS, "contact", "last_nonce"), [draft], now=now)
    return row, is_new


def _new_row(registration: Registration, now: datetime) -> Keeper:
    return Keeper(address=registration.keeper, registered_at=now, reputation_decayed_at=now)


def _check_in_locked(check_in: CheckIn, now: datetime) -> None:
    """The check-in of a keeper that is offline, has a new version, or must be refused."""
    found = lock_rows(Keeper.objects.filter(address=check_in.keeper), skip_locked=False)
    if not found:
        raise KeeperUnknown(address=check_in.keeper)
    row = found[0]
    require_not_retired(address=row.address, status=row.status)
    require_unused(nonce=check_in.nonce, last_nonce=row.last_nonce)

    drafts = []
    if not row.online or row.version != check_in.version:
        event = "keeper.version_changed" if row.online else "keeper.came_online"
        row.online, row.version = True, check_in.version
        drafts.append(_draft(row, event, ("online", "version")))
    row.last_nonce, row.last_checkin_at, row.uptime_seconds = check_in.nonce, now, check_in.uptime
    rows_write(
        [row], ("online", "version", "last_nonce", "last_checkin_at", "uptime_seconds"), drafts, now=now
    )


def _move(addresses: Collection[str], target: KeeperStatus, event: str, reason: str) -> int:
    with transaction.atomic():
        rows = [row for row in _lock_all(addresses) if row.status != target]
        for row in rows:
            row.status = KEEPER_TABLE.move(id=row.address, current=KeeperStatus(row.status), target=target)
            row.online = row.online and target is not KeeperStatus.RETIRED
        drafts = [_draft(row, event, ("status", "online"), reason=reason) for row in rows]
        rows_write(rows, ("status", "online"), drafts)
    return len(rows)


def _lock_all(addresses: Collection[str]) -> list[Keeper]:
    rows = lock_rows(Keeper.objects.filter(address__in=addresses), skip_locked=False)
    missing = set(addresses) - {row.address for row in rows}
    if missing:
        raise KeeperUnknown(address=min(missing))
    return rows


def _record_of(row: Keeper) -> Record:
    return Record(
        reputation=row.reputation,
        points=row.points,
        tasks_confirmed=row.tasks_confirmed,
        tasks_failed=row.tasks_failed,
        latency_ms=row.latency_ms_ewma,
    )


def _offline_keeper(row: Keeper) -> OfflineKeeper:
    return OfflineKeeper(
        address=row.address, name=row.name, last_checkin_at=row.last_checkin_at, contact=row.contact
    )


def _draft(row: Keeper, event: str, fields: Sequence[str], **facts: Any) -> EventDraft:
    return EventDraft(row=row, type=event, payload={"set": row.get_json_fields(list(fields)), **facts})
