"""The prover, as everybody else reaches it: one connection per call over its Unix socket."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from apps.kernel.hashing import from_hex
from apps.proofs.data import PROOF_BYTES, ProofRequest, ProofResult, proof_from_bytes
from apps.proofs.errors import ProofTimedOut, ProverUnavailable
from apps.proofs.ports import Prover
from workers.prover.wire import FrameBroken, encode_frame, error_of, receive_frame

#: The server kills a late proof itself; this much later its answer must have come.
_GRACE_SECONDS: Final = 5.0
_CALL_SECONDS: Final = 10.0


class ProverClient(Prover):
    """See the port. Holds nothing open between calls, so it may be used from any thread or process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prove(self, request: ProofRequest) -> ProofResult:
        """See Prover.prove."""
        body = {
            "do": "prove",
            "handle": request.handle,
            "witness": request.witness.to_json(),
            "timeout_seconds": request.timeout_seconds,
            "delay_seconds": request.delay_seconds,
        }
        try:
            answer = self._call(body, request.timeout_seconds + _GRACE_SECONDS)
        except TimeoutError:
            raise ProofTimedOut(seconds=request.timeout_seconds) from None
        return _result_of(answer)

    def cancel(self, handle: str) -> bool:
        """See Prover.cancel."""
        return bool(self._call({"do": "cancel", "handle": handle}, _CALL_SECONDS)["was_there"])

    def get_status(self) -> Mapping[str, Any]:
        """How many run and wait, and which sizes are loaded; raises ProverUnavailable."""
        return self._call({"do": "status"}, _CALL_SECONDS)

    def _call(self, body: Mapping[str, Any], timeout_seconds: float) -> Mapping[str, Any]:
        """The answer; raises the error it names, ProverUnavailable, and TimeoutError once connected."""
        until = time.monotonic() + timeout_seconds
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(_CALL_SECONDS)
            try:
                caller.connect(str(self.path))
            except OSError as exc:
                raise ProverUnavailable(reason=f"{type(exc).__name__}: {exc}") from None
            try:
                caller.sendall(encode_frame(body))
                caller.settimeout(max(until - time.monotonic(), 0.1))
                answer = receive_frame(caller)
            except TimeoutError:
                raise
            except (OSError, FrameBroken) as exc:
                raise ProverUnavailable(reason=f"{type(exc).__name__}: {exc}") from None
        if not answer.get("ok"):
            raise error_of(answer)
        return answer


def _result_of(answer: Mapping[str, Any]) -> ProofResult:
    return ProofResult(
        proof=proof_from_bytes(from_hex(answer["proof"], length=PROOF_BYTES)),
        public_input=int(answer["public_input"], 16),
        waited_seconds=float(answer["waited_seconds"]),
        wall_seconds=float(answer["wall_seconds"]),
        cpu_seconds=float(answer["cpu_seconds"]),
        peak_memory_bytes=int(answer["peak_memory_bytes"]),
        delay_seconds=float(answer["delay_seconds"]),
    )
