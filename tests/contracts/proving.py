"""Proved statements, and items that ask for a proof, for the contract tests."""

from functools import lru_cache

from apps.proofs.domain.statement import compute_statement, evaluate
from apps.proofs.groth16 import prove
from tests.contracts.building import make_item
from tests.support.proofs import make_witness, seeded_draw, smallest_keys

CIRCUIT = 16
PROVED = 3


@lru_cache(maxsize=1)
def make_proofs():
    """Three task statements (their public inputs) and a proof of each, under one key; the key first."""
    proving, verifying = smallest_keys()
    witnesses = [make_witness(task_id) for task_id in range(1, PROVED + 1)]
    proofs = [prove(proving, evaluate(witness), draw=seeded_draw(5)) for witness in witnesses]
    return verifying, [compute_statement(witness).public_input for witness in witnesses], proofs


def words_of(proof):
    """A proof as the contracts take it."""
    return (*proof.a, *proof.b, *proof.c)


def proof_words(number):
    """The proof of `proved_item(number)`'s statement."""
    return words_of(make_proofs()[2][number % PROVED])


def statement_of(number):
    """The statement `proof_words(number)` proves."""
    return make_proofs()[1][number % PROVED]


def proved_item(chain, number, **fields):
    """An item with a statement to be proved; a few statements stand in for everybody's."""
    values = {"circuit": CIRCUIT, "statement": statement_of(number), **fields}
    return make_item(chain, number, **values)
