"""What a failure does, as one value: every task it changes, every bond it ends, what is to be stopped after.

Leaves first, the root last. Executing tasks are aborted; those with or after an output are rolled back,
a pending proof being cancelled first; those scheduled or earlier are cancelled; confirmed ones never
change. Bonds below the root are released in full, and the root alone is slashed. A root that has ended
gives an empty plan (invariants 3 to 8, 13).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.rollback.data import Scope, Target, TaskState
from apps.rollback.domain.recovery import POLICIES
from apps.rollback.errors import RollbackOfConfirmed, RollbackRootUnknown, RollbackTooLate
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.bonds import BondTerms, Shares, compute_shares, compute_slash
from apps.speculation.domain.graph import DependencyGraph

#: what becomes of a task that stands on a failure, by how far it has come; the others stay as they are
TARGETS: Final[Mapping[Standing, Target]] = {
    Standing.PENDING: Target.CANCELLED,
    Standing.SCHEDULED: Target.CANCELLED,
    Standing.EXECUTING: Target.ABORTED,
    Standing.PRODUCED: Target.ROLLED_BACK,
}
#: statuses whose transaction may be mined whatever anybody wants
SETTLING: Final = frozenset({"submitted"})
#: statuses in which a proof is being made or kept
_WITH_PROOF: Final = frozenset({"proving", "proved", "waiting_ancestors"})
#: standings in which a keeper holds, or is being offered, a lease
_LEASED: Final = frozenset({Standing.SCHEDULED, Standing.EXECUTING})
#: a root of these did not fail itself: it is treated as what stands on a failure is
_ROOT_NOT_AT_FAULT: Final = frozenset({FailureReason.MANUAL, FailureReason.ANCESTOR_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One task's part in a cascade. The bond is `released_units` + `slashed_units`."""

    task: UUID
    epoch: int
    keeper: str
    previous: str
    target: Target
    released_units: int = 0
    slashed_units: int = 0
    wasted_units: int = 0

    @property
    def is_lease_revoked(self) -> bool:
        """Whether a keeper holds, or is being offered, a lease on it."""
        return STANDINGS[self.previous] in _LEASED

    @property
    def is_proof_cancelled(self) -> bool:
        """Whether a proof of it is being made or kept."""
        return self.previous in _WITH_PROOF


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePlan:
    """Everything one failure changes; `changes` leaves first, the root last.

    `confirmed` are descendants that are final: they stay, and that there are any breaks invariant 6.
    """

    root: UUID
    reason: FailureReason
    scope: Scope = Scope.DOWNSTREAM
    changes: tuple[Change, ...] = ()
    shares: Shares = field(default_factory=Shares)
    depth: int = 0
    confirmed: tuple[UUID, ...] = ()

    @property
    def dependents(self) -> int:
        """How many tasks it takes along."""
        return max(0, len(self.changes) - 1)

    @property
    def wasted_units(self) -> int:
        """The compute that was for nothing, the root's included."""
        return sum(change.wasted_units for change in self.changes)

    @property
    def slashed_keeper(self) -> str:
        """Whose bond is slashed; empty where none is."""
        return self.changes[-1].keeper if self.shares.slashed_units else ""

    @property
    def released(self) -> dict[str, int]:
        """What goes back to each keeper, what is left of the root's bond included."""
        found: dict[str, int] = {}
        for change in self.changes:
            if change.released_units:
                found[change.keeper] = found.get(change.keeper, 0) + change.released_units
        return found

    @property
    def revoked(self) -> tuple[tuple[UUID, int], ...]:
        """The attempts whose messages are revoked: with the root's, by its stamp, all below it."""
        return tuple((change.task, change.epoch) for change in self.changes[-1:])

    @property
    def aborted(self) -> tuple[Change, ...]:
        """The tasks whose keepers are told to stop, leaves first."""
        return tuple(change for change in self.changes if change.is_lease_revoked)

    @property
    def cancelled_proofs(self) -> tuple[Change, ...]:
        """The tasks whose proofs are cancelled, leaves first."""
        return tuple(change for change in self.changes if change.is_proof_cancelled)


