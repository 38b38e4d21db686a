"""What makes proofs, as the rest of the system sees it."""

from typing import Protocol

from apps.proofs.data import ProofRequest, ProofResult


class Prover(Protocol):
    """A pool of processes that make proofs; safe to call from many threads and processes."""

    def prove(self, request: ProofRequest) -> ProofResult:
        """Make a proof and wait for it.

        Raises WitnessInvalid or TraceInvalid for a witness that is none, ProofTimedOut, ProofCancelled,
        ProofFailed, ProvingKeyMissing or ProvingKeyCorrupt where there is no key to prove with, and
        ProverUnavailable where nobody answers or too many wait.
        """

    def cancel(self, handle: str) -> bool:
        """Kill the proof of this handle, from wherever; whether there was one. ProverUnavailable."""
