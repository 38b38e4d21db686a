"""What can be wrong with a statement, a proof, a key or the prover."""

from apps.kernel.errors import Conflict, Invalid


class WitnessInvalid(Invalid):
    """Values that do not satisfy the circuit, or that it has no room for. Fields: reason."""

    code = "witness_invalid"
    title = "The witness does not satisfy the circuit"


class TraceInvalid(Invalid):
    """A trace with a step that does not follow from the one before. Fields: step, reason."""

    code = "trace_invalid"
    title = "The trace is not a run of the machine"


class TraceTooLong(Invalid):
    """More inputs or instructions than the largest circuit takes. Fields: inputs, instructions, limit."""

    code = "trace_too_long"
    title = "The trace is longer than the largest circuit"


class PublicInputOutOfField(Invalid):
    """A public input that is not below the order of the scalar field. Fields: value."""

    code = "public_input_out_of_field"
    title = "The public input is not an element of the field"


class ProofMalformed(Invalid):
    """Bytes that are no proof: another length, a coordinate or a point that is none. Fields: reason."""

    code = "proof_malformed"
    title = "The proof is malformed"


class ProofRejected(Invalid):
    """A well-formed proof that does not verify: forged, or of another statement."""

    code = "proof_rejected"
    title = "The proof does not verify"


class ProvingKeyMissing(Conflict):
    """No proving key for this circuit: the set-up was not run. Fields: circuit, path."""

    code = "proving_key_missing"
    title = "There is no proving key for this circuit"


class ProvingKeyCorrupt(Conflict):
    """A key file that is not what was written, or is of another circuit. Fields: path, reason."""

    code = "proving_key_corrupt"
    title = "The proving key cannot be used"


class ProverUnavailable(Conflict):
    """The prover does not answer, or has no room for one more request. Fields: reason."""

    code = "prover_unavailable"
    title = "The prover cannot be reached"


class ProofFailed(Conflict):
    """The prover gave up on a proof. Fields: reason."""

    code = "proof_generation_failed"
    title = "The proof could not be generated"


class ProofTimedOut(Conflict):
    """The proof was not there within its time; its process was killed. Fields: seconds."""

    code = "proof_generation_timeout"
    title = "The proof was not generated in time"


class ProofCancelled(Conflict):
    """Somebody cancelled the proof; its process was killed."""

    code = "proof_generation_cancelled"
    title = "The proof was cancelled"
