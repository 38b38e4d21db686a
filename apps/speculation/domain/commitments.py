"""The life of a commitment: each move gives the new value and the movement of money it asks for.

Asking again for what has happened is a no-op: the same value and no movement. The first end is the one
that counts (invariant 3); a word from another keeper or about another attempt is refused.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.ledger.data import TransactionDraft
from apps.speculation.data import COMMITMENT_TABLE, Commitment, CommitmentStatus, FailureReason
from apps.speculation.domain.bonds import BondTerms, Shares, compute_required_bond
from apps.speculation.domain.postings import bond_lock, bond_release, bond_slash
from apps.speculation.errors import BondTooSmall, CommitmentForeign, CommitmentStale

#: an ended commitment is kept this long; its history stays in events
RETENTION_SECONDS: Final = 86_400
_UNDONE: Final = (CommitmentStatus.ROLLED_BACK, CommitmentStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A commitment after a move, and the movement of money that belongs to it, if any."""

    commitment: Commitment
    draft: TransactionDraft | None = None


def open_commitment(
    *,
    task: UUID,
    epoch: int,
    run: UUID,
    producer: str,
    depth: int,
    bond_units: int,
    ancestors: tuple[tuple[UUID, int], ...],
    terms: BondTerms,
    now: datetime,
) -> Moved:
    """A new commitment and the lock of its bond. Raises BondTooSmall(required, offered)."""
    required = compute_required_bond(depth, terms)
    if bond_units < required:
        raise BondTooSmall(required=required, offered=bond_units)
    commitment = Commitment(
        task=task,
        epoch=epoch,
        run=run,
        producer=producer,
        depth=depth,
        bond_units=bond_units,
        ancestors=ancestors,
        opened_at=now,
    )
    return Moved(
        commitment=commitment, draft=bond_lock(producer, task, epoch, bond_units) if bond_units else None
    )


def fulfil_commitment(commitment: Commitment, *, keeper: str, epoch: int, result_hash: str) -> Moved:
    """Record the result. Raises CommitmentForeign, CommitmentStale, IllegalTransition (another result)."""
    if keeper != commitment.producer:
        raise CommitmentForeign(
            task=to_wire("task", commitment.task), producer=commitment.producer, keeper=keeper
        )
    if epoch != commitment.epoch:
        raise CommitmentStale(task=to_wire("task", commitment.task), epoch=epoch, current=commitment.epoch)
    if commitment.status is CommitmentStatus.FULFILLED and commitment.result_hash == result_hash:
        return Moved(commitment=commitment)
    status = _move(commitment, CommitmentStatus.FULFILLED)
    return Moved(commitment=replace(commitment, status=status, result_hash=result_hash))


def confirm_commitment(commitment: Commitment, *, now: datetime) -> Moved:
    """The task is final: release the bond. Raises IllegalTransition."""
    if commitment.status is CommitmentStatus.CONFIRMED:
        return Moved(commitment=commitment)
    ended = replace(commitment, status=_move(commitment, CommitmentStatus.CONFIRMED), ended_at=now)
    return Moved(commitment=ended, draft=_release(ended))


def roll_back_commitment(commitment: Commitment, *, reason: FailureReason, now: datetime) -> Moved:
    """Something it stands on failed, or a person stopped it: release the bond. Raises IllegalTransition."""
    if commitment.status in _UNDONE:
        return Moved(commitment=commitment)
    status = _move(commitment, CommitmentStatus.ROLLED_BACK)
    ended = replace(commitment, status=status, ended_at=now, reason=str(reason))
    return Moved(commitment=ended, draft=_release(ended))


def fail_commitment(commitment: Commitment, *, reason: FailureReason, shares: Shares, now: datetime) -> Moved:
    """Its own task failed: slash. Raises SharesInvalid, IllegalTransition."""
    if commitment.status in _UNDONE:
        return Moved(commitment=commitment)
    status = _move(commitment, CommitmentStatus.FAILED)
    ended = replace(commitment, status=status, ended_at=now, reason=str(reason))
    draft = None
    if ended.bond_units:
        draft = bond_slash(
            ended.producer, ended.task, ended.epoch, ended.bond_units, shares, reason=str(reason)
        )
    return Moved(commitment=ended, draft=draft)


def is_purgeable(commitment: Commitment, *, now: datetime, keep_seconds: int = RETENTION_SECONDS) -> bool:
    """Whether an ended commitment has been kept long enough."""
    return commitment.ended_at is not None and now >= commitment.ended_at + timedelta(seconds=keep_seconds)


def _move(commitment: Commitment, target: CommitmentStatus) -> CommitmentStatus:
    name = f"{to_wire('task', commitment.task)} attempt {commitment.epoch}"
    return COMMITMENT_TABLE.move(id=name, current=commitment.status, target=target)


def _release(commitment: Commitment) -> TransactionDraft | None:
    if not commitment.bond_units:
        return None
    return bond_release(commitment.producer, commitment.task, commitment.epoch, commitment.bond_units)
