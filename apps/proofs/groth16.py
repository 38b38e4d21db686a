"""Groth16 over BN254 (https://eprint.iacr.org/2016/260): prove and verify.

The proof elements are the paper's. Two things make them cheaper to compute and change nothing in them:
a key holds one point per *variable* (not per power of τ), so no polynomial is ever interpolated for A
and B; and the quotient h is used by its values on the odd 2n-th roots of unity, where the vanishing
polynomial is the constant -2, with the product side c moved into the variables' points. So a proof takes
two transforms back, two forth, four sums of products in G1 and one in G2.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zksnake._algebra import polynomial_bn254 as _polynomials

from apps.proofs.curve import (
    Point,
    g1_coordinates,
    g1_from_coordinates,
    g2_coordinates,
    g2_from_coordinates,
    is_pairing_one,
    sum_of_products,
    sum_of_products_g2,
)
from apps.proofs.data import Proof, VerifyingKey
from apps.proofs.domain.field import ORDER, is_element, number
from apps.proofs.domain.r1cs import Evaluator
from apps.proofs.errors import ProofMalformed, ProofRejected, PublicInputOutOfField, WitnessInvalid

#: A number in [0, limit), unpredictable to everybody.
Draw = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Points for some of the variables: their indices, ascending, and a point for each."""

    variables: Sequence[int]
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvingKey:
    """The prover's half of a set-up for one circuit; nothing in it is secret.

    `a`, `b`, `b_g2` and `rest` are per variable; `quotient` has a point per value of h, so its length is
    the size of the domain.
    """

    alpha: Point
    beta: Point
    beta_g2: Point
    delta: Point
    delta_g2: Point
    a: Query
    b: Query
    b_g2: Query
    rest: Query
    quotient: Sequence[Point]


def prove(key: ProvingKey, run: Evaluator, *, draw: Draw = secrets.randbelow) -> Proof:
    """A proof of the run of the key's circuit; raises WitnessInvalid where it is another circuit's."""
    size = len(key.quotient)
    if not size // 2 < len(run.lefts) <= size or key.rest.variables[-1] >= len(run.assignment):
        raise WitnessInvalid(reason="the run is of another circuit")
    r, s = draw(ORDER), draw(ORDER)

    a = key.alpha + _apply(key.a, run.assignment) + key.delta * r
    b = key.beta + _apply(key.b, run.assignment) + key.delta * s
    b_g2 = key.beta_g2 + _apply_g2(key.b_g2, run.assignment) + key.delta_g2 * s
    quotient = sum_of_products(key.quotient, compute_quotient(run.lefts, run.rights, size))
    c = quotient + _apply(key.rest, run.assignment) + a * s + b * r + key.delta * (-r * s % ORDER)

    return Proof(a=g1_coordinates(a), b=g2_coordinates(b_g2), c=g1_coordinates(c))


def verify(key: VerifyingKey, public_inputs: Sequence[int], proof: Proof) -> bool:
    """Whether the proof is of this statement; False for points that are none.

    Raises PublicInputOutOfField for an input ≥ r: x and x + r are the same to the equation, so a verifier
    that took both would let one proof stand for two statements.
    """
    for value in public_inputs:
        if not is_element(value):
            raise PublicInputOutOfField(value=str(value)[:80])
    if len(public_inputs) + 1 != len(key.inputs):
        return False
    try:
        a, b, c = g1_from_coordinates(proof.a), g2_from_coordinates(proof.b), g1_from_coordinates(proof.c)
    except ProofMalformed:
        return False

    inputs = sum_of_products([g1_from_coordinates(point) for point in key.inputs], [1, *public_inputs])
    right = [g2_from_coordinates(point) for point in (key.beta, key.gamma, key.delta)]

    return is_pairing_one([-a, g1_from_coordinates(key.alpha), inputs, c], [b, *right])


def require_valid(key: VerifyingKey, public_inputs: Sequence[int], proof: Proof) -> None:
    """Raise PublicInputOutOfField, or ProofRejected for a proof that is not of this statement."""
    if not verify(key, public_inputs, proof):
        raise ProofRejected()


def compute_quotient(lefts: Sequence[int], rights: Sequence[int], size: int) -> list[int]:
    """left · right of the constraints' polynomials on the odd 2·size-th roots of unity, in order."""
    shifts = root_powers(2 * size)[:size]
    on_odd = [_shifted(values, shifts, size) for values in (lefts, rights)]
    return [left * right % ORDER for left, right in zip(*on_odd, strict=True)]


def root_powers(size: int) -> list[int]:
    """1, ω, ω², … for the library's primitive root of unity of this order, a power of two."""
    return list(_polynomials.get_all_root_of_unity(size))


def _shifted(values: Sequence[int], shifts: Sequence[int], size: int) -> list[int]:
    """From a polynomial's values on the domain to those on the domain times the first odd root."""
    order = number(ORDER)
    padded = [int(value) for value in values] + [0] * (size - len(values))
    coefficients = _polynomials.ifft(padded, size)
    moved = [int(number(value) * shift % order) for value, shift in zip(coefficients, shifts, strict=True)]
    return [number(value) for value in _polynomials.fft(moved, size)]


def _apply(query: Query, assignment: Sequence[int]) -> Point:
    return sum_of_products(query.points, [int(assignment[at]) for at in query.variables])


def _apply_g2(query: Query, assignment: Sequence[int]) -> Point:
    return sum_of_products_g2(query.points, [int(assignment[at]) for at in query.variables])