def plan_cascade(
    root: UUID,
    reason: FailureReason,
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    terms: BondTerms,
    scope: Scope | None = None,
) -> CascadePlan:
    """Plan one failure over locked tasks; `states` holds the root and all its descendants.

    `scope` is the recovery's (the policy's, without one). Raises RollbackRootUnknown, RollbackOfConfirmed,
    and RollbackTooLate for a person who would stop what is being settled.
    """
    own = states.get(root)
    if own is None or root not in graph:
        raise RollbackRootUnknown(task=to_wire("task", root))
    standing = STANDINGS[own.status]
    if standing is Standing.CONFIRMED:
        raise RollbackOfConfirmed(task=to_wire("task", root))
    if standing is Standing.DEAD:
        return CascadePlan(root=root, reason=reason)
    if reason is FailureReason.MANUAL and own.status in SETTLING:
        raise RollbackTooLate(task=to_wire("task", root))

    below = graph.get_leaves_first(graph.get_descendants([root]))
    scope = _decide_scope(scope or POLICIES[reason].scope, standing, [states[task] for task in below])
    if scope is Scope.TASK_ONLY:
        return CascadePlan(
            root=root, reason=reason, scope=scope, changes=_plan_task_only(own, [states[t] for t in below])
        )
    changes = [_undo(states[task]) for task in below if STANDINGS[states[task].status] in TARGETS]
    last, shares = _plan_root(own, reason, changes, terms)
    return CascadePlan(
        root=root,
        reason=reason,
        changes=(*changes, last),
        shares=shares,
        depth=_compute_cascade_depth(root, below, {change.task for change in changes}, graph),
        confirmed=tuple(task for task in below if STANDINGS[states[task].status] is Standing.CONFIRMED),
    )


def plan_cascades(
    failures: Mapping[UUID, FailureReason],
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    terms: BondTerms,
    scopes: Mapping[UUID, Scope] | None = None,
) -> list[CascadePlan]:
    """Plan failures that are handled together, ancestors first: where two overlap, the upper one is the root.

    What the lower one did, it did on a bad input, or it is given back with the upper one: its plan is empty
    and it is not slashed. Raises as `plan_cascade`.
    """
    for root in failures:
        if root not in graph:
            raise RollbackRootUnknown(task=to_wire("task", root))
    current = dict(states)
    taken: set[UUID] = set()
    plans: list[CascadePlan] = []
    for root in graph.get_order(failures):
        if root in taken:
            plans.append(CascadePlan(root=root, reason=failures[root]))
            continue
        scope = scopes.get(root) if scopes else None
        plan = plan_cascade(root, failures[root], graph=graph, states=current, terms=terms, scope=scope)
        current.update({change.task: apply_change(current[change.task], change) for change in plan.changes})
        taken.update(change.task for change in plan.changes)
        plans.append(plan)
    return plans


def apply_change(state: TaskState, change: Change) -> TaskState:
    """The task after its part in a cascade: its bond has ended."""
    return TaskState(
        task=state.task,
        status=change.target.value,
        keeper=state.keeper,
        epoch=state.epoch,
        compute_units=state.compute_units,
    )


def _decide_scope(wanted: Scope, standing: Standing, below: Sequence[TaskState]) -> Scope:
    if wanted is Scope.DOWNSTREAM or standing not in _LEASED:
        return Scope.DOWNSTREAM
    if any(STANDINGS[state.status] in (Standing.EXECUTING, Standing.PRODUCED) for state in below):
        return Scope.DOWNSTREAM
    return Scope.TASK_ONLY


def _plan_task_only(own: TaskState, below: Sequence[TaskState]) -> tuple[Change, ...]:
    """Nobody is at fault and nothing below has started: the leases are taken back, and all wait again."""
    offered = [state for state in below if STANDINGS[state.status] is Standing.SCHEDULED]
    return tuple(
        _build_change(state, Target.WAITING, wasted_units=state.compute_units) for state in (*offered, own)
    )


def _undo(state: TaskState) -> Change:
    return _build_change(state, TARGETS[STANDINGS[state.status]], wasted_units=state.compute_units)


def _plan_root(
    own: TaskState, reason: FailureReason, changes: Sequence[Change], terms: BondTerms
) -> tuple[Change, Shares]:
    if reason in _ROOT_NOT_AT_FAULT:
        return _undo(own), Shares()
    wasted: dict[str, int] = {}
    for change in changes:
        if change.keeper:
            wasted[change.keeper] = wasted.get(change.keeper, 0) + change.wasted_units
    slashed_units = compute_slash(own.bond_units, reason, terms)
    shares = compute_shares(slashed_units, wasted, slashed_keeper=own.keeper)
    change = _build_change(own, Target.FAILED, wasted_units=own.compute_units, slashed_units=slashed_units)
    return change, shares


def _build_change(state: TaskState, target: Target, *, wasted_units: int, slashed_units: int = 0) -> Change:
    return Change(
        task=state.task,
        epoch=state.epoch,
        keeper=state.keeper,
        previous=state.status,
        target=target,
        released_units=state.bond_units - slashed_units,
        slashed_units=slashed_units,
        wasted_units=wasted_units,
    )


def _compute_cascade_depth(
    root: UUID, below: Sequence[UUID], changed: Collection[UUID], graph: DependencyGraph[UUID]
) -> int:
    """The largest number of changed tasks on a path below the root; `below` leaves first."""
    levels: dict[UUID, int] = {root: 0}
    for task in reversed(below):
        above = max(levels[parent] for parent in graph.get_parents(task) if parent in levels)
        levels[task] = above + (task in changed)
    return max(levels.values())
