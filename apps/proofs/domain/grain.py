"""The constants of Poseidon, derived as its paper says: from the Grain LFSR in self-shrinking mode.

An 80-bit register is seeded with the parameters of the instance (prime field, x^5, field bits, width,
rounds), clocked 160 times, and then gives a bit for every second clock whose first bit is one
(https://eprint.iacr.org/2019/458, appendices E and F). Nothing is copied from a table.
"""

from collections.abc import Iterator
from itertools import compress, islice
from typing import Final

from apps.proofs.domain.field import ORDER, invert

FIELD_BITS: Final = 254
_REGISTER: Final = 80
_TAPS: Final = (62, 51, 38, 23, 13, 0)
#: The highest tap is at 62, so 18 new bits depend on old ones only and are made at once.
_STEP: Final = _REGISTER - _TAPS[0]
_DISCARDED: Final = 160
#: How many of those blocks are looked at together; an even number of bits.
_BLOCKS: Final = 256


def derive_constants(
    *, width: int, full_rounds: int, partial_rounds: int
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """The round constants (a row of `width` per round) and the mixing matrix of one instance.

    The matrix is Cauchy: entry (i, j) is 1 / (x_i + y_j) for 2·width further numbers of the stream.
    """
    bits = _shrunk_bits(_seed(width, full_rounds, partial_rounds))
    rows = tuple(
        tuple(_next_element(bits) for _ in range(width)) for _ in range(full_rounds + partial_rounds)
    )
    points = [_next_integer(bits) % ORDER for _ in range(2 * width)]
    matrix = tuple(tuple(invert(x + y) for y in points[width:]) for x in points[:width])
    return rows, matrix


def _seed(width: int, full_rounds: int, partial_rounds: int) -> str:
    return f"{1:02b}{0:04b}{FIELD_BITS:012b}{width:012b}{full_rounds:010b}{partial_rounds:010b}{'1' * 30}"


def _register_bits(seed: str) -> Iterator[str]:
    """The register's output, `_STEP` bits at a time; bit i of the integer is the i-th oldest bit."""
    state = int(seed[::-1], 2)
    mask = (1 << _STEP) - 1
    while True:
        fresh = 0
        for tap in _TAPS:
            fresh ^= state >> tap
        fresh &= mask
        state = state >> _STEP | fresh << _REGISTER - _STEP
        yield f"{fresh:0{_STEP}b}"[::-1]


def _shrunk_bits(seed: str) -> Iterator[str]:
    blocks = _register_bits(seed)
    fresh = "".join(islice(blocks, _BLOCKS))[_DISCARDED:]
    while True:
        yield from compress(fresh[1::2], map(int, fresh[::2]))
        fresh = "".join(islice(blocks, _BLOCKS))


def _next_integer(bits: Iterator[str]) -> int:
    return int("".join(islice(bits, FIELD_BITS)), 2)


def _next_element(bits: Iterator[str]) -> int:
    """The next integer below ORDER: larger ones are passed over, not reduced."""
    while (value := _next_integer(bits)) >= ORDER:
        pass
    return value
