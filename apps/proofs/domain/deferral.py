"""The life of one proof: made as soon as its task is attested, submitted only after all its ancestors.

A proof is generated whatever its ancestors do and then waits for them. Each of the three waits has a
patience, counted from when that wait first began, also after retries and restarts: 60 s to generate, 300 s
for the ancestors, 30 s until its submission is signed, after which only the chain decides. Waiting for a
free slot has none: at a limit work queues and is never dropped. What happens to many proofs at once is
`deferral_plan`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from apps.kernel.transitions import IllegalTransition, TransitionTable


class ProofStatus(StrEnum):
    """Where a proof stands."""

    #: waits for a free process, or for its next attempt
    QUEUED = "queued"
    #: a process makes it
    GENERATING = "generating"
    #: it is there and nothing but a free submission holds it back
    GENERATED = "generated"
    #: it is there and some ancestor is not confirmed yet
    AWAITING_ANCESTORS = "awaiting_ancestors"
    #: on its way to the chain
    SUBMITTING = "submitting"
    #: the chain took it
    CONFIRMED = "confirmed"
    #: it could not be made or was not accepted
    FAILED = "failed"
    #: one of the three patiences is over
    TIMED_OUT = "timed_out"
    #: an ancestor failed, or somebody cancelled it
    CANCELLED = "cancelled"


_S = ProofStatus

#: A proof whose submission is signed cannot be cancelled: only the chain says what becomes of it.
PROOF_TABLE: Final = TransitionTable(
    name="proof",
    moves={
        _S.QUEUED: frozenset({_S.GENERATING, _S.GENERATED, _S.TIMED_OUT, _S.CANCELLED}),
        _S.GENERATING: frozenset({_S.GENERATED, _S.QUEUED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED}),
        _S.GENERATED: frozenset({_S.AWAITING_ANCESTORS, _S.SUBMITTING, _S.TIMED_OUT, _S.CANCELLED}),
        _S.AWAITING_ANCESTORS: frozenset({_S.GENERATED, _S.TIMED_OUT, _S.CANCELLED}),
        _S.SUBMITTING: frozenset({_S.CONFIRMED, _S.GENERATED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED}),
    },
)

GENERATION_TIMEOUT: Final = "proof_generation_timeout"
ANCESTORS_TIMEOUT: Final = "ancestors_timeout"
SUBMISSION_TIMEOUT: Final = "proof_submission_timeout"
ANCESTOR_FAILED: Final = "ancestor_failed"


class EffectKind(StrEnum):
    """What is to be done after commit; every one of them may be done twice."""

    #: make the proof
    GENERATE = "generate"
    #: kill the process that makes it
    KILL = "kill"
    #: take the proof of `source`, which is for the same input
    SHARE = "share"
    #: send it to the chain, together with those of the same `submission`
    SUBMIT = "submit"
    #: its task has failed: the rollback stage takes it from here
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One of them, for one proof."""

    kind: EffectKind
    proof: str
    reason: str = ""
    source: str = ""
    submission: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferralLimits:
    """How much at once, how long, how often."""

    generations: int = 4
    submissions: int = 2
    submission_size: int = 64
    generation_seconds: int = 60
    submission_seconds: int = 30
    ancestors_seconds: int = 300
    retries: int = 3
    retry_base_seconds: float = 1.0
    retry_max_seconds: float = 30.0
    duplicate_seconds: int = 600
    result_kept_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredProof:
    """One proof of one attempt of a task.

    `ancestors` are the tasks that must be confirmed before; `retry_at` is when the next attempt of the
    present phase may start. The three `…_at` of the phases are set once and never again, but for a
    submission the chain sent back: the next one is another wait. `is_signed` says that the submission's
    transaction is signed, after which it no longer times out.
    """

    id: str
    task: str
    input_hash: str
    depth: int
    ancestors: frozenset[str]
    queued_at: datetime
    status: ProofStatus = ProofStatus.QUEUED
    retry_at: datetime | None = None
    generation_started_at: datetime | None = None
    generated_at: datetime | None = None
    submission_started_at: datetime | None = None
    generation_attempts: int = 0
    submission_attempts: int = 0
    submission: str = ""
    is_signed: bool = False
    reason: str = ""

    @property
    def is_ended(self) -> bool:
        """Whether nothing moves it any more."""
        return PROOF_TABLE.is_ending(self.status)

    def is_due(self, now: datetime) -> bool:
        """Whether its next attempt may start."""
        return self.retry_at is None or self.retry_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proof as it is now, and what is to be done about it."""

    proof: DeferredProof
    effects: tuple[Effect, ...] = ()


def compute_retry_delay(attempt: int, limits: DeferralLimits, jitter: float) -> timedelta:
    """Full jitter: a share, in [0, 1), of min(base · 2^(attempt - 1), max) seconds."""
    ceiling = min(limits.retry_base_seconds * 2 ** (attempt - 1), limits.retry_max_seconds)
    return timedelta(seconds=jitter * ceiling)


def compute_deadline(proof: DeferredProof, limits: DeferralLimits) -> datetime | None:
    """When the patience of its present wait is over; None where it waits for a slot or has ended."""
    match proof.status:
        case _S.QUEUED | _S.GENERATING:
            return _after(proof.generation_started_at, limits.generation_seconds)
        case _S.AWAITING_ANCESTORS:
            return _after(proof.generated_at, limits.ancestors_seconds)
        case _S.GENERATED | _S.SUBMITTING if not proof.is_signed:
            return _after(proof.submission_started_at, limits.submission_seconds)
    return None


def compute_wake_at(proof: DeferredProof, limits: DeferralLimits) -> datetime | None:
    """When a pass must look at it again at the latest; None once it has ended.

    A proof that waits for a slot is due at once, and so in every pass.
    """
    if proof.is_ended:
        return None
    deadline = compute_deadline(proof, limits)
    if proof.status in (_S.GENERATING, _S.AWAITING_ANCESTORS) and deadline is not None:
        return deadline
    if proof.status is _S.SUBMITTING:
        return deadline or _after(proof.submission_started_at, limits.submission_seconds)
    due_at = proof.retry_at or proof.generated_at or proof.queued_at
    return due_at if deadline is None else min(due_at, deadline)


def start_generation(proof: DeferredProof, now: datetime) -> Change:
    """A process is free for it."""
    started = _move(
        proof,
        _S.GENERATING,
        generation_started_at=proof.generation_started_at or now,
        generation_attempts=proof.generation_attempts + 1,
        retry_at=None,
    )
    return Change(proof=started, effects=(Effect(kind=EffectKind.GENERATE, proof=proof.id),))


def finish_generation(proof: DeferredProof, now: datetime) -> Change:
    """The proof was made and verified."""
    return Change(proof=_move(proof, _S.GENERATED, generated_at=now, retry_at=None, reason=""))


def share_result(proof: DeferredProof, source: DeferredProof, now: datetime) -> Change:
    """Another proof for the same input is there: this one has the same result."""
    effect = Effect(kind=EffectKind.SHARE, proof=proof.id, source=source.id)
    made = _move(proof, _S.GENERATED, generated_at=now, retry_at=None, reason="")
    return Change(proof=made, effects=(effect,))


def fail_generation(
    proof: DeferredProof,
    now: datetime,
    limits: DeferralLimits,
    *,
    reason: str,
    jitter: float,
    is_curable: bool = True,
) -> Change:
    """An attempt went wrong, or its process is gone: again after a while, or the end.

    The patience goes on counting from the first attempt.
    """
    if is_curable and proof.generation_attempts <= limits.retries:
        retry_at = now + compute_retry_delay(proof.generation_attempts, limits, jitter)
        return Change(proof=_move(proof, _S.QUEUED, retry_at=retry_at, reason=reason))
    return _end(proof, _S.FAILED, reason)


def defer(proof: DeferredProof) -> Change:
    """Some ancestor is not confirmed."""
    return Change(proof=_move(proof, _S.AWAITING_ANCESTORS))


def release(proof: DeferredProof) -> Change:
    """Every ancestor is confirmed."""
    return Change(proof=_move(proof, _S.GENERATED))


def start_submission(proof: DeferredProof, submission: str, now: datetime) -> Change:
    """It goes to the chain with the others of this submission."""
    started = _move(
        proof,
        _S.SUBMITTING,
        submission=submission,
        submission_started_at=proof.submission_started_at or now,
        submission_attempts=proof.submission_attempts + 1,
        retry_at=None,
    )
    effect = Effect(kind=EffectKind.SUBMIT, proof=proof.id, submission=submission)
    return Change(proof=started, effects=(effect,))


def mark_signed(proof: DeferredProof) -> Change:
    """Its transaction is signed; from here on only the chain decides."""
    return Change(proof=replace(proof, is_signed=True) if proof.status is _S.SUBMITTING else proof)


def fail_submission(
    proof: DeferredProof,
    now: datetime,
    limits: DeferralLimits,
    *,
    reason: str,
    jitter: float,
    is_curable: bool = True,
) -> Change:
    """It was not taken: again after a while where that may help, which a rejected proof's end cannot.

    How often the chain may send back what was signed is its sender's to count; the next submission of such
    a one has a patience of its own.
    """
    if not is_curable or (proof.submission_attempts > limits.retries and not proof.is_signed):
        return _end(proof, _S.FAILED, reason)
    again = _move(
        proof,
        _S.GENERATED,
        retry_at=now + compute_retry_delay(proof.submission_attempts, limits, jitter),
        submission="",
        submission_started_at=None if proof.is_signed else proof.submission_started_at,
        is_signed=False,
        reason=reason,
    )
    return Change(proof=again)


def confirm(proof: DeferredProof) -> Change:
    """The chain took it, k blocks deep."""
    return Change(proof=_move(proof, _S.CONFIRMED, submission="", reason=""))


def cancel(proof: DeferredProof, *, reason: str) -> Change:
    """Nobody wants it any more; a no-op for one that has ended, IllegalTransition for one that is signed."""
    if proof.is_ended:
        return Change(proof=proof)
    if proof.is_signed:
        raise IllegalTransition(
            machine=PROOF_TABLE.name, id=proof.id, current=str(proof.status), target=str(_S.CANCELLED)
        )
    kills = _kill(proof)
    ended = _move(proof, _S.CANCELLED, reason=reason, retry_at=None, submission="")
    return Change(proof=ended, effects=kills)


def abandon(proof: DeferredProof, *, reason: str) -> Change:
    """Its attempt is over, whatever it was doing: cancelled, or failed where it was signed (whoever ends
    such an attempt has heard from the chain that it is not taken). Again is a no-op.
    """
    if not proof.is_signed or proof.is_ended:
        return cancel(proof, reason=reason)
    return Change(proof=_move(proof, _S.FAILED, reason=reason, retry_at=None, submission=""))


def expire(proof: DeferredProof, now: datetime, limits: DeferralLimits) -> Change | None:
    """Its patience is over: the end. None where it is not."""
    deadline = compute_deadline(proof, limits)
    if deadline is None or now < deadline:
        return None
    if proof.status in (_S.QUEUED, _S.GENERATING):
        return _end(proof, _S.TIMED_OUT, GENERATION_TIMEOUT)
    if proof.status is _S.AWAITING_ANCESTORS:
        return _end(proof, _S.TIMED_OUT, ANCESTORS_TIMEOUT)
    return _end(proof, _S.TIMED_OUT, SUBMISSION_TIMEOUT)


def _end(proof: DeferredProof, status: ProofStatus, reason: str) -> Change:
    """A failure: whatever makes it is killed, and its task's failure is reported."""
    report = Effect(kind=EffectKind.REPORT, proof=proof.id, reason=reason)
    ended = _move(proof, status, reason=reason, retry_at=None, submission="")
    return Change(proof=ended, effects=(*_kill(proof), report))


def _kill(proof: DeferredProof) -> tuple[Effect, ...]:
    if proof.status is not _S.GENERATING:
        return ()
    return (Effect(kind=EffectKind.KILL, proof=proof.id),)


def _move(proof: DeferredProof, target: ProofStatus, **fields: object) -> DeferredProof:
    status = PROOF_TABLE.move(id=proof.id, current=proof.status, target=target)
    return replace(proof, status=status, **fields)  # type: ignore[arg-type]


def _after(start: datetime | None, seconds: int) -> datetime | None:
    return None if start is None else start + timedelta(seconds=seconds)
