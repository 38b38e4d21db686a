"""What one transaction does to a set of locked tasks: gathered first, written last.

Every stage builds one `TaskChanges`, moves tasks through it and writes it as its transaction's last
act, so that locks come in one order everywhere (jobs, tasks by id, runs by id, ledger accounts,
keepers) and events after all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write
from apps.keepers.data import KeeperOutcome
from apps.keepers.services import keepers_record_outcomes
from apps.ledger.data import TransactionDraft
from apps.ledger.domain.postings import escrow_release
from apps.ledger.services import transactions_post
from apps.tasks.data import TASK_TABLE, RunStatus, TaskStatus
from apps.tasks.domain.closing import decide_run
from apps.tasks.domain.readiness import get_descendants
from apps.tasks.models import Edge, Run, Task
from apps.tasks.moves import RUN_MOVE_FIELDS, TASK_MOVE_FIELDS, run_draft, run_move, task_move

_UNSTARTED = (TaskStatus.DISCOVERED, TaskStatus.WAITING)


class TaskChanges:
    """The pending writes of one stage pass over locked tasks."""

    def __init__(self, tasks: Sequence[Task], *, now: datetime) -> None:
        self.now = now
        self.pokes: set[str] = set()
        self._traces = dict(
            Run.objects.filter(pk__in={task.run_id for task in tasks}).values_list("id", "trace_id")
        )
        self._tasks: dict[UUID, Task] = {}
        self._fields: set[str] = set()
        self._drafts: list[EventDraft] = []
        self._moved: dict[UUID, int] = {}
        self._ended: list[Task] = []
        self._failed: list[Task] = []
        self._confirmed: list[Task] = []
        self._blamed: list[str] = []
        self._runs: list[Run] = []
        self._run_drafts: list[EventDraft] = []
        self._is_locked = False
        self._is_settled = False

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

    def fail(self, task: Task, code: str, detail: str = "", **changed: Any) -> None:
        """Make a locked task the root of a failure; everything below it is cancelled on write.

        `changed` are further columns to set, in their JSON form.
        """
        error = {"error_code": code[:64], "error_detail": detail[:500]}
        self.move(task, TaskStatus.FAILED, changed={**changed, **error})
        self._failed.append(task)

    def blame(self, keeper: str) -> None:
        """Count a failed attempt on this keeper's record."""
        self._blamed.append(keeper)

    def lock(self) -> Mapping[UUID, Run]:
        """Lock the tasks below the ended ones, then the runs of the ended ones; return the runs by id.

        What a run still holds is only known under its lock. Nothing moves after this.
        """
        if self._failed or self._confirmed:
            self._reach_below()
        if self._ended:
            run_ids = {task.run_id for task in self._ended}
            self._runs = lock_rows(Run.objects.filter(pk__in=run_ids), skip_locked=False)
        self._is_locked = True
        return {run.id: run for run in self._runs}

    def settle(
        self, *, spent: Mapping[UUID, int] | None = None, postings: Sequence[TransactionDraft] = ()
    ) -> None:
        """End the runs that are over and post what was spent and what is left: locks the ledger's accounts.

        `spent` is what the tasks cost, by run id, with the `postings` that move it. `write` does this and
        `lock` itself unless they were done before; do them before locking rows of upper apps.
        """
        if not self._is_locked:
            self.lock()
        if self._runs:
            self._close_runs(spent or {}, postings)
        self._is_settled = True

    def write(self) -> None:
        """Write tasks, runs and their events, and the records of keepers that failed."""
        if not self._is_settled:
            self.settle()
        if self._tasks:
            rows_write(list(self._tasks.values()), sorted(self._fields), self._drafts, now=self.now)
        if self._runs:
            rows_write(self._runs, [*RUN_MOVE_FIELDS, "spent_units"], self._run_drafts, now=self.now)
        if self._blamed:
            keepers_record_outcomes([KeeperOutcome(address=one, failed_count=1) for one in self._blamed])

    def _remember(self, task: Task, fields: set[str]) -> None:
        self._tasks[task.id] = task
        self._fields |= fields

    def _reach_below(self) -> None:
        """Cancel everything below failed tasks and wake the children of confirmed ones, locked as one set.

        No descendant of an unconfirmed task has started, so cancelling is all there is to do. A child that
        is just being looked at is waited for: what looks at it may not see its parent confirmed yet.
        """
        run_ids = {task.run_id for task in self._failed}
        edges = Edge.objects.filter(run_id__in=run_ids).values_list("parent_id", "child_id")
        lost = get_descendants(edges, {task.id for task in self._failed}) if run_ids else set()
        woken = Edge.objects.filter(parent__in=self._confirmed).values_list("child_id", flat=True)
        below = Task.objects.filter(pk__in={*lost, *woken} - self._tasks.keys(), status__in=_UNSTARTED)
        for task in lock_rows(below, skip_locked=False):
            if task.id in lost:
                self.move(task, TaskStatus.CANCELLED, changed={"error_code": "ancestor_failed"})
            else:
                self.touch(task, wake_at=self.now)
                self.pokes.add("admit")

    def _close_runs(self, spent: Mapping[UUID, int], postings: Sequence[TransactionDraft]) -> None:
        """End the locked runs with nothing unfinished.

        Their lock makes two transactions that end a run's last two tasks take turns, so that the second
        sees what the first wrote. What is left of an ended run's escrow goes back to its project.
        """
        statuses = self._statuses_of({run.id for run in self._runs})
        releases: list[TransactionDraft] = []
        for run in self._runs:
            run.spent_units += spent.get(run.id, 0)
            changed = {"spent_units": run.spent_units}
            target = decide_run(statuses[run.id], is_cancel_requested=run.cancel_requested_at is not None)
            if target is RunStatus.OPEN:
                if spent.get(run.id):
                    self._run_drafts.append(run_draft(run, "run.charged", changed))
                continue
            self._run_drafts.append(run_move(run, target, now=self.now, changed=changed))
            if run.escrow_units > run.spent_units:
                release = escrow_release(run.project_id, run.id, run.escrow_units - run.spent_units)
                releases.append(replace(release, trace_id=run.trace_id))
        transactions_post([*postings, *releases])

    def _statuses_of(self, run_ids: set[UUID]) -> dict[UUID, list[TaskStatus]]:
        found: dict[UUID, list[TaskStatus]] = {run_id: [] for run_id in run_ids}
        for task in self._tasks.values():
            if task.run_id in found:
                found[task.run_id].append(TaskStatus(task.status))
        others = Task.objects.filter(run_id__in=run_ids).exclude(pk__in=self._tasks)
        for run_id, status in others.values_list("run_id", "status").distinct().order_by():
            found[run_id].append(TaskStatus(status))
        return found
