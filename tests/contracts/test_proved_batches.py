"""Proofs at the hub: a wrong one keeps its own task open and nobody else's; too little gas is no verdict."""

import dataclasses

import pytest

from apps.chains.artifacts import get_abi, get_artifact
from apps.chains.deploy import ensure_proofs_required, ensure_verifiers
from apps.chains.domain.settlement_abi import (
    BATCH_GAS_MAX,
    MAX_PROOFS,
    NO_PROOF,
    compute_gas_limit,
    encode_task_validation,
    leaf_of,
    proof_of,
)
from apps.chains.errors import TransactionFailed
from apps.chains.registry import decode_hub_logs, get_settled
from apps.kernel.settlement_hash import bind_statement, settlement_leaf
from apps.proofs.domain.field import COORDINATES, ORDER
from tests.contracts.building import (
    attesters_of,
    hub_events,
    make_item,
    raw_batch,
    read,
    report_item,
    settled,
    why_refused,
)
from tests.contracts.proving import CIRCUIT, make_proofs, proof_words, proved_item, statement_of

RESULT = b"\x09" * 32


@pytest.fixture
def proving(chain, tmp_path):
    """The chain with a verifier for the circuit."""
    key = make_proofs()[0]
    keys = {CIRCUIT: (key.words, key.compute_hash())}
    ensure_verifiers(chain.client, chain.deployer, tmp_path / "deployment.json", chain.deployment, keys)
    return chain


def own(chain, function, *arguments):
    """Let the hub's owner do it."""
    return chain.send(chain.deployer, chain.deployment.hub, get_abi("Hub").encode(function, *arguments))


def items_and_proofs(chain, *numbers):
    return [proved_item(chain, number) for number in numbers], [proof_words(number) for number in numbers]


class TestBatches:
    """`submitBatch` of a circuit."""

    @pytest.mark.parametrize("size", [1, 2, 17])
    def test_proved_tasks_are_settled(self, proving, size):
        items, proofs = items_and_proofs(proving, *range(size))
        receipt = proving.submit(items, attesters_of(proving), proofs=proofs)
        assert hub_events(proving, receipt) == [("TaskSettled", number) for number in range(size)]
        expected = {item.task_id: proof_of(item) for item in items}
        assert get_settled(proving.client, proving.deployment, list(expected)) == expected

    @pytest.mark.parametrize("wrong", [[0], [1], [3], [0, 3], [0, 1, 2, 3]])
    def test_a_wrong_proof_keeps_its_own_task_open_and_no_other(self, proving, wrong):
        items, proofs = items_and_proofs(proving, 0, 1, 2, 3)
        for number in wrong:
            proofs[number] = proof_words(number + 1)
        receipt = proving.submit(items, attesters_of(proving), proofs=proofs)
        names = ["ProofRejected" if number in wrong else "TaskSettled" for number in range(4)]
        assert hub_events(proving, receipt) == list(zip(names, range(4), strict=True))
        assert settled(proving, 0, 1, 2, 3) == {0, 1, 2, 3} - set(wrong)

    def test_the_event_names_the_proof_of_task_that_stays_open(self, proving):
        items, _ = items_and_proofs(proving, 1)
        receipt = proving.submit(items, attesters_of(proving), proofs=[proof_words(2)])
        _, event = decode_hub_logs(proving.deployment, receipt.logs)
        assert event.name == "ProofRejected"
        assert event.arguments == {"taskId": 1, "proofOfTask": proof_of(items[0])}

    def test_a_task_whose_proof_was_wrong_is_settled_with_the_right_one(self, proving):
        items, proofs = items_and_proofs(proving, 1, 2)
        leaves = [leaf_of(item) for item in items]
        proving.submit(items, attesters_of(proving), proofs=[proofs[0], proofs[0]])
        receipt = proving.submit(items[1:], attesters_of(proving), proofs=proofs[1:], leaves=leaves)
        assert hub_events(proving, receipt) == [("TaskSettled", 2)]

    def test_a_settled_task_is_skipped_whatever_is_offered_as_its_proof(self, proving):
        items, proofs = items_and_proofs(proving, 1, 2)
        leaves = [leaf_of(item) for item in items]
        proving.submit(items[:1], attesters_of(proving), proofs=proofs[:1], leaves=leaves)
        receipt = proving.submit(items, attesters_of(proving), proofs=[NO_PROOF, proofs[1]])
        assert hub_events(proving, receipt) == [("TaskSkipped", 1), ("TaskSettled", 2)]

    def test_exchanged_proofs_of_other_tasks_statements_are_rejected(self, proving):
        items, proofs = items_and_proofs(proving, 1, 2, 3)
        offered = [proofs[1], proofs[0], proofs[2]]
        receipt = proving.submit(items, attesters_of(proving), proofs=offered)
        assert hub_events(proving, receipt) == [
            ("ProofRejected", 1),
            ("ProofRejected", 2),
            ("TaskSettled", 3),
        ]

    @pytest.mark.parametrize("is_alone", [True, False])
    @pytest.mark.parametrize("place", [0, 3, 5, 7])
    def test_a_tampered_proof_is_rejected(self, proving, place, is_alone):
        words = list(proof_words(1))
        words[place] = (words[place] + 1) % COORDINATES
        assert is_rejected(proving, tuple(words), is_alone=is_alone)

    @pytest.mark.parametrize("is_alone", [True, False])
    @pytest.mark.parametrize("a", [(1, 3), (2**256 - 1, 2**256 - 1), (COORDINATES + 1, 2)])
    def test_coordinates_that_are_no_point_are_rejected(self, proving, a, is_alone):
        assert is_rejected(proving, (*a, *proof_words(1)[2:]), is_alone=is_alone)
        assert is_rejected(proving, NO_PROOF, is_alone=is_alone)

    @pytest.mark.parametrize("is_alone", [True, False])
    @pytest.mark.parametrize("added", [ORDER, 2 * ORDER])
    def test_a_statement_that_is_not_below_the_order_is_rejected(self, proving, added, is_alone):
        """The proof's equation holds for it, and the quorum signed it."""
        statement = statement_of(1) + added
        assert is_rejected(proving, proof_words(1), is_alone=is_alone, statement=statement)

    def test_actions_happen_for_proved_tasks_only(self, proving):
        fields = {"circuit": CIRCUIT, "statement": statement_of(1)}
        items = [
            dataclasses.replace(report_item(proving, number, figure=number), **fields) for number in (1, 2)
        ]
        proofs = [proof_words(1), proof_words(2)]
        receipt = proving.submit(items, attesters_of(proving), proofs=proofs)
        assert hub_events(proving, receipt) == [("TaskSettled", 1), ("ProofRejected", 2)]
        symbol = b"ABC".ljust(32, b"\0")
        figure, _ = read(proving, "PriceBoard", proving.deployment.price_board, "latest", symbol)
        assert figure == 1


