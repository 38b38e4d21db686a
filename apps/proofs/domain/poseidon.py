"""Poseidon over BN254 with circom's parameters: width 3, x^5, 8 full and 57 partial rounds.

`hash_pair(left, right)` is circomlib's `Poseidon(2)`. The fastest implementation that is installed is
used (light-poseidon, then gmpy2 through `field.number`, then plain integers); whichever it is must give
the known answer when this module is imported, or the import fails.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from apps.proofs.domain.field import ELEMENT_BYTES, ORDER, number
from apps.proofs.domain.grain import derive_constants

try:
    from light_poseidon_python import Hasher as _NativeHasher
except ImportError:
    _NativeHasher = None

WIDTH: Final = 3
FULL_ROUNDS: Final = 8
PARTIAL_ROUNDS: Final = 57
#: Poseidon([1, 2]), as circomlib and its ports give it.
KNOWN_ANSWER: Final = 0x115CC0F5E7D690413DF64C6B9662E9CF2A3617F2743245519E19607A4417189A

ROUND_CONSTANTS, MIX = derive_constants(width=WIDTH, full_rounds=FULL_ROUNDS, partial_rounds=PARTIAL_ROUNDS)
#: Whether every lane goes through x^5 in a round; in a partial one only the first does.
IS_FULL: Final = tuple(
    not FULL_ROUNDS // 2 <= at < FULL_ROUNDS // 2 + PARTIAL_ROUNDS for at in range(len(ROUND_CONSTANTS))
)
_ROUNDS: Final = tuple(
    (*(number(value) for value in row), full) for row, full in zip(ROUND_CONSTANTS, IS_FULL, strict=True)
)
_MATRIX: Final = tuple(number(value) for row in MIX for value in row)
_ORDER: Final = number(ORDER)


def hash_pair_here(left: int, right: int) -> int:
    """Poseidon([left, right]) in Python, on gmpy2 integers where they are there."""
    a, b, c = number(0), number(left), number(right)
    order = _ORDER
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = _MATRIX
    for k0, k1, k2, is_full in _ROUNDS:
        a, b, c = a + k0, b + k1, c + k2
        square = a * a % order
        a = square * square % order * a
        if is_full:
            square = b * b % order
            b = square * square % order * b
            square = c * c % order
            c = square * square % order * c
        a, b, c = (
            (m00 * a + m01 * b + m02 * c) % order,
            (m10 * a + m11 * b + m12 * c) % order,
            (m20 * a + m21 * b + m22 * c) % order,
        )
    return int(a)


def make_native_hash(hasher: Any) -> Callable[[int, int], int]:
    """Poseidon([left, right]) by light-poseidon's hasher for two inputs."""

    def hash_pair_native(left: int, right: int) -> int:
        digits = hasher.hash_bytes_be([left.to_bytes(ELEMENT_BYTES), right.to_bytes(ELEMENT_BYTES)])
        return int(digits, 16)

    return hash_pair_native


def choose_hash(native: Any = _NativeHasher) -> Callable[[int, int], int]:
    """The fastest implementation there is; raises ImportError where it gives another answer."""
    chosen = make_native_hash(native(2)) if native is not None else hash_pair_here
    if chosen(1, 2) != KNOWN_ANSWER:
        raise ImportError(f"{chosen.__name__} does not compute circom's Poseidon")
    return chosen


#: Poseidon([left, right]) of two elements; what it is of integers outside the field is undefined.
hash_pair: Final = choose_hash()


def hash_chain(first: int, rest: Iterable[int]) -> int:
    """Poseidon([… Poseidon([Poseidon([first, a]), b]) …]): one hash per further element."""
    digest = first
    for value in rest:
        digest = hash_pair(digest, value)
    return digest
