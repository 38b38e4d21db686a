"""Proofs of attested tasks: asked for, made by the prover, submitted after all their ancestors, ended.

Lock order: tasks (by id), then their proofs. Whoever writes a proof has its task locked; passes over the
pool take turns besides (`planning`).
"""

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_insert
from apps.kernel.errors import DomainError, Invalid
from apps.kernel.hashing import to_hex
from apps.kernel.outcome import Dispatch, Outcome, Revocation
from apps.proofs.data import ProofResult
from apps.proofs.domain.deferral import (
    DeferredProof,
    EffectKind,
    ProofStatus,
    abandon,
    confirm,
    expire,
    fail_generation,
    fail_submission,
    finish_generation,
    mark_signed,
)
from apps.proofs.errors import ProverUnavailable
from apps.proofs.mirror import task_follow, task_give_up, task_rest
from apps.proofs.models import UNFINISHED, Proof
from apps.proofs.planning import Decision, decide_pool, lock_decided, lock_pool
from apps.proofs.rows import (
    compute_handle,
    compute_resend_at,
    get_limits,
    rows_save,
    rows_take,
    take_value,
    to_value,
)
from apps.proofs.selectors import ASKED, is_live
from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import tasks_lock_due

_S = ProofStatus
GENERATE: Final = "workers.proving.generate"
PROVE_QUEUE: Final = "prove"
#: a prover that is away is asked again after this
_AWAY_SECONDS: Final = 1
_PUBLIC_INPUT_DIFFERS: Final = "public_input_differs"


