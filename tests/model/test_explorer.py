"""A slice of the small model, to its end, in every run of the suite; the script walks millions of states."""

import random

import pytest

from apps.jobs.data import EdgeKind
from apps.tasks.data import TaskStatus
from tests.model.drawing import draw_setting
from tests.model.explorer import Explorer
from tests.model.world import Setting

DATA, RESOURCE = EdgeKind.DATA, EdgeKind.RESOURCE

SETTINGS = {
    "a chain of three": Setting(parents=((), ((0, DATA),), ((1, DATA),))),
    "a chain too deep for its limit": Setting(parents=((), ((0, DATA),), ((1, DATA),)), max_depth=1),
    "a fan wider than its limit": Setting(parents=((), ((0, DATA),), ((0, DATA),)), max_branches=1),
    "a join under a cap": Setting(
        parents=((), ((0, DATA),), ((0, DATA), (1, DATA))), max_at_risk_units=3_000_000
    ),
    "a scarce edge": Setting(parents=((), ((0, DATA),), ((0, DATA), (1, RESOURCE)))),
    "a diamond": Setting(
        parents=((), ((0, DATA),), ((0, DATA),), ((1, DATA), (2, DATA))), faults=1, max_branches=2
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_small_model_keeps_every_invariant_in_all_its_states(name):
    explorer = Explorer(SETTINGS[name])
    explored = explorer.explore()
    assert explored.is_complete
    assert explored.states > 1_000
    assert {own.status for own in explorer.values} >= {
        TaskStatus.CONFIRMED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
    }


def test_the_small_model_reaches_every_state_of_a_task_and_tries_again():
    explorer = Explorer(SETTINGS["a chain of three"])
    explorer.explore()
    assert {own.status for own in explorer.values} == set(TaskStatus)
    assert {(own.status, own.epoch) for own in explorer.values} >= {
        (TaskStatus.CONFIRMED, 1),
        (TaskStatus.CONFIRMED, 3),
    }
    assert {own.bond_units for own in explorer.values} == {0, 1_000_000, 2_000_000, 4_000_000}


@pytest.mark.parametrize("seed", range(4))
def test_random_small_models_keep_every_invariant_as_far_as_they_are_walked(seed):
    explored = Explorer(draw_setting(random.Random(seed), 4)).explore(limit=5_000)
    assert explored.states > 100
