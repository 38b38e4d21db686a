"""The stage `prove`: what it asks for, in which order, what it defers, offers, and gives up."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.eventlog.models import Event
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.proofs.selectors import count_unfinished, get_due_tasks, get_tasks_to_submit, proofs_to_submit
from apps.tasks.data import TaskStatus
from apps.tasks.models import TASK_FIELDS, Task
from tests.support.replay import assert_replay_equals_row

pytestmark = pytest.mark.django_db

S, T = ProofStatus, TaskStatus
CHAIN = {"a": [], "b": ["a"], "c": ["b"]}


# ---- asked for and made


def test_an_attested_task_that_wants_a_proof_is_proving_and_its_proof_is_asked_for(make_world):
    world = make_world(["a"])
    outcome = world.plan()
    row = world.proof()
    assert world.statuses("a") == [(T.PROVING, S.GENERATING)]
    assert row.public_input == world.task().result["statement"]
    assert (row.circuit, row.depth, row.ancestors) == (16, 0, [])
    (sent,) = outcome.dispatches
    assert (sent.task, sent.queue) == ("workers.proving.generate", "prove")
    assert sent.body == {"proof": row.id.hex, "attempt": 1}
    assert sent.trace_id == world.spine.run.trace_id
    assert outcome.taken == 1
    assert world.events() == ["proof.queued"]


def test_a_task_that_wants_no_proof_is_never_touched(make_world):
    world = make_world(["a", "b"], wanting=False)
    Task.objects.filter(pk=world.task("b").pk).update(spec={**world.task("b").spec, "proof": None})
    before = list(Task.objects.order_by("pk").values())
    assert get_due_tasks(world.now, 100) == []
    outcome = world.plan()
    assert (outcome.taken, outcome.dispatches) == (0, ())
    assert Proof.objects.count() == 0
    assert list(Task.objects.order_by("pk").values()) == before


def test_a_made_proof_is_kept_with_its_cost_and_offered_for_submission(make_world):
    world = make_world(["a"])
    world.plan()
    world.wait(3)
    (outcome,) = world.answer("a", delay_seconds=2.0)
    row = world.proof()
    assert world.statuses("a") == [(T.PROVED, S.GENERATED)]
    assert outcome.pokes == {"prove"}
    assert len(row.proof) == 2 + 2 * 256
    assert (row.wall_seconds, row.cpu_seconds, row.delay_seconds) == (0.5, 0.4, 2.0)
    assert world.plan().pokes == {"submit"}
    assert world.statuses("a") == [(T.PROVED, S.SUBMITTING)]
    assert get_tasks_to_submit(10) == [world.task().id]
    assert proofs_to_submit([world.task().id])[world.task().id].proof == row.proof
    assert world.events() == ["proof.queued", "proof.generated", "proof.submitted"]


def test_a_signed_and_confirmed_submission_ends_the_proof(make_world):
    world = make_world(["a"])
    world.prove("a")
    world.sign("a")
    assert get_tasks_to_submit(10) == []
    assert world.proof().is_signed
    world.confirm("a")
    row = world.proof()
    assert (row.status, row.submission, row.wake_at, row.ended_at) == (S.CONFIRMED, "", None, world.now)
    assert count_unfinished() == 0


def test_a_tasks_events_alone_rebuild_it(make_world):
    world = make_world(CHAIN)
    world.prove("a", "b", "c")
    world.sign("a")
    world.confirm("a")
    world.plan()
    made_up = {"spec", "result"}
    for step in CHAIN:
        assert_replay_equals_row(world.task(step), [name for name in TASK_FIELDS if name not in made_up])


# ---- ancestors


def test_a_proof_is_made_whatever_its_ancestors_do_and_waits_for_all_of_them(make_world):
    world = make_world(CHAIN)
    world.prove("a", "b", "c")
    assert world.statuses(*CHAIN) == [
        (T.PROVED, S.SUBMITTING),
        (T.WAITING_ANCESTORS, S.AWAITING_ANCESTORS),
        (T.WAITING_ANCESTORS, S.AWAITING_ANCESTORS),
    ]
    assert [world.proof(step).depth for step in CHAIN] == [0, 1, 2]
    assert world.proof("c").ancestors == sorted([world.task("a").id.hex, world.task("b").id.hex])
    assert world.events("b") == ["proof.queued", "proof.generated", "proof.deferred"]


def test_a_confirmation_releases_the_next_of_a_chain_and_its_task_stays_until_it_is_submitted(make_world):
    world = make_world(CHAIN)
    world.prove("a", "b", "c")
    for step, following in (("a", "b"), ("b", "c")):
        world.sign(step)
        world.confirm(step)
        assert world.task(following).wake_at == world.now
        assert world.task(following).id in get_due_tasks(world.now, 10)
        world.plan()
        assert world.statuses(following) == [(T.WAITING_ANCESTORS, S.SUBMITTING)]
    assert world.events("c")[-2:] == ["proof.deferred", "proof.submitted"]


def test_a_join_waits_for_every_branch_and_its_depth_is_the_longest_path(make_world):
    world = make_world({"a": [], "b": ["a"], "c": ["b"], "d": ["a"], "e": ["c", "d"]})
    world.plan()
    for steps in (("a", "b", "d", "c"), ("e",)):
        world.answer(*steps)
        world.plan()
    assert world.proof("e").depth == 3
    assert set(world.proof("e").ancestors) == {world.task(step).id.hex for step in "abcd"}
    for step in "abd":
        world.sign(step)
        world.confirm(step)
        world.plan()
    assert world.statuses("e") == [(T.WAITING_ANCESTORS, S.AWAITING_ANCESTORS)]
    world.sign("c")
    world.confirm("c")
    world.plan()
    assert world.statuses("e") == [(T.WAITING_ANCESTORS, S.SUBMITTING)]


def test_what_was_confirmed_before_is_no_ancestor_any_more(make_world):
    world = make_world(CHAIN)
    Task.objects.filter(pk=world.task("b").pk).update(wake_at=world.now + timedelta(hours=1))
    Task.objects.filter(pk=world.task("c").pk).update(wake_at=world.now + timedelta(hours=1))
    world.prove("a")
    world.sign("a")
    world.confirm("a")
    world.plan()
    assert (world.proof("b").ancestors, world.proof("b").depth) == ([], 0)


def test_a_confirmation_that_woke_nobody_is_found_all_the_same(make_world):
    """The child was between two states when its parent's confirmation looked for whom to wake."""
    world = make_world({"a": [], "b": ["a"]})
    world.prove("a", "b")
    world.sign("a")
    world.confirm("a")
    Task.objects.filter(pk=world.task("b").pk).update(wake_at=world.now + timedelta(hours=1))
    assert get_due_tasks(world.now, 10) == []
    world.wait(10)
    assert get_due_tasks(world.now, 10) == [world.task("b").id]
    world.plan()
    assert world.statuses("b") == [(T.WAITING_ANCESTORS, S.SUBMITTING)]


