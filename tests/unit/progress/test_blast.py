"""How far the failure of a step reaches."""

from apps.jobs.data import Parent, StepDefinition
from apps.progress.domain.blast import compute_blast, find_descendants
from apps.speculation.domain.bonds import BondTerms

TERMS = BondTerms(base_units=100, growth_percent=200)


def step(key, *parents):
    return StepDefinition(key=key, parents=tuple(Parent(step=each) for each in parents))


DIAMOND = (step("d", "b", "c"), step("a"), step("b", "a"), step("c", "a"), step("e"))


def test_what_stands_on_a_step_is_counted_once_however_many_ways_lead_there():
    below = find_descendants(DIAMOND)
    assert {key: set(found) for key, found in below.items()} == {
        "a": {"b", "c", "d"},
        "b": {"d"},
        "c": {"d"},
        "d": set(),
        "e": set(),
    }


def test_bonds_grow_with_depth_and_are_at_risk_together():
    found = {one.step: one for one in compute_blast(DIAMOND, TERMS, 20)}
    assert [found[key].bond_units for key in "abcde"] == [0, 200, 200, 400, 0]
    assert [found[key].at_risk_units for key in "abcde"] == [800, 600, 600, 400, 0]


def test_no_step_runs_ahead_deeper_than_allowed_and_without_speculation_nothing_is_at_risk():
    assert {one.step: one.bond_units for one in compute_blast(DIAMOND, TERMS, 1)}["d"] == 200
    assert all(one.at_risk_units == 0 for one in compute_blast(DIAMOND, TERMS, 0))
