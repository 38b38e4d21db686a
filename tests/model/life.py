"""The whole life of a task's attempt, with proofs and rollback: what the pipeline's table is to become.

The endings absorb. A retry opens another attempt of the same task (epoch + 1 with its lease), at `waiting`.
"""

from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class Life(StrEnum):
    """Where one attempt stands."""

    DISCOVERED = "discovered"
    WAITING = "waiting"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    EXECUTED = "executed"
    ATTESTED = "attested"
    PROVING = "proving"
    PROVED = "proved"
    WAITING_ANCESTORS = "waiting_ancestors"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    CANCELLED = "cancelled"


_L = Life

LIFE_TABLE: Final = TransitionTable(
    name="attempt",
    moves={
        _L.DISCOVERED: frozenset({_L.WAITING, _L.SCHEDULED, _L.CANCELLED, _L.FAILED}),
        _L.WAITING: frozenset({_L.SCHEDULED, _L.CANCELLED, _L.FAILED}),
        _L.SCHEDULED: frozenset({_L.EXECUTING, _L.EXECUTED, _L.WAITING, _L.FAILED, _L.CANCELLED}),
        _L.EXECUTING: frozenset({_L.EXECUTED, _L.WAITING, _L.FAILED, _L.ABORTED}),
        _L.EXECUTED: frozenset({_L.ATTESTED, _L.FAILED, _L.ROLLED_BACK}),
        _L.ATTESTED: frozenset({_L.PROVING, _L.SUBMITTED, _L.FAILED, _L.ROLLED_BACK}),
        _L.PROVING: frozenset({_L.PROVED, _L.FAILED, _L.ROLLED_BACK}),
        _L.PROVED: frozenset({_L.WAITING_ANCESTORS, _L.SUBMITTED, _L.FAILED, _L.ROLLED_BACK}),
        _L.WAITING_ANCESTORS: frozenset({_L.SUBMITTED, _L.FAILED, _L.ROLLED_BACK}),
        _L.SUBMITTED: frozenset({_L.CONFIRMED, _L.EXECUTED, _L.FAILED, _L.ROLLED_BACK}),
    },
)
