"""The states of a sighting. A log may come, go and come back with its block; a firing is made once only."""

from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class SightingStatus(StrEnum):
    """What became of a log that was seen."""

    #: it waits for its confirmations
    SEEN = "seen"
    #: the job has its firing
    FIRED = "fired"
    #: its block is gone, or the job stopped waiting, before it fired
    DROPPED = "dropped"
    #: its block is gone after it fired
    REORGED = "reorged"


_S = SightingStatus

SIGHTING_TABLE: Final = TransitionTable(
    name="sighting",
    moves={
        _S.SEEN: frozenset({_S.FIRED, _S.DROPPED}),
        _S.FIRED: frozenset({_S.REORGED}),
        # its block came back
        _S.DROPPED: frozenset({_S.SEEN}),
        _S.REORGED: frozenset({_S.FIRED}),
    },
)
