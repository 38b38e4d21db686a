"""The pipeline on one page: each stage, what it takes, and who has work after it.

    schedule → fire → admit → assign → keepers → (record) → attest → attesters → (ballots) → tally
         → prove → provers → submit → broadcast → confirm → admit, submit …
    a failure seen anywhere → rollback → admit (another attempt)
    a run that has ended → follow → fire (the job it is linked to)

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
from apps.execution.admission import tasks_admit
from apps.execution.services import leases_sweep, tasks_assign
from apps.kernel.outcome import Outcome, Revocation
from apps.proofs.services import proofs_plan
from apps.rollback.services import rollbacks_apply, rollbacks_cleaned, rollbacks_log
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.tasks.following import runs_follow
from apps.tasks.services import runs_fire, runs_schedule
from project.celery import app
from project.health import sweep_record
from project.metrics import (
    ABORT_SECONDS,
    CASCADE_SIZE,
    COMPUTE_WASTED,
    DEAD_LETTERS,
    ROLLBACKS,
    STAGE_PASSES,
    STAGE_ROWS,
    STAKE_RELEASED,
    STAKE_SLASHED,
    figures_count,
)
from workers.canvas import dispatch, revoke, send
from workers.due import DUE
from workers.isolation import run_isolated
from workers.pokes import announce, poke, poke_received
from workers.proving import proofs_kill


class StageService(Protocol):
    """One pass of a stage over at most `limit` due rows, or over the given ones."""

    def __call__(self, *, now: datetime, limit: int, ids: Sequence[Any] | None = None) -> Outcome:
        """Take, decide, write; return what to send and whom to poke."""


STAGES: Final[Mapping[str, StageService]] = {
    "schedule": runs_schedule,
    "fire": runs_fire,
    "admit": tasks_admit,
    "assign": tasks_assign,
    "attest": rounds_open,
    "tally": rounds_decide,
    "prove": proofs_plan,
    "submit": batches_submit,
    "broadcast": batches_broadcast,
    "confirm": batches_confirm,
    "rollback": rollbacks_apply,
    "follow": runs_follow,
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
        figures_count(outcome.figures)
        send(outcome.messages)
        dispatch(outcome.dispatches)
        stop(outcome.revocations)
        if stage == "rollback":
            count_rollbacks()
        poke(outcome.pokes)
        if outcome.taken:
            announce()
        STAGE_PASSES.labels(stage=stage).inc()
        STAGE_ROWS.labels(stage=stage).inc(outcome.taken)
        if outcome.taken < limit:
            return
    poke([stage])


def stop(revocations: Sequence[Revocation]) -> None:
    """Stop what cascades ended and the proofs nobody wants any more; keep how long the keepers took."""
    if not revocations:
        return
    proofs_kill([handle for revocation in revocations for handle in revocation.proofs])
    took: dict[str, list[float]] = {one.rollback: [] for one in revocations if one.rollback}
    for reply in revoke(revocations):
        if reply.milliseconds is not None and reply.killed:
            took[reply.rollback].append(reply.milliseconds)
    rollbacks_cleaned(latencies=took, now=get_database_now())


def count_rollbacks() -> None:
    """Complete the rollbacks that are cleaned up, and count each once."""
    for told in rollbacks_log(now=get_database_now(), limit=settings.FOREKEEP.stages.batch_rows):
        ROLLBACKS.labels(reason=told.reason).inc()
        CASCADE_SIZE.observe(told.size)
        STAKE_SLASHED.inc(told.slashed_units)
        STAKE_RELEASED.inc(told.released_units)
        COMPUTE_WASTED.inc(told.wasted_units)
        DEAD_LETTERS.inc(told.is_lettered)
        for milliseconds in told.abort_latencies_ms:
            ABORT_SECONDS.observe(milliseconds / 1_000)


@app.task(name="workers.stages.sweep", soft_time_limit=20, time_limit=30)
def sweep() -> None:
    """Poke every stage that has a due row."""
    now = get_database_now()
    sweep_record()
    poke(stage for stage, due in DUE.items() if due(now, 1))
