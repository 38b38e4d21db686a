"""Keys on disk: one file per circuit, made once by a set-up, found by the circuit's digest and version.

A changed circuit has another digest and so another file: an old key is never used for a new circuit. A
file is written as a whole and never replaced, so two set-ups at once agree on the first one's keys.
Layout: a line of JSON (the verifying key, counts, the body's SHA-256), then the variables' indices as
little-endian 32-bit integers, then points in their compressed form. Keys are made at install and belong
to one deployment; they are never shipped.
"""

import hashlib
import json
import os
import secrets
import struct
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from apps.proofs.curve import G1_BYTES, G2_BYTES, Point, to_packed, unpack_g1, unpack_g2
from apps.proofs.data import VerifyingKey
from apps.proofs.domain.statement import CIRCUIT_NAME, compute_circuit_digest, record_circuit
from apps.proofs.errors import ProvingKeyCorrupt, ProvingKeyMissing
from apps.proofs.groth16 import Draw, ProvingKey, Query
from apps.proofs.setup import set_up

#: The version of this layout and of what the points mean.
VERSION: Final = 1
#: Points made between two pauses of `load_steps`: about 20 ms.
_STRIDE: Final = 256
T = TypeVar("T")


def compute_key_path(folder: Path, size: int) -> Path:
    """Where the keys of the statement's circuit of this size are."""
    digest = compute_circuit_digest(size).hex()
    return folder / f"{CIRCUIT_NAME}-{size}-{digest[:16]}-v{VERSION}.key"


def ensure_keys(folder: Path, size: int, *, draw: Draw = secrets.randbelow) -> VerifyingKey:
    """The verifying key of this size, after a set-up where there are no keys yet."""
    path = compute_key_path(folder, size)
    if not path.exists():
        _write(path, size, *set_up(record_circuit(size), draw=draw))
    return read_verifying_key(folder, size)


def read_verifying_key(folder: Path, size: int) -> VerifyingKey:
    """The verifying key; raises ProvingKeyMissing, ProvingKeyCorrupt."""
    path = compute_key_path(folder, size)
    return _parse(path, lambda: _verifying_from_words([int(word, 16) for word in _read(path)[0]["words"]]))


def load_proving_key(folder: Path, size: int) -> ProvingKey:
    """The proving key; raises ProvingKeyMissing, ProvingKeyCorrupt. Takes 75 µs a point, 215 in G2."""
    steps = load_steps(folder, size)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            key: ProvingKey = done.value
            return key


def load_steps(folder: Path, size: int) -> Generator[None, None, ProvingKey]:
    """Load the proving key a little at a time; the generator's return value is the key."""
    path = compute_key_path(folder, size)
    head, body = _read(path)
    if hashlib.sha256(body).hexdigest() != head.get("sha256"):
        raise ProvingKeyCorrupt(path=str(path), reason="the body is not what was written")

    counts = _parse(path, lambda: [int(head["counts"][name]) for name in ("a", "b", "rest", "quotient")])
    count_a, count_b, count_rest, count_quotient = counts
    index_bytes = 4 * (count_a + count_b + count_rest)
    indices = _parse(path, lambda: struct.unpack(f"<{index_bytes // 4}I", body[:index_bytes]))
    reader = _PointReader(path, body[index_bytes:])

    alpha, beta, delta = yield from reader.take(3, G1_BYTES, unpack_g1)
    beta_g2, delta_g2 = yield from reader.take(2, G2_BYTES, unpack_g2)
    points_a = yield from reader.take(count_a, G1_BYTES, unpack_g1)
    points_b = yield from reader.take(count_b, G1_BYTES, unpack_g1)
    points_b_g2 = yield from reader.take(count_b, G2_BYTES, unpack_g2)
    points_rest = yield from reader.take(count_rest, G1_BYTES, unpack_g1)
    quotient = yield from reader.take(count_quotient, G1_BYTES, unpack_g1)

    variables_b = indices[count_a : count_a + count_b]
    return ProvingKey(
        alpha=alpha,
        beta=beta,
        beta_g2=beta_g2,
        delta=delta,
        delta_g2=delta_g2,
        a=Query(variables=indices[:count_a], points=points_a),
        b=Query(variables=variables_b, points=points_b),
        b_g2=Query(variables=variables_b, points=points_b_g2),
        rest=Query(variables=indices[count_a + count_b :], points=points_rest),
        quotient=quotient,
    )


class _PointReader:
    """Takes points off the front of a body."""

    def __init__(self, path: Path, body: bytes) -> None:
        self._path = path
        self._body = body
        self._at = 0

    def take(
        self, count: int, width: int, unpack: Callable[[bytes], Point]
    ) -> Generator[None, None, list[Point]]:
        """The next `count` points, `_STRIDE` at a time."""
        points: list[Point] = []
        while len(points) < count:
            for _ in range(min(_STRIDE, count - len(points))):
                packed = self._body[self._at : self._at + width]
                points.append(_parse(self._path, partial(unpack, packed)))
                self._at += width
            yield
        return points


def _write(path: Path, size: int, proving: ProvingKey, verifying: VerifyingKey) -> None:
    """Write the file beside its place and link it there; an existing one stays."""
    variables = (*proving.a.variables, *proving.b.variables, *proving.rest.variables)
    body = struct.pack(f"<{len(variables)}I", *variables) + to_packed(
        (
            *(proving.alpha, proving.beta, proving.delta, proving.beta_g2, proving.delta_g2),
            *(*proving.a.points, *proving.b.points, *proving.b_g2.points),
            *(*proving.rest.points, *proving.quotient),
        )
    )
    head = {
        "circuit": f"{CIRCUIT_NAME}-{size}",
        "digest": compute_circuit_digest(size).hex(),
        "version": VERSION,
        "counts": {
            "a": len(proving.a.points),
            "b": len(proving.b.points),
            "rest": len(proving.rest.points),
            "quotient": len(proving.quotient),
        },
        "words": [hex(word) for word in verifying.words],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(json.dumps(head).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Mapping[str, Any], bytes]:
    """The head and the body; raises ProvingKeyMissing, ProvingKeyCorrupt."""
    try:
        line, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise ProvingKeyMissing(circuit=path.stem, path=str(path)) from None
    head = _parse(path, lambda: json.loads(line))
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise ProvingKeyCorrupt(path=str(path), reason="another version")
    return head, body


def _verifying_from_words(words: list[int]) -> VerifyingKey:
    alpha, beta, gamma, delta = words[0:2], words[2:6], words[6:10], words[10:14]
    inputs = tuple((words[at], words[at + 1]) for at in range(14, len(words), 2))
    if len(inputs) != 2:
        raise ValueError("one public input is expected")
    return VerifyingKey(
        alpha=(alpha[0], alpha[1]),
        beta=(beta[0], beta[1], beta[2], beta[3]),
        gamma=(gamma[0], gamma[1], gamma[2], gamma[3]),
        delta=(delta[0], delta[1], delta[2], delta[3]),
        inputs=inputs,
    )


def _parse(path: Path, act: Callable[[], T]) -> T:
    """What the act returns; ProvingKeyCorrupt where the content is not what it should be."""
    try:
        return act()
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as exc:
        raise ProvingKeyCorrupt(path=str(path), reason=f"{type(exc).__name__}: {exc}"[:200]) from None