# ---- limits


def test_at_most_four_proofs_are_made_at_once_and_none_is_dropped(make_world):
    steps = [f"s{number}" for number in range(9)]
    world = make_world(steps)
    assert len(world.plan().dispatches) == 4
    assert {status for status, _ in world.statuses(*steps)} == {T.PROVING}
    assert Proof.objects.filter(status=S.QUEUED).count() == 5
    assert world.plan().dispatches == ()
    for _ in range(3):
        making = [step for step in steps if world.proof(step).status == S.GENERATING]
        assert len(making) <= 4
        world.answer(*making)
        world.plan()
    assert len(world.sent) == 9
    assert not Proof.objects.filter(proof=None).exists()


def test_the_least_deep_proofs_come_first(make_world, limit):
    limit(generations=2)
    world = make_world({"c": ["b"], "b": ["a"], "a": [], "z": []})
    world.plan()
    assert {step for step in "abcz" if world.proof(step).status == S.GENERATING} == {"a", "z"}


def test_at_most_two_submissions_are_under_way_and_the_others_queue(make_world, limit):
    limit(submissions=2)
    steps = list("abcd")
    world = make_world(steps)
    world.plan()
    for step in steps:
        world.answer(step)
        world.plan()
    assert [status for _, status in world.statuses(*steps)] == [
        S.SUBMITTING,
        S.SUBMITTING,
        S.GENERATED,
        S.GENERATED,
    ]
    world.wait(10_000)
    world.sign("a", "b")
    world.plan()
    assert world.statuses("c") == [(T.PROVED, S.GENERATED)]
    world.confirm("a")
    world.plan()
    assert world.proof("c").submission == world.proof("d").submission != ""


def test_a_pass_takes_at_most_its_limit_of_new_tasks_and_the_next_pass_the_rest(make_world):
    world = make_world(list("abcde"))
    assert world.plan(limit=2).taken == 2
    assert Proof.objects.count() == 2
    assert world.plan(limit=2).taken == 2
    assert world.plan(limit=2).taken == 1


