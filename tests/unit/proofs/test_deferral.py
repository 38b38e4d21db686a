from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apps.kernel.transitions import IllegalTransition
from apps.proofs.domain import deferral as rule
from apps.proofs.domain.deferral import PROOF_TABLE, DeferralLimits, DeferredProof, EffectKind, ProofStatus
from apps.proofs.domain.deferral_plan import check, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = DeferralLimits()
S = ProofStatus


def make(id="p1", *, status=S.QUEUED, ancestors=(), depth=None, **fields):
    """A proof; the timestamps a status implies are set unless given."""
    values = {"task": f"t-{id}", "input_hash": f"h-{id}", "queued_at": NOW}
    if status not in (S.QUEUED, S.CANCELLED):
        values["generation_started_at"] = NOW
        values["generation_attempts"] = 1
    if status in (S.GENERATED, S.AWAITING_ANCESTORS, S.SUBMITTING, S.CONFIRMED):
        values["generated_at"] = NOW
    if status in (S.SUBMITTING, S.CONFIRMED):
        values |= {"submission_started_at": NOW, "submission_attempts": 1, "submission": f"{id}/1"}
    depth = len(ancestors) if depth is None else depth
    return DeferredProof(
        **{**values, "id": id, "status": status, "ancestors": frozenset(ancestors), "depth": depth, **fields}
    )


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def planned(*proofs, now=NOW, confirmed=(), failed=(), limits=LIMITS):
    """The proofs after a pass, by id, and the effects as (kind, proof)."""
    found = plan(proofs, now, limits, confirmed=set(confirmed), failed=set(failed))
    state = {proof.id: proof for proof in proofs} | {proof.id: proof for proof in found.changed}
    check(state.values(), limits, confirmed=set(confirmed))
    return state, [(effect.kind, effect.proof) for effect in found.effects]


def kinds(change):
    return [effect.kind for effect in change.effects]


def test_there_are_nine_states_and_four_endings():
    assert len(S) == 9
    endings = {status for status in S if PROOF_TABLE.is_ending(status)}
    assert endings == {S.CONFIRMED, S.FAILED, S.TIMED_OUT, S.CANCELLED}


def test_a_proof_is_generated_whatever_its_ancestors_do():
    state, effects = planned(make(ancestors=["a"]))
    assert state["p1"].status is S.GENERATING
    assert effects == [(EffectKind.GENERATE, "p1")]


def test_a_proof_waits_until_every_ancestor_is_confirmed():
    proof = make(status=S.GENERATED, ancestors=["a", "b"])
    waiting, effects = planned(proof, confirmed=["a"])
    assert waiting["p1"].status is S.AWAITING_ANCESTORS
    assert effects == []
    released, effects = planned(waiting["p1"], confirmed=["a", "b"])
    assert released["p1"].status is S.SUBMITTING
    assert effects == [(EffectKind.SUBMIT, "p1")]


def test_a_confirmation_releases_everybody_who_waited_for_it_in_one_pass():
    proofs = [make(f"p{n}", status=S.AWAITING_ANCESTORS, ancestors=["a"]) for n in range(5)]
    state, effects = planned(*proofs, confirmed=["a"])
    assert {proof.status for proof in state.values()} == {S.SUBMITTING}
    assert len({proof.submission for proof in state.values()}) == 1
    assert len(effects) == 5


def test_an_ancestor_in_the_same_submission_is_not_confirmed_and_so_holds_back():
    parent, child = make("p1", status=S.GENERATED), make("p2", status=S.GENERATED, ancestors=["t-p1"])
    state, _ = planned(parent, child)
    assert (state["p1"].status, state["p2"].status) == (S.SUBMITTING, S.AWAITING_ANCESTORS)


def test_at_most_four_are_generated_at_once_and_the_others_queue():
    state, effects = planned(*[make(f"p{n}") for n in range(9)])
    statuses = [proof.status for proof in state.values()]
    assert statuses.count(S.GENERATING) == 4
    assert statuses.count(S.QUEUED) == 5
    assert len(effects) == 4
    again, effects = planned(*state.values(), now=later(1))
    assert again == state
    assert effects == []


def test_at_most_two_submissions_are_under_way_and_the_others_queue():
    limits = DeferralLimits(submission_size=1)
    proofs = [make(f"p{n}", status=S.GENERATED) for n in range(5)]
    state, _ = planned(*proofs, limits=limits)
    statuses = [proof.status for proof in state.values()]
    assert statuses.count(S.SUBMITTING) == 2
    assert statuses.count(S.GENERATED) == 3
    again, effects = planned(*state.values(), now=later(9), limits=limits)
    assert again == state
    assert effects == []


