"""Which executed tasks share a round."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from apps.attestation.domain.gathering import ROUNDS_AT_ONCE, compute_full, gather_sets, may_open


@dataclass(frozen=True)
class Result:
    number: int
    performer: str = "a"
    is_solo: bool = False


def numbers(sets: list[list[Result]]) -> list[list[int]]:
    return [[result.number for result in own] for own in sets]


def gather(results: list[Result], *, under_way: dict[str, int] | None = None, full: int = 3):
    return numbers(gather_sets(results, under_way=under_way or {}, full={"a": full, "b": full}, most=64))


def test_a_performer_without_a_round_gets_one_over_whatever_waits():
    assert gather([Result(1)]) == [[1]]
    assert gather([Result(1), Result(2, "b"), Result(3)]) == [[1, 3], [2]]


def test_with_a_round_under_way_only_a_full_set_starts_another():
    waiting = [Result(1), Result(2)]
    assert gather(waiting, under_way={"a": 1}) == []
    assert gather([*waiting, Result(3)], under_way={"a": 1}) == [[1, 2, 3]]
    assert gather([*waiting, Result(3)], under_way={"a": ROUNDS_AT_ONCE}) == []


def test_a_rest_behind_a_full_set_waits_for_company():
    assert gather([Result(n) for n in range(5)]) == [[0, 1, 2]]
    assert gather([Result(n) for n in range(7)]) == [[0, 1, 2], [3, 4, 5]]


def test_a_solo_task_has_its_own_round_whatever_is_under_way():
    waiting = [Result(1, is_solo=True), Result(2), Result(3, is_solo=True)]
    assert gather(waiting, under_way={"a": ROUNDS_AT_ONCE}) == [[1], [3]]


def test_a_set_of_slow_work_is_full_sooner():
    assert compute_full(0, 64) == 64
    assert compute_full(1, 64) == 64
    assert compute_full(1_000, 64) == 5
    assert compute_full(60_000, 64) == 1


def test_a_performer_nobody_knows_the_speed_of_has_the_largest_sets():
    sets = gather_sets([Result(n, "c") for n in range(4)], under_way={}, full={}, most=4)
    assert numbers(sets) == [[0, 1, 2, 3]]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=40),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)),
    st.integers(1, 8),
)
def test_no_task_is_in_two_sets_and_no_set_is_too_large_or_mixed(kinds, under_way, full):
    results = [Result(n, performer, is_solo) for n, (performer, is_solo) in enumerate(kinds)]
    sets = gather_sets(results, under_way=under_way, full={"a": full, "b": full}, most=64)
    seen = [result for own in sets for result in own]
    assert len(seen) == len(set(seen))
    for own in sets:
        assert 1 <= len(own) <= full
        assert len({result.performer for result in own}) == 1
        assert len(own) == 1 or not any(result.is_solo for result in own)
    for performer in "ab":
        opened = sum(own[0].performer == performer and not own[0].is_solo for own in sets)
        assert opened == 0 or under_way.get(performer, 0) + opened <= ROUNDS_AT_ONCE
    assert all(result in seen for result in results if result.is_solo)


def test_what_the_selector_holds_back_is_what_no_set_would_be_made_of():
    for waiting in range(1, 8):
        for under_way in range(4):
            sets = gather([Result(n) for n in range(waiting)], under_way={"a": under_way})
            assert bool(sets) == may_open(waiting, under_way, 3)
