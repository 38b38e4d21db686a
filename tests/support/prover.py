"""A prover that proves nothing: it says what it was asked, and what a test wants it to answer."""

import threading
from collections import deque

from apps.kernel.errors import DomainError
from apps.proofs.data import Proof, ProofRequest, ProofResult
from apps.proofs.domain.statement import compute_statement
from apps.proofs.errors import ProofCancelled
from apps.proofs.ports import Prover
from tests.support.waiting import wait_until

#: coordinates that a proof could have
MADE_UP = Proof(a=(1, 2), b=(3, 4, 5, 6), c=(7, 8))


def result_of(public_input: int, **fields) -> ProofResult:
    """A made-up proof of this statement, and what it is said to have cost."""
    costs = {"waited_seconds": 0.01, "wall_seconds": 0.5, "cpu_seconds": 0.4, "delay_seconds": 0.0}
    return ProofResult(
        **{"proof": MADE_UP, "public_input": public_input, "peak_memory_bytes": 1 << 26, **costs, **fields}
    )


class FakeProver(Prover):
    """See the port. Answers at once unless held; `errors` are raised first, one a call."""

    def __init__(self, *errors: DomainError) -> None:
        self.errors = deque(errors)
        self.requests: list[ProofRequest] = []
        self.cancelled: list[str] = []
        self.is_held = False
        self._under_way: dict[str, threading.Event] = {}

    def prove(self, request: ProofRequest) -> ProofResult:
        """Answer, or wait to be released or cancelled where it is held."""
        self.requests.append(request)
        if self.errors:
            raise self.errors.popleft()
        if self.is_held:
            released = self._under_way.setdefault(request.handle, threading.Event())
            released.wait(30)
            if request.handle in self.cancelled:
                raise ProofCancelled()
        public_input = compute_statement(request.witness).public_input
        return result_of(public_input, delay_seconds=request.delay_seconds)

    def cancel(self, handle: str) -> bool:
        """Let a held proof fail."""
        released = self._under_way.get(handle)
        if released is None:
            return False
        self.cancelled.append(handle)
        released.set()
        return True

    def release(self) -> None:
        """Let every held proof be made."""
        self.is_held = False
        for released in list(self._under_way.values()):
            released.set()

    def wait_for(self, count: int) -> None:
        """Until so many proofs are held."""
        wait_until(lambda: len(self._under_way) == count)
