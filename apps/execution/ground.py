"""What receipts stand on, and what they start: a child counts on its parents' recorded outputs only."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from apps.eventlog.locking import lock_rows
from apps.execution.claims import leases_write
from apps.execution.data import AssignmentStatus, Receipt
from apps.execution.domain.receipt import Judgement, judge_receipt, parents_of
from apps.execution.leasing import get_awaited_leases
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.execution.offers import get_parked, offers_start
from apps.kernel.outcome import Message
from apps.speculation.data import STANDINGS, Standing
from apps.speculation.domain.lineage import Ground as ParentGround
from apps.speculation.domain.lineage import require_lineage
from apps.speculation.errors import LineageBroken
from apps.speculation.services import commitments_fulfil, commitments_lock_open
from apps.tasks.changes import TaskChanges
from apps.tasks.models import Edge, Task

_WITH_OUTPUT = (Standing.PRODUCED, Standing.CONFIRMED)


class Ground:
    """The parents a set of receipts awaits, as they are recorded: read once, and as the set moves them."""

    def __init__(self, tasks: Mapping[UUID, Task]) -> None:
        self._tasks = tasks
        self._awaited = {task.id: frozenset(get_awaited_leases(task)) for task in tasks.values()}
        others = {parent for own in self._awaited.values() for parent in own} - tasks.keys()
        self._others = Task.objects.in_bulk(others) if others else {}

    def is_early(self, receipt: Receipt, task: Task) -> bool:
        """Whether a good receipt awaits a parent that has no recorded output yet but still may.

        One whose failure is signalled has none that counts: the rollback takes the child along, and its
        keeper is not to blame.
        """
        if receipt.result.get("status") != "ok":
            return False
        return any(
            not self._get(parent).output_hash and STANDINGS[self._row(parent).status] is not Standing.DEAD
            for parent in self._awaited[task.id]
        )

    def judge(self, receipt: Receipt, task: Task) -> Judgement:
        """What the receipt means, its lineage included."""
        judgement = judge_receipt(receipt, task.spec)
        if not judgement.is_accepted or not self._awaited[task.id]:
            return judgement
        try:
            recorded = {parent: self._get(parent) for parent in self._awaited[task.id]}
            require_lineage(parents_of(receipt.result), recorded)
        except LineageBroken as exc:
            return Judgement(is_accepted=False, error_code=exc.code, error_detail=str(exc)[:500])
        return judgement

    def _row(self, task_id: UUID) -> Task:
        return self._tasks.get(task_id) or self._others[task_id]

    def _get(self, task_id: UUID) -> ParentGround:
        """A parent's attempt and the hash of its recorded output, empty where it has none that counts."""
        row = self._row(task_id)
        if row.is_failing or STANDINGS[row.status] not in _WITH_OUTPUT:
            return ParentGround(epoch=row.epoch)
        return ParentGround(epoch=row.epoch, output_hash=(row.result or {}).get("output_hash", ""))


def depth_of(task: Task | None) -> int:
    """Where a receipt's task stands in its run: parents are recorded before their children."""
    return task.depth if task is not None else 0


def executed_follow(changes: TaskChanges, returned: Sequence[Assignment]) -> tuple[Message, ...]:
    """What recorded results set off in runs of several steps: fulfil commitments, start what awaited them.

    A child whose offer travels behind its parent has its time to begin counted from now.
    """
    leases = {lease.task_id: lease for lease in returned}
    tasks = {task.id: task for task in changes.tasks if task.id in leases and changes.sizes[task.run_id] > 1}
    if not tasks:
        return ()
    hashes = {task.id: (task.result or {})["output_hash"] for task in tasks.values()}
    commitments_fulfil(commitments_lock_open(tasks.keys()).values(), hashes)

    children = Edge.objects.filter(parent__in=tasks.keys()).values("child_id")
    waiting = Assignment.objects.filter(
        task__in=children, status=AssignmentStatus.OFFERED, is_parked=False
    ).exclude(task__in=tasks.keys())
    execution = settings.FOREKEEP.execution
    travelling = lock_rows(waiting)
    for lease in travelling:
        lease.acknowledge_by = changes.now + timedelta(seconds=execution.acknowledge_seconds)
        lease.resend_at = changes.now + timedelta(seconds=execution.resend_seconds)
    leases_write(travelling)

    parked = get_parked({task.run_id for task in tasks.values()})
    offers = offers_start(parked, {lease.task_id: lease.task for lease in parked}, changes.trace_of)
    if offers.started:
        Assignment.objects.filter(
            pk__in=[lease.pk for lease in offers.started], status__in=OPEN_STATUSES
        ).update(
            is_parked=False,
            acknowledge_by=changes.now + timedelta(seconds=execution.acknowledge_seconds),
            resend_at=changes.now + timedelta(seconds=execution.resend_seconds),
        )
    return offers.messages
