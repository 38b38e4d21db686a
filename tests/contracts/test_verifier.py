"""The verifier on a real EVM, with real proofs of real task statements."""

from dataclasses import replace

import pytest

from apps.chains.artifacts import get_artifact
from apps.chains.data import Call
from apps.chains.errors import ChainFault
from apps.proofs import curve
from apps.proofs.data import Proof
from apps.proofs.domain.field import COORDINATES, ORDER
from tests.contracts.proving import make_proofs, words_of
from tests.unit.proofs.test_curve import point_of_the_twist_outside_the_group

ABI = get_artifact("Verifier").abi
#: verify's own need, far below what a failing precompile would take if it were given everything.
GAS = 400_000


@pytest.fixture(scope="session")
def proved():
    """The verifying key, three task statements (their public inputs) and a proof of each."""
    return make_proofs()


@pytest.fixture
def verifier(chain, proved):
    """The address of a verifier deployed with the key."""
    return deploy(chain, proved[0].words)


def deploy(chain, words):
    artifact = get_artifact("Verifier")
    receipt = chain.send(
        chain.deployer, None, artifact.bytecode + artifact.abi.encode_constructor(list(words))
    )
    return receipt.contract_address


def answer(chain, verifier, function, *arguments, gas=GAS):
    output = chain.client.call(Call(to=verifier, data=ABI.encode(function, *arguments), gas_limit=gas))
    return ABI.decode(function, output)[0]


def is_valid(chain, verifier, proof, public_input):
    return answer(chain, verifier, "verify", words_of(proof), public_input)


def test_a_valid_proof_is_true(chain, verifier, proved):
    _, (one, *_), (proof, *_) = proved
    assert is_valid(chain, verifier, proof, one) is True
    receipt = chain.send(chain.deployer, verifier, ABI.encode("verify", words_of(proof), one), gas_limit=GAS)
    print(f"verify: {receipt.gas_used} gas as a transaction")
    assert receipt.gas_used < 260_000


def test_the_proof_of_another_task_is_false(chain, verifier, proved):
    _, (one, two, _), (first, second, _) = proved
    assert is_valid(chain, verifier, second, two) is True
    assert is_valid(chain, verifier, second, one) is False
    assert is_valid(chain, verifier, first, two) is False


@pytest.mark.parametrize("place", range(8))
def test_a_proof_with_a_changed_word_is_false(chain, verifier, proved, place):
    _, (one, *_), (proof, *_) = proved
    words = list(words_of(proof))
    words[place] = (words[place] + 1) % COORDINATES
    assert answer(chain, verifier, "verify", words, one) is False


def test_a_changed_input_is_false(chain, verifier, proved):
    _, (one, *_), (proof, *_) = proved
    assert not any(is_valid(chain, verifier, proof, value) for value in (one + 1, one - 1, 0, ORDER - 1))


def test_an_input_that_is_not_below_the_order_is_false(chain, verifier, proved):
    """The equation itself would hold for it."""
    _, (one, *_), (proof, *_) = proved
    assert not any(is_valid(chain, verifier, proof, value) for value in (one + ORDER, ORDER, 2**256 - 1))


def test_coordinates_that_are_no_points_are_false(chain, verifier, proved):
    _, (one, *_), (proof, *_) = proved
    swapped = (proof.b[1], proof.b[0], proof.b[3], proof.b[2])
    for other in (
        replace(proof, a=(1, 3)),
        replace(proof, c=(1, 3)),
        replace(proof, b=swapped),
        replace(proof, b=point_of_the_twist_outside_the_group()),
        replace(proof, a=(proof.a[0] + COORDINATES, proof.a[1])),
        replace(proof, a=(proof.a[0], 2**256 - 1)),
        Proof(a=(0, 0), b=(0, 0, 0, 0), c=(0, 0)),
    ):
        assert is_valid(chain, verifier, other, one) is False


def test_a_rerandomised_proof_is_true_so_a_proof_is_no_identity(chain, verifier, proved):
    _, (one, *_), (proof, *_) = proved
    doubled = curve.g1_coordinates(curve.g1_from_coordinates(proof.a) * 2)
    halved = curve.g2_coordinates(curve.g2_from_coordinates(proof.b) * pow(2, -1, ORDER))
    assert is_valid(chain, verifier, replace(proof, a=doubled, b=halved), one) is True