def proofs_plan(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Ask for the proofs of attested tasks whose specification wants one, then one pass over all proofs.

    Proofs are made, wait for their ancestors, are offered for submission or end; their tasks follow. A task
    that is attested again after its submission came back has its proof already. Tasks that want none are
    not touched.
    """
    limits = get_limits()
    with transaction.atomic():
        lock_pool()
        arrived = tasks_lock_due([TaskStatus.ATTESTED], now=now, limit=limit, ids=ids, only=ASKED)
        decisions = decide_pool(arrived, limits=limits, now=now, ids=ids)
        if not decisions:
            return Outcome()
        tasks, decisions = lock_decided(decisions, arrived)
        changes = TaskChanges(tasks, now=now)
        dispatches: list[Dispatch] = []
        killed: list[str] = []
        figures: list[tuple[str, float]] = []
        for one in decisions:
            kinds = {effect.kind for effect in one.effects}
            if EffectKind.KILL in kinds:
                killed.append(compute_handle(one.row))
            if one.is_resent:
                one.row.resend_at = compute_resend_at(now)
            take_value(one.row, one.after, limits=limits, now=now)
            if EffectKind.GENERATE in kinds or one.is_resent:
                dispatches.append(_dispatch(one.row, changes.trace_of(one.task)))
            if EffectKind.SUBMIT in kinds:
                changes.pokes.add("submit")
            _carry_over(changes, one)
            figures.extend(_figures_of(one))
        rows_save([one.row for one in decisions if not one.is_new])
        rows_insert(Proof, [one.row for one in decisions if one.is_new])
        changes.write()
    moved = sum(one.is_new or one.after != one.before for one in decisions)
    return Outcome(
        taken=max(len(arrived), moved),
        dispatches=tuple(dispatches),
        revocations=(Revocation(rollback="", proofs=tuple(killed)),) if killed else (),
        pokes=frozenset(changes.pokes),
        figures=tuple(figures),
    )


def proof_generated(*, proof_id: UUID, attempt: int, result: ProofResult, now: datetime) -> Outcome:
    """Take a proof from the prover, which has verified it; late, repeated or cancelled ones change nothing.

    One of another statement than the attested result's is a failure that no retry cures.
    """
    with transaction.atomic():
        found = _lock_generating(proof_id, attempt)
        if found is None:
            return Outcome()
        row, task = found
        if result.public_input != int(row.public_input, 16):
            return _fail(row, task, _PUBLIC_INPUT_DIFFERS, hex(result.public_input), now, is_curable=False)
        before = to_value(row)
        after = finish_generation(before, now).proof
        row.proof = to_hex(result.proof.to_bytes())
        row.waited_seconds, row.wall_seconds = result.waited_seconds, result.wall_seconds
        row.cpu_seconds, row.peak_memory_bytes = result.cpu_seconds, result.peak_memory_bytes
        row.delay_seconds = result.delay_seconds
        rows_take([(row, after)], now=now)
        changes = TaskChanges([task], now=now)
        task_follow(changes, task, row, before, after)
        changes.write()
    return Outcome(taken=1, pokes=frozenset({"prove"}), figures=(("proofs_generated", 1),))


def proof_generation_failed(*, proof_id: UUID, attempt: int, error: DomainError, now: datetime) -> Outcome:
    """Take the prover's word that it made no proof: again after a while, or the end of the attempt.

    What is Invalid no retry cures. A prover that is away has begun nothing: the same attempt is asked for
    again until its patience is over. Late, repeated or cancelled answers change nothing.
    """
    with transaction.atomic():
        found = _lock_generating(proof_id, attempt)
        if found is None:
            return Outcome()
        row, task = found
        if isinstance(error, ProverUnavailable):
            row.resend_at = now + timedelta(seconds=_AWAY_SECONDS)
            row.reason = error.code
            rows_take([(row, to_value(row))], now=now)
            return Outcome(taken=1)
        is_curable = not isinstance(error, Invalid)
        return _fail(row, task, error.code, str(error), now, is_curable=is_curable)


def proofs_mark_signed(tasks: Iterable[Task], *, now: datetime) -> None:
    """The transactions with these locked tasks' proofs are signed: from here on only the chain decides."""
    rows = _get_submitting(tasks)
    rows_take([(row, mark_signed(to_value(row)).proof) for row in rows], now=now)


def proofs_confirm(tasks: Iterable[Task], *, now: datetime) -> None:
    """The chain took these locked tasks' proofs; a submission is free, so the caller pokes `prove`."""
    rows_take([(row, confirm(to_value(row)).proof) for row in _get_submitting(tasks)], now=now)


def proofs_fail_submission(
    tasks: Iterable[Task], *, reason: str, is_curable: bool, now: datetime
) -> frozenset[UUID]:
    """The chain, or whoever sends to it, did not take these locked tasks' proofs.

    Curable: each is offered again once its task is attested again. Not curable, because the contract refused
    the proof: it has failed. Returns the tasks whose proof has failed, for the caller to signal; the caller
    pokes `prove`.
    """
    limits = get_limits()
    ended: list[tuple[Proof, DeferredProof]] = []
    for row in _get_submitting(tasks):
        jitter = random.random()
        change = fail_submission(
            to_value(row), now, limits, reason=reason, jitter=jitter, is_curable=is_curable
        )
        ended.append((row, change.proof))
    rows_take(ended, now=now)
    return frozenset(row.task_id for row, value in ended if value.is_ended)


def proofs_cancel(task_ids: Collection[UUID], *, reason: str, now: datetime) -> tuple[str, ...]:
    """End what has not ended of the proofs of locked tasks whose attempt ends; a signed one has failed.

    Returns the handles of those that are being made, for the prover to drop. Again is a no-op.
    """
    rows = list(Proof.objects.filter(task__in=task_ids, status__in=UNFINISHED))
    handles = tuple(compute_handle(row) for row in rows if row.status == _S.GENERATING)
    rows_take([(row, abandon(to_value(row), reason=reason).proof) for row in rows], now=now)
    return handles


def _figures_of(one: Decision) -> Iterator[tuple[str, float]]:
    """What is counted of one proof's change in a pass."""
    if one.is_new:
        yield ("proofs_queued", 1)
    if one.before.generated_at is None and one.after.generated_at is not None:
        yield ("proofs_generated", 1)
    if one.after.status is one.before.status:
        return
    if one.after.status is _S.AWAITING_ANCESTORS:
        yield ("proofs_deferred", 1)
    elif one.after.status is _S.SUBMITTING:
        yield ("proofs_submitted", 1)


def _carry_over(changes: TaskChanges, one: Decision) -> None:
    """Let the task follow, and signal it where its proof came to a bad end or had done so before."""
    task_follow(changes, one.task, one.row, one.before, one.after)
    if one.after.is_ended and one.row.epoch == one.task.epoch:
        task_give_up(changes, one.task, one.row)
    elif is_live(one.row, one.task) and one.task.wake_at is not None and one.task.wake_at <= changes.now:
        task_rest(changes, one.task)


def _dispatch(row: Proof, trace_id: str) -> Dispatch:
    body = {"proof": row.id.hex, "attempt": row.generation_attempts}
    return Dispatch(task=GENERATE, queue=PROVE_QUEUE, body=body, trace_id=trace_id)


def _lock_generating(proof_id: UUID, attempt: int) -> tuple[Proof, Task] | None:
    """The proof of this attempt and its task, locked; None where that attempt is over."""
    tasks = lock_rows(Task.objects.filter(proofs=proof_id), skip_locked=False)
    row = Proof.objects.filter(pk=proof_id, status=_S.GENERATING, generation_attempts=attempt).first()
    if row is None or not is_live(row, tasks[0]):
        return None
    return row, tasks[0]


def _fail(row: Proof, task: Task, reason: str, detail: str, now: datetime, *, is_curable: bool) -> Outcome:
    """One attempt at a locked task's proof went wrong; past its patience it has timed out."""
    limits, before = get_limits(), to_value(row)
    change = expire(before, now, limits) if is_curable else None
    if change is None:
        jitter = random.random()
        change = fail_generation(before, now, limits, reason=reason, jitter=jitter, is_curable=is_curable)
    rows_take([(row, change.proof)], now=now)
    changes = TaskChanges([task], now=now)
    task_follow(changes, task, row, before, change.proof)
    if change.proof.is_ended:
        task_give_up(changes, task, row, detail)
    changes.write()
    return Outcome(taken=1, pokes=frozenset({"prove", *changes.pokes}))


def _get_submitting(tasks: Iterable[Task]) -> list[Proof]:
    ids = [task.id for task in tasks]
    return list(Proof.objects.filter(task__in=ids, status=_S.SUBMITTING, epoch=F("task__epoch")))
