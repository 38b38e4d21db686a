"""The invariants of single happenings of the small model, asked without the rules that decided them."""

from collections.abc import Sequence

from apps.jobs.data import EdgeKind
from apps.rollback.data import Scope, Target
from apps.rollback.domain.cascade import CascadePlan
from apps.speculation.data import UNDER_WAY, Standing
from apps.tasks.data import TASK_TABLE
from tests.model.world import Attempt, Setting, State, build_graph, plan_failure


class Violated(AssertionError):
    """An invariant does not hold: its number, what is wrong, and the states that led there."""

    def __init__(self, invariant: int, reason: str, trace: Sequence[str] = ()) -> None:
        self.invariant = invariant
        super().__init__(f"invariant {invariant}: {reason}\n" + "\n".join(trace))


def check_admission(setting: Setting, state: State, n: int, new: Attempt) -> None:
    """Invariants 9, 10 and 11 of a task that starts, asked without the rules."""
    parents = parents_of(setting)
    above_of = ancestors_of(parents)
    standings = [own.standing for own in state]
    above = [standings[k] for k in above_of[n]]
    require(Standing.DEAD not in above, 10, f"{n} enters under a failing ancestor")
    require(Standing.PENDING not in above, 10, f"{n} enters before an ancestor has started")
    require(new.epoch == state[n].epoch + 1, 11, f"the epoch of {n} does not grow by one")
    depth = depth_of(parents, standings, n)
    require(depth <= setting.max_depth, 9, f"{n} enters at depth {depth}")
    require(depth == 0 or new.bond_units == 10**6 << depth, 9, f"{n} enters at depth {depth} with {new}")
    at_risk = sum(own.bond_units for own in state) + new.bond_units
    is_within = not new.bond_units or at_risk <= setting.max_at_risk_units
    require(is_within, 2, f"{at_risk} units at risk")
    for p, kind in setting.parents[n]:
        is_open = standings[p] is not Standing.CONFIRMED
        require(not is_open or kind is not EdgeKind.RESOURCE, 9, f"{n} runs ahead across a scarce edge")
        running = sum(p in own and standings[k] in UNDER_WAY for k, own in enumerate(parents))
        require(not is_open or running < setting.max_branches, 9, f"{p} has {running} branches")
    require(build_graph(setting, state).check() == [], 9, "the graph contradicts itself")


def check_cascade(setting: Setting, n: int, before: State, after: State, plan: CascadePlan) -> None:
    """Invariants 3, 4, 5, 8 and 13 of one cascade."""
    parents = parents_of(setting)
    above_of = ancestors_of(parents)
    numbers = {task: k for k, task in enumerate(setting.tasks)}
    changed = [numbers[change.task] for change in plan.changes]
    below = {k for k in range(len(before)) if n in above_of[k]}
    require(len(set(changed)) == len(changed) and set(changed) <= {n, *below}, 8, "not its own cascade")
    place = {k: position for position, k in enumerate(changed)}
    is_ordered = all(place[k] < place[p] for k in place for p in parents[k] if p in place)
    require(is_ordered and changed[-1] == n, 8, f"not leaves first: {changed}")
    for change in plan.changes:
        own = before[numbers[change.task]]
        require_move(own, after[numbers[change.task]])
        parts = change.released_units + change.slashed_units
        require(parts == own.bond_units and change.released_units >= 0, 3, f"a bond in parts: {change}")
        require(change.task == plan.root or not change.slashed_units, 5, f"slashed below the root: {change}")
    shares = plan.shares
    slashed = sum(change.slashed_units for change in plan.changes)
    paid = shares.treasury_units + sum(shares.victims.values())
    require(slashed == shares.slashed_units == paid, 4, f"shares of {slashed} pay {paid}")
    half = slashed // 2 if shares.victims else slashed
    require(shares.treasury_units == half, 4, f"the treasury gets {shares.treasury_units} of {slashed}")
    if plan.scope is Scope.DOWNSTREAM:
        own = after[n]
        again = plan_failure(setting, after, n, own.epoch, plan.reason)
        require(again is None or not again.changes, 8, f"the cascade of {n} again changes something")
        require(plan.changes[-1].target is not Target.WAITING, 13, "a failed root that waits")


def parents_of(setting: Setting) -> list[tuple[int, ...]]:
    """The parents of each task, by number."""
    return [tuple(p for p, _ in own) for own in setting.parents]


def require(holds: bool, invariant: int, reason: str) -> None:
    """Raise Violated where it does not hold."""
    if not holds:
        raise Violated(invariant, reason)


def require_move(own: Attempt, new: Attempt) -> None:
    """Invariants 11 and 13 of one move."""
    is_legal = own.status is new.status or TASK_TABLE.is_legal(own.status, new.status)
    require(is_legal, 13, f"{own.status} → {new.status}")
    require(new.epoch >= own.epoch, 11, f"the epoch falls from {own.epoch} to {new.epoch}")


def ancestors_of(parents: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Everything above each task."""
    found: list[set[int]] = []
    for own in parents:
        found.append(set(own).union(*(found[p] for p in own)))
    return [tuple(sorted(each)) for each in found]


def depth_of(parents: Sequence[Sequence[int]], standings: Sequence[Standing], n: int) -> int:
    """The definition, literally."""
    above = [depth_of(parents, standings, p) + (standings[p] is not Standing.CONFIRMED) for p in parents[n]]
    return max(above, default=0)
