"""What a decision is made from, and what one check of it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.jobs.data import EdgeKind
from apps.speculation.data import Standing
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.breaker import Breaker, BreakerTerms, Outcomes
from apps.speculation.domain.limits import Limits

Fact = int | str | bool | None


class Check(StrEnum):
    """One question of the decision; the order here is the order they are asked in."""

    #: nobody switched speculation off
    ENABLED = "enabled"
    #: every ancestor is final or under way: none failed, none is missing, none has yet to start
    ANCESTORS = "ancestors"
    #: the task does not depend on itself
    CYCLE = "cycle"
    #: no unconfirmed parent is bound by a scarce resource
    EDGES = "edges"
    #: the unconfirmed path above it is short enough
    DEPTH = "depth"
    #: no unconfirmed parent has too many children under way
    BRANCHES = "branches"
    #: its lease leaves more than the buffer
    LEASE = "lease"
    #: its keeper can put up the bond, and the network's stake at risk stays below the cap
    BOND = "bond"
    #: its keeper is reputable enough
    REPUTATION = "reputation"
    #: speculation is not undone too often
    ROLLBACK_RATE = "rollback_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A task that would start, as its run's graph has it.

    `ancestors` are all that are not confirmed, None for one that is not there; `parents` are the direct ones,
    confirmed or not; `cycle` is what loading the graph found, empty where all is well.
    """

    task: UUID
    depth: int
    parents: Mapping[UUID, EdgeKind]
    ancestors: Mapping[UUID, Standing | None]
    cycle: tuple[str, ...] = ()
    has_children: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The keeper that would take the task, and until when its lease would run."""

    keeper: str
    free_units: int
    reputation: int
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What else is going on. `running_children` counts unconfirmed children under way by parent."""

    breaker: Breaker
    outcomes: Outcomes = field(default_factory=Outcomes)
    at_risk_units: int = 0
    running_children: Mapping[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the answer is measured against."""

    limits: Limits
    bonds: BondTerms
    breaker: BreakerTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was seen, what is allowed, and what would turn the check round."""

    check: Check
    is_met: bool
    observed: Mapping[str, Fact]
    limit: Mapping[str, Fact]
    flips: str

    def to_json(self) -> dict[str, Any]:
        """The recorded form; amounts are strings of integers."""
        return {
            "check": str(self.check),
            "met": self.is_met,
            "observed": _facts_to_json(self.observed),
            "limit": _facts_to_json(self.limit),
            "flips": self.flips,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything one decision is made from."""

    candidate: Candidate
    offer: Offer | None
    around: Surroundings
    terms: Terms
    now: datetime

    @property
    def open_parents(self) -> Mapping[UUID, EdgeKind]:
        """The parents that are not confirmed, and why the task depends on each."""
        ancestors = self.candidate.ancestors
        return {parent: kind for parent, kind in self.candidate.parents.items() if parent in ancestors}


def _facts_to_json(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {
        name: str(value) if name.endswith("_units") and value is not None else value
        for name, value in facts.items()
    }
