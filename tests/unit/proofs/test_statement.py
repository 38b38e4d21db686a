import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.proofs.data import TaskWitness, witness_from_json
from apps.proofs.domain.field import ORDER, to_element
from apps.proofs.domain.poseidon import hash_chain, hash_pair
from apps.proofs.domain.statement import (
    SIZES,
    choose_size,
    compute_input_chain,
    compute_statement,
    compute_trace,
    evaluate,
    make_statement,
    record_circuit,
)
from apps.proofs.domain.trace_vm import Instruction, Op, check, compute_digest
from apps.proofs.errors import TraceInvalid, TraceTooLong, WitnessInvalid
from tests.support.proofs import digest, make_witness


def changed(witness, **fields):
    values = {name: getattr(witness, name) for name in ("size", "task_id", "inputs", "program", "salt")}
    return TaskWitness(**{**values, **fields})


def test_the_public_input_is_the_chain_of_the_four_parts():
    witness = make_witness()
    statement, trace = compute_statement(witness), compute_trace(witness)
    output = to_element(digest(9))
    assert statement.input_chain == compute_input_chain(16, witness.inputs) == trace[7].chain
    assert statement.output_commitment == hash_pair(output, witness.salt)
    assert statement.trace_digest == compute_digest(trace, [step.op for step in trace[8:]])
    parts = (statement.input_chain, statement.output_commitment, statement.trace_digest)
    assert statement.public_input == hash_chain(7, parts)
    assert statement == make_statement(
        size=16, task_id=7, input_chain=parts[0], output_commitment=parts[1], trace_digest=parts[2]
    )


def test_the_trace_of_a_run_ends_with_its_output_in_the_accumulator():
    trace = compute_trace(make_witness(output=77))
    check(trace)
    assert len(trace) == 16
    assert trace[-1].acc == to_element(digest(77))


def test_a_program_of_the_machine_starts_with_the_digest_of_its_inputs():
    steps = (Instruction(op=Op.MUL, arg=3), Instruction(op=Op.ADD, arg=1))
    witness = TaskWitness(size=16, task_id=1, inputs=(5, 6), program=steps, salt=2)
    output = (3 * compute_input_chain(16, (5, 6)) + 1) % ORDER
    assert compute_statement(witness).output_commitment == hash_pair(output, 2)
    assert evaluate(witness).assignment[1] == compute_statement(witness).public_input


@settings(max_examples=25, deadline=None)
@given(
    program=st.lists(
        st.builds(Instruction, op=st.sampled_from(Op), arg=st.integers(0, ORDER - 1)), min_size=1, max_size=8
    ),
    inputs=st.lists(st.integers(1, ORDER - 1), max_size=8),
)
def test_the_circuit_runs_any_program_as_the_machine_does(program, inputs):
    """The circuit computes the public input from its own steps; the machine computed the one it must be."""
    witness = TaskWitness(size=16, task_id=1, inputs=tuple(inputs), program=tuple(program), salt=2)
    assert evaluate(witness).assignment[1] == compute_statement(witness).public_input


@pytest.mark.parametrize("op", Op)
def test_every_operation_reaches_the_output(op):
    steps = (Instruction(op=op, arg=3), Instruction(op=Op.MUL, arg=5))
    witness = TaskWitness(size=16, task_id=1, inputs=(7,), program=steps, salt=2)
    start = compute_input_chain(16, (7,))
    acc = {Op.NOP: start, Op.ADD: start + 3, Op.MUL: start * 3, Op.ABSORB: hash_pair(start, 3)}[op]
    assert compute_trace(witness)[-1].acc == acc * 5 % ORDER
    assert evaluate(witness).assignment[1] == compute_statement(witness).public_input


@pytest.mark.parametrize(
    "fields",
    [
        {"task_id": 8},
        {"inputs": 4},
        {"measures": (11, 22, 34)},
        {"measures": (11, 33, 22)},
        {"output": 10},
        {"salt": 1234568},
    ],
    ids=str,
)
def test_everything_a_run_consists_of_changes_the_public_input(fields):
    assert compute_statement(make_witness(**fields)) != compute_statement(make_witness())
    assert compute_statement(make_witness(**fields)).public_input != (
        compute_statement(make_witness()).public_input
    )


def test_the_salt_is_in_the_output_commitment_only():
    one, other = compute_statement(make_witness(salt=1)), compute_statement(make_witness(salt=2))
    assert one.output_commitment != other.output_commitment
    assert (one.input_chain, one.trace_digest) == (other.input_chain, other.trace_digest)


