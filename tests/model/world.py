"""The small model: one run of a few tasks, everything that can happen to them, and what must hold after it.

Every happening is decided by the pure rules that production uses. A message once possible stays
possible: it may be late, repeated or about an earlier attempt, and then changes nothing. Losing one is
simply its not happening. A state is a tuple of `Attempt`s and the number of faults that are left to
befall the run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from apps.execution.data import AssignmentStatus
from apps.execution.domain.receipt import LeaseValue, require_lease
from apps.jobs.data import EdgeKind
from apps.kernel.errors import DomainError
from apps.rollback.data import Target, TaskState
from apps.rollback.domain.cascade import CascadePlan, plan_cascade
from apps.rollback.domain.phases import Signal, is_holding
from apps.rollback.domain.recovery import Recovery, RecoveryTerms, decide_recovery, plan_retry
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.breaker import Breaker, BreakerTerms
from apps.speculation.domain.case import Offer, Surroundings, Terms
from apps.speculation.domain.decision import decide
from apps.speculation.domain.frontier import build_candidate, count_running_children
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.domain.limits import Limits
from apps.speculation.domain.lineage import Ground, is_ground_final, require_lineage
from apps.tasks.data import TaskStatus
from tests.factories.speculation import NOW, keeper_address, task_id

BONDS: Final = BondTerms()
RECOVERY: Final = RecoveryTerms(max_attempts=2)

_TASKS: Final = tuple(task_id(n + 1) for n in range(8))

#: what can go wrong with an attempt, by its status
FAILURES: Final = {
    TaskStatus.WAITING: (FailureReason.MANUAL,),
    TaskStatus.SCHEDULED: (FailureReason.CLAIM_EXPIRED,),
    TaskStatus.EXECUTING: (FailureReason.EXECUTION_FAILED, FailureReason.RESOURCES_EXHAUSTED),
    TaskStatus.EXECUTED: (FailureReason.RESULT_REJECTED, FailureReason.NO_QUORUM),
    TaskStatus.PROVING: (FailureReason.PROOF_GENERATION_FAILED,),
    TaskStatus.WAITING_ANCESTORS: (FailureReason.TIMEOUT, FailureReason.MANUAL),
    TaskStatus.SUBMITTED: (FailureReason.PROOF_REJECTED,),
}
#: good words about an attempt: what it must be for the word to count, and what it is then
WORDS: Final = {
    "attested": (TaskStatus.EXECUTED, TaskStatus.ATTESTED),
    "proving": (TaskStatus.ATTESTED, TaskStatus.PROVING),
    "proof": (TaskStatus.PROVING, TaskStatus.PROVED),
    "settled": (TaskStatus.SUBMITTED, TaskStatus.CONFIRMED),
}


class Fate(NamedTuple):
    """What is to become of an ended attempt."""

    #: its failure is tried again by itself
    is_retried: bool = False
    #: no retry of an ancestor brings it back
    is_final: bool = False


class Attempt(NamedTuple):
    """One task, in its latest attempt. `base` are the attempts of its parents that it was admitted on."""

    status: TaskStatus = TaskStatus.DISCOVERED
    epoch: int = 0
    failures: int = 0
    bond_units: int = 0
    base: tuple[int, ...] = ()
    fate: Fate = Fate()

    @property
    def standing(self) -> Standing:
        """How far it has come."""
        return STANDINGS[self.status]


State = tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A small DAG (`parents[n]` are lower numbers, with their edge kinds) and the limits it runs under."""

    parents: tuple[tuple[tuple[int, EdgeKind], ...], ...]
    max_depth: int = 3
    max_branches: int = 2
    max_at_risk_units: int = 10**12
    faults: int = 2

    @property
    def tasks(self) -> tuple[UUID, ...]:
        """The tasks' ids, by number."""
        return _TASKS[: len(self.parents)]


def start(setting: Setting) -> State:
    """Every task is discovered."""
    return (Attempt(),) * len(setting.parents)


def build_graph(setting: Setting, state: Sequence[Attempt]) -> DependencyGraph[UUID]:
    """The run's graph as it would be loaded."""
    tasks = setting.tasks
    edges = [(tasks[p], tasks[n], kind) for n, own in enumerate(setting.parents) for p, kind in own]
    confirmed = [task for task, own in zip(tasks, state, strict=True) if own.status is TaskStatus.CONFIRMED]
    return DependencyGraph.build(tasks, edges, confirmed)


def admit(setting: Setting, state: State, n: int) -> Attempt:
    """Ask for one task to start; refused, it waits."""
    own = state[n]
    graph = build_graph(setting, state)
    standings = {task: each.standing for task, each in zip(setting.tasks, state, strict=True)}
    decision = decide(
        build_candidate(graph, standings, setting.tasks[n]),
        offer=Offer(
            keeper=keeper_address(n),
            free_units=10**9,
            reputation=5_000,
            lease_expires_at=NOW + timedelta(seconds=300),
        ),
        around=Surroundings(
            breaker=Breaker(since=NOW),
            at_risk_units=sum(each.bond_units for each in state),
            running_children=count_running_children(graph, standings),
        ),
        terms=Terms(
            limits=Limits(
                max_depth=setting.max_depth,
                max_branches=setting.max_branches,
                max_at_risk_units=setting.max_at_risk_units,
            ),
            bonds=BONDS,
            breaker=BreakerTerms(),
        ),
        now=NOW,
    )
    if not decision.may_start:
        return own._replace(status=TaskStatus.WAITING)
    return own._replace(
        status=TaskStatus.SCHEDULED,
        epoch=own.epoch + 1,
        bond_units=decision.bond_units,
        base=tuple(state[p].epoch for p, _ in setting.parents[n]),
    )


