import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.proofs import curve
from apps.proofs.data import proof_from_bytes
from apps.proofs.domain.field import COORDINATES, ORDER
from apps.proofs.errors import ProofMalformed

scalars = st.integers(1, ORDER - 1)


def point_of_the_twist_outside_the_group():
    """The first x = a + 0i whose right side is a square in Fp2; nearly none of them is in the group."""
    constant = (
        19485874751759354771024239261021720505790618469301721065564631296452457478373,
        266929791119991161246907387137283842545076965332900288569378510910307636690,
    )
    for x in range(1, 100):
        square = ((x**3 + constant[0]) % COORDINATES, constant[1])
        y = square_root(square)
        if y is not None:
            return (0, x, y[1], y[0])
    raise AssertionError


def square_root(value):
    """A root in Fp2 by the complex method, p = 3 mod 4; None where there is none."""
    a, b = value
    norm = pow(a * a + b * b, (COORDINATES + 1) // 4, COORDINATES)
    if norm * norm % COORDINATES != (a * a + b * b) % COORDINATES:
        return None
    for sign in (norm, -norm):
        half = (a + sign) * pow(2, -1, COORDINATES) % COORDINATES
        real = pow(half, (COORDINATES + 1) // 4, COORDINATES)
        if real * real % COORDINATES == half and real:
            imaginary = b * pow(2 * real, -1, COORDINATES) % COORDINATES
            return (real, imaginary)
    return None


@settings(max_examples=25, deadline=None)
@given(scalars)
def test_points_survive_their_coordinates_with_the_right_sign(scalar):
    for sign in (1, -1):
        one, two = curve.g1 * (sign * scalar % ORDER), curve.g2 * (sign * scalar % ORDER)
        assert curve.g1_from_coordinates(curve.g1_coordinates(one)) == one
        assert curve.g2_from_coordinates(curve.g2_coordinates(two)) == two


def test_the_generators_are_those_of_the_precompiles():
    assert curve.g1_coordinates(curve.g1) == (1, 2)
    assert curve.g2_coordinates(curve.g2) == (
        11559732032986387107991004021392285783925812861821192530917403151452391805634,
        10857046999023057135944570762232829481370756359578518086990519993285655852781,
        4082367875863433681332203403145435568316851327593401208105741076214120093531,
        8495653923123431417604973247489272438418190587263600148770280649306958101930,
    )


@pytest.mark.parametrize(
    "coordinates",
    [(1, 3), (0, 0), (COORDINATES + 1, 2), (1, 2 + COORDINATES), (-1, 2), (2**256, 2)],
    ids=str,
)
def test_coordinates_that_are_no_point_of_g1_never_reach_the_library(coordinates, capfd):
    with pytest.raises(ProofMalformed):
        curve.g1_from_coordinates(coordinates)
    assert "panicked" not in capfd.readouterr().err


def test_coordinates_that_are_no_point_of_g2_never_reach_the_library(capfd):
    x_imaginary, x_real, y_imaginary, y_real = curve.g2_coordinates(curve.g2)
    for coordinates in (
        (1, 2, 3, 4),
        (0, 0, 0, 0),
        (x_real, x_imaginary, y_real, y_imaginary),
        (x_imaginary + COORDINATES, x_real, y_imaginary, y_real),
    ):
        with pytest.raises(ProofMalformed):
            curve.g2_from_coordinates(coordinates)
    assert "panicked" not in capfd.readouterr().err


def test_a_point_of_the_twist_outside_the_group_is_refused_politely(capfd):
    with pytest.raises(ProofMalformed) as refused:
        curve.g2_from_coordinates(point_of_the_twist_outside_the_group())
    assert refused.value.reason == "not a point of the group"
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize("count", [1, 5, 300])
def test_multiplying_a_base_is_what_the_library_gives(count):
    draw = random.Random(count)
    factors = [0, 1, ORDER - 1, *(draw.randrange(ORDER) for _ in range(count))]
    for base in (curve.g1, curve.g2):
        assert curve.multiply_base(base, factors) == [base * factor for factor in factors]


def test_a_sum_of_products_is_what_single_products_give_and_zero_for_none():
    points = [curve.g1 * 5, curve.g1 * 7]
    assert curve.sum_of_products(points, [2, 3]) == curve.g1 * 31
    assert curve.is_zero(curve.sum_of_products([], []))
    assert curve.sum_of_products_g2([curve.g2 * 5], [4]) == curve.g2 * 20
    assert curve.is_zero(curve.sum_of_products_g2([], []))


def test_pairings_multiply_to_one_exactly_where_the_exponents_cancel():
    g1, g2 = curve.g1, curve.g2
    assert curve.is_pairing_one([-(g1 * 6), g1 * 2], [g2, g2 * 3])
    assert not curve.is_pairing_one([-(g1 * 7), g1 * 2], [g2, g2 * 3])


@pytest.mark.parametrize("data", [b"", bytes(255), bytes(257), b"\xff" * 256])
def test_bytes_that_are_no_proof_are_refused(data):
    with pytest.raises(ProofMalformed):
        proof_from_bytes(data)
