from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128
from zksnake.ecc import EllipticCurve as PlainCurve
from zksnake.groth16.protocol import Groth16 as PlainGroth16
from zksnake.groth16.serialization import Proof as PlainProof
from zksnake.groth16.serialization import VerifyingKey as PlainVerifyingKey

from apps.proofs import curve
from apps.proofs.data import Proof, proof_from_bytes
from apps.proofs.domain.field import COORDINATES, ORDER
from apps.proofs.domain.gadgets import hash_wires
from apps.proofs.domain.r1cs import Evaluator
from apps.proofs.domain.statement import compute_statement, evaluate
from apps.proofs.errors import ProofRejected, PublicInputOutOfField, WitnessInvalid
from apps.proofs.groth16 import prove, require_valid, verify
from apps.proofs.setup import compute_domain_size, set_up
from tests.support.proofs import cube_circuit, make_witness, record, seeded_draw, smallest_keys


def run(circuit, *values):
    evaluator = Evaluator()
    circuit(evaluator, *values)
    evaluator.finish()
    return evaluator


@pytest.fixture(scope="module")
def cube():
    """Keys of the cube circuit and a proof of 3³ + 3 + 5 = 35."""
    proving, verifying = set_up(record(cube_circuit), draw=seeded_draw())
    return proving, verifying, prove(proving, run(cube_circuit, 3), draw=seeded_draw(2))


@pytest.fixture(scope="module")
def task():
    """The task statement's smallest keys, a statement and its proof."""
    proving, verifying = smallest_keys()
    witness = make_witness()
    return proving, verifying, compute_statement(witness), prove(proving, evaluate(witness))


def test_a_proof_of_a_true_statement_verifies(cube):
    _, verifying, proof = cube
    assert verify(verifying, [35], proof)
    require_valid(verifying, [35], proof)


def test_a_proof_verifies_for_no_other_statement(cube):
    _, verifying, proof = cube
    assert not any(verify(verifying, [value], proof) for value in (0, 34, 36, ORDER - 35))
    with pytest.raises(ProofRejected):
        require_valid(verifying, [36], proof)


@pytest.mark.parametrize("value", [35 + ORDER, ORDER, 2**256 - 1, -1])
def test_a_public_input_outside_the_field_is_refused(cube, value):
    _, verifying, proof = cube
    with pytest.raises(PublicInputOutOfField):
        verify(verifying, [value], proof)


def test_another_number_of_public_inputs_does_not_verify(cube):
    _, verifying, proof = cube
    assert not verify(verifying, [], proof)
    assert not verify(verifying, [35, 0], proof)


@settings(max_examples=64, deadline=None)
@given(place=st.integers(0, 7), delta=st.integers(1, COORDINATES - 1))
def test_a_proof_with_any_word_changed_does_not_verify(cube, place, delta):
    _, verifying, proof = cube
    words = [*proof.a, *proof.b, *proof.c]
    words[place] = (words[place] + delta) % COORDINATES
    tampered = proof_from_bytes(b"".join(word.to_bytes(32) for word in words))
    assert tampered == proof or not verify(verifying, [35], tampered)


def test_a_proof_of_other_points_of_the_groups_does_not_verify(cube):
    _, verifying, proof = cube
    one, two = curve.g1_coordinates(curve.g1), curve.g2_coordinates(curve.g2)
    zero = replace(proof, a=(0, 0))
    for other in (replace(proof, a=one), replace(proof, b=two), replace(proof, c=one), zero):
        assert not verify(verifying, [35], other)
    assert not verify(verifying, [35], Proof(a=proof.c, b=proof.b, c=proof.a))


def test_a_proof_under_other_keys_does_not_verify(cube):
    _, _, proof = cube
    _, other = set_up(record(cube_circuit), draw=seeded_draw(3))
    assert not verify(other, [35], proof)


def test_two_proofs_of_one_statement_differ_and_a_proof_can_be_made_into_another(cube):
    proving, verifying, proof = cube
    again = prove(proving, run(cube_circuit, 3))
    assert again != proof
    assert verify(verifying, [35], again)
    half = pow(2, -1, ORDER)
    doubled = curve.g1_coordinates(curve.g1_from_coordinates(proof.a) * 2)
    halved = curve.g2_coordinates(curve.g2_from_coordinates(proof.b) * half)
    assert verify(verifying, [35], replace(proof, a=doubled, b=halved))