def test_waiting_for_a_slot_never_times_out():
    limits = DeferralLimits(submissions=0, generations=0)
    proofs = (make("p1"), make("p2", status=S.GENERATED))
    state, effects = planned(*proofs, now=later(86_400), limits=limits)
    assert [proof.status for proof in state.values()] == [S.QUEUED, S.GENERATED]
    assert effects == []


def test_those_with_the_fewest_unconfirmed_ancestors_come_first_then_the_oldest():
    limits = DeferralLimits(generations=2)
    proofs = (
        make("p1", ancestors=["a", "b"]),
        make("p2", queued_at=later(5)),
        make("p3", queued_at=later(1)),
        make("p4", ancestors=["a"]),
    )
    _, effects = planned(*proofs, now=later(9), limits=limits)
    assert [proof for _, proof in effects] == ["p3", "p2"]


def test_a_proof_moves_forward_as_its_ancestors_are_confirmed():
    limits = DeferralLimits(generations=1)
    proofs = (make("p1", ancestors=["a", "b"]), make("p2", queued_at=later(5)))
    _, effects = planned(*proofs, now=later(9), limits=limits, confirmed={"a", "b"})
    assert [proof for _, proof in effects] == ["p1"]


@pytest.mark.parametrize(
    ("status", "seconds", "reason"),
    [
        (S.GENERATING, 60, "proof_generation_timeout"),
        (S.AWAITING_ANCESTORS, 300, "ancestors_timeout"),
        (S.SUBMITTING, 30, "proof_submission_timeout"),
    ],
)
def test_each_wait_has_its_patience(status, seconds, reason):
    proof = make(status=status, ancestors=["a"] if status is S.AWAITING_ANCESTORS else [])
    before, _ = planned(proof, now=later(seconds - 1))
    assert before["p1"].status is status
    state, effects = planned(proof, now=later(seconds))
    assert (state["p1"].status, state["p1"].reason) == (S.TIMED_OUT, reason)
    assert effects[-1] == (EffectKind.REPORT, "p1")
    assert (EffectKind.KILL, "p1") in effects or status is not S.GENERATING


def test_patience_counts_from_the_first_attempt_also_after_retries_and_restarts():
    proof = rule.start_generation(make(), NOW).proof
    proof = rule.fail_generation(proof, later(50), LIMITS, reason="prover_lost", jitter=0.0).proof
    proof = rule.start_generation(proof, later(55)).proof
    assert proof.generation_started_at == NOW
    assert rule.expire(proof, later(59), LIMITS) is None
    assert rule.expire(proof, later(60), LIMITS).proof.status is S.TIMED_OUT


def test_a_proof_between_two_attempts_times_out_too():
    proof = rule.start_generation(make(), NOW).proof
    proof = rule.fail_generation(proof, later(59), LIMITS, reason="x", jitter=0.9).proof
    state, _ = planned(proof, now=later(60))
    assert state["p1"].status is S.TIMED_OUT


def test_a_signed_submission_no_longer_times_out():
    proof = rule.mark_signed(make(status=S.SUBMITTING)).proof
    state, _ = planned(proof, now=later(3_600))
    assert state["p1"].status is S.SUBMITTING
    assert rule.mark_signed(make(status=S.GENERATED)).proof == make(status=S.GENERATED)


def test_a_signed_submission_that_the_chain_sends_back_has_a_new_patience_and_is_not_counted():
    proof = make(status=S.GENERATED)
    for attempt in range(1, 3 * LIMITS.retries):
        sent = rule.mark_signed(rule.start_submission(proof, f"p1/{attempt}", later(100 * attempt)).proof)
        back = rule.fail_submission(
            sent.proof, later(100 * attempt + 90), LIMITS, reason="reverted", jitter=0.0
        )
        proof = back.proof
        assert (proof.status, proof.is_signed, proof.submission_started_at) == (S.GENERATED, False, None)
        assert rule.expire(proof, later(10_000), LIMITS) is None


def test_a_submission_that_nobody_signs_is_offered_three_times_more_and_then_reported():
    proof = make(status=S.GENERATED)
    for attempt in range(1, 5):
        proof = rule.start_submission(proof, f"p1/{attempt}", NOW).proof
        change = rule.fail_submission(proof, NOW, LIMITS, reason="node_away", jitter=0.0)
        proof = change.proof
        assert proof.status is (S.GENERATED if attempt < 4 else S.FAILED)
    assert kinds(change) == [EffectKind.REPORT]


