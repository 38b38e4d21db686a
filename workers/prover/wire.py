"""What goes over the prover's Unix socket: frames of a 4-byte length and that much JSON.

A connection carries one request and one answer. Requests are `prove` (with a handle, a witness, a
time and a delay), `cancel` (with a handle) and `status`; an answer has `ok`, and where that is false the
`code` of an error of apps/proofs/errors.py with its `fields`. Hanging up cancels.
"""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

from apps.kernel.errors import DomainError
from apps.proofs import errors

#: The largest witness takes 36 KiB.
FRAME_MAX_BYTES: Final = 1 << 20
_LENGTH: Final = struct.Struct(">I")
_ERRORS: Final[Mapping[str, type[DomainError]]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DomainError) and kind.__module__ == errors.__name__
}


class FrameBroken(Exception):
    """The other side sent no valid frame, or hung up in the middle of one."""


def encode_frame(body: Mapping[str, Any]) -> bytes:
    """One frame."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


class FrameReader:
    """Gathers one frame from pieces."""

    def __init__(self) -> None:
        self._gathered = b""

    def feed(self, piece: bytes) -> dict[str, Any] | None:
        """The frame once it is whole, else None; raises FrameBroken."""
        self._gathered += piece
        if len(self._gathered) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._gathered)
        if length > FRAME_MAX_BYTES or len(self._gathered) > _LENGTH.size + length:
            raise FrameBroken(f"a frame of {length} bytes")
        if len(self._gathered) < _LENGTH.size + length:
            return None
        try:
            body = json.loads(self._gathered[_LENGTH.size :])
        except ValueError:
            raise FrameBroken("no JSON") from None
        if not isinstance(body, dict):
            raise FrameBroken("no JSON object")
        return body


def receive_frame(source: socket.socket) -> dict[str, Any]:
    """Wait for one frame; raises FrameBroken where the other side hangs up, OSError."""
    reader = FrameReader()
    while piece := source.recv(1 << 16):
        body = reader.feed(piece)
        if body is not None:
            return body
    raise FrameBroken("the other side hung up")


def answer_of(exc: DomainError) -> dict[str, Any]:
    """The answer that says what went wrong."""
    fields = {name: value for name, value in exc.fields.items() if isinstance(value, str | int | float)}
    return {"ok": False, "code": exc.code, "fields": fields}


def error_of(answer: Mapping[str, Any]) -> DomainError:
    """The error an answer names; ProofFailed for one nobody knows."""
    fields = answer.get("fields")
    kind = _ERRORS.get(str(answer.get("code")))
    if kind is None or not isinstance(fields, dict):
        return errors.ProofFailed(reason=f"the prover answered {str(answer.get('code'))[:80]}")
    return kind(**{str(name): value for name, value in fields.items()})
