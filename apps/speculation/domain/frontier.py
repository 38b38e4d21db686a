"""Which tasks of a run may start now: the decision asked of the whole frontier in one pass.

Parents are asked before their children, and what one task takes (bond, branch, stake, a trial of the
half-open breaker) is gone for the next. A task is on the frontier when each of its parents is
confirmed, under way, or was let through in this very pass; what lies further behind is not asked at
all.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from apps.speculation.data import UNDER_WAY, Standing
from apps.speculation.domain.breaker import Outcomes
from apps.speculation.domain.case import Candidate, Offer, Surroundings, Terms
from apps.speculation.domain.decision import Decision, Verdict, decide
from apps.speculation.domain.graph import DependencyGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStake:
    """What a keeper can put up."""

    free_units: int
    reputation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The keeper chosen for a task, and until when its lease would run."""

    keeper: str
    lease_expires_at: datetime


def decide_frontier(
    graph: DependencyGraph[UUID],
    standings: Mapping[UUID, Standing],
    *,
    claims: Mapping[UUID, Claim],
    keepers: Mapping[str, KeeperStake],
    around: Surroundings,
    terms: Terms,
    now: datetime,
    asked: Collection[UUID] | None = None,
) -> list[Decision]:
    """The decisions for the pending tasks of the frontier (of the `asked` ones), parents first.

    `claims` without a task, or `keepers` without its keeper, mean that nobody can take it: nothing can
    stand on it yet, even where it may start.
    """
    current = dict(standings)
    free = {address: stake.free_units for address, stake in keepers.items()}
    running = dict(around.running_children)
    decisions: list[Decision] = []
    pending = (task for task in standings if standings[task] is Standing.PENDING)
    for task in graph.get_order(task for task in pending if asked is None or task in asked):
        if not _is_on_frontier(graph, current, task):
            continue
        claim = claims.get(task)
        offer = _build_offer(claim, keepers, free) if claim else None
        here = replace(around, running_children=running)
        decision = decide(
            build_candidate(graph, current, task), offer=offer, around=here, terms=terms, now=now
        )
        decisions.append(decision)
        if not decision.may_start or claim is None:
            continue
        current[task] = Standing.SCHEDULED
        if decision.bond_units:
            free[claim.keeper] -= decision.bond_units
        around = _take(around, decision)
        for parent in graph.get_parents(task):
            if not graph.is_confirmed(parent):
                running[parent] = running.get(parent, 0) + 1
    return decisions


def build_candidate(
    graph: DependencyGraph[UUID], standings: Mapping[UUID, Standing], task: UUID
) -> Candidate:
    """The task as its run's graph has it; its unconfirmed ancestors in topological order."""
    ancestors = graph.get_order(graph.get_unconfirmed_ancestors(task))
    return Candidate(
        task=task,
        depth=graph.get_depth(task),
        parents=graph.get_parents(task),
        ancestors={ancestor: standings.get(ancestor) for ancestor in ancestors},
        has_children=bool(graph.get_children(task)),
    )


def count_running_children(
    graph: DependencyGraph[UUID], standings: Mapping[UUID, Standing]
) -> dict[UUID, int]:
    """How many children of each unconfirmed task are under way."""
    counts: dict[UUID, int] = {}
    for task, standing in standings.items():
        if standing not in UNDER_WAY or task not in graph:
            continue
        for parent in graph.get_parents(task):
            if not graph.is_confirmed(parent):
                counts[parent] = counts.get(parent, 0) + 1
    return counts


def _is_on_frontier(graph: DependencyGraph[UUID], standings: Mapping[UUID, Standing], task: UUID) -> bool:
    return all(
        graph.is_confirmed(parent) or standings.get(parent) is not Standing.PENDING
        for parent in graph.get_parents(task)
    )


def _build_offer(claim: Claim, keepers: Mapping[str, KeeperStake], free: Mapping[str, int]) -> Offer | None:
    stake = keepers.get(claim.keeper)
    if stake is None:
        return None
    return Offer(
        keeper=claim.keeper,
        free_units=free[claim.keeper],
        reputation=stake.reputation,
        lease_expires_at=claim.lease_expires_at,
    )


def _take(around: Surroundings, decision: Decision) -> Surroundings:
    outcomes = around.outcomes
    if decision.verdict is Verdict.AHEAD:
        outcomes = Outcomes(opened=outcomes.opened + 1, ended=outcomes.ended, undone=outcomes.undone)
    return replace(around, outcomes=outcomes, at_risk_units=around.at_risk_units + decision.bond_units)
