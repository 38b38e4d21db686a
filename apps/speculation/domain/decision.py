"""May this task run ahead? Ten checks in order; the first refusal is the answer.

Every check is made and recorded with what it saw, its limit, and what would turn it round, also after a
refusal and also where the answer is yes. Confirmed ancestors are no speculation: a task whose ancestors
all are has depth 0, is ready whatever the checks say, and needs no bond. What is ready or ahead may
start; what waits is asked again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.speculation.domain.bonds import compute_bond
from apps.speculation.domain.breaker import BreakerStatus, BreakerTerms, get_cooled_at
from apps.speculation.domain.case import Candidate, Case, Check, Finding, Offer, Surroundings, Terms
from apps.speculation.domain.checks import CHECKS, check_bond


class Verdict(StrEnum):
    """The answer."""

    #: nothing it stands on is open: it starts without speculation
    READY = "ready"
    #: it may start on unconfirmed outputs, under bond
    AHEAD = "ahead"
    #: it waits
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one task. `bond_units` is what is locked when it starts."""

    task: UUID
    verdict: Verdict
    refusal: Check | None
    depth: int
    bond_units: int
    ancestors: tuple[UUID, ...]
    findings: tuple[Finding, ...]

    @property
    def may_start(self) -> bool:
        """Whether the task may be scheduled now."""
        return self.verdict is not Verdict.WAIT

    def to_json(self) -> dict[str, Any]:
        """The recorded form."""
        return {
            "task": to_wire("task", self.task),
            "verdict": str(self.verdict),
            "refusal": None if self.refusal is None else str(self.refusal),
            "depth": self.depth,
            "bond_units": str(self.bond_units),
            "ancestors": [to_wire("task", ancestor) for ancestor in self.ancestors],
            "checks": [finding.to_json() for finding in self.findings],
        }


def decide(
    candidate: Candidate, *, offer: Offer | None, around: Surroundings, terms: Terms, now: datetime
) -> Decision:
    """Ask all ten and answer. Without an offer no keeper can take the task, so it cannot run ahead."""
    case = Case(candidate=candidate, offer=offer, around=around, terms=terms, now=now)
    findings = tuple(check(case) for check in CHECKS)

    refusal = next((finding.check for finding in findings if not finding.is_met), None)
    if candidate.depth == 0 and not candidate.ancestors and not candidate.cycle:
        verdict, refusal = Verdict.READY, None
    else:
        verdict = Verdict.AHEAD if refusal is None else Verdict.WAIT
    return Decision(
        task=candidate.task,
        verdict=verdict,
        refusal=refusal,
        depth=candidate.depth,
        bond_units=_compute_bond(case, verdict),
        ancestors=tuple(candidate.ancestors),
        findings=findings,
    )


def compute_wake_at(
    decision: Decision, *, around: Surroundings, terms: BreakerTerms, now: datetime, waiting_seconds: int
) -> datetime:
    """When a task that waits is asked again, should nobody wake it before (invariant 18)."""
    later = now + timedelta(seconds=waiting_seconds)
    if decision.refusal is Check.ROLLBACK_RATE and around.breaker.status is BreakerStatus.OPEN:
        return min(later, max(now, get_cooled_at(around.breaker, terms)))
    return later


def _compute_bond(case: Case, verdict: Verdict) -> int:
    """The bond to lock.

    A task at depth 0 never needs one. Where others may run ahead on it and its keeper can afford it, it
    is put up all the same: it is what a failure of the root is slashed from.
    """
    if verdict is Verdict.WAIT:
        return 0
    bond_units = compute_bond(case.candidate.depth, case.terms.bonds)
    if verdict is Verdict.AHEAD:
        return bond_units
    is_source = case.candidate.has_children and case.terms.limits.is_enabled
    return bond_units if is_source and check_bond(case).is_met else 0
