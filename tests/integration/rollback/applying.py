"""One pass of the rollback stage over made-up runs."""

from apps.eventlog.selectors import get_database_now
from apps.kernel.outcome import Outcome
from apps.rollback.services import rollbacks_apply
from apps.tasks.models import Task
from tests.factories.ahead import Ahead


def apply(run: Ahead, **options) -> Outcome:
    """One pass of the stage."""
    outcome = rollbacks_apply(now=get_database_now(), limit=options.pop("limit", 100), **options)
    run.reload()
    return outcome


def exhaust(run: Ahead, step: str) -> None:
    """Leave a step one attempt."""
    Task.objects.filter(pk=run.tasks[step].pk).update(failures=2)
    run.reload()
