"""The hub: what it settles, what it refuses, and that nothing bad in a batch stops the rest."""

import dataclasses

import pytest

from apps.chains.artifacts import get_abi
from apps.chains.data import Call
from apps.chains.domain.settlement_abi import (
    BATCH_GAS_MAX,
    NO_PROOF,
    compute_gas_limit,
    encode_task_validation,
    inclusion_of,
    leaf_of,
    proof_of,
    root_of,
    sort_attesters,
)
from apps.chains.registry import get_settled
from apps.kernel import bls
from apps.kernel.merkle import leaf_hash, merkle_root, verify_inclusion
from apps.kernel.settlement_hash import settlement_leaf, settlement_message
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


def single_data(chain, task_id=1, proof=b"\x09" * 32, attesters=None, signers=None):
    attesters = attesters_of(chain) if attesters is None else attesters
    signature = chain.sign_root(settlement_leaf(task_id, proof), signers or attesters)
    return encode_task_validation(task_id, proof, signature, [keeper.address for keeper in attesters])


def raw_single(addresses, signature, task_id=1, proof=b"\x09" * 32):
    """The call with the attesters exactly as given: our encoder would put them right."""
    arguments = (task_id, proof, signature, addresses, proof, 0, 0, NO_PROOF)
    return get_abi("Hub").encode("submitTaskValidation", *arguments)


