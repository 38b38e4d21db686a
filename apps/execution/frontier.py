"""One run as admission sees it: its graph, how far each task has come, and what each would stand on.

Loaded for a set of runs in three queries. The decision itself is `apps/speculation/domain/frontier.py`;
here its answers become leases to give: keeper, specification, lineage.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from apps.execution.domain.scoring import Choice
from apps.execution.leasing import KeeperPool, compute_lease_seconds
from apps.execution.models import OPEN_STATUSES
from apps.execution.models import Assignment as AssignmentRow
from apps.jobs.data import EdgeKind
from apps.kernel.ids import new_id, to_wire
from apps.speculation.data import STANDINGS, Standing
from apps.speculation.domain.bonds import compute_bond
from apps.speculation.domain.breaker import Outcomes
from apps.speculation.domain.case import Surroundings, Terms
from apps.speculation.domain.decision import Decision, Verdict
from apps.speculation.domain.frontier import Claim, KeeperStake, count_running_children, decide_frontier
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.domain.lineage import stamp_of
from apps.tasks.models import Edge, Task

#: standings with an output that a child may stand on
_WITH_OUTPUT: Final = (Standing.PRODUCED, Standing.CONFIRMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task as its run's other tasks see it."""

    id: UUID
    step_key: str
    standing: Standing
    epoch: int
    output_cid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLease:
    """The attempt a child would await: its lease, and when that is over."""

    id: UUID
    epoch: int
    keeper: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedTask:
    """A task that starts: whose it is, what it stands on, and how long what it awaits may still take."""

    task: Task
    decision: Decision
    choice: Choice
    lease_id: UUID
    spec: dict[str, Any]
    ancestors: tuple[tuple[UUID, int], ...]
    waits_seconds: float

    @property
    def is_ahead(self) -> bool:
        """Whether it starts on outputs that are not confirmed."""
        return self.decision.verdict is Verdict.AHEAD

    @property
    def lineage(self) -> list[str]:
        """The stamps of everything it stands on, and its own, last."""
        return [stamp_of(*attempt) for attempt in (*self.ancestors, (self.task.id, self.task.epoch + 1))]


@dataclass(slots=True, kw_only=True)
class RunFrontier:
    """A run under admission; `pending` are its locked tasks that have not started."""

    run_id: UUID
    graph: DependencyGraph[UUID]
    rows: Mapping[UUID, TaskRow]
    pending: Mapping[UUID, Task]
    leases: dict[UUID, LiveLease]
    choices: dict[UUID, Choice] = field(default_factory=dict)
    waits: dict[UUID, float] = field(default_factory=dict)

    @property
    def standings(self) -> dict[UUID, Standing]:
        """How far each task has come."""
        return {row.id: row.standing for row in self.rows.values()}

    def choose_keepers(
        self,
        pool: KeeperPool,
        failed: Mapping[UUID, frozenset[str]],
        stakes: Mapping[str, KeeperStake],
        terms: Terms,
        *,
        now: datetime,
    ) -> None:
        """A keeper for every pending task that could be let through, parents first, while room is left.

        One that can put up the task's bond, where there is any.
        """
        limits, free = terms.limits, {address: stake.free_units for address, stake in stakes.items()}
        for task_id in self.graph.get_order(self.pending):
            depth = self.graph.get_depth(task_id)
            is_out = depth > limits.max_depth or not limits.is_enabled
            if (depth and is_out) or not self._has_ground(task_id):
                continue
            task, bond_units = self.pending[task_id], compute_bond(depth, terms.bonds)
            poor = frozenset(address for address, units in free.items() if units < bond_units)
            choice = pool.choose(
                task.spec,
                failed=failed.get(task_id, frozenset()),
                poor=poor if depth else frozenset(),
                now=now,
            )
            if choice is not None:
                free[choice.address] -= bond_units
                self.choices[task_id] = choice
                self.waits[task_id] = self._compute_wait(task_id, now)

    def decide(
        self, stakes: Mapping[str, KeeperStake], around: Surroundings, terms: Terms, *, now: datetime
    ) -> list[Decision]:
        """The decisions for the pending tasks on the frontier."""
        standings = self.standings
        running = count_running_children(self.graph, standings)
        return decide_frontier(
            self.graph,
            standings,
            claims={task_id: self._claim(task_id, now) for task_id in self.choices},
            keepers=stakes,
            around=replace(around, running_children=running),
            terms=terms,
            now=now,
            asked=self.pending.keys(),
        )

    def take(
        self, decisions: Sequence[Decision], around: Surroundings, stakes: Mapping[str, KeeperStake]
    ) -> tuple[Surroundings, Mapping[str, KeeperStake]]:
        """What is left for the next run: stake, trials and the room below the cap are spent once."""
        left = dict(stakes)
        opened, at_risk_units = around.outcomes.opened, around.at_risk_units
        for one in decisions:
            choice = self.choices.get(one.task)
            if not one.may_start or choice is None:
                continue
            stake = left[choice.address]
            left[choice.address] = replace(stake, free_units=stake.free_units - one.bond_units)
            at_risk_units += one.bond_units
            opened += one.verdict is Verdict.AHEAD
        outcomes = Outcomes(opened=opened, ended=around.outcomes.ended, undone=around.outcomes.undone)
        return replace(around, outcomes=outcomes, at_risk_units=at_risk_units), left

    def admit(self, decisions: Sequence[Decision], pool: KeeperPool, *, now: datetime) -> list[AdmittedTask]:
        """Those that start, parents first; the room of keepers chosen for others is given back."""
        admitted: list[AdmittedTask] = []
        epochs = {row.id: row.epoch for row in self.rows.values()}
        for one in decisions:
            choice = self.choices.get(one.task)
            if not one.may_start or choice is None:
                continue
            task, lease_id = self.pending[one.task], new_id()
            epochs[one.task] = task.epoch + 1
            admitted.append(
                AdmittedTask(
                    task=task,
                    decision=one,
                    choice=choice,
                    lease_id=lease_id,
                    spec=self._build_spec(task),
                    ancestors=tuple((ancestor, epochs[ancestor]) for ancestor in one.ancestors),
                    waits_seconds=self.waits[one.task],
                )
            )
            self.leases[one.task] = LiveLease(
                id=lease_id,
                epoch=task.epoch + 1,
                keeper=choice.address,
                expires_at=self._claim(one.task, now).lease_expires_at,
            )
        started = {one.task.id for one in admitted}
        for task_id, choice in self.choices.items():
            if task_id not in started:
                pool.give_back(choice.address)
        return admitted

    def _has_ground(self, task_id: UUID) -> bool:
        """Whether each parent has an output, a lease, or a keeper chosen in this pass."""
        return all(
            self.rows[parent].standing in _WITH_OUTPUT or parent in self.leases or parent in self.choices
            for parent in self.graph.get_parents(task_id)
        )

    def _compute_wait(self, task_id: UUID, now: datetime) -> float:
        """How long the slowest parent without an output may still take, in seconds."""
        waits = [0.0]
        for parent in self.graph.get_parents(task_id):
            if parent in self.choices:
                deadline = self.pending[parent].spec["limits"]["deadline_seconds"]
                waits.append(self.waits[parent] + deadline)
            elif self.rows[parent].standing not in _WITH_OUTPUT:
                waits.append((self.leases[parent].expires_at - now).total_seconds())
        return max(waits)

    def _claim(self, task_id: UUID, now: datetime) -> Claim:
        seconds = compute_lease_seconds(
            self.pending[task_id].spec,
            waits_seconds=self.waits[task_id],
            is_ahead=self.graph.get_depth(task_id) > 0,
        )
        return Claim(keeper=self.choices[task_id].address, lease_expires_at=now + timedelta(seconds=seconds))

    def _build_spec(self, task: Task) -> dict[str, Any]:
        """The task's specification with what it stands on: recorded outputs, and attempts under way."""
        parents: dict[str, str] = {}
        awaits: dict[str, dict[str, Any]] = {}
        for parent, kind in self.graph.get_parents(task.id).items():
            row = self.rows[parent]
            if row.standing in _WITH_OUTPUT:
                if kind is EdgeKind.DATA:
                    parents[row.step_key] = row.output_cid
                continue
            lease = self.leases[parent]
            awaits[row.step_key] = {
                "task": to_wire("task", parent),
                "epoch": lease.epoch,
                "lease": lease.id.hex,
                "keeper": lease.keeper,
                "kind": "data" if kind is EdgeKind.DATA else "order",
            }
        return {**task.spec, "parents": parents, "awaits": awaits}