def is_rejected(chain, words, *, is_alone, statement=None):
    """Offer it for task 1, alone or between two good ones; whether it, and nothing else, is rejected."""
    odd = proved_item(chain, 1, statement=statement_of(1) if statement is None else statement)
    good, proofs = items_and_proofs(chain, 2, 3)
    items = [odd] if is_alone else [good[0], odd, good[1]]
    offered = [words] if is_alone else [proofs[0], words, proofs[1]]
    receipt = chain.submit(items, attesters_of(chain), proofs=offered)
    found = {task: name for name, task in hub_events(chain, receipt)}
    if not is_alone:
        assert settled(chain, 2, 3) == {2, 3}
    return found[1] == "ProofRejected" and settled(chain, 1) == set()


class TestRefusals:
    """What is refused as a whole."""

    def test_a_circuit_without_a_verifier_is_refused(self, chain):
        items, proofs = items_and_proofs(chain, 1)
        assert why_refused(chain, raw_batch(chain, items, proofs=proofs)) == "verifier"

    def test_a_verifier_that_was_taken_away_is_missed(self, proving):
        items, proofs = items_and_proofs(proving, 1)
        own(proving, "set_verifier", CIRCUIT, "0x" + "00" * 20)
        assert why_refused(proving, raw_batch(proving, items, proofs=proofs)) == "verifier"

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_not_one_proof_for_each_is_refused(self, proving, count):
        items, _ = items_and_proofs(proving, 1, 2)
        data = raw_batch(proving, items, proofs=[proof_words(1)] * count)
        assert why_refused(proving, data) == "proofs"

    def test_a_proof_without_a_circuit_is_refused(self, proving):
        data = raw_batch(proving, [make_item(proving, 1)], proofs=[proof_words(1)])
        assert why_refused(proving, data) == "proofs"

    def test_a_task_that_is_to_be_proved_is_not_settled_without(self, proving):
        items, _ = items_and_proofs(proving, 1)
        assert why_refused(proving, raw_batch(proving, items, circuit=0)) == "leaf"

    def test_another_circuit_than_the_attested_one_is_refused(self, proving):
        own(proving, "set_verifier", 64, read(proving, "Hub", proving.deployment.hub, "verifiers", CIRCUIT))
        items, proofs = items_and_proofs(proving, 1)
        assert why_refused(proving, raw_batch(proving, items, circuit=64, proofs=proofs)) == "leaf"

    def test_another_statement_than_the_attested_one_is_refused(self, proving):
        (item,), _ = items_and_proofs(proving, 1)
        other = dataclasses.replace(item, statement=statement_of(2))
        data = raw_batch(proving, [other], leaves=[leaf_of(item)], proofs=[proof_words(2)])
        assert why_refused(proving, data) == "leaf"

    def test_where_proofs_are_required_a_task_without_one_is_refused(self, proving):
        ensure_proofs_required(proving.client, proving.deployer, proving.deployment, True)
        plain = raw_batch(proving, [make_item(proving, 9)])
        assert why_refused(proving, plain) == "proof"
        assert why_refused(proving, single_data(proving, circuit=0)) == "proof"
        items, proofs = items_and_proofs(proving, 1)
        assert why_refused(proving, raw_batch(proving, items, proofs=proofs)) is None
        ensure_proofs_required(proving.client, proving.deployer, proving.deployment, False)
        assert why_refused(proving, plain) is None

    def test_circuit_zero_gets_no_verifier(self, proving):
        data = get_abi("Hub").encode("set_verifier", 0, proving.deployment.registry)
        assert why_refused(proving, data, key=proving.deployer) == "circuit"

    def test_an_address_without_code_is_no_verifier(self, proving):
        data = get_abi("Hub").encode("set_verifier", 64, "0x" + "77" * 20)
        assert why_refused(proving, data, key=proving.deployer) == "verifier"

    def test_proofs_under_a_key_that_was_replaced_are_rejected(self, proving):
        other = dataclasses.replace(make_proofs()[0], delta=make_proofs()[0].gamma)
        artifact = get_artifact("Verifier")
        code = artifact.bytecode + artifact.abi.encode_constructor(list(other.words))
        receipt = proving.send(proving.deployer, None, code)
        own(proving, "set_verifier", CIRCUIT, receipt.contract_address)
        items, proofs = items_and_proofs(proving, 1, 2)
        receipt = proving.submit(items, attesters_of(proving), proofs=proofs)
        assert hub_events(proving, receipt) == [("ProofRejected", 1), ("ProofRejected", 2)]


