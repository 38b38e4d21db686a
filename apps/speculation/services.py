"""Commitments and their bonds, decisions, the breaker.

A commitment is written in the transaction that moves its task, with the task locked; its money is a draft
that the caller posts in that same transaction. Lock order: tasks, commitments, then everything
`TaskChanges` and the ledger lock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.eventlog.locking import lock_columns, lock_rows
from apps.eventlog.writing import rows_insert, rows_update
from apps.ledger.data import TransactionDraft
from apps.speculation.data import COMMITMENT_TABLE, CommitmentStatus, FailureReason
from apps.speculation.domain.breaker import (
    Breaker,
    BreakerTerms,
    Outcomes,
    advance_breaker,
    is_backed_up,
)
from apps.speculation.domain.decision import Decision
from apps.speculation.domain.postings import bond_lock, bond_release
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.speculation.models import Breaker as BreakerRow
from apps.speculation.models import Decision as DecisionRow
from apps.speculation.selectors import count_outcomes
from apps.tasks.models import Task

_ENDING_FIELDS = ("status", "reason", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A commitment to open: a locked task, the attempt it is about, and what its keeper puts up."""

    task: Task
    epoch: int
    keeper: str
    depth: int
    bond_units: int
    ancestors: tuple[tuple[UUID, int], ...]


def commitments_open(openings: Sequence[Opening], *, now: datetime) -> list[TransactionDraft]:
    """Open a commitment for each attempt; return the locks of their bonds."""
    rows = [
        Commitment(
            task=opening.task,
            run_id=opening.task.run_id,
            epoch=opening.epoch,
            producer_id=opening.keeper,
            depth=opening.depth,
            bond_units=opening.bond_units,
            ancestors=[[task.hex, epoch] for task, epoch in opening.ancestors],
            status=CommitmentStatus.OPEN,
            opened_at=now,
        )
        for opening in openings
    ]
    rows_insert(Commitment, rows, is_key_given=False)
    return [
        bond_lock(opening.keeper, opening.task.id, opening.epoch, opening.bond_units)
        for opening in openings
        if opening.bond_units
    ]


def commitments_lock_open(task_ids: Collection[UUID]) -> dict[UUID, Commitment]:
    """Lock the open commitments of these tasks, which are locked; by task, at most one each."""
    rows = Commitment.objects.filter(task_id__in=task_ids, status__in=OPEN_COMMITMENTS)
    return {row.task_id: row for row in lock_rows(rows, skip_locked=False)}


def commitments_lock_open_of(run_ids: Collection[UUID]) -> dict[UUID, Commitment]:
    """The same of whole runs, whose tasks are locked, with what ending them needs."""
    rows = Commitment.objects.filter(run_id__in=run_ids, status__in=OPEN_COMMITMENTS)
    columns = ("id", "task_id", "epoch", "producer_id", "bond_units", "status")
    return {row.task_id: row for row in lock_columns(rows, columns)}


def commitments_fulfil(rows: Iterable[Commitment], hashes: Mapping[UUID, str]) -> None:
    """Record each attempt's result (by task); one that has its result already stays as it is."""
    fulfilled = [row for row in rows if row.status == CommitmentStatus.OPEN]
    for row in fulfilled:
        _move(row, CommitmentStatus.FULFILLED)
        row.result_hash = hashes[row.task_id]
    _write(fulfilled, ("status", "result_hash"))


def commitments_confirm(rows: Sequence[Commitment], *, now: datetime) -> list[TransactionDraft]:
    """End the commitments of confirmed tasks; return the releases of their bonds."""
    for row in rows:
        if row.status == CommitmentStatus.OPEN:
            _move(row, CommitmentStatus.FULFILLED)
        _move(row, CommitmentStatus.CONFIRMED)
        row.ended_at = now
    _write(rows, _ENDING_FIELDS)
    return [
        bond_release(row.producer_id, row.task_id, row.epoch, row.bond_units)
        for row in rows
        if row.bond_units
    ]


def commitments_undo(
    rows: Sequence[Commitment], *, roots: Collection[UUID], reason: FailureReason, now: datetime
) -> None:
    """End the commitments that cascades of one reason take along; those of their `roots` as failed.

    No money moves here: the caller posts the cascade's settlement.
    """
    for row in rows:
        is_root = row.task_id in roots
        _move(row, CommitmentStatus.FAILED if is_root else CommitmentStatus.ROLLED_BACK)
        row.reason = str(reason if is_root else FailureReason.ANCESTOR_FAILED)
        row.ended_at = now
    _write(rows, _ENDING_FIELDS)


def commitments_purge(*, now: datetime, keep_seconds: int, limit: int = 5_000) -> int:
    """Forget commitments that ended long ago; return how many. Their history stays in their tasks' events."""
    ended = Commitment.objects.filter(ended_at__lte=now - timedelta(seconds=keep_seconds)).order_by(
        "ended_at"
    )
    deleted, _ = Commitment.objects.filter(pk__in=list(ended.values_list("pk", flat=True)[:limit])).delete()
    return deleted


def decisions_record(decisions: Sequence[Decision], *, now: datetime) -> list[Decision]:
    """Keep the latest answer for each task; return those whose answer is another than before."""
    before = {
        row.task_id: (row.verdict, row.refusal, row.depth)
        for row in DecisionRow.objects.filter(task_id__in=[one.task for one in decisions]).defer("content")
    }
    rows = [
        DecisionRow(
            task_id=one.task,
            decided_at=now,
            verdict=one.verdict,
            refusal=one.refusal or "",
            depth=one.depth,
            bond_units=one.bond_units,
            content=one.to_json(),
        )
        for one in decisions
    ]
    fields = ["decided_at", "verdict", "refusal", "depth", "bond_units", "content"]
    DecisionRow.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["task_id"], update_fields=fields
    )
    now_said = {one.task: (str(one.verdict), str(one.refusal or ""), one.depth) for one in decisions}
    return [one for one in decisions if before.get(one.task) != now_said[one.task]]


def backlog_advance(backlog: int, *, now: datetime, high: int, low: int) -> bool:
    """Whether running ahead is held back, now that so many results wait to be attested and proved."""
    with transaction.atomic():
        row, _ = BreakerRow.objects.get_or_create(pk=1, defaults={"since": now})
        held_back = is_backed_up(row.is_backed_up, backlog, high=high, low=low)
        if held_back != row.is_backed_up:
            BreakerRow.objects.filter(pk=1).update(is_backed_up=held_back)
        return held_back


def breaker_advance(*, now: datetime, terms: BreakerTerms) -> tuple[Breaker, Outcomes]:
    """Where the breaker stands after what was counted and the time that passed, and what it counts now."""
    with transaction.atomic():
        row, _ = BreakerRow.objects.get_or_create(pk=1, defaults={"since": now})
        breaker = row.value
        outcomes = count_outcomes(breaker, now=now, terms=terms)
        moved = advance_breaker(breaker, outcomes, now=now, terms=terms)
        if moved == breaker:
            return breaker, outcomes
        BreakerRow.objects.filter(pk=1, status=breaker.status, since=breaker.since).update(
            status=moved.status, since=moved.since
        )
        return moved, count_outcomes(moved, now=now, terms=terms)


def _move(row: Commitment, target: CommitmentStatus) -> None:
    row.status = COMMITMENT_TABLE.move(id=str(row), current=CommitmentStatus(row.status), target=target)


def _write(rows: Sequence[Commitment], fields: Sequence[str]) -> None:
    rows_update(Commitment, rows, fields, [row.epoch for row in rows], guard_column="epoch")
