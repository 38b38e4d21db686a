"""A very small machine whose runs can be proved: one accumulator, four operations, a Poseidon chain.

A step is (op, arg, acc): what was done, with which field element, and the accumulator after it. The
chain takes every argument in order, chain' = Poseidon([chain, arg]), whatever the operation:

    nop     acc' = acc
    add     acc' = acc + arg
    mul     acc' = acc · arg
    absorb  acc' = chain'          (the digest of everything taken so far, this argument included)

Arguments and operations decide every accumulator, so chain and operations together bind the whole
trace. One hash a step is all that a circuit pays for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from apps.kernel.hashing import sha256
from apps.proofs.domain.field import ORDER, is_element, to_element
from apps.proofs.domain.poseidon import hash_chain, hash_pair
from apps.proofs.errors import TraceInvalid

#: Where every chain starts: an element nobody can have chosen, so that no chain is the tail of another.
CHAIN_START: Final = to_element(sha256(b"forekeep.trace.v1"))
#: How many operations, two bits each, one element holds.
OPS_PER_WORD: Final = 126


class Op(IntEnum):
    """What a step does; the value is its code in the circuit (low bit, high bit)."""

    #: nothing
    NOP = 0
    #: add the argument
    ADD = 1
    #: multiply by the argument
    MUL = 2
    #: become the chain
    ABSORB = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An operation and its argument, an element."""

    op: Op
    arg: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An instruction carried out: the accumulator and the chain after it."""

    op: Op
    arg: int
    acc: int
    chain: int


NOTHING: Final = Instruction(op=Op.NOP, arg=0)


def absorb(values: Iterable[int]) -> tuple[Instruction, ...]:
    """Instructions that absorb these elements."""
    return tuple(Instruction(op=Op.ABSORB, arg=value) for value in values)


def pad(instructions: Sequence[Instruction], size: int) -> tuple[Instruction, ...]:
    """The instructions, then nops up to `size`; raises TraceInvalid where there are more."""
    if len(instructions) > size:
        raise TraceInvalid(reason="more instructions than steps", step=size)
    return (*instructions, *(NOTHING,) * (size - len(instructions)))


def run(instructions: Iterable[Instruction]) -> tuple[Step, ...]:
    """The trace of a run from accumulator 0; raises TraceInvalid for an argument outside the field."""
    steps: list[Step] = []
    acc, chain = 0, CHAIN_START
    for at, instruction in enumerate(instructions):
        if not is_element(instruction.arg):
            raise TraceInvalid(reason="the argument is not an element", step=at)
        chain = hash_pair(chain, instruction.arg)
        acc = compute_acc(instruction, acc, chain)
        steps.append(Step(op=instruction.op, arg=instruction.arg, acc=acc, chain=chain))
    return tuple(steps)


def compute_acc(instruction: Instruction, acc: int, chain: int) -> int:
    """The accumulator after an instruction; `chain` is the one after it."""
    match instruction.op:
        case Op.NOP:
            return acc
        case Op.ADD:
            return (acc + instruction.arg) % ORDER
        case Op.MUL:
            return acc * instruction.arg % ORDER
        case Op.ABSORB:
            return chain


def check(trace: Sequence[Step]) -> None:
    """Raise TraceInvalid(step, reason) for the first step that does not follow from the one before."""
    instructions = [Instruction(op=step.op, arg=step.arg) for step in trace]
    for at, (step, expected) in enumerate(zip(trace, run(instructions), strict=True)):
        if step != expected:
            raise TraceInvalid(reason="the step does not follow", step=at)


def pack_ops(ops: Sequence[Op]) -> tuple[int, ...]:
    """The operations as elements: two bits each, the first lowest, 126 to an element."""
    return tuple(
        sum(int(op) << 2 * place for place, op in enumerate(ops[start : start + OPS_PER_WORD]))
        for start in range(0, len(ops), OPS_PER_WORD)
    )


def compute_digest(trace: Sequence[Step], ops: Sequence[Op]) -> int:
    """What binds a trace: its chain, continued over the packed operations that are free to vary."""
    return hash_chain(trace[-1].chain if trace else CHAIN_START, pack_ops(ops))
