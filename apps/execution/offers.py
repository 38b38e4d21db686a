"""From leases to the messages that offer them: alone, or as canvases in which one receipt starts the next.

A lease that awaits attempts still under way is parked in the database until they are recorded, or travels
behind its one pending parent in the same canvas. What a canvas loses on its way is offered again by the
sweep, alone and with the receipts it awaits.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from apps.execution.data import AssignmentStatus
from apps.execution.dispatcher import execute_message
from apps.execution.leasing import assignment_of, get_awaited_leases
from apps.execution.models import OPEN_STATUSES
from apps.execution.models import Assignment as AssignmentRow
from apps.kernel.outcome import Message
from apps.speculation.domain.chains import Canvas, Start, plan_canvases
from apps.tasks.models import Task

#: a lease → the signed receipt it was returned with
Receipts = Mapping[UUID, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Messages to send, and the parked leases that travel in them."""

    messages: tuple[Message, ...] = ()
    started: tuple[AssignmentRow, ...] = ()


def offers_start(
    leases: Sequence[AssignmentRow], tasks: Mapping[UUID, Task], trace_of: Callable[[Task], str]
) -> Offers:
    """The canvases of these parked leases that can start now; `tasks` are theirs.

    A lease leaves the park with the message it travels in: its own, or its pending parent's.
    """
    if not leases:
        return Offers()
    by_task = {lease.task_id: lease for lease in leases}
    awaited = {task_id: get_awaited_leases(tasks[task_id]) for task_id in by_task}
    receipts = get_receipts({lease for own in awaited.values() for lease in own.values()})
    waits = {
        task_id: [parent for parent, lease in own.items() if lease not in receipts]
        for task_id, own in awaited.items()
    }
    order = sorted(by_task, key=lambda task_id: (tasks[task_id].depth, tasks[task_id].position))
    pending = {parent for own in waits.values() for parent in own} - by_task.keys()
    canvases = [canvas for canvas in plan_canvases(order, waits, pending) if canvas.start is Start.NOW]

    def message(task_id: UUID) -> Message:
        return _message(by_task[task_id], tasks[task_id], trace_of, awaited[task_id].values(), receipts)

    started = [by_task[task_id] for canvas in canvases for chain in canvas.chains for task_id in chain.tasks]
    for lease in started:
        lease.is_parked = False
    return Offers(messages=tuple(_tree(canvas, 0, message) for canvas in canvases), started=tuple(started))


def offers_repeat(
    leases: Sequence[AssignmentRow], tasks: Mapping[UUID, Task], trace_of: Callable[[Task], str]
) -> list[Message]:
    """The leases again, each alone with the receipts it awaits; one that lacks a receipt cannot start yet."""
    awaited = {lease.id: get_awaited_leases(tasks[lease.task_id]) for lease in leases}
    receipts = get_receipts({parent for own in awaited.values() for parent in own.values()})
    return [
        _message(lease, tasks[lease.task_id], trace_of, awaited[lease.id].values(), receipts)
        for lease in leases
        if all(parent in receipts for parent in awaited[lease.id].values())
    ]


def get_receipts(lease_ids: Collection[UUID]) -> Receipts:
    """The receipts of those of these leases that were returned with one. One query, none for none."""
    if not lease_ids:
        return {}
    rows = AssignmentRow.objects.filter(pk__in=lease_ids, status=AssignmentStatus.RETURNED)
    return {lease_id: receipt for lease_id, receipt in rows.values_list("pk", "receipt") if receipt}


def get_parked(run_ids: Collection[UUID]) -> list[AssignmentRow]:
    """The parked leases of these runs with their tasks at hand. One query."""
    rows = AssignmentRow.objects.filter(task__run__in=run_ids, status__in=OPEN_STATUSES, is_parked=True)
    return list(rows.select_related("task").order_by("pk"))


def _tree(canvas: Canvas, index: int, message: Callable[[UUID], Message]) -> Message:
    """A canvas from one of its chains on, its last task first built: it is what the others lead to."""
    chain = canvas.chains[index]
    following = tuple(_tree(canvas, branch, message) for branch in chain.following)
    for task_id in reversed(chain.tasks):
        following = (replace(message(task_id), following=following),)
    return following[0]


def _message(
    lease: AssignmentRow,
    task: Task,
    trace_of: Callable[[Task], str],
    awaited: Collection[UUID],
    receipts: Receipts,
) -> Message:
    offer = execute_message(assignment_of(lease, task), trace_of(task))
    known = [receipts[parent] for parent in awaited if parent in receipts]
    body = {**offer.body, "parents": known} if known else offer.body
    return replace(offer, body=body, stamps=tuple(lease.lineage))