@pytest.mark.parametrize(
    ("inputs", "instructions", "size"),
    [(0, 0, 16), (8, 8, 16), (9, 1, 64), (1, 33, 128), (256, 256, 512)],
)
def test_the_smallest_circuit_that_has_room_is_chosen(inputs, instructions, size):
    assert choose_size(inputs, instructions) == size


def test_a_run_that_no_circuit_has_room_for_is_refused():
    with pytest.raises(TraceTooLong):
        make_witness(inputs=257)
    with pytest.raises(TraceTooLong):
        make_witness(measures=(1,) * 255)


@pytest.mark.parametrize("size", SIZES[:3])
def test_the_circuit_of_each_size_computes_the_statement(size):
    witness = make_witness(inputs=size // 2, measures=tuple(range(size // 2 - 2)))
    run, circuit = evaluate(witness), record_circuit(size)
    assert witness.size == size
    assert run.assignment[1] == compute_statement(witness).public_input
    assert len(run.assignment) == len(circuit.variables)
    assert len(run.lefts) == len(circuit.constraints)


@pytest.mark.parametrize(("size", "domain"), [(16, 2**13), (64, 2**15), (128, 2**15), (512, 2**17)])
def test_the_circuits_stay_within_their_domains(size, domain):
    assert domain // 2 < len(record_circuit(size).constraints) <= domain


def test_no_variable_of_the_circuit_is_free():
    """Changing any one variable breaks some constraint: a prover has no choice anywhere."""
    rows, run = record_circuit(16).expand(), evaluate(make_witness())
    values = [int(value) for value in run.assignment]
    using: dict[int, list[int]] = {at: [] for at in range(len(values))}
    sums = []
    for number, row in enumerate(rows):
        sums.append([sum(factor * values[at] for at, factor in side.items()) for side in row])
        for at in {at for side in row for at in side}:
            using[at].append(number)

    def breaks(variable, number):
        left, right, product = (
            total + side.get(variable, 0) for total, side in zip(sums[number], rows[number], strict=True)
        )
        return (left * right - product) % ORDER

    sample = random.Random(1).sample(range(2, len(values)), 400)
    assert all(any(breaks(variable, number) for number in using[variable]) for variable in (1, 2, *sample))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"size": 17}, WitnessInvalid),
        ({"inputs": (0,)}, WitnessInvalid),
        ({"inputs": (ORDER,)}, WitnessInvalid),
        ({"inputs": (1,) * 9}, WitnessInvalid),
        ({"program": (Instruction(op=Op.ADD, arg=ORDER),)}, TraceInvalid),
        ({"program": (Instruction(op=Op.NOP, arg=0),) * 9}, WitnessInvalid),
        ({"salt": ORDER}, WitnessInvalid),
        ({"task_id": 1 << 128}, WitnessInvalid),
        ({"task_id": -1}, WitnessInvalid),
    ],
    ids=str,
)
def test_what_the_circuit_cannot_take_is_refused(fields, error):
    with pytest.raises(error):
        evaluate(changed(make_witness(), **fields))


def test_a_witness_survives_its_json_form():
    witness = make_witness(inputs=8, measures=(0, 1, 2**64))
    assert witness_from_json(witness.to_json()) == witness


@pytest.mark.parametrize(
    "fields",
    [
        {"size": True},
        {"size": "16"},
        {"salt": 5},
        {"salt": "0x"},
        {"salt": hex(ORDER)},
        {"inputs": "0x01"},
        {"inputs": None},
        {"program": [[4, "0x00"]]},
        {"program": [["0", "0x00"]]},
        {"program": [[1]]},
        {"task_id": "-0x1"},
    ],
    ids=str,
)
def test_a_malformed_witness_is_refused(fields):
    with pytest.raises(WitnessInvalid):
        witness_from_json({**make_witness().to_json(), **fields})


def test_a_witness_with_a_missing_part_is_refused():
    body = make_witness().to_json()
    del body["program"]
    with pytest.raises(WitnessInvalid):
        witness_from_json(body)


def test_a_statements_record_has_nothing_private():
    witness = make_witness()
    text = str(compute_statement(witness).to_json())
    assert f"{witness.salt:064x}" not in text
    assert not any(f"{value:064x}" in text for value in witness.inputs)
