"""The set-up of one circuit: a proving key and a verifying key from secrets nobody keeps.

It is a **single-party** set-up: whoever runs it sees the secrets while it runs, and whoever had them could
forge proofs. They come from the system's randomness, live in this call only and are never written
anywhere. Several parties who do not trust each other need a ceremony instead.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from zksnake._algebra import polynomial_bn254 as _polynomials

from apps.proofs.curve import g1, g1_coordinates, g2, g2_coordinates, multiply_base
from apps.proofs.data import VerifyingKey
from apps.proofs.domain.field import ORDER, invert
from apps.proofs.domain.r1cs import Circuit
from apps.proofs.groth16 import Draw, ProvingKey, Query, root_powers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secrets:
    tau: int
    alpha: int
    beta: int
    gamma: int
    delta: int


def set_up(circuit: Circuit, *, draw: Draw = secrets.randbelow) -> tuple[ProvingKey, VerifyingKey]:
    """Both keys of a circuit. Another source of numbers than the system's is for tests only."""
    size = compute_domain_size(len(circuit.constraints))
    secret = _Secrets(**{name: 2 + draw(ORDER - 2) for name in ("tau", "alpha", "beta", "gamma", "delta")})
    weights = _polynomials.evaluate_lagrange_coefficients(size, secret.tau)[: len(circuit.constraints)]
    lefts, rights, products = circuit.weigh_columns(weights)
    visible = circuit.public_count + 1

    vanishing = (pow(secret.tau, size, ORDER) - 1) % ORDER
    by_delta = invert(secret.delta)
    blended = [
        (secret.beta * left + secret.alpha * right + product) % ORDER
        for left, right, product in zip(lefts, rights, products, strict=True)
    ]
    # h = (ab - c) / Z is given by ab on the odd roots, where Z is -2; what -c gives there is linear in the
    # variables, so it stands in their points: + c · Z(τ) / 2δ.
    half = vanishing * invert(2) % ORDER
    rest = [
        ((0 if at < visible else value) + half * product) * by_delta % ORDER
        for at, (value, product) in enumerate(zip(blended, products, strict=True))
    ]
    by_gamma = invert(secret.gamma)

    verifying = VerifyingKey(
        alpha=g1_coordinates(g1 * secret.alpha),
        beta=g2_coordinates(g2 * secret.beta),
        gamma=g2_coordinates(g2 * secret.gamma),
        delta=g2_coordinates(g2 * secret.delta),
        inputs=tuple(g1_coordinates(g1 * (value * by_gamma % ORDER)) for value in blended[:visible]),
    )
    quotient = _odd_lagrange(size, secret.tau, -half * by_delta % ORDER)
    return _make_proving_key(secret, (lefts, rights, rest), quotient), verifying


def compute_domain_size(constraints: int) -> int:
    """The power of two that holds one constraint per root of unity."""
    return 1 << max(constraints - 1, 1).bit_length()


def _odd_lagrange(size: int, tau: int, factor: int) -> list[int]:
    """The Lagrange basis over the odd 2·size-th roots of unity at τ, times a factor."""
    shift = root_powers(2 * size)[1]
    values: Sequence[int] = _polynomials.evaluate_lagrange_coefficients(size, tau * invert(shift) % ORDER)
    return [value * factor % ORDER for value in values]


def _make_proving_key(
    secret: _Secrets, columns: tuple[list[int], list[int], list[int]], quotient: list[int]
) -> ProvingKey:
    """One pass over the tables of each generator for all points of its group."""
    kept = [[at for at, value in enumerate(column) if value] for column in columns]
    lefts, rights, rest = (
        [column[at] for at in places] for column, places in zip(columns, kept, strict=True)
    )
    points = multiply_base(g1, [*lefts, *rights, *rest, *quotient])
    places_a, places_b, places_rest = kept
    start_b, start_rest = len(lefts), len(lefts) + len(rights)
    start_quotient = start_rest + len(rest)
    return ProvingKey(
        alpha=g1 * secret.alpha,
        beta=g1 * secret.beta,
        beta_g2=g2 * secret.beta,
        delta=g1 * secret.delta,
        delta_g2=g2 * secret.delta,
        a=Query(variables=places_a, points=points[:start_b]),
        b=Query(variables=places_b, points=points[start_b:start_rest]),
        b_g2=Query(variables=places_b, points=multiply_base(g2, rights)),
        rest=Query(variables=places_rest, points=points[start_rest:start_quotient]),
        quotient=points[start_quotient:],
    )
