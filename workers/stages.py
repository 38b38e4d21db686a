"""The pipeline on one page: each stage, what it takes, and who has work after it.

    fire → admit → assign → keepers → (record) → attest → attesters → (ballots) → tally
         → submit → broadcast → confirm → admit …

A stage is a function over the set of rows that are in its state and due: it writes them in one
transaction and says what to send and whom to poke. `record` and `ballots` are `workers/intake.py`,
because keepers' answers come in their messages. Beat starts `sweep` each second; it pokes whatever
has due rows, which is what makes a lost message harmless.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from django.conf import settings

from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.selectors import get_database_now
from apps.execution.services import leases_sweep, tasks_assign
from apps.kernel.outcome import Outcome
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.tasks.services import runs_fire, tasks_admit
from project.celery import app
from project.health import sweep_record
from project.metrics import STAGE_PASSES, STAGE_ROWS
from workers.canvas import send
from workers.due import DUE
from workers.isolation import run_isolated
from workers.pokes import announce, poke, poke_received


class StageService(Protocol):
    """One pass of a stage over at most `limit` due rows, or over the given ones."""

    def __call__(self, *, now: datetime, limit: int, ids: Sequence[Any] | None = None) -> Outcome:
        """Take, decide, write; return what to send and whom to poke."""


STAGES: Final[Mapping[str, StageService]] = {
    "fire": runs_fire,
    "admit": tasks_admit,
    "assign": tasks_assign,
    "attest": rounds_open,
    "tally": rounds_decide,
    "submit": batches_submit,
    "broadcast": batches_broadcast,
    "confirm": batches_confirm,
    "leases": leases_sweep,
    "rounds": rounds_resend,
}
#: passes of one poke; what is left is the next poke's
_PASSES: Final = 20


@app.task(name="workers.stages.run", soft_time_limit=60, time_limit=90)
def run(*, stage: str) -> None:
    """Run one stage until nothing is due: pass after pass, each its own transaction."""
    poke_received(stage)
    limit = settings.FOREKEEP.stages.batch_rows
    for _ in range(_PASSES):
        outcome = run_isolated(stage, STAGES[stage], DUE[stage], now=get_database_now(), limit=limit)
        send(outcome.messages)
        poke(outcome.pokes)
        if outcome.taken:
            announce()
        STAGE_PASSES.labels(stage=stage).inc()
        STAGE_ROWS.labels(stage=stage).inc(outcome.taken)
        if outcome.taken < limit:
            return
    poke([stage])


@app.task(name="workers.stages.sweep", soft_time_limit=20, time_limit=30)
def sweep() -> None:
    """Poke every stage that has a due row."""
    now = get_database_now()
    sweep_record()
    poke(stage for stage, due in DUE.items() if due(now, 1))
