"""A Merkle tree after RFC 6962 over keccak-256, as the hub computes it on chain.

Leaf hashes are keccak(0x00 ‖ data), nodes keccak(0x01 ‖ left ‖ right), so no leaf can pass for a node.
A tree of n leaves splits at the largest power of two below n; no leaf is ever duplicated. Working up
level by level and carrying a lone last node upward unchanged gives the same root: that is what the
hub does, and what `merkle_root` does.
"""

from collections.abc import Sequence
from typing import Final

from apps.kernel.errors import Invalid
from apps.kernel.hashing import keccak

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"


class MerkleInputInvalid(Invalid):
    """An empty tree, a leaf hash that is not 32 bytes, or an index outside the tree."""

    code = "merkle_input_invalid"
    title = "The Merkle tree's input is not valid"


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's data: keccak(0x00 ‖ data)."""
    return keccak(LEAF_PREFIX + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: keccak(0x01 ‖ left ‖ right)."""
    return keccak(NODE_PREFIX + left + right)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (32 bytes each, from `leaf_hash` or `settlement_leaf`), in order.

    Raises MerkleInputInvalid for no leaf at all and for a leaf that is not 32 bytes.
    """
    level = _checked(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index`, from the leaf's sibling up to the root's child (RFC 6962, 2.1.1).

    Raises MerkleInputInvalid as `merkle_root` does, and for an index outside the tree.
    """
    level = _checked(leaves)
    if not 0 <= index < len(level):
        raise MerkleInputInvalid(reason="index outside the tree", index=index, size=len(level))
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _parents(level), index >> 1
    return tuple(path)


def verify_inclusion(root: bytes, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bool:
    """Whether `leaf` (a leaf hash) stands at `index` of the tree of `size` leaves with this root.

    False for anything malformed: a proof too short or too long, an index outside the tree.
    """
    if not 0 <= index < size or any(len(word) != 32 for word in (root, leaf, *proof)):
        return False
    last, current, path = size - 1, leaf, list(proof)
    while last:
        if index & 1 or index < last:
            if not path:
                return False
            sibling = path.pop(0)
            current = node_hash(sibling, current) if index & 1 else node_hash(current, sibling)
        index, last = index >> 1, last >> 1
    return not path and current == root


def _checked(leaves: Sequence[bytes]) -> list[bytes]:
    if not leaves:
        raise MerkleInputInvalid(reason="a tree has at least one leaf")
    if any(len(leaf) != 32 for leaf in leaves):
        raise MerkleInputInvalid(reason="a leaf hash has 32 bytes")
    return list(leaves)


def _parents(level: list[bytes]) -> list[bytes]:
    """The level above: pairs are hashed, a lone last node is carried upward."""
    pairs = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return pairs + level[len(level) & ~1 :]