def test_a_failed_attempt_is_tried_three_times_more_and_then_reported():
    proof = make()
    for attempt in range(1, 5):
        proof = rule.start_generation(proof, NOW).proof
        change = rule.fail_generation(proof, NOW, LIMITS, reason="crash", jitter=0.5)
        proof = change.proof
        if attempt < 4:
            assert proof.status is S.QUEUED
            assert proof.retry_at == later(0.5 * 2 ** (attempt - 1))
    assert (proof.status, proof.reason) == (S.FAILED, "crash")
    assert EffectKind.REPORT in kinds(change)


def test_what_no_retry_can_cure_fails_at_once():
    for change in (
        rule.fail_generation(
            make(status=S.GENERATING), NOW, LIMITS, reason="witness_invalid", jitter=0.0, is_curable=False
        ),
        rule.fail_submission(
            make(status=S.SUBMITTING), NOW, LIMITS, reason="proof_rejected", jitter=0.0, is_curable=False
        ),
    ):
        assert change.proof.status is S.FAILED
        assert change.effects[-1].kind is EffectKind.REPORT
        assert change.effects[-1].reason == change.proof.reason


def test_a_lost_submission_is_sent_again_with_the_first_ones_patience():
    sent = rule.start_submission(make(status=S.GENERATED), "p1/1", NOW).proof
    proof = rule.fail_submission(sent, later(5), LIMITS, reason="node_away", jitter=0.25).proof
    assert (proof.status, proof.retry_at, proof.submission) == (S.GENERATED, later(5.25), "")
    held, effects = planned(proof, now=later(5))
    assert effects == []
    again, effects = planned(held["p1"], now=later(6))
    assert effects == [(EffectKind.SUBMIT, "p1")]
    assert again["p1"].submission == "p1/2"
    assert again["p1"].submission_started_at == NOW
    assert rule.expire(again["p1"], later(30), LIMITS).proof.reason == "proof_submission_timeout"


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (50, 30)])
def test_the_delay_doubles_up_to_half_a_minute_and_jitter_takes_a_share_of_it(attempt, ceiling):
    delays = [rule.compute_retry_delay(attempt, LIMITS, share).total_seconds() for share in (0.0, 0.5)]
    assert delays == [0.0, ceiling / 2]


@pytest.mark.parametrize("status", [S.QUEUED, S.GENERATING, S.GENERATED, S.AWAITING_ANCESTORS])
def test_a_failed_ancestor_cancels_the_proof_and_kills_its_process(status):
    state, effects = planned(make(status=status, ancestors=["a"]), failed=["a"])
    assert (state["p1"].status, state["p1"].reason) == (S.CANCELLED, "ancestor_failed")
    assert effects == ([(EffectKind.KILL, "p1")] if status is S.GENERATING else [])


def test_a_proof_can_be_cancelled_until_its_submission_is_signed():
    proof = make(status=S.SUBMITTING)
    cancelled = rule.cancel(proof, reason="manual").proof
    assert (cancelled.status, cancelled.submission) == (S.CANCELLED, "")
    with pytest.raises(IllegalTransition):
        rule.cancel(rule.mark_signed(proof).proof, reason="manual")


@pytest.mark.parametrize("status", [status for status in S if not PROOF_TABLE.is_ending(status)])
def test_a_proof_whose_attempt_is_over_ends_whatever_it_was_doing(status):
    change = rule.abandon(make(status=status), reason="rolled_back")
    assert (change.proof.status, change.proof.reason) == (S.CANCELLED, "rolled_back")
    assert kinds(change) == ([EffectKind.KILL] if status is S.GENERATING else [])
    assert rule.abandon(change.proof, reason="again") == rule.Change(proof=change.proof)


def test_a_signed_proof_whose_attempt_is_over_has_failed():
    change = rule.abandon(rule.mark_signed(make(status=S.SUBMITTING)).proof, reason="refused")
    assert (change.proof.status, change.proof.reason, change.proof.submission) == (S.FAILED, "refused", "")
    assert change.effects == ()


def test_a_failed_ancestor_leaves_a_proof_on_its_way_to_the_chain_alone():
    """It cannot be called back; only a reorg can bring this about."""
    proof = make(status=S.SUBMITTING, ancestors=["a"])
    state, effects = planned(proof, confirmed=["a"], failed=["a"])
    assert state["p1"] == proof
    assert effects == []


