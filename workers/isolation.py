"""One bad row never blocks its batch: after a failed pass each due row is taken alone.

A row that fails alone is logged, counted and looked at again later, a task later and later; the others
go on.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, models

from apps.attestation.models import Round
from apps.execution.models import Assignment
from apps.kernel.errors import DomainError
from apps.kernel.outcome import Outcome
from apps.tasks.models import Failure, Task
from apps.tasks.services import task_set_aside
from project.metrics import STAGE_ROWS_SET_ASIDE

_log = structlog.get_logger("forekeep.stages")
_PAUSE_SECONDS: Final = 10
#: the row each stage takes, and its column that says when the stage takes it; a job, a batch and a
#: transaction have none to move: they are tried again by each sweep
_WAKES: Final[Mapping[str, tuple[type[models.Model], str]]] = {
    "admit": (Task, "wake_at"),
    "assign": (Task, "wake_at"),
    "attest": (Task, "wake_at"),
    "prove": (Task, "wake_at"),
    "submit": (Task, "wake_at"),
    "rollback": (Failure, "wake_at"),
    "tally": (Round, "wake_at"),
    "rounds": (Round, "resend_at"),
    "leases": (Assignment, "resend_at"),
}
#: worth another try as they are: the next sweep makes it
PASSING: Final = (OperationalError, InterfaceError)


def run_isolated(
    stage: str,
    service: Callable[..., Outcome],
    due: Callable[[datetime, int], Sequence[Any]],
    *,
    now: datetime,
    limit: int,
) -> Outcome:
    """One pass; should it fail, the same rows one by one. Never raises for a row's fault."""
    try:
        return service(now=now, limit=limit)
    except PASSING as exc:
        _log.warning("stage pass gave way", stage=stage, error=str(exc))
        close_old_connections()
        return Outcome()
    except Exception:
        _log.exception("stage pass failed; taking its rows one by one", stage=stage)

    outcome = Outcome()
    for row_id in due(now, limit):
        try:
            one = service(now=now, limit=1, ids=[row_id])
        except PASSING as exc:
            _log.warning("stage pass gave way", stage=stage, error=str(exc))
            close_old_connections()
            break
        except Exception as exc:
            _log.exception("row set aside", stage=stage, row=str(row_id))
            STAGE_ROWS_SET_ASIDE.labels(stage=stage).inc()
            _set_aside(stage, row_id, now, exc)
        else:
            outcome += one
    return outcome


def _set_aside(stage: str, row_id: Any, now: datetime, error: Exception) -> None:
    if stage not in _WAKES:
        return
    model, column = _WAKES[stage]
    reason = error.code if isinstance(error, DomainError) else type(error).__name__
    try:
        if model is Task:
            task_set_aside(task_id=row_id, stage=stage, reason=reason, now=now)
            return
    except Exception:
        _log.exception("row cannot even be told of", stage=stage, row=str(row_id))
    later = now + timedelta(seconds=_PAUSE_SECONDS)
    model._default_manager.filter(pk=row_id).update(**{column: later})
