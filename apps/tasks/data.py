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
    #: its proof is being made
    PROVING = "proving"
    #: its proof is there and verified
    PROVED = "proved"
    #: nothing is missing but the confirmation of what it stands on
    WAITING_ANCESTORS = "waiting_ancestors"
    #: its settlement is signed and on its way to the chain
    SUBMITTED = "submitted"
    #: settled on the chain, k blocks deep
    CONFIRMED = "confirmed"
    #: the root of a failure
    FAILED = "failed"
    #: had an output that is worth nothing now: something it stands on failed, or a person stopped it
    ROLLED_BACK = "rolled_back"
    #: never started
    CANCELLED = "cancelled"
    #: stopped while executing
    ABORTED = "aborted"


_S = TaskStatus

TASK_TABLE: Final = TransitionTable(
    name="task",
    moves={
        _S.DISCOVERED: frozenset({_S.WAITING, _S.SCHEDULED, _S.CANCELLED, _S.FAILED}),
        _S.WAITING: frozenset({_S.SCHEDULED, _S.CANCELLED, _S.FAILED}),
        _S.SCHEDULED: frozenset({_S.EXECUTING, _S.EXECUTED, _S.WAITING, _S.FAILED, _S.CANCELLED}),
        _S.EXECUTING: frozenset({_S.EXECUTED, _S.WAITING, _S.FAILED, _S.ABORTED}),
        _S.EXECUTED: frozenset({_S.ATTESTED, _S.FAILED, _S.ROLLED_BACK}),
        _S.ATTESTED: frozenset(
            {_S.PROVING, _S.PROVED, _S.WAITING_ANCESTORS, _S.SUBMITTED, _S.FAILED, _S.ROLLED_BACK}
        ),
        _S.PROVING: frozenset({_S.PROVED, _S.FAILED, _S.ROLLED_BACK}),
        _S.PROVED: frozenset({_S.WAITING_ANCESTORS, _S.SUBMITTED, _S.FAILED, _S.ROLLED_BACK}),
        _S.WAITING_ANCESTORS: frozenset({_S.SUBMITTED, _S.FAILED, _S.ROLLED_BACK}),
        _S.SUBMITTED: frozenset({_S.CONFIRMED, _S.EXECUTED, _S.FAILED, _S.ROLLED_BACK}),
    },
)

#: statuses of results that somebody still has to re-check or prove
UNPROVED: Final = (_S.EXECUTED, _S.ATTESTED, _S.PROVING)

#: endings of an attempt after which another attempt of the same task may be opened, at `waiting`
REOPENABLE: Final = frozenset({_S.FAILED, _S.ROLLED_BACK, _S.CANCELLED, _S.ABORTED})

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


#: endings after which a run is open again when one of its tasks is, and its money held again
RUN_REOPENABLE: Final = frozenset({RunStatus.FAILED})

#: the error code of a task that a person stopped: no ancestor's retry brings it back
CANCELLED_CODE: Final = "cancelled"


class FailureReason(StrEnum):
    """Why an attempt failed, or why it was undone."""

    #: its proof was refused where it is verified
    PROOF_REJECTED = "proof_rejected"
    #: no proof could be made of its trace
    PROOF_GENERATION_FAILED = "proof_generation_failed"
    #: a quorum of its committee disagrees with its result
    RESULT_REJECTED = "result_rejected"
    #: it, its proof or its submission took too long
    TIMEOUT = "timeout"
    #: its lease ran out without an answer
    CLAIM_EXPIRED = "claim_expired"
    #: its keeper did not begin in time; nobody failed
    NOT_ACKNOWLEDGED = "not_acknowledged"
    #: its script ended in an error
    EXECUTION_FAILED = "execution_failed"
    #: its committee could not agree, also in the second round
    NO_QUORUM = "no_quorum"
    #: its keeper ran out of memory, time slices or space
    RESOURCES_EXHAUSTED = "resources_exhausted"
    #: the hub did not take it, however often it was sent
    SUBMISSION_REFUSED = "submission_refused"
    #: what is recorded about it contradicts itself
    INVALID_STATE = "invalid_state"
    #: something it stands on failed
    ANCESTOR_FAILED = "ancestor_failed"
    #: a person stopped it
    MANUAL = "manual"
