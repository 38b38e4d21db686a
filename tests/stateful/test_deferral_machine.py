"""Random lives of many proofs of one task graph: attempts that fail, ancestors that fail, restarts, time.

Invariants: 13 (only listed moves, endings absorb), 15 (submitted only after all ancestors), 18 (whatever
has not ended has a wake-up), and that limits hold, nothing is dropped, starts are never moved, and a proof
is lost only with a reason.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.proofs.domain import deferral
from apps.proofs.domain.deferral import PROOF_TABLE, DeferralLimits, DeferredProof, EffectKind, ProofStatus
from apps.proofs.domain.deferral_plan import check, plan

LIMITS = DeferralLimits(generations=2, submissions=1, submission_size=2, ancestors_seconds=120)
START = datetime(2026, 1, 1, tzinfo=UTC)
TASKS = 10
S = ProofStatus
FIXED = ("generation_started_at", "generated_at", "queued_at", "ancestors")


class DeferralMachine(RuleBasedStateMachine):
    """A prover, a chain and the rows between them; every message between them may come late or never."""

    def __init__(self):
        super().__init__()
        self.now = START
        self.proofs: dict[str, DeferredProof] = {}
        self.confirmed: set[str] = set()
        self.failed: set[str] = set()
        self.reported: set[str] = set()
        self.running: set[str] = set()

    def write(self, change):
        """What a service does: store, then carry out the effects."""
        proof = change.proof
        before = self.proofs.get(proof.id)
        if before is not None and before.status is not proof.status:
            path_is_legal = PROOF_TABLE.is_legal(before.status, proof.status)
            assert path_is_legal or (before.status, proof.status) in self.two_steps
        if before is not None:
            for name in FIXED:
                assert getattr(before, name) in (None, getattr(proof, name)), name
            if not before.is_signed:
                assert before.submission_started_at in (None, proof.submission_started_at)
        self.proofs[proof.id] = proof
        for effect in change.effects:
            self.carry_out(effect)

    #: what one pass may do in two moves
    two_steps = frozenset(
        {
            (S.QUEUED, S.AWAITING_ANCESTORS),
            (S.QUEUED, S.SUBMITTING),
            (S.AWAITING_ANCESTORS, S.SUBMITTING),
        }
    )

    def carry_out(self, effect):
        match effect.kind:
            case EffectKind.GENERATE:
                assert effect.proof not in self.running
                self.running.add(effect.proof)
            case EffectKind.KILL:
                self.running.discard(effect.proof)
            case EffectKind.REPORT:
                assert effect.reason
                self.reported.add(effect.proof)
                self.failed.add(self.proofs[effect.proof].task)
            case EffectKind.SUBMIT:
                assert self.proofs[effect.proof].ancestors <= self.confirmed
            case EffectKind.SHARE:
                assert self.proofs[effect.source].generated_at is not None
                assert self.proofs[effect.source].input_hash == self.proofs[effect.proof].input_hash

    def having(self, status):
        return sorted(proof.id for proof in self.proofs.values() if proof.status is status)

    @precondition(lambda self: len(self.proofs) < TASKS)
    @rule(parents=st.sets(st.integers(0, TASKS - 1), max_size=3), twin=st.booleans())
    def attest(self, parents, twin):
        """A task is attested and its proof wanted; sometimes for an input that was seen before."""
        number = len(self.proofs)
        chosen = [self.proofs[f"p{at}"] for at in sorted(parents) if at < number]
        ancestors = frozenset().union(*({proof.task} | proof.ancestors for proof in chosen))
        self.proofs[f"p{number}"] = DeferredProof(
            id=f"p{number}",
            task=f"t{number}",
            input_hash=f"h{number - 1 if twin and number else number}",
            depth=max((proof.depth + 1 for proof in chosen), default=0),
            ancestors=ancestors,
            queued_at=self.now,
        )

    @rule()
    def sweep(self):
        """One pass over everything."""
        found = plan(
            list(self.proofs.values()),
            self.now,
            LIMITS,
            confirmed=frozenset(self.confirmed),
            failed=frozenset(self.failed),
        )
        for proof in found.changed:
            self.write(deferral.Change(proof=proof))
        for effect in found.effects:
            self.carry_out(effect)
        check(self.proofs.values(), LIMITS, confirmed=self.confirmed)
        assert self.running <= set(self.having(S.GENERATING))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def prover_answers(self, data):
        proof = self.proofs[data.draw(st.sampled_from(sorted(self.running)))]
        self.running.discard(proof.id)
        if data.draw(st.booleans()):
            self.write(deferral.finish_generation(proof, self.now))
        else:
            self.fail_generation(proof, data.draw(st.booleans()), data.draw(st.floats(0, 0.99)))

    @precondition(lambda self: self.running)
    @rule()
    def prover_restarts(self):
        """Its processes are gone; the rows that say otherwise are found by their missing process."""
        lost, self.running = sorted(self.running), set()
        for name in lost:
            self.fail_generation(self.proofs[name], True, 0.5)

    def fail_generation(self, proof, is_curable, jitter):
        self.write(
            deferral.fail_generation(
                proof, self.now, LIMITS, reason="prover_lost", jitter=jitter, is_curable=is_curable
            )
        )

    @precondition(lambda self: self.having(S.SUBMITTING))
    @rule(data=st.data(), outcome=st.sampled_from(["signed", "confirmed", "lost", "rejected"]))
    def chain_answers(self, data, outcome):
        proof = self.proofs[data.draw(st.sampled_from(self.having(S.SUBMITTING)))]
        if outcome == "signed":
            self.write(deferral.mark_signed(proof))
        elif outcome == "confirmed":
            self.write(deferral.confirm(proof))
            self.confirmed.add(proof.task)
        else:
            self.write(
                deferral.fail_submission(
                    proof,
                    self.now,
                    LIMITS,
                    reason="proof_rejected" if outcome == "rejected" else "node_away",
                    jitter=0.5,
                    is_curable=outcome == "lost",
                )
            )

    @precondition(lambda self: any(not proof.is_ended for proof in self.proofs.values()))
    @rule(data=st.data())
    def task_fails(self, data):
        """For a reason of its own, also because the chain refused it; a confirmed one does not fail."""
        names = sorted(proof.id for proof in self.proofs.values() if proof.status is not S.CONFIRMED)
        if names:
            proof = self.proofs[data.draw(st.sampled_from(names))]
            self.failed.add(proof.task)
            change = deferral.abandon(proof, reason="task_failed")
            if change.proof.status is S.FAILED:
                self.reported.add(proof.id)
            self.write(change)

    @rule(seconds=st.integers(1, 45))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @invariant()
    def only_the_confirmed_is_confirmed(self):
        assert {proof.task for proof in self.proofs.values() if proof.status is S.CONFIRMED} == self.confirmed
        for proof in self.proofs.values():
            if proof.status in (S.SUBMITTING, S.CONFIRMED):
                assert proof.ancestors <= self.confirmed

    @invariant()
    def whatever_ended_badly_says_why(self):
        for proof in self.proofs.values():
            if proof.status in (S.FAILED, S.TIMED_OUT):
                assert proof.reason
                assert proof.id in self.reported
            if proof.status is S.CANCELLED:
                assert proof.reason

    @invariant()
    def whatever_lives_wakes_up(self):
        for proof in self.proofs.values():
            wake_at = deferral.compute_wake_at(proof, LIMITS)
            assert (wake_at is None) == proof.is_ended

    def teardown(self):
        """Left alone, with everything answered well, every proof comes to an end: none is stuck."""
        for _ in range(12 * TASKS):
            self.sweep()
            for name in self.having(S.GENERATING):
                self.running.discard(name)
                self.write(deferral.finish_generation(self.proofs[name], self.now))
            for name in self.having(S.SUBMITTING):
                self.write(deferral.confirm(self.proofs[name]))
                self.confirmed.add(self.proofs[name].task)
            self.now += timedelta(seconds=15)
        assert all(proof.is_ended for proof in self.proofs.values())


DeferralMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDeferral = DeferralMachine.TestCase
