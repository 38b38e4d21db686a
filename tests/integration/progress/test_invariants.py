"""The checker finds nothing in sound data, and names number and rows of whatever is broken by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project
from apps.eventlog.data import EventDraft
from apps.eventlog.services import rows_write
from apps.execution.models import Assignment
from apps.ledger.models import Account
from apps.ledger.services import transactions_post
from apps.progress.checks.violation import Violation
from apps.progress.invariants import find_violations
from apps.proofs.models import Proof
from apps.rollback.models import Rollback, RollbackItem
from apps.settlement.models import Settlement
from apps.speculation.domain.postings import bond_release
from apps.speculation.models import Commitment
from apps.tasks.data import FailureReason
from apps.tasks.models import Failure, Run, Task
from tests.factories.running_ahead import Story, make_story

pytestmark = pytest.mark.django_db

Break = Callable[[Story], Any]


def make_sound(project: Project) -> Story:
    """A run with everything: a confirmed step, one whose cascade was tried again, two that run ahead."""
    story = make_story(("load", "clean", "join", "publish"), project=project)
    story.put("load", "confirmed")
    story.put("clean", "attested")
    story.put("join", "executing")
    story.fail("clean")
    story.put("clean", "proved")
    story.put("join", "attested")
    story.put("publish", "executing")
    return story


def task(story: Story, step: str) -> Any:
    return Task.objects.filter(pk=story.tasks[step].pk)


def found(story: Story) -> list[Violation]:
    story.reload()
    return find_violations()


def numbers(violations: list[Violation]) -> set[int]:
    return {violation.invariant for violation in violations}


def test_a_sound_run_breaks_nothing(project: Project):
    story = make_sound(project)

    assert found(story) == []
    for step in ("clean", "join", "publish"):
        story.put(step, "attested")
    for step in ("clean", "join", "publish"):
        story.put(step, "confirmed")
    assert found(story) == []
    assert story.run.status == "confirmed"


def test_a_run_that_failed_for_good_and_was_replayed_breaks_nothing(project: Project):
    story = make_sound(project)

    story.fail("clean", is_last=True)
    assert found(story) == []
    story.signal("join", FailureReason.EXECUTION_FAILED)
    assert found(story) == []


def test_a_failure_that_nobody_has_dealt_with_yet_breaks_nothing(project: Project):
    story = make_sound(project)
    story.signal("clean", FailureReason.PROOF_REJECTED)

    assert found(story) == []


def add_stake(story: Story) -> None:
    Account.objects.filter(kind="keeper_bonded", balance_units__gt=0).update(
        balance_units=F("balance_units") + 5
    )


def release_early(story: Story) -> None:
    row = Commitment.objects.get(task=story.tasks["publish"])
    transactions_post([bond_release(row.producer_id, row.task_id, row.epoch, row.bond_units)])


def end_without_money(story: Story) -> None:
    Commitment.objects.filter(task=story.tasks["publish"]).update(status="rolled_back", ended_at=story.now)


def end_twice(story: Story) -> None:
    row = Commitment.objects.get(task=story.tasks["join"], epoch=1)
    transactions_post([bond_release(row.producer_id, row.task_id, row.epoch, row.bond_units)])


def open_without_lock(story: Story) -> None:
    """With the money somewhere else, so that only the reference is missing."""
    Commitment.objects.filter(task=story.tasks["publish"]).update(epoch=F("epoch") + 7)
    task(story, "publish").update(epoch=F("epoch") + 7)
    Assignment.objects.filter(task=story.tasks["publish"]).update(epoch=F("epoch") + 7)


#: what is done by hand → the invariants that notice, and a part of what they say
BROKEN: dict[str, tuple[Break, set[int], str]] = {
    "bonded units without a commitment": (add_stake, {1, 2}, "bonded holds"),
    "a bond released before its commitment ended": (release_early, {2, 3}, "its bond has ended"),
    "a commitment ended without its bond": (end_without_money, {2, 3}, "its bond has not ended"),
    "a bond released beside its cascade": (end_twice, {2, 3}, "its bond ended twice"),
    "a commitment without its lock": (open_without_lock, {3}, "its bond was never locked"),
    "a cascade that ended another bond": (
        lambda story: RollbackItem.objects.filter(slashed_units__gt=0).update(
            released_units=F("released_units") + 1
        ),
        {3, 8},
        "a cascade ended another bond than it had",
    ),
    "shares that are not half": (
        lambda story: Rollback.objects.update(treasury_units=F("treasury_units") - 1),
        {4},
        "the shares are not those of the slash",
    ),
    "a commitment that failed below the root": (
        lambda story: Commitment.objects.filter(task=story.tasks["join"], epoch=1).update(status="failed"),
        {5},
        "it is no root of a failure",
    ),
    "a part that was slashed below the root": (
        lambda story: RollbackItem.objects.filter(task=story.tasks["join"]).update(
            slashed_units=F("released_units"), released_units=0
        ),
        {5, 8},
        "slashed without being the root",
    ),
    "a step confirmed before its parent": (
        lambda story: task(story, "join").update(status="confirmed"),
        {6, 14, 25},
        "confirmed before an ancestor",
    ),
    "a live step under a dead parent": (
        lambda story: task(story, "clean").update(status="rolled_back"),
        {7, 13, 25},
        "alive under an ancestor that has ended",
    ),
    "a live step on an attempt that is over": (
        lambda story: task(story, "clean").update(epoch=F("epoch") + 1),
        {7, 12, 13, 20},
        "stands on an attempt of task_",
    ),
    "a depth that is not the recorded path": (
        lambda story: Commitment.objects.filter(task=story.tasks["publish"]).update(depth=1),
        {9},
        "its depth is 1, its longest recorded path 2",
    ),
    "a depth beyond the most there is": (
        lambda story: Commitment.objects.filter(task=story.tasks["publish"]).update(depth=21),
        {9},
        "admitted at depth 21",
    ),
    "a row that stands elsewhere than its events say": (
        lambda story: task(story, "load").update(status="submitted"),
        {14, 25},
        "its events end at confirmed, its row is submitted",
    ),
    "an edge that leads upwards": (
        lambda story: task(story, "join").update(depth=1),
        {9},
        "a depth not below its parent's",
    ),
    "a step that entered before its parent": (
        lambda story: task(story, "join").update(status="waiting"),
        {10, 25},
        "entered before an ancestor has started",
    ),
    "an epoch below the last lease's": (
        lambda story: task(story, "publish").update(epoch=0),
        {11},
        "its epoch is below its last lease's",
    ),
    "a result without a lease that returned it": (
        lambda story: Assignment.objects.filter(task=story.tasks["join"], status="returned").update(
            status="revoked"
        ),
        {12},
        "its result is not of its present attempt",
    ),
    "a settlement of another attempt": (
        lambda story: Settlement.objects.filter(task=story.tasks["load"]).update(epoch=9),
        {12},
        "its settlement is not of its present attempt",
    ),
    "a confirmed step without a settlement": (
        lambda story: Settlement.objects.filter(task=story.tasks["load"]).update(status="void"),
        {14},
        "confirmed without a settlement",
    ),
    "a step submitted before its parent is confirmed": (
        lambda story: task(story, "join").update(status="submitted"),
        {15, 25},
        "submitted before an ancestor was confirmed",
    ),
    "a proof submitted before its ancestors": (
        lambda story: Proof.objects.filter(task=story.tasks["clean"], status="generated").update(
            status="submitting",
            submission="batch",
            submission_started_at=story.now,
            ancestors=[story.tasks["join"].pk.hex],
        ),
        {15},
        "its proof was submitted before an ancestor was confirmed",
    ),
    "a failing step without a failure": (
        lambda story: task(story, "publish").update(is_failing=True),
        {18},
        "failing, and no failure of its attempt is to be dealt with",
    ),
    "an open run with nothing to do": (
        lambda story: Run.objects.exclude(pk=story.run.pk).update(status="open", finished_at=None),
        {25, 18},
        "open with nothing unfinished",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_by_hand_is_named_by_its_number(name: str, project: Project):
    story = make_sound(project)
    other = make_story(("alone",), project=project)
    other.put("alone", "confirmed")
    assert find_violations() == []
    break_it, expected, reason = BROKEN[name]

    break_it(story)

    violations = find_violations()
    assert numbers(violations) == expected, violations
    assert any(reason in violation.reason for violation in violations), violations


def test_a_child_that_lives_on_after_the_failure_was_dealt_with_is_named(project: Project):
    story = make_sound(project)
    story.signal("clean", FailureReason.PROOF_REJECTED)
    Failure.objects.filter(task=story.tasks["clean"]).update(wake_at=None)

    violations = find_violations()

    assert {(one.invariant, one.where) for one in violations} == {
        (7, str(story.tasks["join"])),
        (18, str(story.tasks["clean"])),
    }


def test_a_signalled_failure_whose_task_goes_on_is_named(project: Project):
    story = make_sound(project)
    story.signal("publish", FailureReason.EXECUTION_FAILED)
    task(story, "publish").update(is_failing=False)

    (violation,) = find_violations()

    assert (violation.invariant, violation.where) == (18, str(story.tasks["publish"]))
    assert violation.reason == "its attempt's failure is signalled, and it goes on"


@pytest.mark.parametrize(
    ("event", "status", "is_listed"),
    [
        ("task.executed", "executed", True),
        ("task.confirmed", "confirmed", False),
        ("task.reopened", "scheduled", False),
    ],
)
def test_a_move_that_is_not_listed_is_named(event: str, status: str, is_listed: bool, project: Project):
    story = make_story(("load",), project=project)
    story.put("load", "executing")
    row = story.tasks["load"]
    row.status = status
    draft = EventDraft(row=row, type=event, payload={"set": {"status": status}})
    rows_write([row], ["status"], [draft])

    moved = [one for one in find_violations() if one.invariant == 13]

    assert [one.where for one in moved] == ([] if is_listed else [str(row)])
    assert is_listed or moved[0].reason == f"moved from executing to {status}"


def test_the_number_of_questions_does_not_grow_with_the_runs(project: Project):
    make_sound(project)

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert find_violations() == []
        return len(captured)

    before = count()
    make_sound(project)
    make_sound(project)
    assert count() == before


def test_the_command_prints_what_it_finds(project: Project, capsys: pytest.CaptureFixture[str]):
    story = make_sound(project)
    call_command("check_invariants")
    assert capsys.readouterr().out == "all invariants hold\n"
    task(story, "publish").update(is_failing=True)

    with pytest.raises(SystemExit):
        call_command("check_invariants")

    assert "invariant 18: failing" in capsys.readouterr().out
