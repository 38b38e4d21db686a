"""How a stored rollback goes on, whatever stopped it.

Each phase names the one step that is due. The first three end in one transaction that writes them all;
the two after it may be repeated at will. Doing a finished one again changes nothing (invariant 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from apps.rollback.data import ROLLBACK_TABLE, Rollback, RollbackPhase, TaskState
from apps.rollback.domain.cascade import CascadePlan
from apps.speculation.data import STANDINGS, FailureReason, Standing

_P = RollbackPhase


class Step(StrEnum):
    """What is to be done next."""

    #: look whether the failure still holds; lock, plan and apply in one transaction
    APPLY = "apply"
    #: abort running work, revoke messages, cancel proofs
    CLEAN = "clean"
    #: write the figures and send the news
    LOG = "log"
    #: nothing
    NONE = "none"


#: phase → the step that is due when a rollback is found in it
STEPS: Final[Mapping[RollbackPhase, Step]] = {
    _P.DETECTING: Step.APPLY,
    _P.INITIATING: Step.APPLY,
    _P.PROPAGATING: Step.APPLY,
    _P.CLEANING: Step.CLEAN,
    _P.LOGGING: Step.LOG,
    _P.COMPLETE: Step.NONE,
    _P.DISMISSED: Step.NONE,
}
#: the phases that one committed transaction goes through
_APPLYING: Final = (_P.DETECTING, _P.INITIATING, _P.PROPAGATING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A failure as it is reported: what failed, in which attempt, and why."""

    reason: FailureReason
    epoch: int
    detail: str = ""


def is_holding(signal: Signal, own: TaskState) -> bool:
    """Whether a failure is still one: of the task's current attempt, which has not ended (invariant 12)."""
    ended = (Standing.CONFIRMED, Standing.DEAD)
    return signal.epoch == own.epoch and STANDINGS[own.status] not in ended


def merge_signal(known: Rollback | None, signal: Signal) -> Rollback | None:
    """The rollback this signal is about already; None where it is the first word of this attempt.

    The first reason is kept: of two signals about one attempt the second changes nothing.
    """
    if known is None or known.epoch < signal.epoch:
        return None
    return known


def apply_plan(rollback: Rollback, plan: CascadePlan) -> tuple[Rollback, ...]:
    """The phases the applying transaction goes through, for its events; the last is what is stored.

    A signal that does not hold has an empty plan and is dismissed. Nothing is returned for a rollback
    that has been applied: the plan must not be written again.
    """
    if STEPS[rollback.phase] is not Step.APPLY:
        return ()
    if not plan.changes and rollback.phase is _P.DETECTING:
        return _walk(rollback, (_P.DISMISSED,))
    remaining = _APPLYING[_APPLYING.index(rollback.phase) + 1 :]
    return _walk(replace(rollback, size=len(plan.changes)), (*remaining, _P.CLEANING))


def finish_step(rollback: Rollback, step: Step) -> Rollback:
    """The rollback after a step was done. A step that is not the one due was done before: no change."""
    if step not in (Step.CLEAN, Step.LOG) or STEPS[rollback.phase] is not step:
        return rollback
    return _walk(rollback, (_P.LOGGING if step is Step.CLEAN else _P.COMPLETE,))[-1]


def _walk(rollback: Rollback, phases: Sequence[RollbackPhase]) -> tuple[Rollback, ...]:
    walked: list[Rollback] = []
    for phase in phases:
        name = f"rollback {rollback.id.hex}"
        target = ROLLBACK_TABLE.move(id=name, current=rollback.phase, target=phase)
        rollback = replace(rollback, phase=target)
        walked.append(rollback)
    return tuple(walked)