def test_a_run_of_another_circuit_is_refused(cube):
    proving, _, _ = cube
    with pytest.raises(WitnessInvalid):
        prove(proving, evaluate(make_witness()))


def test_a_circuit_that_uses_every_row_of_its_domain_is_proved():
    def circuit(builder, left=None):
        public = builder.public(None if left is None else left**2 % ORDER)
        x = builder.private(left)
        builder.require(x, x, public)
        for _ in range(5):
            builder.multiply(x, x)

    recorded = record(circuit)
    assert len(recorded.constraints) == compute_domain_size(len(recorded.constraints)) == 8
    proving, verifying = set_up(recorded)
    assert verify(verifying, [49], prove(proving, run(circuit, 7)))


def test_a_task_statement_is_proved_and_bound_to_its_task(task):
    _, verifying, statement, proof = task
    assert verify(verifying, [statement.public_input], proof)
    other = compute_statement(make_witness(task_id=8)).public_input
    assert not verify(verifying, [other], proof)


def test_zksnakes_own_verifier_agrees(task):
    _, verifying, statement, proof = task
    plain = make_plain(verifying)
    points = PlainProof(
        curve.g1_from_coordinates(proof.a),
        curve.g2_from_coordinates(proof.b),
        curve.g1_from_coordinates(proof.c),
    )
    assert plain.verify(points, [1, statement.public_input])
    assert not plain.verify(points, [1, statement.public_input + 1])


def test_an_independent_pairing_agrees():
    """The equation of the paper, over py_ecc's own arithmetic, on a small circuit."""
    circuit = record(cube_circuit)
    proving, verifying = set_up(circuit, draw=seeded_draw())
    proof = prove(proving, run(cube_circuit, 3), draw=seeded_draw(4))
    field, twist = optimized_bn128.FQ, optimized_bn128.FQ2

    def one(point):
        return (field(point[0]), field(point[1]), field(1))

    def two(point):
        return (twist([point[1], point[0]]), twist([point[3], point[2]]), twist([1, 0]))

    inputs = optimized_bn128.add(
        one(verifying.inputs[0]), optimized_bn128.multiply(one(verifying.inputs[1]), 35)
    )
    product = optimized_bn128.FQ12.one()
    for left, right in (
        (optimized_bn128.neg(one(proof.a)), two(proof.b)),
        (one(verifying.alpha), two(verifying.beta)),
        (inputs, two(verifying.gamma)),
        (one(proof.c), two(verifying.delta)),
    ):
        product = product * optimized_bn128.pairing(right, left, final_exponentiate=False)
    assert optimized_bn128.final_exponentiate(product) == optimized_bn128.FQ12.one()


def test_the_setup_uses_the_systems_randomness_unless_told_otherwise():
    def circuit(builder, left=None):
        a = builder.private(left)
        hash_wires(builder, a, a)

    recorded = record(circuit)
    assert set_up(recorded)[1] != set_up(recorded)[1]
    assert set_up(recorded, draw=seeded_draw())[1] == set_up(recorded, draw=seeded_draw())[1]


def test_a_verifying_key_is_identified_by_its_words(cube):
    _, verifying, _ = cube
    assert len(verifying.words) == 18
    assert verifying.words[:2] == verifying.alpha
    assert len(verifying.compute_hash()) == 32
    assert replace(verifying, alpha=(1, 2)).compute_hash() != verifying.compute_hash()


def make_plain(verifying):
    """zksnake's own Groth16 with our verifying key; its constructor would want a circuit of its kind."""
    plain = object.__new__(PlainGroth16)
    plain.E = PlainCurve("BN254")
    plain.verifying_key = PlainVerifyingKey(
        curve.g1_from_coordinates(verifying.alpha),
        *(curve.g2_from_coordinates(point) for point in (verifying.beta, verifying.gamma, verifying.delta)),
        [curve.g1_from_coordinates(point) for point in verifying.inputs],
    )
    return plain
