"""Passes and answers at once, in real transactions: the limits hold, nothing is done twice or lost."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.proofs.services import proof_generated, proofs_plan
from tests.support.prover import result_of

pytestmark = pytest.mark.django_db(transaction=True)

S = ProofStatus
WORKERS = 4


def at_once(*works):
    """Run these in threads of their own, started together, each with its own connection."""
    start = threading.Barrier(len(works))

    def run(work):
        try:
            start.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_passes_at_once_start_no_more_than_may_be_made_and_each_once(make_world):
    world = make_world([f"s{number}" for number in range(12)])
    outcomes = at_once(*[lambda: proofs_plan(now=world.now, limit=3)] * WORKERS)
    sent = Counter(one.body["proof"] for outcome in outcomes for one in outcome.dispatches)
    assert set(sent.values()) == {1}
    assert len(sent) == 4 == Proof.objects.filter(status=S.GENERATING).count()
    world.plan()
    assert Proof.objects.count() == 12


def test_an_answer_that_comes_many_times_at_once_is_taken_once(make_world):
    world = make_world(["a"])
    world.plan()
    row = world.proof()
    result = result_of(int(row.public_input, 16))
    work = lambda: proof_generated(proof_id=row.id, attempt=1, result=result, now=world.now)  # noqa: E731
    assert sorted(outcome.taken for outcome in at_once(*[work] * WORKERS)) == [0, 0, 0, 1]


def test_answers_and_passes_at_once_lose_nothing(make_world):
    steps = [f"s{number}" for number in range(4)]
    world = make_world(steps)
    world.plan()

    def answer(step):
        row = world.proof(step)
        result = result_of(int(row.public_input, 16))
        proof_generated(proof_id=row.id, attempt=1, result=result, now=world.now)

    def plan_often():
        for _ in range(5):
            proofs_plan(now=world.now, limit=10)

    at_once(*[lambda step=step: answer(step) for step in steps], plan_often, plan_often)
    for _ in steps:
        world.plan()
    names = set(Proof.objects.filter(status=S.SUBMITTING).values_list("submission", flat=True))
    assert 1 <= len(names) <= 2
    assert set(Proof.objects.values_list("status", flat=True)) <= {S.SUBMITTING, S.GENERATED}
