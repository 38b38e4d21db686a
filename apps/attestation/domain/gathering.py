"""Which executed tasks share a round.

A round costs its committee's calls, ballots and signatures once, however many items it has, so under load
few large rounds are what makes the throughput; a lone task must not wait for company. So a performer
without a round under way gets one at once, over whatever waits; with one under way only a full set
starts another. A set holds some seconds of its performer's measured work at most: four others do it again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

#: rounds of one performer under way at once
ROUNDS_AT_ONCE: Final = 2
_ROUND_MS: Final = 5_000


class Waiting(Protocol):
    """An executed task that waits for a round."""

    @property
    def performer(self) -> str:
        """The keeper whose result it is."""

    @property
    def is_solo(self) -> bool:
        """Whether its round is to be its own."""


W = TypeVar("W", bound=Waiting)


def compute_full(latency_ms: int, most: int) -> int:
    """How many results of a performer with this mean latency make a full set."""
    return max(1, min(_ROUND_MS // max(latency_ms, 1), most))


def may_open(waiting: int, under_way: int, full: int) -> bool:
    """Whether a performer with so many rounds under way gets another one for so many waiting results."""
    return under_way < ROUNDS_AT_ONCE and (under_way == 0 or waiting >= full)


def gather_sets(
    tasks: Sequence[W], *, under_way: Mapping[str, int], full: Mapping[str, int], most: int
) -> list[list[W]]:
    """The sets to open rounds over, in the tasks' order; what is in none waits.

    `under_way` are a performer's open rounds, `full` the size of its full set (`most` where unknown).
    A solo task is a set of its own, whatever is under way.
    """
    sets = [[task] for task in tasks if task.is_solo]
    shared: defaultdict[str, list[W]] = defaultdict(list)
    for task in tasks:
        if not task.is_solo:
            shared[task.performer].append(task)
    for performer, own in shared.items():
        size, taken, open_rounds = full.get(performer, most), 0, under_way.get(performer, 0)
        while taken < len(own) and may_open(len(own) - taken, open_rounds, size):
            sets.append(own[taken : taken + size])
            taken, open_rounds = taken + size, open_rounds + 1
    return sets