def test_a_pass_takes_a_handful_of_statements_however_many_proofs_there_are(make_world):
    counts = []
    for size in (2, 12):
        world = make_world({f"s{n}": [f"s{n - 1}"] if n else [] for n in range(size)})
        with CaptureQueriesContext(
            connection,
        ) as captured:
            world.plan()
        counts.append(len(captured))
    print(f"statements of a pass: {counts}")
    assert counts[0] == counts[1] < 25


def test_a_pass_without_news_writes_nothing(make_world):
    world = make_world(CHAIN)
    world.prove("a", "b", "c")
    before = list(Proof.objects.order_by("pk").values()), Event.objects.count()
    assert world.plan().taken == 0
    assert (list(Proof.objects.order_by("pk").values()), Event.objects.count()) == before


# ---- the same input


def test_the_same_input_is_proved_once_and_the_result_shared(make_world):
    world = make_world(["a", "b"])
    Task.objects.filter(pk=world.task("b").pk).update(result=world.task("a").result)
    world.plan()
    assert [status for _, status in world.statuses("a", "b")] == [S.GENERATING, S.QUEUED]
    world.answer("a")
    world.plan()
    assert [status for _, status in world.statuses("a", "b")] == [S.SUBMITTING, S.SUBMITTING]
    assert len(world.sent) == 1
    assert world.proof("b").proof == world.proof("a").proof
    assert world.proof("b").cpu_seconds is None
    assert world.events("b") == ["proof.queued", "proof.generated", "proof.submitted"]


@pytest.mark.parametrize(("seconds", "is_shared"), [(599, True), (601, False)])
def test_a_result_is_shared_within_the_window(make_world, seconds, is_shared):
    world = make_world(["a", "b"])
    late = world.now + timedelta(seconds=seconds)
    Task.objects.filter(pk=world.task("b").pk).update(result=world.task("a").result, wake_at=late)
    world.prove("a")
    world.sign("a")
    world.confirm("a")
    world.now = late
    world.plan()
    assert len(world.sent) == (1 if is_shared else 2)


# ---- time


def test_a_proof_that_takes_too_long_is_killed_and_its_tasks_failure_signalled(make_world):
    world = make_world(["a"])
    world.plan()
    world.wait(59)
    world.plan()
    assert world.proof().status == S.GENERATING
    world.wait(1)
    outcome = world.plan()
    assert world.proof().status == S.TIMED_OUT
    assert world.killed == [f"{world.proof().id.hex}/1"]
    assert world.failure() == ("timeout", "proof_generation_timeout")
    assert "rollback" in outcome.pokes
    assert world.task().is_failing
    assert world.events() == ["proof.queued", "proof.timed_out"]


def test_ancestors_have_five_minutes_from_when_the_proof_was_made(make_world):
    world = make_world({"a": [], "b": ["a"]})
    world.prove("a", "b")
    world.sign("a")
    for _ in range(29):
        world.wait(10)
        world.plan()
    assert world.statuses("b") == [(T.WAITING_ANCESTORS, S.AWAITING_ANCESTORS)]
    world.wait(10)
    world.plan()
    assert world.failure("b") == ("timeout", "ancestors_timeout")
    assert world.failure("a") is None


def test_a_submission_has_half_a_minute_until_it_is_signed(make_world):
    world = make_world(["a"])
    world.prove("a")
    world.wait(30)
    world.plan()
    assert world.failure() == ("timeout", "proof_submission_timeout")
    assert get_tasks_to_submit(10) == []


def test_a_signed_submission_has_all_the_time_of_the_chain(make_world):
    world = make_world(["a"])
    world.prove("a")
    world.sign("a")
    world.wait(100_000)
    world.plan()
    assert world.statuses("a") == [(T.SUBMITTED, S.SUBMITTING)]
    assert world.proof().wake_at > world.now


# ---- lost messages


def test_a_request_that_was_lost_is_sent_again_as_the_same_attempt(make_world):
    world = make_world(["a"])
    world.plan()
    world.wait(4)
    assert world.plan().dispatches == ()
    world.wait(1)
    assert get_due_tasks(world.now, 10) == [world.task().id]
    world.plan()
    assert [one.body for one in world.sent] == [{"proof": world.proof().id.hex, "attempt": 1}] * 2
    assert world.proof().wake_at == world.now + timedelta(seconds=5)
    assert world.events() == ["proof.queued"]