def single_data(chain, *, circuit=CIRCUIT, statement=None, proof=None, task_id=1):
    statement = statement_of(1) if statement is None else statement
    proof_of_task = bind_statement(RESULT, circuit=circuit, statement=statement)
    voters = attesters_of(chain)
    signature = chain.sign_root(settlement_leaf(task_id, proof_of_task), voters)
    return encode_task_validation(
        task_id,
        RESULT,
        signature,
        [keeper.address for keeper in voters],
        circuit=circuit,
        statement=statement,
        proof=(proof or proof_words(1)) if circuit else NO_PROOF,
    )


class TestOneTask:
    """`submitTaskValidation` of a circuit."""

    def test_a_proved_task_is_settled_once(self, proving):
        assert why_refused(proving, single_data(proving)) is None
        expected = bind_statement(RESULT, circuit=CIRCUIT, statement=statement_of(1))
        assert get_settled(proving.client, proving.deployment, [1]) == {1: expected}
        assert why_refused(proving, single_data(proving)) == "settled"

    def test_a_wrong_proof_is_refused(self, proving):
        assert why_refused(proving, single_data(proving, proof=proof_words(2))) == "rejected"
        assert why_refused(proving, single_data(proving, statement=statement_of(1) + ORDER)) == "rejected"
        assert why_refused(proving, single_data(proving, proof=(1, 3, *proof_words(1)[2:]))) == "rejected"

    def test_a_circuit_without_a_verifier_is_refused(self, chain):
        assert why_refused(chain, single_data(chain)) == "verifier"

    def test_another_statement_than_the_attested_one_is_refused(self, proving):
        bound = bind_statement(RESULT, circuit=CIRCUIT, statement=statement_of(1))
        voters = attesters_of(proving)
        signature = proving.sign_root(settlement_leaf(1, bound), voters)
        addresses = sorted(keeper.address for keeper in voters)
        for circuit, statement in ((CIRCUIT, statement_of(2)), (0, statement_of(1)), (64, statement_of(1))):
            proof = list(proof_words(2))
            arguments = (1, bound, signature, addresses, RESULT, circuit, statement, proof)
            data = get_abi("Hub").encode("submitTaskValidation", *arguments)
            assert why_refused(proving, data) == "statement"

    @pytest.mark.parametrize("gas_limit", [300_000, 400_000])
    def test_too_little_gas_is_no_wrong_proof(self, proving, gas_limit):
        assert why_refused(proving, single_data(proving), gas_limit=gas_limit) == "gas"