def test_with_too_little_gas_it_reverts_rather_than_say_false(chain, verifier, proved):
    _, (one, *_), (proof, *_) = proved
    call = Call(to=verifier, data=ABI.encode("verify", words_of(proof), one), gas_limit=200_000)
    (result,) = chain.client.simulate([call])
    assert not result.is_success
    assert result.reason == "gas"


def test_the_key_has_the_hash_that_is_computed_here(chain, verifier, proved):
    found = answer(chain, verifier, "vk_hash")
    assert found == proved[0].compute_hash()


def test_a_key_with_a_point_that_is_none_is_not_deployed(chain, proved):
    words = list(proved[0].words)
    for place in (1, 3, 7, 11, 15, 17):
        broken = [*words[:place], (words[place] + 1) % COORDINATES, *words[place + 1 :]]
        with pytest.raises(ChainFault, match="key"):
            deploy(chain, broken)


def test_another_key_does_not_verify(chain, proved):
    verifying, (one, *_), (proof, *_) = proved
    other = replace(verifying, delta=verifying.gamma)
    assert is_valid(chain, deploy(chain, other.words), proof, one) is False


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_of_valid_proofs_is_true(chain, verifier, proved, count):
    _, inputs, proofs = proved
    words = [words_of(proof) for proof in proofs[:count]]
    assert answer(chain, verifier, "verify_batch", words, inputs[:count], gas=600_000) is True


def test_a_batch_with_one_wrong_proof_is_false(chain, verifier, proved):
    _, inputs, proofs = proved
    words = [words_of(proof) for proof in proofs]
    for place in range(3):
        wrong = [value + (at == place) for at, value in enumerate(inputs)]
        assert answer(chain, verifier, "verify_batch", words, wrong, gas=600_000) is False
    exchanged = [words[1], words[0], words[2]]
    assert answer(chain, verifier, "verify_batch", exchanged, inputs, gas=600_000) is False
    out_of_field = [inputs[0] + ORDER, *inputs[1:]]
    assert answer(chain, verifier, "verify_batch", words, out_of_field, gas=600_000) is False


@pytest.mark.parametrize("place", [0, 2, 6])
def test_a_batch_with_coordinates_that_are_no_point_is_false(chain, verifier, proved, place):
    _, inputs, proofs = proved
    words = [list(words_of(proof)) for proof in proofs]
    words[1][place] = (words[1][place] + 1) % COORDINATES
    assert answer(chain, verifier, "verify_batch", words, inputs, gas=600_000) is False


def test_two_wrong_proofs_whose_errors_cancel_out_are_false(chain, verifier, proved):
    """Unweighted, C₁ + T and C₂ - T would pass as a pair."""
    _, inputs, proofs = proved
    shift = curve.g1 * 5
    moved = [
        replace(proofs[0], c=curve.g1_coordinates(curve.g1_from_coordinates(proofs[0].c) + shift)),
        replace(proofs[1], c=curve.g1_coordinates(curve.g1_from_coordinates(proofs[1].c) + -shift)),
    ]
    words = [words_of(proof) for proof in moved]
    assert answer(chain, verifier, "verify_batch", words, inputs[:2], gas=600_000) is False


def test_lists_of_different_lengths_are_refused(chain, verifier, proved):
    _, inputs, proofs = proved
    data = ABI.encode("verify_batch", [words_of(proofs[0])], inputs[:2])
    (result,) = chain.client.simulate([Call(to=verifier, data=data, gas_limit=600_000)])
    assert result.reason == "length"


def test_the_gas_of_batches_grows_by_about_a_quarter_of_a_single_proof(chain, verifier, proved):
    _, inputs, proofs = proved
    used = {}
    for count in (1, 2, 16, 64):
        words = [words_of(proofs[at % 3]) for at in range(count)]
        data = ABI.encode("verify_batch", words, [inputs[at % 3] for at in range(count)])
        used[count] = chain.send(chain.deployer, verifier, data, gas_limit=6_000_000).gas_used
    print(f"verify_batch as transactions: {used}, {used[64] // 64} a proof")
    assert used[64] < 64 * 80_000
