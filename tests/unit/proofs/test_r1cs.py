import pytest

from apps.proofs.domain.field import ORDER
from apps.proofs.domain.gadgets import bit_wire, choose_wire, hash_wires
from apps.proofs.domain.poseidon import hash_pair
from apps.proofs.domain.r1cs import Evaluator, Recorder
from apps.proofs.errors import WitnessInvalid
from tests.support.proofs import cube_circuit, record


def dot(combination, assignment):
    return sum(value * assignment[at] for at, value in combination.items()) % ORDER


def evaluated(circuit, *values):
    evaluator = Evaluator()
    circuit(evaluator, *values)
    evaluator.finish()
    return evaluator


def test_both_ways_of_running_a_circuit_agree():
    run, circuit = evaluated(cube_circuit, 3), record(cube_circuit)
    rows = circuit.expand()
    assert len(run.assignment) == len(circuit.variables)
    assert run.assignment[:2] == [1, 35]
    assert [dot(left, run.assignment) for left, _, _ in rows] == [value % ORDER for value in run.lefts]
    assert [dot(right, run.assignment) for _, right, _ in rows] == [value % ORDER for value in run.rights]
    assert all(
        dot(left, run.assignment) * dot(right, run.assignment) % ORDER == dot(product, run.assignment)
        for left, right, product in rows
    )


def test_weighing_the_columns_is_what_the_written_out_matrices_give():
    def circuit(builder):
        a, b = builder.private(None), builder.private(None)
        hash_wires(builder, builder.linear(7, (2, a)), b)

    found = record(circuit)
    weights = [pow(3, at, ORDER) for at in range(len(found.constraints))]
    expected = [[0] * len(found.variables) for _ in range(3)]
    for row, weight in zip(found.expand(), weights, strict=True):
        for side, combination in enumerate(row):
            for variable, value in combination.items():
                expected[side][variable] = (expected[side][variable] + weight * value) % ORDER
    assert list(found.weigh_columns(weights)) == expected


def test_an_assignment_that_breaks_a_constraint_is_refused():
    def circuit(builder):
        bit_wire(builder, 2)

    with pytest.raises(WitnessInvalid):
        evaluated(circuit)


def test_a_missing_value_is_refused():
    with pytest.raises(WitnessInvalid):
        Evaluator().private(None)


def test_a_public_input_after_a_private_variable_is_refused():
    recorder = Recorder()
    recorder.private(None)
    with pytest.raises(WitnessInvalid):
        recorder.public(None)


def test_every_public_variable_has_a_row_of_its_own():
    circuit = record(cube_circuit)
    assert [row[0] for row in circuit.expand()[-2:]] == [{0: 1}, {1: 1}]


def test_the_digest_follows_the_constraints():
    def other(builder):
        cube_circuit(builder)
        builder.private(None)

    def constant(builder):
        public, x = builder.public(None), builder.private(None)
        cube = builder.multiply(builder.multiply(x, x), x)
        builder.require(builder.linear(6, (1, cube), (1, x)), builder.one, public)

    digests = {record(circuit).compute_digest() for circuit in (cube_circuit, cube_circuit, other, constant)}
    assert len(digests) == 3


def test_the_hash_gadget_takes_240_constraints_and_computes_poseidon():
    found = {}

    def circuit(builder, left=None, right=None):
        found["wire"] = hash_wires(builder, builder.private(left), builder.private(right))

    for left, right in ((1, 2), (0, 0), (ORDER - 1, 5)):
        evaluated(circuit, left, right)
        assert found["wire"] == hash_pair(left, right)
    assert len(record(circuit).constraints) - 1 == 240


@pytest.mark.parametrize(("bit", "expected"), [(0, 10), (1, 20)])
def test_a_choice_follows_its_bit(bit, expected):
    evaluator = Evaluator()
    wire = choose_wire(
        evaluator, bit_wire(evaluator, bit), otherwise=evaluator.private(10), chosen=evaluator.private(20)
    )
    assert wire == expected
