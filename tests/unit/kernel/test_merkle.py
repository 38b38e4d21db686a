"""The Merkle tree against the recursive definition of RFC 6962, and its proofs against every tamper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.hashing import keccak
from apps.kernel.merkle import (
    MerkleInputInvalid,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    node_hash,
    verify_inclusion,
)


def leaves_of(count):
    return [leaf_hash(bytes([number])) for number in range(count)]


def root_by_definition(leaves):
    """RFC 6962, 2.1: split at the largest power of two below n."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


@pytest.mark.parametrize("size", range(1, 66))
def test_the_root_is_that_of_the_recursive_definition(size):
    assert merkle_root(leaves_of(size)) == root_by_definition(leaves_of(size))


def test_leaves_and_nodes_are_domain_separated():
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"a") == keccak(b"\x00a")
    assert node_hash(left, right) == keccak(b"\x01" + left + right)


def test_the_last_leaf_is_never_duplicated():
    three = leaves_of(3)
    assert merkle_root(three) != merkle_root([*three, three[-1]])


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_has_a_proof_that_verifies(size):
    leaves = leaves_of(size)
    root = merkle_root(leaves)
    for index, leaf in enumerate(leaves):
        assert verify_inclusion(root, leaf, index, size, inclusion_proof(leaves, index))


@given(st.data())
def test_a_proof_verifies_for_its_own_leaf_at_its_own_place_only(data):
    size = data.draw(st.integers(2, 40))
    leaves = leaves_of(size)
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    proof = inclusion_proof(leaves, index)
    assert not verify_inclusion(root, leaves[other], index, size, proof)
    assert not verify_inclusion(root, leaves[index], other, size, proof)
    assert not verify_inclusion(root, leaves[index], index, size, (*proof, leaves[other]))
    assert not verify_inclusion(root, leaves[index], index, size, proof[:-1])
    assert not verify_inclusion(root, leaves[index], size, size, proof)
    assert not verify_inclusion(keccak(root), leaves[index], index, size, proof)
    flipped = bytes([proof[0][0] ^ 1]) + proof[0][1:]
    assert not verify_inclusion(root, leaves[index], index, size, (flipped, *proof[1:]))


def test_a_malformed_proof_is_false_not_an_error():
    leaves = leaves_of(4)
    assert not verify_inclusion(merkle_root(leaves), leaves[0], 0, 4, [b"short", leaves[1]])
    assert not verify_inclusion(b"", leaves[0], 0, 4, inclusion_proof(leaves, 0))
    assert not verify_inclusion(merkle_root(leaves), leaves[0], -1, 4, inclusion_proof(leaves, 0))


@pytest.mark.parametrize("leaves", [[], [b"31 bytes are not enough for this"[:31]]])
def test_no_leaf_or_a_short_leaf_is_refused(leaves):
    with pytest.raises(MerkleInputInvalid):
        merkle_root(leaves)


def test_an_index_outside_the_tree_is_refused():
    with pytest.raises(MerkleInputInvalid):
        inclusion_proof(leaves_of(3), 3)