def get_dependent_runs(run_ids: Collection[UUID]) -> set[UUID]:
    """Those of these runs in which a step depends on another. One query, none for none."""
    if not run_ids:
        return set()
    return set(Edge.objects.filter(run__in=run_ids).order_by().values_list("run_id", flat=True).distinct())


def load_frontiers(pending: Collection[Task]) -> list[RunFrontier]:
    """The runs of these locked tasks, in the order of their ids."""
    by_run: defaultdict[UUID, dict[UUID, Task]] = defaultdict(dict)
    for task in pending:
        by_run[task.run_id][task.id] = task
    rows: defaultdict[UUID, dict[UUID, TaskRow]] = defaultdict(dict)
    columns = ("run_id", "id", "step_key", "status", "epoch", "output_cid", "is_failing")
    found = Task.objects.filter(run__in=by_run).order_by("run_id", "position").values_list(*columns)
    for run_id, task_id, step_key, status, epoch, output_cid, is_failing in found:
        rows[run_id][task_id] = TaskRow(
            id=task_id,
            step_key=step_key,
            standing=Standing.DEAD if is_failing else STANDINGS[status],
            epoch=epoch,
            output_cid=output_cid,
        )
    edges: defaultdict[UUID, list[tuple[UUID, UUID, EdgeKind]]] = defaultdict(list)
    for run_id, parent, child, kind in Edge.objects.filter(run__in=by_run).values_list(
        "run_id", "parent_id", "child_id", "kind"
    ):
        edges[run_id].append((parent, child, EdgeKind(kind)))
    leases = _live_leases(by_run)
    return [
        RunFrontier(
            run_id=run_id,
            graph=DependencyGraph.build(
                rows[run_id],
                edges[run_id],
                [row.id for row in rows[run_id].values() if row.standing is Standing.CONFIRMED],
            ),
            rows=rows[run_id],
            pending=by_run[run_id],
            leases=leases[run_id],
        )
        for run_id in sorted(by_run)
    ]


def _live_leases(run_ids: Collection[UUID]) -> Mapping[UUID, dict[UUID, LiveLease]]:
    found: defaultdict[UUID, dict[UUID, LiveLease]] = defaultdict(dict)
    live = AssignmentRow.objects.filter(task__run__in=run_ids, status__in=OPEN_STATUSES)
    columns = ("task__run_id", "task_id", "id", "epoch", "keeper_id", "expires_at")
    for run_id, task_id, lease_id, epoch, keeper, expires_at in live.values_list(*columns):
        found[run_id][task_id] = LiveLease(id=lease_id, epoch=epoch, keeper=keeper, expires_at=expires_at)
    return found
