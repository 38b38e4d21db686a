"""Which way a failure took from its root to what it took along."""

from uuid import UUID

from apps.rollback.domain.ways import find_ways

A, B, C, D, E = (UUID(int=number) for number in range(1, 6))


def test_the_longest_way_to_each_task_is_found_with_both_its_ends():
    ways = find_ways([A, B, C, D], [(A, B), (B, C), (A, D), (C, D)])

    assert ways == {A: (A,), B: (A, B), C: (A, B, C), D: (A, B, C, D)}


def test_of_two_ways_of_the_same_length_the_first_edge_s_is_taken():
    assert find_ways([A, B, C, D], [(A, B), (A, C), (C, D), (B, D)])[D] == (A, C, D)


def test_edges_of_tasks_that_did_not_change_are_passed_over():
    assert find_ways([A, C], [(A, B), (B, C), (A, C), (C, D)]) == {A: (A,), C: (A, C)}


def test_what_the_root_does_not_reach_has_no_way():
    assert find_ways([A, E, B], [(A, B)]) == {A: (A,), B: (A, B)}
    assert find_ways([], [(A, B)]) == {}
