"""The groups of BN254, by arkworks (through zksnake's native module), behind checked doors.

The library panics, as a BaseException, on coordinates that are no point; so whatever comes from outside
is checked here first and then handed over in its compressed form, which the library refuses politely.
Only single-threaded operations are used: a process that forks must not have started its thread pool.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from zksnake._algebra import ec_bn254 as _curve

from apps.proofs.data import G1Coordinates, G2Coordinates
from apps.proofs.domain.field import COORDINATES
from apps.proofs.errors import ProofMalformed

#: A point of either group: opaque, immutable, with `+`, unary `-`, `* int`, `==`.
Point = Any
G1_BYTES: Final = 32
G2_BYTES: Final = 64
_G1_CONSTANT: Final = 3
#: 3 / (9 + i), the constant of the twist, as (real, imaginary).
_G2_CONSTANT: Final = (
    19485874751759354771024239261021720505790618469301721065564631296452457478373,
    266929791119991161246907387137283842545076965332900288569378510910307636690,
)
_NEGATIVE: Final = 0x80
_SCALAR_BITS: Final = 254

g1: Final[Point] = _curve.g1()
g2: Final[Point] = _curve.g2()


def is_zero(point: Point) -> bool:
    """Whether this is the neutral element."""
    return bool(point.is_zero())


def sum_of_products(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """Σ scalar · point in G1; the neutral element where there are none."""
    return _curve.multiscalar_mul_g1(list(points), list(scalars))


def sum_of_products_g2(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """Σ scalar · point in G2; the neutral element where there are none."""
    return _curve.multiscalar_mul_g2(list(points), list(scalars))


def is_pairing_one(left: Sequence[Point], right: Sequence[Point]) -> bool:
    """Whether Π e(left_i, right_i) is one: the first factor is compared with the inverse of the others."""
    return bool(_curve.pairing(-left[0], right[0]) == _curve.multi_pairing(list(left[1:]), list(right[1:])))


def multiply_base(base: Point, scalars: Sequence[int]) -> list[Point]:
    """scalar · base for every scalar, by tables of the base's multiples: about 20 additions each."""
    window = max(2, min(13, len(scalars).bit_length() - 4))
    mask = (1 << window) - 1
    neutral = base * 0
    tables = _tables(base, window, neutral)
    products: list[Point] = []
    for scalar in scalars:
        total, left = neutral, scalar
        for table in tables:
            digit = left & mask
            if digit:
                total = total + table[digit]
            left >>= window
        products.append(total)
    return products


def g1_coordinates(point: Point) -> G1Coordinates:
    """(x, y)."""
    return int(point.x), int(point.y)


def g2_coordinates(point: Point) -> G2Coordinates:
    """(x imaginary, x real, y imaginary, y real)."""
    (x_real, x_imaginary), (y_real, y_imaginary) = point.x, point.y
    return int(x_imaginary), int(x_real), int(y_imaginary), int(y_real)


def g1_from_coordinates(coordinates: G1Coordinates) -> Point:
    """The point; raises ProofMalformed for coordinates that are none of the group's, zero included."""
    x, y = coordinates
    _require_range(coordinates)
    if (y * y - x * x * x - _G1_CONSTANT) % COORDINATES:
        raise ProofMalformed(reason="not a point of the curve")
    return _parse(_curve.PointG1, x.to_bytes(G1_BYTES, "little"), y > COORDINATES - y)


def g2_from_coordinates(coordinates: G2Coordinates) -> Point:
    """The point; raises ProofMalformed for coordinates that are none of the group's, zero included."""
    x_imaginary, x_real, y_imaginary, y_real = coordinates
    _require_range(coordinates)
    square = _multiply((y_real, y_imaginary), (y_real, y_imaginary))
    cube = _multiply(_multiply((x_real, x_imaginary), (x_real, x_imaginary)), (x_real, x_imaginary))
    if any((a - b - c) % COORDINATES for a, b, c in zip(square, cube, _G2_CONSTANT, strict=True)):
        raise ProofMalformed(reason="not a point of the twist")
    leading = y_imaginary or y_real
    packed = x_real.to_bytes(32, "little") + x_imaginary.to_bytes(32, "little")
    return _parse(_curve.PointG2, packed, leading > COORDINATES - leading)


def to_packed(points: Iterable[Point]) -> bytes:
    """The compressed forms, one after another."""
    return b"".join(bytes(point.to_bytes()) for point in points)


def unpack_g1(data: bytes) -> Point:
    """A point of G1 from its compressed form; raises ValueError."""
    return _curve.PointG1.from_bytes(data)


def unpack_g2(data: bytes) -> Point:
    """A point of G2 from its compressed form; raises ValueError."""
    return _curve.PointG2.from_bytes(data)


def _tables(base: Point, window: int, neutral: Point) -> list[list[Point]]:
    tables: list[list[Point]] = []
    start = base
    for _ in range(-(-_SCALAR_BITS // window)):
        table, multiple = [neutral], neutral
        for _ in repeat(None, (1 << window) - 1):
            multiple = multiple + start
            table.append(multiple)
        tables.append(table)
        start = multiple + start
    return tables


def _parse(kind: Any, packed: bytes, is_negative: bool) -> Point:
    """By the library, which checks the subgroup too; the top bit says which of the two y it is."""
    flagged = bytes((*packed[:-1], packed[-1] | (_NEGATIVE if is_negative else 0)))
    try:
        return kind.from_bytes(flagged)
    except ValueError:
        raise ProofMalformed(reason="not a point of the group") from None


def _require_range(coordinates: tuple[int, ...]) -> None:
    if not all(0 <= value < COORDINATES for value in coordinates) or not any(coordinates):
        raise ProofMalformed(reason="a coordinate is out of range, or the point is zero")


def _multiply(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """In Fp2 = Fp[i], i² = -1; (real, imaginary)."""
    return (
        (left[0] * right[0] - left[1] * right[1]) % COORDINATES,
        (left[0] * right[1] + left[1] * right[0]) % COORDINATES,
    )
