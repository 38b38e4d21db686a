"""Any part of an attested round can be settled, at any time, under the one signature over its root."""

import dataclasses

import pytest

from apps.chains.domain.settlement_abi import leaf_of, proof_of
from apps.chains.registry import get_settled
from apps.kernel.merkle import merkle_root
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


@pytest.fixture
def items(chain):
    """A round of seven."""
    return [make_item(chain, number) for number in range(1, 8)]


@pytest.fixture
def leaves(items):
    """All leaves of the round."""
    return [leaf_of(item) for item in items]


def test_parts_of_a_round_are_settled_at_different_times(chain, items, leaves):
    for numbers in ([5], [2, 7, 3], [6, 4, 1]):
        part = [items[number - 1] for number in numbers]
        receipt = chain.submit(part, attesters_of(chain), leaves=leaves)
        assert hub_events(chain, receipt) == [("TaskSettled", number) for number in numbers]
        chain.mine(3)
    expected = {item.task_id: proof_of(item) for item in items}
    assert get_settled(chain.client, chain.deployment, list(expected)) == expected
    root = merkle_root(leaves)
    assert read(chain, "Hub", chain.deployment.hub, "batch_block", root) == receipt.block_number


@pytest.mark.parametrize("position", [0, 31, 62, 63])
def test_one_of_the_largest_round_is_settled_alone(chain, position):
    items = [make_item(chain, number) for number in range(64)]
    leaves = [leaf_of(item) for item in items]
    receipt = chain.submit([items[position]], attesters_of(chain), leaves=leaves)
    assert hub_events(chain, receipt) == [("TaskSettled", position)]
    assert settled(chain, *range(64)) == {position}


def test_what_was_settled_in_an_earlier_part_is_not_settled_again(chain, leaves):
    acting = [report_item(chain, number, figure=number) for number in (1, 2)]
    leaves = [leaf_of(item) for item in acting]
    chain.submit(acting[:1], attesters_of(chain), leaves=leaves)
    receipt = chain.submit(acting, attesters_of(chain), leaves=leaves)
    assert hub_events(chain, receipt) == [("TaskSkipped", 1), ("TaskSettled", 2)]
    receipt = chain.submit(acting[:1], attesters_of(chain), leaves=leaves)
    assert hub_events(chain, receipt) == [("TaskSkipped", 1)]
    figure, _ = read(chain, "PriceBoard", chain.deployment.price_board, "latest", b"ABC".ljust(32, b"\0"))
    assert figure == 2


def test_one_position_twice_is_settled_once(chain, items, leaves):
    data = raw_batch(chain, [items[4], items[4]], leaves=leaves, positions=[4, 4])
    receipt = chain.send(chain.submitters[0], chain.deployment.hub, data)
    assert hub_events(chain, receipt) == [("TaskSettled", 5), ("TaskSkipped", 5)]


@pytest.mark.parametrize("positions", [[1, 0], [0, 2], [0, 7], [0, 2**256 - 1]])
def test_an_item_at_another_position_is_refused(chain, items, leaves, positions):
    data = raw_batch(chain, items[:2], leaves=leaves, positions=positions)
    assert why_refused(chain, data) == "leaf"


@pytest.mark.parametrize("positions", [[], [0], [0, 1, 2]])
def test_not_one_position_for_each_item_is_refused(chain, items, leaves, positions):
    assert why_refused(chain, raw_batch(chain, items[:2], leaves=leaves, positions=positions)) == "positions"


def test_an_item_of_no_round_is_refused(chain, items, leaves):
    signature = chain.sign_root(merkle_root(leaves), attesters_of(chain))
    stranger = make_item(chain, 9)
    assert why_refused(chain, raw_batch(chain, [stranger], leaves=leaves)) == "leaf"
    assert why_refused(chain, raw_batch(chain, [stranger], signature=signature)) == "signature"
    assert why_refused(chain, raw_batch(chain, [stranger], leaves=[], signature=signature)) == "leaf"


def test_leaves_that_are_not_the_whole_round_are_refused(chain, items, leaves):
    signature = chain.sign_root(merkle_root(leaves), attesters_of(chain))
    for others in (leaves[:6], [*leaves, leaves[6]], [leaves[0], *leaves[:0:-1]]):
        data = raw_batch(chain, items[:1], leaves=others, signature=signature)
        assert why_refused(chain, data) == "signature"


def test_more_leaves_than_a_round_has_are_refused(chain, items):
    leaves = [leaf_of(make_item(chain, number)) for number in range(1, 66)]
    data = raw_batch(chain, items[:1], leaves=leaves)
    assert why_refused(chain, data) is not None
    assert settled(chain, 1) == set()


def test_an_inner_node_of_the_tree_passes_for_no_leaf(chain, items, leaves):
    """The signed root alone, given as the only leaf, settles nothing."""
    root = merkle_root(leaves)
    signature = chain.sign_root(root, attesters_of(chain))
    data = raw_batch(chain, items[:1], leaves=[root], signature=signature)
    assert why_refused(chain, data) == "leaf"


def test_an_item_whose_performer_attested_is_refused_and_the_rest_of_its_round_is_not(chain, items):
    odd = dataclasses.replace(items[3], performer=chain.keepers[1].address)
    items[3] = odd
    leaves = [leaf_of(item) for item in items]
    data = raw_batch(chain, [items[0], odd], leaves=leaves, positions=[0, 3])
    assert why_refused(chain, data) == "performer"
    chain.submit([items[0], items[6]], attesters_of(chain), leaves=leaves)
    assert settled(chain, *range(1, 8)) == {1, 7}


def test_a_new_attempt_of_a_settled_task_is_skipped(chain, items, leaves):
    chain.submit(items[:1], attesters_of(chain), leaves=leaves)
    again = make_item(chain, 1, epoch=2)
    receipt = chain.submit([again], attesters_of(chain))
    assert hub_events(chain, receipt) == [("TaskSkipped", 1)]
    assert get_settled(chain.client, chain.deployment, [1]) == {1: proof_of(items[0])}
