"""What running ahead costs when it goes wrong: bonds, slashes, and who is paid for wasted work.

Bond = base × growth^depth, or base + step × depth. A failure slashes its root's bond alone, by its
reason's percent; the treasury takes ⌊a/2⌋ and the keepers whose work was wasted share the rest
(invariants 4 and 5). Integers only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from apps.kernel.amounts import split_proportionally
from apps.kernel.speculation import DEPTH_MAX
from apps.speculation.data import FailureReason
from apps.speculation.errors import BondTermsInvalid

#: the ledger's amounts have 62 bits
_UNITS_MAX: Final = 2**62

#: percent of the root's bond; nobody is slashed for what is nobody's fault
SLASH_PERCENT: Final[Mapping[FailureReason, int]] = {
    FailureReason.PROOF_REJECTED: 10,
    FailureReason.PROOF_GENERATION_FAILED: 10,
    FailureReason.RESULT_REJECTED: 10,
    FailureReason.TIMEOUT: 5,
    FailureReason.CLAIM_EXPIRED: 5,
    FailureReason.NOT_ACKNOWLEDGED: 0,
    FailureReason.EXECUTION_FAILED: 0,
    FailureReason.NO_QUORUM: 0,
    FailureReason.RESOURCES_EXHAUSTED: 0,
    FailureReason.SUBMISSION_REFUSED: 0,
    FailureReason.INVALID_STATE: 0,
    FailureReason.ANCESTOR_FAILED: 0,
    FailureReason.MANUAL: 0,
}


class BondForm(StrEnum):
    """How a bond grows with depth."""

    #: base × growth^depth
    EXPONENTIAL = "exponential"
    #: base + step × depth
    LINEAR = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class BondTerms:
    """The terms of bonds. `growth_percent` 200 doubles the bond at every level.

    Raises BondTermsInvalid where a bond would shrink with depth or, at depth 20, not fit the ledger.
    """

    form: BondForm = BondForm.EXPONENTIAL
    base_units: int = 1_000_000
    growth_percent: int = 200
    step_units: int = 1_000_000
    slash_percent: Mapping[FailureReason, int] = field(default_factory=lambda: SLASH_PERCENT)

    def __post_init__(self) -> None:
        least = {"base_units": 1, "growth_percent": 100, "step_units": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise BondTermsInvalid(field=name, value=getattr(self, name), reason=f"at least {minimum}")
        for reason in FailureReason:
            percent = self.slash_percent.get(reason)
            if percent is None or not 0 <= percent <= 100:
                raise BondTermsInvalid(field=f"slash_percent.{reason}", value=percent, reason="0 to 100")
        if compute_bond(DEPTH_MAX, self) >= _UNITS_MAX:
            raise BondTermsInvalid(field="form", value=str(self.form), reason="the deepest bond is too large")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What becomes of a slashed amount; `victims` by keeper, without empty shares."""

    slashed_units: int = 0
    treasury_units: int = 0
    victims: Mapping[str, int] = field(default_factory=dict)


def compute_bond(depth: int, terms: BondTerms) -> int:
    """The bond of a task at this depth, rounded down to whole units."""
    if terms.form is BondForm.LINEAR:
        return terms.base_units + terms.step_units * depth
    return int(terms.base_units * terms.growth_percent**depth // 100**depth)


def compute_required_bond(depth: int, terms: BondTerms) -> int:
    """The least a keeper must put up: nothing at depth 0, where there is no speculation."""
    return compute_bond(depth, terms) if depth else 0


def compute_slash(bond_units: int, reason: FailureReason, terms: BondTerms) -> int:
    """What the root of a failure loses, rounded down."""
    return bond_units * terms.slash_percent[reason] // 100


def compute_shares(slashed_units: int, wasted: Mapping[str, int], *, slashed_keeper: str) -> Shares:
    """Split a slash between the treasury, ⌊a/2⌋, and the victims by their wasted compute.

    The slashed keeper is never its own victim. Remainders go by largest fraction, then lowest keeper;
    without a victim all of it is the treasury's (invariant 4).
    """
    treasury_units = slashed_units // 2
    weights = {keeper: units for keeper, units in wasted.items() if units > 0 and keeper != slashed_keeper}
    parts = split_proportionally(slashed_units - treasury_units, weights)
    if not parts:
        return Shares(slashed_units=slashed_units, treasury_units=slashed_units)
    victims = {keeper: units for keeper, units in sorted(parts.items()) if units}
    return Shares(slashed_units=slashed_units, treasury_units=treasury_units, victims=victims)