@pytest.mark.parametrize("status", [S.CONFIRMED, S.FAILED, S.TIMED_OUT, S.CANCELLED])
def test_cancelling_what_has_ended_changes_nothing(status):
    proof = make(status=status)
    assert rule.cancel(proof, reason="manual") == rule.Change(proof=proof)


def test_the_same_input_is_not_proved_twice_at_once():
    state, effects = planned(make("p1", input_hash="h"), make("p2", input_hash="h", queued_at=later(1)))
    assert [proof.status for proof in state.values()] == [S.GENERATING, S.QUEUED]
    assert effects == [(EffectKind.GENERATE, "p1")]


def test_the_second_takes_the_firsts_result():
    first, second = make("p1", input_hash="h", status=S.GENERATED), make("p2", input_hash="h")
    found = plan([first, second], later(2), LIMITS, confirmed=set(), failed=set())
    share = next(effect for effect in found.effects if effect.kind is EffectKind.SHARE)
    assert (share.proof, share.source) == ("p2", "p1")


@pytest.mark.parametrize(
    ("queued", "now", "is_shared"),
    [(599, 600, True), (601, 601, False), (500, 3_599, True), (500, 3_601, False)],
)
def test_a_result_is_shared_within_ten_minutes_and_while_it_is_kept(queued, now, is_shared):
    first = make("p1", input_hash="h", status=S.CONFIRMED)
    second = make("p2", input_hash="h", queued_at=later(queued))
    _, effects = planned(first, second, now=later(now))
    assert ((EffectKind.SHARE, "p2") in effects) is is_shared
    assert ((EffectKind.GENERATE, "p2") in effects) is not is_shared


def test_a_rejected_proof_is_no_result_to_share():
    first = make("p1", input_hash="h", status=S.FAILED, generated_at=NOW)
    _, effects = planned(first, make("p2", input_hash="h"), now=later(1))
    assert effects == [(EffectKind.GENERATE, "p2")]


def test_whatever_has_not_ended_has_a_wake_up():
    for status in S:
        wake_at = rule.compute_wake_at(make(status=status), LIMITS)
        assert (wake_at is None) == PROOF_TABLE.is_ending(status)
    signed = rule.mark_signed(make(status=S.SUBMITTING)).proof
    assert rule.compute_wake_at(signed, LIMITS) == later(30)
    assert rule.compute_wake_at(make(retry_at=later(7)), LIMITS) == later(7)


def test_a_pass_without_news_changes_nothing():
    proofs = [make(f"p{n}", status=status, ancestors=["a"]) for n, status in enumerate(S)]
    state, _ = planned(*proofs, confirmed=["a"])
    again, effects = planned(*state.values(), confirmed=["a"])
    assert again == state
    assert effects == []


def test_the_check_names_what_is_wrong():
    with pytest.raises(AssertionError, match="15"):
        check([make(status=S.CONFIRMED, ancestors=["a"])], LIMITS, confirmed=set())
    with pytest.raises(AssertionError, match="generations"):
        check([make(f"p{n}", status=S.GENERATING) for n in range(5)], LIMITS, confirmed=set())
    twice = [make(f"p{n}", status=S.GENERATING, input_hash="h") for n in range(2)]
    with pytest.raises(AssertionError, match="twice"):
        check(twice, LIMITS, confirmed=set())


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda proof: rule.start_generation(proof, NOW), S.GENERATED),
        (lambda proof: rule.finish_generation(proof, NOW), S.CONFIRMED),
        (lambda proof: rule.finish_generation(proof, NOW), S.CANCELLED),
        (rule.defer, S.SUBMITTING),
        (rule.release, S.GENERATED),
        (rule.confirm, S.AWAITING_ANCESTORS),
        (rule.confirm, S.TIMED_OUT),
        (lambda proof: rule.start_submission(proof, "x", NOW), S.AWAITING_ANCESTORS),
    ],
)
def test_a_move_that_is_not_listed_is_refused(act, status):
    with pytest.raises(IllegalTransition):
        act(make(status=status))


def test_what_went_wrong_before_is_forgotten_once_the_proof_is_there():
    proof = rule.start_generation(make(reason="prover_lost"), NOW).proof
    assert rule.finish_generation(proof, NOW).proof.reason == ""


def test_a_moved_proof_is_a_new_value():
    proof = make()
    rule.start_generation(proof, NOW)
    assert proof == replace(proof)
    assert proof.status is S.QUEUED
