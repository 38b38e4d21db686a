"""The states of a job and the legal moves between them."""

from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class JobStatus(StrEnum):
    """Where a job stands."""

    #: its trigger fires
    ACTIVE = "active"
    #: its trigger is held; it may be resumed
    PAUSED = "paused"
    #: it has fired as often as it ever will
    COMPLETED = "completed"
    #: its life ended before its fires did
    EXPIRED = "expired"
    #: removed by a person; the history stays
    DELETED = "deleted"


_S = JobStatus

JOB_TABLE: Final = TransitionTable(
    name="job",
    moves={
        _S.ACTIVE: frozenset({_S.PAUSED, _S.COMPLETED, _S.EXPIRED, _S.DELETED}),
        _S.PAUSED: frozenset({_S.ACTIVE, _S.COMPLETED, _S.EXPIRED, _S.DELETED}),
        _S.COMPLETED: frozenset({_S.DELETED}),
        _S.EXPIRED: frozenset({_S.DELETED}),
    },
)

#: statuses in which a job may still fire, be edited, paused or resumed
LIVE: Final = frozenset({_S.ACTIVE, _S.PAUSED})


class FiringStatus(StrEnum):
    """Where one firing stands. It goes forward only; a tick to come may be taken back."""

    #: a tick to come
    PENDING = "pending"
    #: it has fired; its run is opened next
    FIRED = "fired"
    #: its run is open
    OPENED = "opened"
    #: it opened no run; its reason says why
    REFUSED = "refused"
