"""What a cascade must do, written as the definition reads, over networkx and plain dictionaries."""

import random
from collections.abc import Mapping
from fractions import Fraction
from uuid import UUID

import networkx as nx

from apps.jobs.data import EdgeKind
from apps.rollback.data import TaskState
from apps.speculation.domain.graph import DependencyGraph
from tests.factories.speculation import KEEPERS, make_state, random_pairs, task_id

EARLY = ("discovered", "waiting", "scheduled")
LATE = ("executed", "attested", "proving", "proved", "waiting_ancestors", "submitted")
DEAD = ("failed", "rolled_back", "aborted", "cancelled")


def expected_statuses(root: UUID, oracle: nx.DiGraph, before: Mapping[UUID, str]) -> dict[UUID, str]:
    """Every task's status after the root failed."""
    after = dict(before)
    if before[root] in DEAD:
        return after
    for task in nx.descendants(oracle, root):
        if before[task] in EARLY:
            after[task] = "cancelled"
        elif before[task] == "executing":
            after[task] = "aborted"
        elif before[task] in LATE:
            after[task] = "rolled_back"
    after[root] = "failed"
    return after


def expected_shares(amount: int, wasted: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """(treasury, victims): one unit after the other to whoever is furthest below its exact share."""
    whole = sum(wasted.values())
    if not whole:
        return amount, {}
    rest = amount - amount // 2
    exact = {keeper: Fraction(rest * units, whole) for keeper, units in wasted.items()}
    parts = {keeper: int(share) for keeper, share in exact.items()}
    order = sorted(wasted, key=lambda keeper: (parts[keeper] - exact[keeper], keeper))
    for keeper in order[: rest - sum(parts.values())]:
        parts[keeper] += 1
    return amount // 2, {keeper: units for keeper, units in parts.items() if units}


def random_world(seed: int, size: int, density: float, *, legal: bool = True):
    """(graph, oracle, states) of a random run; `legal` keeps invariants 6 and 7."""
    rng = random.Random(seed)
    tasks = [task_id(n + 1) for n in range(size)]
    pairs = random_pairs(rng, tasks, density)
    oracle = nx.DiGraph(pairs)
    oracle.add_nodes_from(tasks)
    states: dict[UUID, TaskState] = {}
    for task in tasks:
        above = [states[parent].status for parent in oracle.predecessors(task)]
        status = _random_status(rng, above) if legal else rng.choice([*EARLY, "executing", *LATE, *DEAD])
        has_bond = status in ("scheduled", "executing", *LATE)
        states[task] = make_state(
            task,
            status,
            keeper=rng.choice(KEEPERS) if has_bond else "",
            epoch=rng.randrange(1, 4),
            bond_units=rng.choice([0, 10**6, 3 * 10**6 + 7]) if has_bond else 0,
            compute_units=rng.randrange(50) if status in ("executing", *LATE) else 0,
        )
    confirmed = [task for task in tasks if states[task].status == "confirmed"]
    graph = DependencyGraph.build(tasks, [(p, c, EdgeKind.DATA) for p, c in pairs], confirmed)
    return graph, oracle, states


def _random_status(rng: random.Random, above: list[str]) -> str:
    if any(status in DEAD for status in above):
        return rng.choice(DEAD)
    choices = ["discovered", "waiting"]
    if not any(status in ("discovered", "waiting") for status in above):
        choices += ["scheduled", "executing", "executed", "attested", "proving", "proved"]
        choices += ["waiting_ancestors", "failed"]
    if all(status == "confirmed" for status in above):
        choices += ["submitted", "confirmed", "confirmed"]
    return rng.choice(choices)
