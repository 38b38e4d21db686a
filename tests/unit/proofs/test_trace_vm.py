from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.proofs.domain.field import ORDER
from apps.proofs.domain.poseidon import hash_chain
from apps.proofs.domain.trace_vm import (
    CHAIN_START,
    NOTHING,
    Instruction,
    Op,
    absorb,
    check,
    compute_digest,
    pack_ops,
    pad,
    run,
)
from apps.proofs.errors import TraceInvalid

instructions = st.builds(Instruction, op=st.sampled_from(Op), arg=st.integers(0, ORDER - 1))
programs = st.lists(instructions, min_size=1, max_size=8)


def program(*steps):
    return [Instruction(op=op, arg=arg) for op, arg in steps]


def digest_of(trace):
    return compute_digest(trace, [step.op for step in trace])


def test_the_machine_adds_multiplies_absorbs_and_does_nothing():
    trace = run(program((Op.ADD, 3), (Op.MUL, 5), (Op.NOP, 99), (Op.ABSORB, 7), (Op.ADD, ORDER - 1)))
    chain = hash_chain(CHAIN_START, (3, 5, 99, 7))
    assert [step.acc for step in trace] == [3, 15, 15, chain, (chain - 1) % ORDER]
    assert trace[3].chain == chain


def test_an_argument_outside_the_field_is_refused():
    with pytest.raises(TraceInvalid) as refused:
        run(program((Op.ADD, 1), (Op.ADD, ORDER)))
    assert refused.value.step == 1


def test_padding_fills_up_with_nops_and_refuses_what_is_too_long():
    assert pad(program((Op.ADD, 1)), 3)[1:] == (NOTHING, NOTHING)
    with pytest.raises(TraceInvalid):
        pad(absorb((1, 2, 3)), 2)


@settings(max_examples=40, deadline=None)
@given(programs)
def test_a_run_is_a_valid_trace(steps):
    check(run(steps))


@settings(max_examples=40, deadline=None)
@given(programs, st.data())
def test_a_changed_accumulator_or_chain_is_found(steps, data):
    trace = list(run(steps))
    at = data.draw(st.integers(0, len(trace) - 1))
    name = data.draw(st.sampled_from(["acc", "chain"]))
    trace[at] = replace(trace[at], **{name: (getattr(trace[at], name) + 1) % ORDER})
    with pytest.raises(TraceInvalid) as refused:
        check(trace)
    assert refused.value.step <= at + 1


@settings(max_examples=40, deadline=None)
@given(programs, st.data())
def test_the_digest_changes_with_any_operation_and_any_argument(steps, data):
    at = data.draw(st.integers(0, len(steps) - 1))
    other = list(steps)
    other[at] = data.draw(instructions.filter(lambda step: step != steps[at]))
    assert digest_of(run(other)) != digest_of(run(steps))


def test_operations_are_packed_126_to_an_element_and_differently_for_different_ones():
    assert pack_ops([Op.ADD, Op.NOP, Op.ABSORB]) == (1 + 3 * 16,)
    words = pack_ops([Op.ABSORB] * 127)
    assert words == (4**126 - 1, 3)
    assert words[0] < ORDER
    assert pack_ops([]) == ()


def test_the_chain_starts_where_nobody_chose():
    assert 0 < CHAIN_START < ORDER
    assert digest_of(()) == CHAIN_START
