"""The scalar field of BN254: what every wire, hash and public input of a circuit is an element of.

Elements are plain integers in [0, ORDER); `number` makes one fast to multiply where gmpy2 is there.
A 32-byte digest becomes an element by reduction: two digests with the same element are a collision of
the digest modulo ORDER, which is as hard to find as one of a 253-bit hash.
"""

from collections.abc import Callable
from typing import Any, Final

try:
    from gmpy2 import mpz as _number
except ImportError:  # no wheel for this platform: slower, the same numbers
    _number = int

#: The order r of the curve's group, a prime (EIP-196).
ORDER: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
#: The prime p the coordinates of points are counted modulo (EIP-196).
COORDINATES: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
ELEMENT_BYTES: Final = 32

#: An integer in the representation that multiplies fastest; it behaves as an int.
number: Final[Callable[[Any], int]] = _number


def is_element(value: object) -> bool:
    """Whether this is an integer in [0, ORDER)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < ORDER


def to_element(digest: bytes) -> int:
    """A digest, big-endian, reduced to an element."""
    return int.from_bytes(digest) % ORDER


def invert(value: int) -> int:
    """1 / value; raises ValueError for zero."""
    return pow(value, -1, ORDER)
