"""The ten checks of the decision, each a function of the case alone.

Each says what it saw, what is allowed, and what would turn it round.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from apps.jobs.data import EdgeKind
from apps.kernel.ids import to_wire
from apps.kernel.speculation import DEPTH_MAX
from apps.speculation.data import UNDER_WAY, Standing
from apps.speculation.domain.bonds import compute_bond
from apps.speculation.domain.breaker import BreakerStatus, is_letting
from apps.speculation.domain.case import Case, Check, Finding


def check_enabled(case: Case) -> Finding:
    """Whether nobody switched speculation off."""
    off_by = case.terms.limits.off_by
    return Finding(
        check=Check.ENABLED,
        is_met=not off_by,
        observed={"switched_off_by": off_by or None},
        limit={"switched_off_by": None},
        flips=f"the {off_by} switches speculation on"
        if off_by
        else "network, project or job switches speculation off",
    )


def check_ancestors(case: Case) -> Finding:
    """Whether every unconfirmed ancestor is under way; a dead one is named before a pending one."""
    standings = case.candidate.ancestors
    bad = sorted((task, standing) for task, standing in standings.items() if standing not in UNDER_WAY)
    dead = next((pair for pair in bad if pair[1] is Standing.DEAD), None)
    worst = dead or next(iter(bad), None)
    if worst is None:
        flips = "an ancestor fails or is rolled back"
    elif worst[1] is Standing.DEAD:
        flips = "the ancestor is tried again and starts"
    else:
        flips = "the ancestor starts"
    return Finding(
        check=Check.ANCESTORS,
        is_met=worst is None,
        observed={
            "unconfirmed": len(standings),
            "unfit": len(bad),
            "ancestor": to_wire("task", worst[0]) if worst else None,
            "standing": str(worst[1] or "missing") if worst else None,
        },
        limit={"unfit": 0},
        flips=flips,
    )


def check_cycle(case: Case) -> Finding:
    """Whether the task does not depend on itself."""
    cycle = case.candidate.cycle
    return Finding(
        check=Check.CYCLE,
        is_met=not cycle,
        observed={"cycle": " → ".join(cycle) or None},
        limit={"cycle": None},
        flips="an edge of the cycle is taken out" if cycle else "an edge that closes a cycle",
    )


def check_edges(case: Case) -> Finding:
    """Whether no unconfirmed parent is bound by a scarce resource."""
    scarce = sorted(parent for parent, kind in case.open_parents.items() if kind is EdgeKind.RESOURCE)
    return Finding(
        check=Check.EDGES,
        is_met=not scarce,
        observed={
            "resource_edges": len(scarce),
            "parent": to_wire("task", scarce[0]) if scarce else None,
        },
        limit={"resource_edges": 0},
        flips="the parent is confirmed" if scarce else "a resource edge to an unconfirmed parent",
    )


def check_depth(case: Case) -> Finding:
    """Whether the unconfirmed path above is short enough."""
    depth, most = case.candidate.depth, case.terms.limits.max_depth
    excess = depth - most
    return Finding(
        check=Check.DEPTH,
        is_met=excess <= 0,
        observed={"depth": depth},
        limit={"max_depth": most},
        flips=f"{excess} more of the path's ancestors are confirmed"
        if excess > 0
        else f"a path of more than {most} unconfirmed ancestors",
    )


def check_branches(case: Case) -> Finding:
    """Whether no unconfirmed parent has too many children under way."""
    most = case.terms.limits.max_branches
    running = {parent: case.around.running_children.get(parent, 0) for parent in case.open_parents}
    fullest = min(running, key=lambda parent: (-running[parent], parent), default=None)
    count = 0 if fullest is None else running[fullest]
    return Finding(
        check=Check.BRANCHES,
        is_met=count < most,
        observed={
            "running_children": count,
            "parent": None if fullest is None else to_wire("task", fullest),
        },
        limit={"max_branches": most},
        flips=f"{count - most + 1} of the parent's children end, or the parent is confirmed"
        if count >= most
        else f"{most - count} more children of one parent start",
    )


def check_lease(case: Case) -> Finding:
    """Whether the lease leaves more than the buffer."""
    buffer = timedelta(seconds=case.terms.limits.lease_buffer_seconds)
    left = None if case.offer is None else case.offer.lease_expires_at - case.now
    is_met = left is not None and left > buffer
    return Finding(
        check=Check.LEASE,
        is_met=is_met,
        observed={"left_milliseconds": None if left is None else left // timedelta(milliseconds=1)},
        limit={"more_than_milliseconds": buffer // timedelta(milliseconds=1)},
        flips="the lease nears its end" if is_met else "a keeper with a longer lease",
    )


def check_bond(case: Case) -> Finding:
    """Whether the keeper can put up the bond and the network's stake at risk stays within its cap."""
    bond_units = compute_bond(min(case.candidate.depth, DEPTH_MAX), case.terms.bonds)
    free_units = None if case.offer is None else case.offer.free_units
    at_risk_units = case.around.at_risk_units + bond_units
    most = case.terms.limits.max_at_risk_units
    if free_units is None:
        flips = "a keeper can take the task"
    elif free_units < bond_units:
        flips = f"the keeper has {bond_units - free_units} units more"
    elif at_risk_units > most:
        flips = f"bonds of {at_risk_units - most} units end"
    else:
        flips = f"the keeper has {free_units - bond_units + 1} units less, or the cap is reached"
    return Finding(
        check=Check.BOND,
        is_met=free_units is not None and free_units >= bond_units and at_risk_units <= most,
        observed={"free_units": free_units, "at_risk_units": at_risk_units},
        limit={"bond_units": bond_units, "max_at_risk_units": most},
        flips=flips,
    )


def check_reputation(case: Case) -> Finding:
    """Whether the keeper is reputable enough."""
    reputation = None if case.offer is None else case.offer.reputation
    least = case.terms.limits.min_reputation
    is_met = reputation is not None and reputation >= least
    return Finding(
        check=Check.REPUTATION,
        is_met=is_met,
        observed={"reputation": reputation},
        limit={"min_reputation": least},
        flips=f"reputation falls below {least}" if is_met else f"a keeper with a reputation of {least}",
    )


def check_rollback_rate(case: Case) -> Finding:
    """Whether the breaker lets one more commitment through."""
    outcomes, terms = case.around.outcomes, case.terms.breaker
    is_met = is_letting(case.around.breaker, outcomes, terms)
    match case.around.breaker.status:
        case BreakerStatus.OPEN:
            flips = "the cool-down is over"
        case BreakerStatus.HALF_OPEN:
            flips = "the first failure" if is_met else f"{terms.probes} trial commitments are confirmed"
        case BreakerStatus.CLOSED:
            flips = f"{'more' if is_met else 'no more'} than {terms.max_undone_percent} % undone"
    return Finding(
        check=Check.ROLLBACK_RATE,
        is_met=is_met,
        observed={
            "breaker": str(case.around.breaker.status),
            "opened": outcomes.opened,
            "ended": outcomes.ended,
            "undone": outcomes.undone,
        },
        limit={"max_undone_percent": terms.max_undone_percent, "min_ended": terms.min_ended},
        flips=flips,
    )


#: in the order they are asked
CHECKS: Final[Sequence[Callable[[Case], Finding]]] = (
    check_enabled,
    check_ancestors,
    check_cycle,
    check_edges,
    check_depth,
    check_branches,
    check_lease,
    check_bond,
    check_reputation,
    check_rollback_rate,
)
