"""States of a task and of a run.

The two tables below are the only places that say which moves exist. Everything a status change
means is in the stage that makes it.
"""

from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class TaskStatus(StrEnum):
    """Where one task stands."""

    #: opened with its run; nothing decided yet
    DISCOVERED = "discovered"
    #: a parent is not confirmed yet, or a limit holds it back
    WAITING = "waiting"
    #: admitted; a keeper is being chosen or has been offered the lease
    SCHEDULED = "scheduled"
    #: the keeper acknowledged that it works on it
    EXECUTING = "executing"
    #: a valid receipt is recorded, the output is stored
    EXECUTED = "executed"
    #: a quorum of the committee re-executed it and agrees
    ATTESTED = "attested"
    #: its settlement is signed and on its way to the chain
    SUBMITTED = "submitted"
    #: settled on the chain, k blocks deep
    CONFIRMED = "confirmed"
    #: the root of a failure
    FAILED = "failed"
    #: never started, and never will
    CANCELLED = "cancelled"
    #: stopped while executing
    ABORTED = "aborted"


_S = TaskStatus

TASK_TABLE: Final = TransitionTable(
    name="task",
    moves={
        _S.DISCOVERED: frozenset({_S.WAITING, _S.SCHEDULED, _S.CANCELLED, _S.FAILED}),
        _S.WAITING: frozenset({_S.SCHEDULED, _S.CANCELLED}),
        _S.SCHEDULED: frozenset({_S.EXECUTING, _S.EXECUTED, _S.FAILED, _S.CANCELLED}),
        _S.EXECUTING: frozenset({_S.EXECUTED, _S.SCHEDULED, _S.FAILED, _S.ABORTED}),
        _S.EXECUTED: frozenset({_S.ATTESTED, _S.SCHEDULED, _S.FAILED, _S.CANCELLED}),
        _S.ATTESTED: frozenset({_S.SUBMITTED, _S.FAILED}),
        _S.SUBMITTED: frozenset({_S.CONFIRMED, _S.EXECUTED, _S.FAILED}),
    },
)

#: statuses in which a task still has something to come
UNFINISHED: Final = frozenset(TASK_TABLE.moves)


class RunStatus(StrEnum):
    """Where one run stands."""

    #: at least one task is unfinished
    OPEN = "open"
    #: every task is confirmed
    CONFIRMED = "confirmed"
    #: a task failed and nothing is left to do
    FAILED = "failed"
    #: stopped by a person
    CANCELLED = "cancelled"


RUN_TABLE: Final = TransitionTable(
    name="run",
    moves={RunStatus.OPEN: frozenset({RunStatus.CONFIRMED, RunStatus.FAILED, RunStatus.CANCELLED})},
)
