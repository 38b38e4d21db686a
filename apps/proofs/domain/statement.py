"""The statement proved of every task, and the circuit that proves it.

    public   = Poseidon chain of (task id, input chain, output commitment, trace digest)
    private  = the inputs' hashes, the program's operations and arguments, the salt

A trace has 16, 64, 128 or 512 steps. The first half absorb the inputs (zero where there is none), so the
program starts with the input chain in its accumulator; the second half are the program, padded with
nops. The last accumulator is the output, and its commitment is Poseidon([output, salt]).

For a program of the machine that is a proof of computation: these inputs, run through these operations,
give this output. **A script is not such a program.** Its run is mapped to a trace that absorbs its
measures and then loads the digest of its output (`witness_of_run`), so for a script only the binding of
task, inputs, measures and output is proven; that the script really computes that output is what the
attesters vouch for.

A step costs 240 constraints (inputs) or 246 (program), the rest 6 hashes: 16 steps 5,092 constraints.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from apps.proofs.data import Statement, TaskWitness
from apps.proofs.domain.field import is_element, to_element
from apps.proofs.domain.gadgets import bit_wire, choose_wire, hash_chain_wires, hash_wires
from apps.proofs.domain.poseidon import hash_chain, hash_pair
from apps.proofs.domain.r1cs import Builder, Circuit, Evaluator, Recorder
from apps.proofs.domain.trace_vm import (
    CHAIN_START,
    OPS_PER_WORD,
    Instruction,
    Op,
    Step,
    absorb,
    compute_digest,
    pad,
    run,
)
from apps.proofs.errors import TraceTooLong, WitnessInvalid

#: How many steps a circuit has. A new statement or gadget changes the circuits' digests, and so the keys.
SIZES: Final = (16, 64, 128, 512)
CIRCUIT_NAME: Final = "task-statement"
TASK_ID_BITS: Final = 128


def witness_of_run(
    *,
    task_id: int,
    input_digests: Sequence[bytes],
    measures: Sequence[int],
    output_digest: bytes,
    salt: int,
) -> TaskWitness:
    """Map a script's run to a witness: it binds, see the module's docstring for what it does not prove.

    `input_digests` are 32-byte digests in an order both sides know: what was asked for (the task's
    specification), then its input files and its parents' outputs. The program absorbs the measures and
    loads the output: acc · 0 + output. Raises TraceTooLong beyond 256 inputs or 254 measures.
    """
    program = (
        *absorb(measures),
        Instruction(op=Op.MUL, arg=0),
        Instruction(op=Op.ADD, arg=to_element(output_digest)),
    )
    inputs = tuple(to_element(digest) for digest in input_digests)
    size = choose_size(len(inputs), len(program))
    return TaskWitness(size=size, task_id=task_id, inputs=inputs, program=program, salt=salt)


def choose_size(inputs: int, instructions: int) -> int:
    """The smallest size whose halves take them; raises TraceTooLong."""
    needed = max(inputs, instructions)
    for size in SIZES:
        if needed <= size // 2:
            return size
    raise TraceTooLong(inputs=inputs, instructions=instructions, limit=SIZES[-1] // 2)


def compute_trace(witness: TaskWitness) -> tuple[Step, ...]:
    """All steps of the run; raises WitnessInvalid, TraceInvalid."""
    _require_room(witness)
    inputs = absorb((*witness.inputs, *(0,) * (witness.size // 2 - len(witness.inputs))))
    return run((*inputs, *pad(witness.program, witness.size // 2)))


def compute_statement(witness: TaskWitness) -> Statement:
    """What the witness proves; raises WitnessInvalid, TraceInvalid."""
    trace = compute_trace(witness)
    half = witness.size // 2
    input_chain = trace[half - 1].chain
    output_commitment = hash_pair(trace[-1].acc, witness.salt)
    trace_digest = compute_digest(trace, [step.op for step in trace[half:]])
    return make_statement(
        size=witness.size,
        task_id=witness.task_id,
        input_chain=input_chain,
        output_commitment=output_commitment,
        trace_digest=trace_digest,
    )


def make_statement(
    *, size: int, task_id: int, input_chain: int, output_commitment: int, trace_digest: int
) -> Statement:
    """A statement from its four parts, which are elements."""
    return Statement(
        size=size,
        task_id=task_id,
        input_chain=input_chain,
        output_commitment=output_commitment,
        trace_digest=trace_digest,
        public_input=hash_chain(task_id, (input_chain, output_commitment, trace_digest)),
    )


def compute_input_chain(size: int, inputs: Sequence[int]) -> int:
    """The input chain of these inputs (elements) in a circuit of this size."""
    return hash_chain(CHAIN_START, (*inputs, *(0,) * (size // 2 - len(inputs))))


def synthesize(builder: Builder, size: int, witness: TaskWitness | None) -> None:
    """The circuit of one size. Without a witness the builder must be one that ignores values."""
    half = size // 2
    inputs: Sequence[int | None] = [None] * half
    program: Sequence[Instruction | None] = [None] * half
    task_id = salt = public_input = None
    if witness is not None:
        task_id, salt = witness.task_id, witness.salt
        public_input = compute_statement(witness).public_input
        inputs = (*witness.inputs, *(0,) * (half - len(witness.inputs)))
        program = pad(witness.program, half)

    public = builder.public(public_input)
    task = builder.private(task_id)
    chain = hash_chain_wires(
        builder, builder.linear(CHAIN_START), [builder.private(value) for value in inputs]
    )
    input_chain = acc = chain
    bits: list[int] = []
    for instruction in program:
        chain, acc, (low, high) = _step(builder, chain, acc, instruction)
        bits += [low, high]

    output_commitment = hash_wires(builder, acc, builder.private(salt))
    trace_digest = hash_chain_wires(builder, chain, _packed(builder, bits))
    digest = hash_chain_wires(builder, task, (input_chain, output_commitment, trace_digest))
    builder.require(public, builder.one, digest)


def record_circuit(size: int) -> Circuit:
    """The circuit of one size, written down."""
    recorder = Recorder()
    synthesize(recorder, size, None)
    return recorder.finish()


@lru_cache(maxsize=len(SIZES))
def compute_circuit_digest(size: int) -> bytes:
    """The identity of the circuit of one size."""
    return record_circuit(size).compute_digest()


def evaluate(witness: TaskWitness) -> Evaluator:
    """The circuit of the witness' size, run on it; raises WitnessInvalid, TraceInvalid."""
    evaluator = Evaluator()
    synthesize(evaluator, witness.size, witness)
    evaluator.finish()
    return evaluator