class TestOneTask:
    """`submitTaskValidation`."""

    def test_a_quorum_settles_a_task(self, chain):
        receipt = chain.send(chain.submitters[0], chain.deployment.hub, single_data(chain))
        assert hub_events(chain, receipt) == [("TaskSettled", 1)]
        assert get_settled(chain.client, chain.deployment, [1]) == {1: b"\x09" * 32}
        leaf = settlement_leaf(1, b"\x09" * 32)
        assert read(chain, "Hub", chain.deployment.hub, "batch_block", leaf) == receipt.block_number

    def test_a_replay_is_refused(self, chain):
        assert why_refused(chain, single_data(chain)) is None
        assert why_refused(chain, single_data(chain)) == "settled"
        assert why_refused(chain, single_data(chain, proof=b"\x08" * 32)) == "settled"

    def test_too_few_attesters_are_refused(self, chain):
        assert why_refused(chain, single_data(chain, attesters=attesters_of(chain, 2))) == "quorum"

    def test_one_attester_twice_is_refused(self, chain):
        voters = attesters_of(chain)
        signature = chain.sign_root(settlement_leaf(1, b"\x09" * 32), [*voters[:2], voters[1]])
        addresses = sorted([voters[0].address, voters[1].address, voters[1].address])
        assert why_refused(chain, raw_single(addresses, signature)) == "attesters"

    def test_attesters_out_of_order_are_refused(self, chain):
        voters = attesters_of(chain)
        signature = chain.sign_root(settlement_leaf(1, b"\x09" * 32), voters)
        addresses = sort_attesters([keeper.address for keeper in voters])[::-1]
        assert why_refused(chain, raw_single(addresses, signature)) == "attesters"

    def test_a_stranger_among_the_attesters_is_refused(self, chain):
        voters = attesters_of(chain)
        signature = chain.sign_root(settlement_leaf(1, b"\x09" * 32), voters)
        addresses = sorted([voters[0].address, voters[1].address, chain.submitters[0].address])
        assert why_refused(chain, raw_single(addresses, signature)) == "attesters"

    def test_a_keeper_that_asked_to_leave_attests_nothing(self, chain):
        leaving = chain.keepers[1]
        data = get_abi("Registry").encode("request_withdraw")
        chain.send(leaving.account, chain.deployment.registry, data)
        assert why_refused(chain, single_data(chain)) == "attesters"

    def test_below_four_candidates_nothing_is_settled(self, chain):
        data = get_abi("Registry").encode("request_withdraw")
        chain.send(chain.keepers[0].account, chain.deployment.registry, data)
        assert why_refused(chain, single_data(chain)) == "committee"

    def test_an_aggregate_that_lacks_a_signer_is_refused(self, chain):
        data = single_data(chain, signers=attesters_of(chain, 2))
        assert why_refused(chain, data) == "signature"

    def test_an_aggregate_with_one_signer_too_many_is_refused(self, chain):
        assert why_refused(chain, single_data(chain, signers=attesters_of(chain, 4))) == "signature"

    def test_a_signature_over_another_proof_is_refused(self, chain):
        voters = attesters_of(chain)
        signature = chain.sign_root(settlement_leaf(1, b"\x08" * 32), voters)
        addresses = [keeper.address for keeper in voters]
        data = encode_task_validation(1, b"\x09" * 32, signature, addresses)
        assert why_refused(chain, data) == "signature"

    def test_a_proof_of_task_that_is_not_the_results_is_refused(self, chain):
        voters = attesters_of(chain)
        signature = chain.sign_root(settlement_leaf(1, b"\x09" * 32), voters)
        addresses = sort_attesters([keeper.address for keeper in voters])
        for result in (b"\x08" * 32, bytes(32)):
            arguments = (1, b"\x09" * 32, signature, addresses, result, 0, 0, NO_PROOF)
            data = get_abi("Hub").encode("submitTaskValidation", *arguments)
            assert why_refused(chain, data) == "statement"

    def test_an_empty_proof_of_task_is_refused(self, chain):
        assert why_refused(chain, single_data(chain, proof=bytes(32))) == "proof"

    @pytest.mark.parametrize(
        ("chain_id", "is_own_hub"), [(1, True), (31337, False)], ids=["another chain", "another hub"]
    )
    def test_a_signature_made_elsewhere_is_refused(self, chain, chain_id, is_own_hub):
        voters = attesters_of(chain)
        hub = chain.deployment.hub if is_own_hub else chain.deployment.escrow
        root = settlement_leaf(1, b"\x09" * 32)
        message = settlement_message(chain_id=chain_id, hub=hub, root=root)
        signature = bls.aggregate([bls.sign(keeper.bls_secret, message) for keeper in voters])
        addresses = [keeper.address for keeper in voters]
        assert (
            why_refused(chain, encode_task_validation(1, b"\x09" * 32, signature, addresses)) == "signature"
        )

    @pytest.mark.parametrize("signature", [b"", bytes(128), bytes(127)], ids=["empty", "identity", "short"])
    def test_a_malformed_signature_is_refused(self, chain, signature):
        addresses = sort_attesters([keeper.address for keeper in attesters_of(chain)])
        assert why_refused(chain, raw_single(addresses, signature)) == "signature"

    def test_a_submitter_that_is_not_allowed_is_refused(self, chain):
        assert why_refused(chain, single_data(chain), key=chain.keepers[0].account) == "submitter"

    def test_no_attester_at_all_is_refused(self, chain):
        assert why_refused(chain, raw_single([], bytes(128))) == "attesters"