class TestGas:
    """What proofs cost (printed with `-s`), and that too little gas reverts and answers nothing."""

    @pytest.mark.parametrize("wrong", [None, 1], ids=["all are right", "one is wrong"])
    def test_with_less_gas_everything_is_refused_and_no_task_is_misjudged(self, proving, wrong):
        outcomes: list[list[str] | None] = []
        items, proofs = items_and_proofs(proving, 0, 1, 2)
        enough = compute_gas_limit(items, 3, 3)
        for step, gas_limit in enumerate(range(250_000, enough, 17_000)):
            numbers = [3 * step, 3 * step + 1, 3 * step + 2]
            items, proofs = items_and_proofs(proving, *numbers)
            if wrong is not None:
                proofs[wrong] = proof_words(wrong + 1)
            try:
                receipt = proving.submit(items, attesters_of(proving), proofs=proofs, gas_limit=gas_limit)
            except TransactionFailed:
                outcomes.append(None)
                assert settled(proving, *numbers) == set()
                continue
            outcomes.append([name for name, _ in hub_events(proving, receipt)])
        expected = ["TaskSettled"] * 3
        if wrong is not None:
            expected[wrong] = "ProofRejected"
        refused = outcomes.count(None)
        assert outcomes == [None] * refused + [expected] * (len(outcomes) - refused)
        assert 0 < refused < len(outcomes)

    @pytest.mark.parametrize(("size", "gas_limit"), [(1, 400_000), (3, 500_000)])
    def test_the_reason_is_gas(self, proving, size, gas_limit):
        items, proofs = items_and_proofs(proving, *range(size))
        data = raw_batch(proving, items, proofs=proofs)
        assert why_refused(proving, data, gas_limit=gas_limit) == "gas"

    @pytest.mark.parametrize("size", [1, 2, 16, 64])
    @pytest.mark.parametrize("is_wrong", [False, True])
    def test_the_computed_limit_always_suffices(self, proving, size, is_wrong):
        items, proofs = items_and_proofs(proving, *range(2**127, 2**127 + size))
        if is_wrong:
            proofs = [*proofs[1:], proof_words(2**127 + size)]
        limit = compute_gas_limit(items, 3, size)
        receipt = proving.submit(items, attesters_of(proving), proofs=proofs)
        names = {name for name, _ in hub_events(proving, receipt)}
        assert names == {"ProofRejected" if is_wrong else "TaskSettled"}
        assert receipt.gas_used < limit < BATCH_GAS_MAX
        print(f"{size} proofs, {'all wrong' if is_wrong else 'all right'}: {receipt.gas_used} of {limit}")

    def test_the_dearest_batch_is_one_whose_last_proof_is_wrong(self, proving):
        items, proofs = items_and_proofs(proving, *range(64))
        receipt = proving.submit(items, attesters_of(proving), proofs=[*proofs[:63], NO_PROOF])
        assert len(settled(proving, *range(64))) == 63
        print(f"64 proofs, the last one wrong: {receipt.gas_used} of {compute_gas_limit(items, 3, 64)}")

    def test_the_largest_batch_of_proofs_and_actions_fits_a_block(self, proving):
        """Every action uses its gas up, and each proof has to be checked for itself."""
        call_data = get_abi("PriceBoard").encode("report", b"ABC".ljust(32, b"\0"), 1) + b"\xff" * 900
        action = {"target": proving.deployment.price_board, "call_data": call_data, "gas_limit": 20_000}
        items = [proved_item(proving, number, **action) for number in range(MAX_PROOFS)]
        proofs = [*(proof_words(number) for number in range(MAX_PROOFS - 1)), NO_PROOF]
        leaves = [leaf_of(item) for item in items]
        leaves += [leaf_of(make_item(proving, number)) for number in range(MAX_PROOFS, 64)]
        receipt = proving.submit(items, attesters_of(proving, 4), proofs=proofs, leaves=leaves)
        names = [name for name, _ in hub_events(proving, receipt)]
        assert names == ["ActionReverted"] * (MAX_PROOFS - 1) + ["ProofRejected"]
        dearest = [dataclasses.replace(item, call_data=bytes(1024), gas_limit=200_000) for item in items]
        assert compute_gas_limit(dearest, 64, 64) < BATCH_GAS_MAX

    def test_a_block_of_the_local_node_has_room_for_it(self, proving):
        block = proving.client.request("eth_getBlockByNumber", "latest", False)
        assert int(block["gasLimit"], 16) >= BATCH_GAS_MAX
