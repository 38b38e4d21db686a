import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.proofs.domain import poseidon
from apps.proofs.domain.field import ORDER, invert, is_element, to_element
from apps.proofs.domain.grain import derive_constants
from apps.proofs.domain.poseidon import choose_hash, hash_chain, hash_pair, hash_pair_here
from apps.proofs.domain.statement import compute_statement
from tests.support.proofs import make_witness
from tests.support.source import ROOT

elements = st.integers(0, ORDER - 1)


def test_poseidon_of_one_and_two_is_the_known_answer():
    known = 7853200120776062878684798364095072458815029376092732009249414926327459813530
    assert hash_pair(1, 2) == hash_pair_here(1, 2) == known == poseidon.KNOWN_ANSWER


def test_every_backend_agrees_at_the_edges_of_the_field():
    edges = (0, 1, ORDER - 1, ORDER // 2)
    assert all(hash_pair(a, b) == hash_pair_here(a, b) for a in edges for b in edges)


@settings(max_examples=50, deadline=None)
@given(left=elements, right=elements)
def test_every_backend_agrees(left, right):
    answer = hash_pair(left, right)
    assert is_element(answer)
    assert answer == hash_pair_here(left, right)


def test_a_native_hash_with_other_parameters_is_refused():
    class Other:
        def __init__(self, count):
            assert count == 2

        def hash_bytes_be(self, inputs):
            return "0x01"

    with pytest.raises(ImportError, match="circom"):
        choose_hash(Other)


def test_without_a_native_hash_the_one_here_is_used():
    assert choose_hash(None) is hash_pair_here


def test_the_first_constants_and_the_matrix_are_those_of_circomlib():
    rows, matrix = derive_constants(width=3, full_rounds=8, partial_rounds=57)
    assert len(rows) == 65
    assert rows[0] == (
        0x0EE9A592BA9A9518D05986D656F40C2114C4993C11BB29938D21D47304CD8E6E,
        0x00F1445235F2148C5986587169FC1BCD887B08D4D00868DF5696FFF40956E864,
        0x08DFF3487E8AC99E1F29A058D0FA80B930C728730B7AB36CE879F3890ECF73F5,
    )
    assert matrix[0][0] == 0x109B7F411BA0E4C9B2B70CAF5C36A7B194BE7C11AD24378BFEDB68592BA8118B


def test_a_chain_hashes_from_the_left():
    assert hash_chain(1, (2, 3)) == hash_pair(hash_pair(1, 2), 3)
    assert hash_chain(5, ()) == 5


def test_a_digest_becomes_an_element():
    assert to_element(b"\xff" * 32) == (2**256 - 1) % ORDER
    assert not is_element(ORDER)
    assert not is_element(-1)
    assert not is_element(True)
    assert 3 * invert(3) % ORDER == 1


def test_plain_integers_give_the_same_statement_and_run():
    """As on a platform that has a wheel of neither gmpy2 nor light-poseidon."""
    script = (
        "import sys; sys.modules['gmpy2'] = sys.modules['light_poseidon_python'] = None;"
        "from apps.proofs.domain import poseidon, statement; from tests.support.proofs import make_witness;"
        "assert poseidon.hash_pair is poseidon.hash_pair_here;"
        "print(int(statement.evaluate(make_witness()).assignment[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == compute_statement(make_witness()).public_input