class TestBatches:
    """`submitBatch`."""

    @pytest.mark.parametrize("size", [1, 2, 3, 17, 64])
    def test_a_batch_settles_all_of_its_tasks(self, chain, size):
        items = [make_item(chain, number) for number in range(1, size + 1)]
        receipt = chain.submit(items, attesters_of(chain))
        assert hub_events(chain, receipt) == [("TaskSettled", number) for number in range(1, size + 1)]
        expected = {item.task_id: proof_of(item) for item in items}
        assert get_settled(chain.client, chain.deployment, list(expected)) == expected
        root = root_of(items)
        assert read(chain, "Hub", chain.deployment.hub, "batch_block", root) == receipt.block_number
        for index, item in enumerate(items):
            assert verify_inclusion(root, leaf_of(item), index, size, inclusion_of(items, index))

    def test_an_action_is_carried_out_by_the_hub(self, chain):
        receipt = chain.submit([report_item(chain, 1, figure=1234)], attesters_of(chain))
        assert hub_events(chain, receipt) == [("TaskSettled", 1)]
        symbol = b"ABC".ljust(32, b"\0")
        figure, _ = read(chain, "PriceBoard", chain.deployment.price_board, "latest", symbol)
        assert figure == 1234

    def test_a_reverting_action_stops_nobody_and_stays_open(self, chain):
        bad = report_item(chain, 2, symbol=bytes(32))
        items = [report_item(chain, 1), bad, report_item(chain, 3), make_item(chain, 4)]
        receipt = chain.submit(items, attesters_of(chain))
        assert hub_events(chain, receipt) == [
            ("TaskSettled", 1),
            ("ActionReverted", 2),
            ("TaskSettled", 3),
            ("TaskSettled", 4),
        ]
        assert settled(chain, 1, 2, 3, 4) == {1, 3, 4}

    def test_an_action_that_uses_up_its_gas_stops_nobody(self, chain):
        items = [report_item(chain, 1, gas_limit=5_000), report_item(chain, 2)]
        chain.submit(items, attesters_of(chain))
        assert settled(chain, 1, 2) == {2}

    @pytest.mark.parametrize("where", ["hub", "registry", "nowhere"])
    def test_a_target_that_is_no_fit_contract_is_not_called(self, chain, where):
        target = "0x" + "77" * 20 if where == "nowhere" else getattr(chain.deployment, where)
        odd = dataclasses.replace(report_item(chain, 1), target=target)
        receipt = chain.submit([odd, make_item(chain, 2)], attesters_of(chain))
        assert hub_events(chain, receipt) == [("ActionReverted", 1), ("TaskSettled", 2)]

    def test_an_item_settled_before_is_skipped(self, chain):
        first = make_item(chain, 1)
        chain.submit([first], attesters_of(chain))
        receipt = chain.submit([make_item(chain, 1, epoch=2), make_item(chain, 2)], attesters_of(chain))
        assert hub_events(chain, receipt) == [("TaskSkipped", 1), ("TaskSettled", 2)]
        assert get_settled(chain.client, chain.deployment, [1]) == {1: proof_of(first)}

    def test_one_task_twice_in_a_batch_is_settled_once(self, chain):
        items = [make_item(chain, 1, epoch=1), make_item(chain, 1, epoch=2)]
        receipt = chain.send(chain.submitters[0], chain.deployment.hub, raw_batch(chain, items))
        assert hub_events(chain, receipt) == [("TaskSettled", 1), ("TaskSkipped", 1)]

    def test_the_performer_may_not_attest(self, chain):
        """Whoever else performed the items around it."""
        for place in range(3):
            performers = [chain.keepers[0].address] * 3
            performers[place] = chain.keepers[2].address
            items = [make_item(chain, n, performer=address) for n, address in enumerate(performers)]
            assert why_refused(chain, raw_batch(chain, items)) == "performer"

    def test_a_changed_item_is_not_the_leaf_that_was_signed(self, chain):
        items = [report_item(chain, 1), report_item(chain, 2)]
        changes = {
            "task_id": 9,
            "epoch": 2,
            "performer": chain.submitters[0].address,
            "output_hash": b"\x05" * 32,
            "package_digest": b"\x05" * 32,
            "target": chain.deployment.escrow,
            "call_data": b"",
            "gas_limit": 7,
        }
        leaves = [leaf_of(item) for item in items]
        for name, value in changes.items():
            changed = [items[0], dataclasses.replace(items[1], **{name: value})]
            assert why_refused(chain, raw_batch(chain, changed, leaves=leaves)) == "leaf"

    def test_changed_leaves_break_the_signature(self, chain):
        items = [make_item(chain, 1), make_item(chain, 2)]
        other = [make_item(chain, 1), make_item(chain, 3)]
        signature = chain.sign_root(root_of(items), attesters_of(chain))
        assert why_refused(chain, raw_batch(chain, other, signature=signature)) == "signature"

    def test_too_little_gas_for_an_action_refuses_the_whole_batch(self, chain):
        """Else a submitter could starve an action so that it looks reverted."""
        items = [report_item(chain, 1, gas_limit=2_800_000)]
        assert why_refused(chain, chain.batch_data(items, attesters_of(chain))) == "gas"
        assert settled(chain, 1) == set()

    def test_an_empty_batch_is_refused(self, chain):
        assert why_refused(chain, raw_batch(chain, [], leaves=[bytes(32)], positions=[])) == "empty"

    def test_the_same_batch_again_skips_everything(self, chain):
        items = [make_item(chain, 1), make_item(chain, 2)]
        chain.submit(items, attesters_of(chain))
        receipt = chain.submit(items, attesters_of(chain))
        assert hub_events(chain, receipt) == [("TaskSkipped", 1), ("TaskSkipped", 2)]


