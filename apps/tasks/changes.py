"""What one transaction does to a set of locked tasks: gathered first, written last.

Every stage builds one `TaskChanges`, moves tasks through it and writes it as its transaction's last
act, so that locks come in one order everywhere (jobs, tasks by id, runs by id, ledger accounts,
keepers) and events after all of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write, rows_write_each
from apps.eventlog.writing import rows_insert, rows_update
from apps.keepers.data import KeeperOutcome
from apps.keepers.services import keepers_record_outcomes
from apps.ledger.data import TransactionDraft
from apps.ledger.domain.postings import escrow_hold, escrow_release
from apps.ledger.services import transactions_post
from apps.tasks.data import TASK_TABLE, FailureReason, RunStatus, TaskStatus
from apps.tasks.domain.closing import decide_run
from apps.tasks.models import Edge, Failure, Run, Task
from apps.tasks.moves import (
    RUN_MOVE_FIELDS,
    TASK_MOVE_FIELDS,
    run_draft,
    run_move,
    run_reopen,
    task_move,
    task_reopen,
)

#: what a confirmation lets go on, and the stages that take it: tasks that wait to start anywhere below it,
#: and its children whose submission was held back
_HELD_BACK = (TaskStatus.ATTESTED, TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS)


class TaskChanges:
    """The pending writes of one stage pass over locked tasks."""

    def __init__(self, tasks: Sequence[Task], *, now: datetime) -> None:
        self.now = now
        self.pokes: set[str] = set()
        runs = Run.objects.filter(pk__in={task.run_id for task in tasks})
        rows = list(runs.values_list("id", "trace_id", "tasks_total"))
        self._traces = {run: trace_id for run, trace_id, _ in rows}
        #: run → how many tasks it has
        self.sizes = {run: total for run, _, total in rows}
        self._tasks: dict[UUID, Task] = {}
        self._fields: dict[UUID, set[str]] = {}
        self._drafts: list[EventDraft] = []
        self._moved: dict[UUID, int] = {}
        self._ended: list[Task] = []
        self._reopened: list[Task] = []
        self._failures: list[Failure] = []
        self._answered: list[Failure] = []
        self._confirmed: list[Task] = []
        self._blamed: list[str] = []
        self._runs: list[Run] = []
        self._run_drafts: list[EventDraft] = []
        self._is_locked = False
        self._is_settled = False

    @property
    def tasks(self) -> Sequence[Task]:
        """The locked tasks that change, as far as they have."""
        return list(self._tasks.values())

    def trace_of(self, task: Task) -> str:
        """The trace of the task's run."""
        return self._traces[task.run_id]

    def move(
        self,
        task: Task,
        target: TaskStatus,
        *,
        wake_at: datetime | None = None,
        changed: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        event: str | None = None,
    ) -> None:
        """Move a locked task; an ending needs no `wake_at`, and a confirmed task's children wake on write.

        Raises IllegalTransition.
        """
        draft = task_move(
            task,
            target,
            now=self.now,
            trace_id=self.trace_of(task),
            wake_at=wake_at,
            changed=changed,
            facts=facts,
            event=event,
        )
        self._moved[task.id] = len(self._drafts)
        self._drafts.append(draft)
        self._remember(task, {*TASK_MOVE_FIELDS, *(changed or {})})
        if TASK_TABLE.is_ending(target):
            self._ended.append(task)
        if target is TaskStatus.CONFIRMED:
            self._confirmed.append(task)

    def touch(self, task: Task, **columns: Any) -> None:
        """Set columns that are nobody's news, such as `wake_at`."""
        for name, value in columns.items():
            setattr(task, name, value)
        self._remember(task, set(columns))

    def tell(self, task: Task, event: str, payload: Mapping[str, Any]) -> None:
        """Append an event about a task that does not move."""
        self._drafts.append(
            EventDraft(
                row=task,
                type=event,
                payload={"set": {}, "step": task.step_key, **payload},
                run_id=task.run_id,
                project_id=task.project_id,
                trace_id=self.trace_of(task),
            )
        )
        self._remember(task, set())

    def amend(self, task: Task, facts: Mapping[str, Any]) -> None:
        """Tell more in the event of a task's latest move."""
        draft = self._drafts[self._moved[task.id]]
        self._drafts[self._moved[task.id]] = replace(draft, payload={**draft.payload, **facts})

    def signal(self, task: Task, reason: FailureReason, code: str, detail: str = "") -> None:
        """Tell that the present attempt of a locked task failed: from here on only the rollback stage moves
        it. A second word about one attempt changes nothing.
        """
        if task.is_failing or TASK_TABLE.is_ending(TaskStatus(task.status)):
            return
        failing = {"is_failing": True}
        self.touch(task, **failing)
        facts = {"reason": str(reason), "error_code": code[:64], "detail": detail[:500]}
        stage = {"stage": str(task.status), "epoch": task.epoch, "keeper": task.performer}
        self.tell(task, "task.failure_detected", {"set": failing, **facts, **stage})
        self._failures.append(
            Failure(
                task=task,
                run_id=task.run_id,
                epoch=task.epoch,
                reason=reason,
                error_code=code[:64],
                error_detail=detail[:500],
                detected_at=self.now,
                wake_at=self.now,
            )
        )
        self.pokes.add("rollback")

    def reopen(self, task: Task, *, wake_at: datetime, changed: Mapping[str, Any] | None = None) -> None:
        """Open another attempt of a locked task whose attempt has ended: epoch + 1, at `waiting`.

        A run that had failed is open again with it, and its money is held again (`settle` may raise
        InsufficientFunds). Raises IllegalTransition for a task that has not ended, or is confirmed.
        """
        draft, fields = task_reopen(
            task, now=self.now, trace_id=self.trace_of(task), wake_at=wake_at, changed=changed
        )
        self._moved[task.id] = len(self._drafts)
        self._drafts.append(draft)
        self._remember(task, fields)
        self._reopened.append(task)
        self.pokes.add("admit")

    def answer(self, failures: Sequence[Failure]) -> None:
        """Note that signalled failures, which are locked, are dealt with."""
        for failure in failures:
            failure.wake_at = None
        self._answered.extend(failures)

    def blame(self, keeper: str) -> None:
        """Count a failed attempt on this keeper's record."""
        self._blamed.append(keeper)

    def lock(self) -> Mapping[UUID, Run]:
        """Wake what confirmed tasks held back, then lock the runs of ended and reopened ones; return these.

        What a run still holds is only known under its lock. Nothing moves after this.
        """
        if self._confirmed:
            self._wake_below()
        run_ids = {task.run_id for task in (*self._ended, *self._reopened)}
        if run_ids:
            self._runs = lock_rows(Run.objects.filter(pk__in=run_ids), skip_locked=False)
        self._is_locked = True
        return {run.id: run for run in self._runs}

    def settle(
        self, *, spent: Mapping[UUID, int] | None = None, postings: Sequence[TransactionDraft] = ()
    ) -> None:
        """End the runs that are over, reopen those that are not any more, and post what was spent and what is
        left: locks the ledger's accounts.

        `spent` is what the tasks cost, by run id, with the `postings` that move it. `write` does this and
        `lock` itself unless they were done before; do them before locking rows of upper apps. Raises
        InsufficientFunds.
        """
        if not self._is_locked:
            self.lock()
        moved = self._close_runs(spent or {}) if self._runs else []
        transactions_post([*postings, *moved])
        self._is_settled = True

    def write(self) -> None:
        """Write tasks, failures, runs and their events, and the records of keepers that failed."""
        if not self._is_settled:
            self.settle()
        rows_insert(Failure, self._failures, is_key_given=False)
        epochs = [failure.epoch for failure in self._answered]
        rows_update(Failure, self._answered, ("wake_at",), epochs, guard_column="epoch")
        if self._tasks:
            rows_write_each(self._sets(), self._drafts, now=self.now)
        if self._runs:
            rows_write(self._runs, [*RUN_MOVE_FIELDS, "spent_units"], self._run_drafts, now=self.now)
        if self._blamed:
            keepers_record_outcomes([KeeperOutcome(address=one, failed_count=1) for one in self._blamed])

    def _remember(self, task: Task, fields: set[str]) -> None:
        self._tasks[task.id] = task
        known = self._fields.get(task.id)
        if known is None:
            self._fields[task.id] = fields
        else:
            known |= fields

    def _sets(self) -> list[tuple[list[Task], list[str]]]:
        """The tasks by what is written of them: one statement each."""
        sets: defaultdict[frozenset[str], list[Task]] = defaultdict(list)
        for task_id, fields in self._fields.items():
            sets[frozenset(fields)].append(self._tasks[task_id])
        return [(tasks, sorted(fields)) for fields, tasks in sets.items()]

    def _wake_below(self) -> None:
        """Wake what waits to start below confirmed tasks, and their children whose submission waits for them.

        Everything below has a higher id, so locks still come in id order. A task that is just being looked
        at is waited for: what looks at it may not see its ancestor confirmed yet.
        """
        children = Edge.objects.filter(parent__in=self._confirmed).values("child_id")
        runs = {task.run_id for task in self._confirmed}
        first = min(task.id for task in self._confirmed)
        waiting = Q(run__in=runs, status=TaskStatus.WAITING, pk__gt=first)
        held_back = Q(pk__in=children, status__in=(TaskStatus.DISCOVERED, *_HELD_BACK))
        below = Task.objects.filter(waiting | held_back).exclude(pk__in=self._tasks)
        for task in lock_rows(below, skip_locked=False):
            self.touch(task, wake_at=self.now)
            self.pokes.add("submit" if task.status in _HELD_BACK else "admit")
            if task.status in _HELD_BACK:
                self.pokes.add("prove")

    def _close_runs(self, spent: Mapping[UUID, int]) -> list[TransactionDraft]:
        """End the locked runs with nothing unfinished; open those again that had ended and have something.

        Their lock makes two transactions that end a run's last two tasks take turns, so that the second
        sees what the first wrote. What is left of an ended run's escrow goes back to its project.
        """
        statuses = self._statuses_of({run.id for run in self._runs})
        moved: list[TransactionDraft] = []
        for run in self._runs:
            run.spent_units += spent.get(run.id, 0)
            changed = {"spent_units": run.spent_units}
            target = decide_run(statuses[run.id], is_cancel_requested=run.cancel_requested_at is not None)
            left = run.escrow_units - run.spent_units
            if target is not RunStatus.OPEN:
                self._run_drafts.append(run_move(run, target, now=self.now, changed=changed))
                self.pokes.add("follow")
                if left:
                    release = escrow_release(run.project_id, run.id, left, part=_part_of(run))
                    moved.append(replace(release, trace_id=run.trace_id))
            elif run.status != RunStatus.OPEN:
                self._run_drafts.append(run_reopen(run))
                if left:
                    hold = escrow_hold(run.project_id, run.id, left, part=_part_of(run))
                    moved.append(replace(hold, trace_id=run.trace_id))
            elif spent.get(run.id):
                self._run_drafts.append(run_draft(run, "run.charged", changed))
        return moved

    def _statuses_of(self, run_ids: set[UUID]) -> dict[UUID, list[TaskStatus]]:
        found: dict[UUID, list[TaskStatus]] = {run_id: [] for run_id in run_ids}
        for task in self._tasks.values():
            if task.run_id in found:
                found[task.run_id].append(TaskStatus(task.status))
        partial = [run_id for run_id in run_ids if len(found[run_id]) < self.sizes[run_id]]
        others = Task.objects.filter(run_id__in=partial).exclude(pk__in=self._tasks)
        for run_id, status in others.values_list("run_id", "status").distinct().order_by():
            found[run_id].append(TaskStatus(status))
        return found


def _part_of(run: Run) -> str:
    """Which of a run's lives money is held for: the first has no name."""
    return str(run.reopenings) if run.reopenings else ""
