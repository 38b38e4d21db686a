"""The worker that has proofs made: asks the prover beside it and waits, one thread per proof.

It runs on a pool of threads, so a task has no time limit of its own: the prover kills what is late, and the
client gives up soon after. Cancelling is a remote-control command, because it must reach a worker whose
threads all wait. An attempt that this process is at already is not asked for twice.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import structlog
from celery.worker.control import control_command
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import RedisError

from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError
from apps.kernel.outcome import Outcome
from apps.proofs.data import ProofRequest, ProofResult
from apps.proofs.errors import ProofFailed, ProverUnavailable
from apps.proofs.ports import Prover
from apps.proofs.selectors import ProofWork, get_proof_work
from apps.proofs.services import GENERATE, proof_generated, proof_generation_failed
from project.celery import app
from project.metrics import figures_count
from workers.pokes import announce, poke
from workers.prover.client import ProverClient

CANCEL: Final = "proving.cancel"
#: the workers with a prover beside them, by their names (Procfile)
_WORKERS: Final = "prove@*"
_log = structlog.get_logger("forekeep.proving")
_lock = threading.Lock()
_under_way: set[str] = set()


def open_prover() -> Prover:
    """The prover of this machine."""
    return ProverClient(settings.FOREKEEP.proofs.socket)


@app.task(name=GENERATE)
def generate(*, proof: str, attempt: int) -> None:
    """Have one attempt at a proof made and record what came of it; safe to run twice."""
    handle = f"{proof}/{attempt}"
    with _alone(handle) as is_alone:
        if is_alone:
            outcome = _generate(UUID(hex=proof), attempt, handle)
            figures_count(outcome.figures)
            poke(outcome.pokes)
            if outcome.taken:
                announce()


@control_command(name=CANCEL, args=[("handles", list)], signature="<handles>")
def cancel(state: Any, handles: Sequence[str], **_: Any) -> dict[str, int]:
    """Kill the proofs of these handles; how many there were."""
    del state
    prover = open_prover()
    try:
        return {"cancelled": sum(prover.cancel(str(handle)) for handle in handles)}
    except ProverUnavailable as exc:
        _log.warning("proofs not cancelled", count=len(handles), error=str(exc))
        return {"cancelled": 0}


def proofs_kill(handles: Sequence[str]) -> None:
    """Tell every worker with a prover to kill these proofs; a message that is lost costs only their CPU."""
    if not handles:
        return
    try:
        app.control.broadcast(
            CANCEL,
            arguments={"handles": list(handles)},
            pattern=_WORKERS,
            matcher="glob",  # type: ignore[arg-type]
        )
    except (OperationalError, RedisError, OSError) as exc:
        _log.warning("proofs not killed", count=len(handles), error=str(exc))


def _generate(proof_id: UUID, attempt: int, handle: str) -> Outcome:
    try:
        work = get_proof_work(proof_id, attempt)
        if work is None:
            return Outcome()
        result = _prove(_request(handle, work))
    except DomainError as exc:
        _log.info("proof not made", proof=handle, code=exc.code, reason=str(exc))
        return proof_generation_failed(proof_id=proof_id, attempt=attempt, error=exc, now=get_database_now())
    return proof_generated(proof_id=proof_id, attempt=attempt, result=result, now=get_database_now())


def _request(handle: str, work: ProofWork) -> ProofRequest:
    """What is left of its patience is its time; the delay is the deployment's, and told in the result."""
    left = (work.deadline - get_database_now()).total_seconds()
    return ProofRequest(
        handle=handle,
        witness=work.witness,
        timeout_seconds=max(left, 0.0),
        delay_seconds=settings.FOREKEEP.proofs.delay_seconds,
    )


def _prove(request: ProofRequest) -> ProofResult:
    """The proof; whatever else goes wrong is a failure of this attempt. Raises what Prover.prove does."""
    try:
        return open_prover().prove(request)
    except DomainError:
        raise
    except Exception as exc:
        _log.exception("proof not made", proof=request.handle)
        raise ProofFailed(reason=f"{type(exc).__name__}: {exc}"[:200]) from None


@contextmanager
def _alone(handle: str) -> Iterator[bool]:
    """Whether no other thread of this process is at this attempt; it is held until the end."""
    with _lock:
        is_alone = handle not in _under_way
        _under_way.add(handle)
    try:
        yield is_alone
    finally:
        if is_alone:
            with _lock:
                _under_way.discard(handle)