def _step(
    builder: Builder, chain: int, acc: int, instruction: Instruction | None
) -> tuple[int, int, tuple[int, int]]:
    """One step of the machine: the chain and the accumulator after it, and the operation's bits."""
    op = None if instruction is None else int(instruction.op)
    low = bit_wire(builder, None if op is None else op & 1)
    high = bit_wire(builder, None if op is None else op >> 1)
    arg = builder.private(None if instruction is None else instruction.arg)

    chain = hash_wires(builder, chain, arg)
    nop_or_add = builder.linear(0, (1, acc), (1, builder.multiply(arg, low)))
    mul_or_absorb = choose_wire(builder, low, otherwise=builder.multiply(arg, acc), chosen=chain)
    return chain, choose_wire(builder, high, otherwise=nop_or_add, chosen=mul_or_absorb), (low, high)


def _packed(builder: Builder, bits: Sequence[int]) -> list[int]:
    width = 2 * OPS_PER_WORD
    return [
        builder.linear(0, *((1 << place, bit) for place, bit in enumerate(bits[start : start + width])))
        for start in range(0, len(bits), width)
    ]


def _require_room(witness: TaskWitness) -> None:
    """Raise WitnessInvalid for what the circuit cannot take."""
    half = witness.size // 2
    if witness.size not in SIZES:
        raise WitnessInvalid(reason="no circuit has this size", size=witness.size)
    if len(witness.inputs) > half or len(witness.program) > half:
        raise WitnessInvalid(reason="more inputs or instructions than half the steps", size=witness.size)
    if not all(is_element(value) and value for value in witness.inputs):
        raise WitnessInvalid(reason="an input's hash is an element other than zero")
    if not is_element(witness.salt) or not 0 <= witness.task_id < 1 << TASK_ID_BITS:
        raise WitnessInvalid(reason="the salt is an element, the task id has 128 bits")
