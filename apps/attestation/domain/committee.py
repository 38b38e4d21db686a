"""Who re-checks a result: a stake-weighted draw whose seed exists only after the result does.

The seed is the keccak of the dispatcher's deterministic (RFC 6979) signature over the round's root:
the root holds every result of the round, so nobody knows the seed before the results are in, and
anybody can check the draw afterwards with the dispatcher's address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.kernel.hashing import keccak


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An online, registered keeper and its stake."""

    address: str
    stake_units: int


def compute_size(wanted: int, keepers: int) -> int:
    """N as the hub counts it: the size that is wanted, or every keeper with a stake but the performer.

    Keepers that are offline count: with fewer at hand the quorum stays what the hub asks for.
    """
    return min(wanted, max(keepers, 1) - 1)


def compute_required(committee_size: int) -> int:
    """The quorum of a committee of N: ⌈2N/3⌉ = (2N + 2) // 3."""
    return (2 * committee_size + 2) // 3


def draw_committee(
    candidates: Sequence[Candidate], *, seed: bytes, size: int, excluded: frozenset[str]
) -> tuple[str, ...]:
    """Draw up to `size` distinct addresses without replacement, each draw weighted by stake.

    Draw i takes keccak(seed ‖ i) modulo the stake that is left, over the candidates in address
    order (the bias of the modulo is below 2^-128). Keepers without stake are never drawn.
    """
    left: dict[str, int] = {
        candidate.address: candidate.stake_units
        for candidate in sorted(candidates, key=lambda one: one.address)
        if candidate.address not in excluded and candidate.stake_units > 0
    }
    drawn: list[str] = []
    while left and len(drawn) < size:
        point = int.from_bytes(keccak(seed + len(drawn).to_bytes(4))) % sum(left.values())
        address = _at(left, point)
        drawn.append(address)
        del left[address]
    return tuple(drawn)


def _at(weights: Mapping[str, int], point: int) -> str:
    for address, weight in weights.items():
        if point < weight:
            return address
        point -= weight
    raise AssertionError("the point lies within the sum of the weights")
