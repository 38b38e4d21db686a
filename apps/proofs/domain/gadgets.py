"""Pieces of circuits: Poseidon in 240 constraints, a bit, a choice."""

from collections.abc import Sequence
from typing import Final

from apps.proofs.domain.field import ORDER, number
from apps.proofs.domain.poseidon import IS_FULL, MIX, ROUND_CONSTANTS, WIDTH
from apps.proofs.domain.r1cs import Builder

_MIX: Final = tuple(tuple(number(value) for value in row) for row in MIX)
_CONSTANTS: Final = tuple(tuple(number(value) for value in row) for row in ROUND_CONSTANTS)
#: The first lane starts at zero, so what it brings into the second round is known beforehand.
_FIRST_LANE: Final = pow(ROUND_CONSTANTS[0][0], 5, ORDER)
_SECOND_ROUND: Final = tuple(
    (constant + row[0] * _FIRST_LANE) % ORDER for constant, row in zip(_CONSTANTS[1], _MIX, strict=True)
)


def hash_wires(builder: Builder, left: int, right: int) -> int:
    """The wire Poseidon([left, right])."""
    first, second = (
        _fifth_power(builder, builder.linear(constant, (1, wire)))
        for constant, wire in zip(_CONSTANTS[0][1:], (left, right), strict=True)
    )
    lanes = [
        builder.linear(constant, (row[1], first), (row[2], second))
        for constant, row in zip(_SECOND_ROUND, _MIX, strict=True)
    ]
    for constants, is_full in zip(_CONSTANTS[2:], IS_FULL[1:-1], strict=True):
        a, b, c = _substitute(builder, lanes, is_full)
        lanes = [
            builder.linear(constant, (row[0], a), (row[1], b), (row[2], c))
            for constant, row in zip(constants, _MIX, strict=True)
        ]
    lanes = _substitute(builder, lanes, IS_FULL[-1])
    return builder.linear(0, *zip(_MIX[0], lanes, strict=True))


def hash_chain_wires(builder: Builder, first: int, rest: Sequence[int]) -> int:
    """The wire of `poseidon.hash_chain`."""
    digest = first
    for wire in rest:
        digest = hash_wires(builder, digest, wire)
    return digest


def bit_wire(builder: Builder, value: int | None) -> int:
    """A private variable that is 0 or 1."""
    bit = builder.private(value)
    builder.require(bit, bit, bit)
    return bit


def choose_wire(builder: Builder, bit: int, otherwise: int, chosen: int) -> int:
    """`chosen` where the bit is 1, else `otherwise`."""
    difference = builder.linear(0, (1, chosen), (ORDER - 1, otherwise))
    return builder.linear(0, (1, otherwise), (1, builder.multiply(difference, bit)))


def _substitute(builder: Builder, lanes: list[int], is_full: bool) -> list[int]:
    count = WIDTH if is_full else 1
    return [_fifth_power(builder, lane) for lane in lanes[:count]] + lanes[count:]


def _fifth_power(builder: Builder, wire: int) -> int:
    square = builder.multiply(wire, wire)
    return builder.multiply(builder.multiply(square, square), wire)