class TestTwins:
    """What Python computes is what the hub computes."""

    @pytest.mark.parametrize("size", range(1, 18))
    def test_the_root_is_the_same(self, chain, size):
        leaves = [leaf_hash(bytes([size, number])) for number in range(size)]
        assert read(chain, "Hub", chain.deployment.hub, "merkle_root", leaves) == merkle_root(leaves)

    def test_the_message_is_the_same(self, chain):
        root = b"\x07" * 32
        ours = settlement_message(chain_id=31337, hub=chain.deployment.hub, root=root)
        assert read(chain, "Hub", chain.deployment.hub, "settlement_message", root) == ours

    def test_the_quorum_is_two_thirds_rounded_up(self, chain):
        for size in range(1, 65):
            required = read(chain, "Hub", chain.deployment.hub, "required_attesters", size)
            assert required == (2 * size + 2) // 3 == -(-2 * size // 3)


class TestOwner:
    """What only the owner may do."""

    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            ("set_submitter", ["0x" + "01" * 20, True]),
            ("set_committee_size", [7]),
            ("set_verifier", [16, "0x" + "00" * 20]),
            ("set_proofs_required", [True]),
            ("transfer_ownership", ["0x" + "01" * 20]),
        ],
    )
    def test_nobody_else_may_change_the_rules(self, chain, function, arguments):
        data = get_abi("Hub").encode(function, *arguments)
        assert why_refused(chain, data) == "owner"
        assert why_refused(chain, data, key=chain.deployer) is None

    def test_a_committee_below_four_is_refused(self, chain):
        data = get_abi("Hub").encode("set_committee_size", 3)
        assert why_refused(chain, data, key=chain.deployer) == "committee"

    def test_a_submitter_can_be_taken_off_the_list(self, chain):
        data = get_abi("Hub").encode("set_submitter", chain.submitters[0].address, False)
        chain.send(chain.deployer, chain.deployment.hub, data)
        assert why_refused(chain, single_data(chain)) == "submitter"


class TestGas:
    """What it costs; printed with `-s`."""

    @pytest.mark.parametrize("size", [1, 2, 8, 32, 64])
    @pytest.mark.parametrize("attesters", [3, 4])
    @pytest.mark.parametrize("has_action", [False, True])
    def test_the_computed_limit_always_suffices(self, chain, size, attesters, has_action):
        make = report_item if has_action else make_item
        items = [make(chain, 2**127 + number) for number in range(size)]
        voters = attesters_of(chain, attesters)
        receipt = chain.submit(items, voters)
        limit = compute_gas_limit(items, attesters, size)
        assert len(settled(chain, *(item.task_id for item in items))) == size
        print(f"{size} items, {attesters} attesters, action {has_action}: {receipt.gas_used} of {limit}")

    def test_full_call_data_of_failing_actions_fits_the_limit(self, chain):
        data = bytes([255]) * 1024
        board = chain.deployment.price_board
        items = [make_item(chain, n, target=board, call_data=data, gas_limit=50_000) for n in range(1, 65)]
        receipt = chain.submit(items, attesters_of(chain))
        assert len(hub_events(chain, receipt)) == 64
        assert receipt.gas_used < compute_gas_limit(items, 3, 64) < BATCH_GAS_MAX


def test_a_target_cannot_enter_the_hub_again(chain):
    """The only caller a target has is the hub itself, which is no submitter; the lock is the second wall."""
    assert read(chain, "Hub", chain.deployment.hub, "submitters", chain.deployment.hub) is False
    data = single_data(chain, task_id=5)
    attempt = Call(to=chain.deployment.hub, data=data, sender=chain.deployment.price_board)
    (result,) = chain.client.simulate([attempt])
    assert (result.is_success, result.reason) == (False, "submitter")
