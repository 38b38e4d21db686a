"""State machines as one literal table, consulted in one place.

A status is a StrEnum; its table maps each non-ending status to the set it may move to. Ending
states have no row. Moving a finished thing to the ending it already has is a no-op for the caller
to notice (`is_move_needed`), never an illegal move.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from apps.kernel.errors import Conflict

S = TypeVar("S", bound=StrEnum)


class IllegalTransition(Conflict):
    """A move the table does not list."""

    code = "illegal_transition"
    title = "This change of state is not allowed"


@dataclass(frozen=True, slots=True)
class TransitionTable(Generic[S]):
    """The legal moves of one state machine."""

    name: str
    moves: Mapping[S, frozenset[S]]

    def move(self, *, id: str, current: S, target: S) -> S:
        """Return `target`, or raise IllegalTransition(machine, id, current, target)."""
        if target not in self.moves.get(current, frozenset()):
            raise IllegalTransition(machine=self.name, id=id, current=str(current), target=str(target))
        return target

    def is_ending(self, status: S) -> bool:
        """Whether nothing moves out of this status."""
        return not self.moves.get(status)

    def is_legal(self, current: S, target: S) -> bool:
        """Whether the table lists this move."""
        return target in self.moves.get(current, frozenset())
