"""Values for the rules of speculation and rollback, without a database: ids by number, DAGs from a seed."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from apps.jobs.data import EdgeKind
from apps.rollback.data import TaskState
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.breaker import Breaker, BreakerTerms
from apps.speculation.domain.case import Candidate, Offer, Surroundings, Terms
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.domain.limits import Limits

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def task_id(number: int) -> UUID:
    """A task by number."""
    return UUID(int=number)


def keeper_address(number: int) -> str:
    """A keeper by number."""
    return f"0x{number:040x}"


A, B, C, D, E = (task_id(number) for number in range(1, 6))
KEEPERS: Final = tuple(keeper_address(number) for number in range(1, 5))


def make_graph(
    tasks: Sequence[UUID],
    pairs: Sequence[tuple[UUID, UUID]],
    confirmed: Sequence[UUID] = (),
    kind: EdgeKind = EdgeKind.DATA,
) -> DependencyGraph[UUID]:
    """A graph whose edges are all of one kind."""
    return DependencyGraph.build(tasks, [(parent, child, kind) for parent, child in pairs], confirmed)


def make_chain(*tasks: UUID) -> DependencyGraph[UUID]:
    """Each task depends on the one before."""
    return make_graph(tasks, list(pairwise(tasks)))


def random_pairs(rng: random.Random, tasks: Sequence[UUID], density: float) -> list[tuple[UUID, UUID]]:
    """Edges of a random DAG whose order is the order of `tasks`, in no order themselves."""
    pairs = [(above, task) for n, task in enumerate(tasks) for above in tasks[:n] if rng.random() < density]
    rng.shuffle(pairs)
    return pairs


def make_terms(limits: Mapping[str, Any] | None = None, **breaker: Any) -> Terms:
    """The defaults, with these limits and breaker terms instead."""
    return Terms(limits=Limits(**(limits or {})), bonds=BondTerms(), breaker=BreakerTerms(**breaker))


def make_candidate(**changed: Any) -> Candidate:
    """A task of depth 1 under one parent that is executing, unless said otherwise."""
    values: dict[str, Any] = {"task": B, "depth": 1, "parents": {A: EdgeKind.DATA}, "ancestors": {}}
    return Candidate(**{**values, **changed})


def make_offer(**changed: Any) -> Offer:
    """A rich and reputable keeper with a long lease."""
    values: dict[str, Any] = {
        "keeper": KEEPERS[0],
        "free_units": 10**12,
        "reputation": 5_000,
        "lease_expires_at": NOW + timedelta(seconds=120),
    }
    return Offer(**{**values, **changed})


def make_around(**changed: Any) -> Surroundings:
    """A closed breaker and nothing else going on."""
    return Surroundings(**{"breaker": Breaker(since=NOW), **changed})


def make_state(task: UUID, status: str, **changed: Any) -> TaskState:
    """A task as a cascade sees it."""
    return TaskState(task=task, status=status, **changed)