def hear_keeper(own: Attempt, n: int, epoch: int, *, is_receipt: bool) -> Attempt:
    """A keeper's word about a lease: that it works, or that it is done."""
    is_live = own.status in (TaskStatus.SCHEDULED, TaskStatus.EXECUTING) and epoch == own.epoch
    held = LeaseValue(
        lease=UUID(int=epoch),
        epoch=epoch,
        task_epoch=own.epoch,
        task_status=TaskStatus.EXECUTING,
        keeper=keeper_address(n),
        status=AssignmentStatus.OFFERED if is_live else AssignmentStatus.REVOKED,
    )
    try:
        require_lease(UUID(int=epoch), epoch, keeper_address(n), held)
    except DomainError:
        return own
    return own._replace(status=TaskStatus.EXECUTED if is_receipt else TaskStatus.EXECUTING)


def record(setting: Setting, state: State, n: int, epoch: int) -> Attempt:
    """A receipt: it counts when its lease does and it was made from the parents' recorded outputs."""
    own = state[n]
    parents = [p for p, _ in setting.parents[n]]
    try:
        require_lineage(
            {setting.tasks[p]: _ground(base) for p, base in zip(parents, own.base, strict=True)},
            {setting.tasks[p]: _recorded(state[p]) for p in parents},
        )
    except DomainError:
        return own
    return hear_keeper(own, n, epoch, is_receipt=True)


def hear_word(own: Attempt, word: str, epoch: int) -> Attempt:
    """A word of committee, prover or chain: for the attempt it names, in the state it is about."""
    expected, target = WORDS[word]
    if epoch != own.epoch or own.status is not expected:
        return own
    return own._replace(status=target, bond_units=0 if target is TaskStatus.CONFIRMED else own.bond_units)


def submit(own: Attempt, above: Iterable[Standing]) -> Attempt:
    """A proof is submitted once the ground is final, and waits before."""
    if own.status not in (TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS):
        return own
    return own._replace(
        status=TaskStatus.SUBMITTED if is_ground_final(above) else TaskStatus.WAITING_ANCESTORS
    )


def decide_retry(own: Attempt, reason: FailureReason) -> Recovery:
    """What follows if this attempt fails now."""
    return decide_recovery(
        reason, failed_attempts=own.failures + 1, timeout_seconds=30, now=NOW, terms=RECOVERY
    )


def plan_failure(
    setting: Setting, state: State, n: int, epoch: int, reason: FailureReason
) -> CascadePlan | None:
    """The cascade a failure sets off; None where the word does not hold."""
    states = {task: _state_of(task, own, k) for k, (task, own) in enumerate(zip_tasks(setting, state))}
    task = setting.tasks[n]
    if not is_holding(Signal(reason=reason, epoch=epoch), states[task]):
        return None
    graph, scope = build_graph(setting, state), decide_retry(state[n], reason).scope
    return plan_cascade(task, reason, graph=graph, states=states, terms=BONDS, scope=scope)


def fail(setting: Setting, state: State, plan: CascadePlan) -> State:
    """The state after a cascade, with what is to become of everything it ended."""
    after = list(state)
    is_final = plan.reason is FailureReason.MANUAL
    for change in plan.changes:
        n = setting.tasks.index(change.task)
        own, is_root = after[n], change.task == plan.root
        fate = Fate(is_final=is_final)
        if is_root:
            is_retried = decide_retry(own, plan.reason).is_retried
            fate = Fate(is_retried=is_retried, is_final=not is_retried)
        after[n] = own._replace(
            status=TaskStatus(str(change.target)),
            bond_units=own.bond_units - change.released_units - change.slashed_units,
            failures=own.failures + is_root,
            base=(),
            fate=Fate() if change.target is Target.WAITING else fate,
        )
    return tuple(after)


def retry(setting: Setting, state: State, n: int) -> State:
    """Open a failed root again, and what it took along; refused under a dead ancestor."""
    states = {task: _state_of(task, own, k) for k, (task, own) in enumerate(zip_tasks(setting, state))}
    final = {task for task, own in zip_tasks(setting, state) if own.fate.is_final}
    try:
        opened = plan_retry(setting.tasks[n], graph=build_graph(setting, state), states=states, final=final)
    except DomainError:
        return state
    return tuple(
        own._replace(status=TaskStatus.WAITING, fate=Fate()) if task in opened else own
        for task, own in zip_tasks(setting, state)
    )


def zip_tasks(setting: Setting, state: State) -> Iterator[tuple[UUID, Attempt]]:
    """Each task with its latest attempt."""
    return zip(setting.tasks, state, strict=True)


def _ground(epoch: int) -> Ground:
    return Ground(epoch=epoch, output_hash=f"0x{epoch:02x}")


def _recorded(parent: Attempt) -> Ground:
    has_output = parent.standing in (Standing.PRODUCED, Standing.CONFIRMED)
    return _ground(parent.epoch) if has_output else Ground(epoch=parent.epoch)


def _state_of(task: UUID, own: Attempt, n: int) -> TaskState:
    return TaskState(
        task=task,
        status=str(own.status),
        keeper=keeper_address(n),
        epoch=own.epoch,
        bond_units=own.bond_units,
        compute_units=n + 1 if own.standing in (Standing.EXECUTING, Standing.PRODUCED) else 0,
    )
