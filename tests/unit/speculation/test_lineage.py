"""What an attempt stands on: attempts, not tasks; stamped, checked, and final before it is submitted."""

import random

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.speculation.data import Standing
from apps.speculation.domain.lineage import (
    STAMP,
    Ground,
    compute_lineages,
    compute_revocation,
    is_ground_final,
    require_lineage,
    stamp_of,
)
from apps.speculation.errors import LineageBroken
from tests.factories.speculation import A, B, C, D, task_id

GROUND = Ground(epoch=2, output_hash="0xaa")


def parents_of(tasks, *pairs):
    return {task: [parent for parent, child in pairs if child == task] for task in tasks}


def test_a_lineage_stamps_itself_and_every_unconfirmed_attempt_it_stands_on():
    tasks = (A, B, C, D)
    parents = parents_of(tasks, (A, B), (B, C), (B, D), (C, D))
    lineages = compute_lineages(tasks, parents, {A: 9, B: 2, C: 3, D: 4}, {A})
    assert set(lineages) == {B, C, D}
    assert lineages[D].ancestors == ((B, 2), (C, 3))
    assert lineages[D].to_stamps() == {STAMP: [stamp_of(B, 2), stamp_of(C, 3), stamp_of(D, 4)]}
    assert compute_revocation([(B, 2)]) == {STAMP: [stamp_of(B, 2)]}


def test_a_revocation_never_meets_a_later_attempt():
    parents = parents_of((A, B), (A, B))
    old = compute_lineages((A, B), parents, {A: 1, B: 1}, ())[B].to_stamps()[STAMP]
    new = compute_lineages((A, B), parents, {A: 2, B: 2}, ())[B].to_stamps()[STAMP]
    assert not set(old) & set(new)


@given(st.integers(0, 2**32), st.integers(1, 20), st.floats(0, 0.5))
def test_revoking_an_attempt_meets_exactly_what_stands_on_it(seed, size, density):
    rng = random.Random(seed)
    tasks = [task_id(n) for n in range(size)]
    pairs = [(p, c) for j, c in enumerate(tasks) for p in tasks[:j] if rng.random() < density]
    oracle = nx.DiGraph(pairs)
    oracle.add_nodes_from(tasks)
    parents = {task: list(oracle.predecessors(task)) for task in tasks}
    lineages = compute_lineages(tasks, parents, dict.fromkeys(tasks, 1), ())
    root = rng.choice(tasks)
    revoked = set(compute_revocation([(root, 1)])[STAMP])
    met = {task for task, lineage in lineages.items() if revoked & set(lineage.to_stamps()[STAMP])}
    assert met == {root, *nx.descendants(oracle, root)}


def test_a_result_stands_on_the_recorded_outputs_of_all_its_parents():
    require_lineage({A: GROUND, B: GROUND}, {B: GROUND, A: GROUND})
    require_lineage({}, {})


@pytest.mark.parametrize(
    ("claimed", "current"),
    [
        ({A: GROUND}, {A: Ground(epoch=3, output_hash="0xaa")}),
        ({A: GROUND}, {A: Ground(epoch=2, output_hash="0xbb")}),
        ({A: Ground(epoch=2)}, {A: Ground(epoch=2)}),
        ({A: GROUND}, {A: GROUND, B: GROUND}),
        ({A: GROUND, B: GROUND}, {A: GROUND}),
        ({B: GROUND}, {A: GROUND}),
    ],
)
def test_a_result_made_from_anything_else_is_refused(claimed, current):
    with pytest.raises(LineageBroken) as refused:
        require_lineage(claimed, current)
    assert refused.value.parent.startswith("task_")


@pytest.mark.parametrize("open_standing", [each for each in Standing if each is not Standing.CONFIRMED])
def test_the_ground_is_final_when_every_ancestor_is_confirmed(open_standing):
    assert is_ground_final([])
    assert is_ground_final([Standing.CONFIRMED] * 3)
    assert not is_ground_final([Standing.CONFIRMED, open_standing, Standing.CONFIRMED])
