"""Modes, and whose word counts."""

import pytest

from apps.speculation.domain.limits import Choice, Mode, require_choice, resolve_limits
from apps.speculation.errors import SpeculationLimitsInvalid


def resolve(network=None, project=None, job=None):
    return resolve_limits(
        network=network or Choice(is_enabled=True, mode=Mode.BALANCED),
        project=project or Choice(),
        job=job or Choice(),
        lease_buffer_seconds=60,
        min_reputation=500,
        max_at_risk_units=7,
    )


@pytest.mark.parametrize(
    ("mode", "depth", "branches"),
    [(Mode.CONSERVATIVE, 3, 2), (Mode.BALANCED, 5, 4), (Mode.AGGRESSIVE, 10, 8)],
)
def test_a_mode_is_a_depth_and_a_number_of_branches(mode, depth, branches):
    limits = resolve(network=Choice(mode=mode))
    assert (limits.max_depth, limits.max_branches, limits.mode) == (depth, branches, mode)


def test_without_a_word_the_mode_is_balanced():
    assert resolve(network=Choice()).max_depth == 5


def test_the_most_specific_word_wins():
    custom = Choice(mode=Mode.CUSTOM, max_depth=20, max_branches=1)
    assert resolve(project=Choice(mode=Mode.AGGRESSIVE)).max_depth == 10
    limits = resolve(project=Choice(mode=Mode.AGGRESSIVE), job=custom)
    assert (limits.max_depth, limits.max_branches) == (20, 1)


@pytest.mark.parametrize("level", ["network", "project", "job"])
def test_any_level_may_switch_speculation_off_and_none_may_switch_it_on_against_another(level):
    on = {name: Choice(is_enabled=True) for name in ("network", "project", "job")}
    assert resolve(**on).is_enabled
    limits = resolve(**{**on, level: Choice(is_enabled=False)})
    assert (limits.off_by, limits.is_enabled) == (level, False)


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (Choice(mode=Mode.CUSTOM, max_depth=21, max_branches=1), "max_depth"),
        (Choice(mode=Mode.CUSTOM, max_depth=0, max_branches=1), "max_depth"),
        (Choice(mode=Mode.CUSTOM, max_depth=True, max_branches=1), "max_depth"),
        (Choice(mode=Mode.CUSTOM, max_depth=1, max_branches=17), "max_branches"),
        (Choice(mode=Mode.CUSTOM, max_depth=1), "max_branches"),
        (Choice(mode=Mode.CUSTOM), "max_depth"),
        (Choice(mode=Mode.BALANCED, max_depth=3), "max_depth"),
        (Choice(max_branches=3), "max_branches"),
    ],
)
def test_limits_that_are_not_on_offer_are_refused(choice, field):
    with pytest.raises(SpeculationLimitsInvalid) as refused:
        require_choice(choice)
    assert refused.value.field == field
    with pytest.raises(SpeculationLimitsInvalid):
        resolve(job=choice)
