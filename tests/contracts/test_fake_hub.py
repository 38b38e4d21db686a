"""The fake hub of the other tests answers as the contract does, call for call."""

import dataclasses

import pytest

from apps.chains.data import Log
from apps.chains.deploy import ensure_proofs_required, ensure_verifiers
from apps.chains.domain.settlement_abi import NO_PROOF, leaf_of
from apps.chains.errors import TransactionFailed
from apps.chains.registry import decode_hub_logs
from apps.kernel.merkle import merkle_root
from apps.proofs.data import Proof
from apps.proofs.errors import PublicInputOutOfField
from apps.proofs.groth16 import verify
from tests.contracts.building import attesters_of, make_item, raw_batch, report_item
from tests.contracts.proving import CIRCUIT, make_proofs, proof_words, proved_item
from tests.support.hub import FakeHub


@pytest.fixture
def both(chain, tmp_path):
    """Sends to both hubs; what each made of it."""
    key = make_proofs()[0]
    keys = {CIRCUIT: (key.words, key.compute_hash())}
    ensure_verifiers(chain.client, chain.deployer, tmp_path / "deployment.json", chain.deployment, keys)
    fake = FakeHub(get_keys=lambda addresses: keys_of(chain, addresses), verify=is_proved)

    def send(data):
        return answer_of_chain(chain, data), answer_of_fake(chain, fake, data)

    send.fake, send.chain = fake, chain
    return send


def keys_of(chain, addresses):
    known = {keeper.address: keeper.bls_public_key for keeper in chain.keepers}
    return {address: known[address] for address in addresses if address in known}


def is_proved(item, words):
    proof = Proof(a=words[0:2], b=words[2:6], c=words[6:8])
    try:
        return verify(make_proofs()[0], [item.statement], proof)
    except PublicInputOutOfField:
        return False


def answer_of_chain(chain, data):
    try:
        receipt = chain.send(chain.submitters[0], chain.deployment.hub, data, gas_limit=3_000_000)
    except TransactionFailed as exc:
        return exc.reason
    return facts_of(chain, receipt.logs)


def answer_of_fake(chain, fake, data):
    logs = [
        Log(
            address=chain.deployment.hub,
            topics=tuple(item["topics"]),
            data=item["data"],
            block_number=0,
            block_hash="",
            tx_hash="",
            index=item["index"],
        )
        for item in fake.submit_batch(data)
    ]
    return facts_of(chain, logs) if logs else fake.objections[-1]


def facts_of(chain, logs):
    """What was decided of each task: all of an event but the gas."""
    names = ("taskId", "proofOfTask", "root", "success", "reason")
    return [
        (event.name, *(event.arguments.get(name) for name in names))
        for event in decode_hub_logs(chain.deployment, logs)
        if "taskId" in event.arguments
    ]


def test_parts_of_a_round_have_the_same_events_on_both(both):
    chain = both.chain
    items = [make_item(chain, 1), report_item(chain, 2), report_item(chain, 3, symbol=bytes(32))]
    both.fake.reverting = {3}
    leaves = [leaf_of(item) for item in items]
    for part in ([1], [0, 1, 2], [2]):
        data = raw_batch(chain, [items[at] for at in part], leaves=leaves, positions=part)
        real, fake = both(data)
        assert real == fake
        assert len(real) == len(part)


def test_proofs_have_the_same_events_on_both(both):
    chain = both.chain
    items = [proved_item(chain, number) for number in (1, 2, 3)]
    for offered in ([2, 2, 1], [1, 3, 1], [1, 2, 3]):
        real, fake = both(raw_batch(chain, items, proofs=[proof_words(number) for number in offered]))
        assert real == fake
    assert [event[0] for event in real] == ["TaskSkipped", "TaskSkipped", "TaskSettled"]


def test_whole_calls_are_refused_for_the_same_reasons_by_both(both):
    chain = both.chain
    items = [proved_item(chain, number) for number in (1, 2)]
    leaves = [leaf_of(item) for item in items]
    proofs = [proof_words(1), proof_words(2)]
    plain = [make_item(chain, 1)]
    odd = [dataclasses.replace(items[0], performer=chain.keepers[1].address), items[1]]
    other = chain.sign_root(merkle_root(leaves[:1]), attesters_of(chain))
    stranger = dataclasses.replace(chain.keepers[2], account=chain.submitters[0])

    calls = {
        "empty": raw_batch(chain, [], leaves=leaves),
        "positions": raw_batch(chain, items, positions=[0], proofs=proofs),
        "verifier": raw_batch(chain, items, circuit=64, proofs=proofs),
        "proofs": raw_batch(chain, items, proofs=proofs[:1]),
        "performer": raw_batch(chain, odd, proofs=proofs),
        "leaf": raw_batch(chain, items, positions=[1, 0], proofs=proofs),
        "attesters": raw_batch(chain, items, proofs=proofs, attesters=[*attesters_of(chain, 2), stranger]),
        "quorum": raw_batch(chain, items, proofs=proofs, attesters=attesters_of(chain, 2)),
        "signature": raw_batch(chain, items, proofs=proofs, signature=other),
    }
    assert {reason: both(data) for reason, data in calls.items()} == {name: (name, name) for name in calls}

    ensure_proofs_required(chain.client, chain.deployer, chain.deployment, True)
    both.fake.is_proof_required = True
    assert both(raw_batch(chain, plain)) == ("proof", "proof")
    real, fake = both(raw_batch(chain, items, proofs=[NO_PROOF, proofs[1]]))
    assert real == fake
    assert [event[0] for event in real] == ["ProofRejected", "TaskSettled"]


def test_a_task_that_is_told_to_be_unproved_is_rejected_by_the_fake(both):
    chain = both.chain
    both.fake.unproved = {1}
    items = [proved_item(chain, number) for number in (1, 2)]
    data = raw_batch(chain, items, proofs=[proof_words(1), proof_words(2)])
    assert [event[:2] for event in answer_of_fake(chain, both.fake, data)] == [
        ("ProofRejected", 1),
        ("TaskSettled", 2),
    ]
    assert both.fake.history == [2]
