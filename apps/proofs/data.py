"""Values of the proofs app: statements and witnesses, proofs and verifying keys.

Points are affine coordinates as the EVM's precompiles take them (EIP-196, EIP-197): a G1 point is x ‖ y,
64 bytes; a G2 point is x ‖ y where each coordinate is its imaginary part, then its real part: 128 bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from apps.kernel.hashing import keccak
from apps.proofs.domain.field import COORDINATES, is_element
from apps.proofs.domain.trace_vm import Instruction, Op
from apps.proofs.errors import ProofMalformed, WitnessInvalid

WORD_BYTES: Final = 32
PROOF_BYTES: Final = 256
#: (x, y)
G1Coordinates = tuple[int, int]
#: (x imaginary, x real, y imaginary, y real)
G2Coordinates = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one proof says of one task: `public_input` is all the verifier sees."""

    size: int
    task_id: int
    input_chain: int
    output_commitment: int
    trace_digest: int
    public_input: int

    def to_json(self) -> dict[str, Any]:
        """The public record of it; elements as `0x…`."""
        elements = ("input_chain", "output_commitment", "trace_digest", "public_input")
        return {"size": self.size, "task_id": self.task_id} | {
            name: _element_to_text(getattr(self, name)) for name in elements
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWitness:
    """What the prover knows: the inputs' hashes, the program that ran on them, and the salt.

    The output is not given: it is what the program computes.
    """

    size: int
    task_id: int
    inputs: tuple[int, ...]
    program: tuple[Instruction, ...]
    salt: int

    def to_json(self) -> dict[str, Any]:
        """The form that travels to the prover; it is private."""
        return {
            "size": self.size,
            "task_id": _element_to_text(self.task_id),
            "inputs": [_element_to_text(value) for value in self.inputs],
            "program": [[int(step.op), _element_to_text(step.arg)] for step in self.program],
            "salt": _element_to_text(self.salt),
        }


def witness_from_json(body: Mapping[str, Any]) -> TaskWitness:
    """Parse a witness; raise WitnessInvalid for anything else."""
    try:
        return TaskWitness(
            size=_small(body["size"]),
            task_id=_element(body["task_id"]),
            inputs=tuple(_element(value) for value in body["inputs"]),
            program=tuple(Instruction(op=Op(_small(op)), arg=_element(arg)) for op, arg in body["program"]),
            salt=_element(body["salt"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise WitnessInvalid(reason=f"malformed: {type(exc).__name__}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A Groth16 proof. It can be re-randomised by anybody, so it identifies nothing."""

    a: G1Coordinates
    b: G2Coordinates
    c: G1Coordinates

    def to_bytes(self) -> bytes:
        """A ‖ B ‖ C as the precompiles take them: 256 bytes."""
        return b"".join(value.to_bytes(WORD_BYTES) for value in (*self.a, *self.b, *self.c))


def proof_from_bytes(data: bytes) -> Proof:
    """The inverse of `Proof.to_bytes`; raises ProofMalformed for another length or coordinates ≥ p.

    Whether the coordinates are points of the curve is what verifying finds out.
    """
    if len(data) != PROOF_BYTES:
        raise ProofMalformed(reason=f"{PROOF_BYTES} bytes expected, {len(data)} given")
    words = [int.from_bytes(data[at : at + WORD_BYTES]) for at in range(0, PROOF_BYTES, WORD_BYTES)]
    if max(words) >= COORDINATES:
        raise ProofMalformed(reason="a coordinate is not below the field's modulus")
    return Proof(a=(words[0], words[1]), b=(words[2], words[3], words[4], words[5]), c=(words[6], words[7]))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """The public half of a set-up; `inputs` has one point for the constant and one per public input."""

    alpha: G1Coordinates
    beta: G2Coordinates
    gamma: G2Coordinates
    delta: G2Coordinates
    inputs: tuple[G1Coordinates, ...]

    @property
    def words(self) -> tuple[int, ...]:
        """Everything as 32-byte words, in the order the verifying contract takes them."""
        points = (self.alpha, self.beta, self.gamma, self.delta, *self.inputs)
        return tuple(word for point in points for word in point)

    def compute_hash(self) -> bytes:
        """keccak over the words: what is recorded on the chain."""
        return keccak(b"".join(word.to_bytes(WORD_BYTES) for word in self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """A proof somebody wants within `timeout_seconds` from now; `handle` is what cancels it.

    `delay_seconds` is waited after the proof is made: it lets a demonstration or a benchmark stand in for
    larger circuits, and the result says so.
    """

    handle: str
    witness: TaskWitness
    timeout_seconds: float = 60.0
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofResult:
    """A proof that was verified where it was made, and what it cost.

    `waited_seconds` passed before a process was free for it; `wall_seconds` without the delay.
    """

    proof: Proof
    public_input: int
    waited_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    delay_seconds: float


def _element_to_text(value: int) -> str:
    return f"0x{value:064x}"


def _element(value: object) -> int:
    if not isinstance(value, str) or not value.startswith("0x"):
        _refuse("an element is 0x and hex digits")
    element = int(value, 16)
    if not is_element(element):
        _refuse("an element is below the field's order")
    return element


def _small(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse("an integer is expected")
    return value


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)
