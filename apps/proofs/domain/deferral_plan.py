"""One pass over many deferred proofs: who ends, who waits, who is made, who is submitted.

The order matters: failed ancestors first, then patience, then results that are there already, then the
ancestors, then free slots. Slots go to those with the fewest unconfirmed ancestors, so that what everybody
waits for comes first, then to the oldest. Nothing is submitted before all its ancestors are confirmed
(invariant 15), and the same input is not proved twice at the same time.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.proofs.domain.deferral import (
    ANCESTOR_FAILED,
    Change,
    DeferralLimits,
    DeferredProof,
    Effect,
    ProofStatus,
    cancel,
    compute_wake_at,
    defer,
    expire,
    release,
    share_result,
    start_generation,
    start_submission,
)

_S = ProofStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The proofs that changed, as they are now, and everything to be done after commit, in order."""

    changed: tuple[DeferredProof, ...]
    effects: tuple[Effect, ...]


def plan(
    proofs: Collection[DeferredProof],
    now: datetime,
    limits: DeferralLimits,
    *,
    confirmed: Set[str],
    failed: Set[str],
) -> Plan:
    """What to do now. `proofs` are all that have not ended and those whose result is still kept;
    `confirmed` and `failed` are tasks (failed, rolled back, aborted or cancelled)."""
    state = _State({proof.id: proof for proof in proofs})

    for proof in state.live():
        if proof.status is not _S.SUBMITTING and not failed.isdisjoint(proof.ancestors):
            state.apply(cancel(proof, reason=ANCESTOR_FAILED))
    for proof in state.live():
        if (change := expire(proof, now, limits)) is not None:
            state.apply(change)
    _share(state, now, limits)
    for proof in state.having(_S.GENERATED):
        if not proof.ancestors <= confirmed:
            state.apply(defer(proof))
    for proof in state.having(_S.AWAITING_ANCESTORS):
        if proof.ancestors <= confirmed:
            state.apply(release(proof))
    _generate(state, now, limits, confirmed)
    _submit(state, now, limits)

    return state.finish()


def check(proofs: Collection[DeferredProof], limits: DeferralLimits, *, confirmed: Set[str]) -> None:
    """Assert what must always hold after a pass; AssertionError names the proof.

    15: whoever is on the way to the chain, or there, has only confirmed ancestors. 18: whatever has not
    ended has a wake-up. And the limits, and that no input is proved twice at once.
    """
    by_status: Mapping[ProofStatus, list[DeferredProof]] = _group(proofs)
    making, sending = by_status[_S.GENERATING], by_status[_S.SUBMITTING]
    assert len(making) <= limits.generations, "more generations than allowed"
    assert len({proof.submission for proof in sending}) <= limits.submissions, "more submissions than allowed"
    assert len({proof.input_hash for proof in making}) == len(making), "an input is proved twice at once"
    for proof in (*sending, *by_status[_S.CONFIRMED]):
        assert proof.ancestors <= confirmed, f"15: {proof.id} before its ancestors"
    for proof in proofs:
        assert proof.is_ended == (compute_wake_at(proof, limits) is None), f"18: {proof.id} without a wake-up"


class _State:
    """The proofs during a pass; `having` and `live` give what they were when asked."""

    def __init__(self, proofs: dict[str, DeferredProof]) -> None:
        self._proofs = proofs
        self._changed: dict[str, DeferredProof] = {}
        self._effects: list[Effect] = []

    def all(self) -> list[DeferredProof]:
        return list(self._proofs.values())

    def live(self) -> list[DeferredProof]:
        return [proof for proof in self._proofs.values() if not proof.is_ended]

    def having(self, status: ProofStatus) -> list[DeferredProof]:
        return [proof for proof in self._proofs.values() if proof.status is status]

    def apply(self, change: Change) -> None:
        self._proofs[change.proof.id] = self._changed[change.proof.id] = change.proof
        self._effects += change.effects

    def finish(self) -> Plan:
        return Plan(changed=tuple(self._changed.values()), effects=tuple(self._effects))


def _share(state: _State, now: datetime, limits: DeferralLimits) -> None:
    """Give a queued proof the result there is for its input, if any; a failed proof's is none."""
    oldest = now - timedelta(seconds=limits.result_kept_seconds)
    results: dict[str, list[DeferredProof]] = defaultdict(list)
    for proof in state.all():
        if proof.generated_at is not None and proof.generated_at > oldest and proof.status is not _S.FAILED:
            results[proof.input_hash].append(proof)
    for proof in state.having(_S.QUEUED):
        source = next((other for other in results[proof.input_hash] if _is_near(proof, other, limits)), None)
        if source is not None:
            state.apply(share_result(proof, source, now))


def count_open(proof: DeferredProof, confirmed: Set[str]) -> int:
    """How many of its ancestors are not confirmed: as they are, it moves forward past what came later."""
    return len(proof.ancestors - confirmed)


def _generate(state: _State, now: datetime, limits: DeferralLimits, confirmed: Set[str]) -> None:
    free = limits.generations - len(state.having(_S.GENERATING))
    taken = {proof.input_hash for proof in state.having(_S.GENERATING)}
    waiting = sorted(
        state.having(_S.QUEUED),
        key=lambda proof: (count_open(proof, confirmed), proof.queued_at, proof.id),
    )
    for proof in waiting:
        if free <= 0:
            return
        if proof.input_hash not in taken and proof.is_due(now):
            state.apply(start_generation(proof, now))
            taken.add(proof.input_hash)
            free -= 1


def _submit(state: _State, now: datetime, limits: DeferralLimits) -> None:
    """Fill each free submission with proofs that are ready; all of them have only confirmed ancestors."""
    free = limits.submissions - len({proof.submission for proof in state.having(_S.SUBMITTING)})
    ready = sorted(
        (proof for proof in state.having(_S.GENERATED) if proof.is_due(now)),
        key=lambda proof: (proof.depth, proof.generated_at or now, proof.id),
    )
    for slot in range(max(free, 0)):
        batch = ready[slot * limits.submission_size : (slot + 1) * limits.submission_size]
        for proof in batch:
            name = f"{batch[0].id}/{batch[0].submission_attempts + 1}"
            state.apply(start_submission(proof, name, now))


def _is_near(proof: DeferredProof, other: DeferredProof, limits: DeferralLimits) -> bool:
    """Whether they were asked for within the window in which the same input is proved once."""
    window = timedelta(seconds=limits.duplicate_seconds)
    return proof.id != other.id and abs(proof.queued_at - other.queued_at) <= window


def _group(proofs: Iterable[DeferredProof]) -> Mapping[ProofStatus, list[DeferredProof]]:
    grouped: dict[ProofStatus, list[DeferredProof]] = defaultdict(list)
    for proof in proofs:
        grouped[proof.status].append(proof)
    return grouped
