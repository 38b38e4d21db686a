"""What is shown of a run is what its events have told: the frames give the rows, turn by turn."""

from apps.accounts.models import Project
from apps.progress.selectors import get_decision_document, get_run_document
from apps.tasks.data import RunStatus
from tests.integration.spine.driving import MakeJob, is_over, open_run, task_of
from tests.integration.spine.test_proved import CHAIN, World, drill, world
from tests.support.pictures import find_differences, get_frames

__all__ = ["world"]


def test_a_run_that_runs_ahead_is_shown_as_its_events_tell_it(world: World, make_job: MakeJob):
    run = open_run(make_job(*CHAIN))

    while not is_over(run):
        world.turn()
        assert find_differences(run) == []

    figures = get_run_document(run.id, None)["speculation"]
    assert (figures["ran_ahead"], figures["ran_ahead_confirmed"], figures["hit_rate"]) == (2, 2, 1.0)
    assert (figures["deepest_depth"], figures["slashed_units"], figures["wasted_units"]) == (2, "0", "0")
    assert figures["saved_seconds"] > 0


def test_a_run_whose_root_is_rejected_and_tried_again_is_shown_as_its_events_tell_it(
    world: World, make_job: MakeJob, funded: Project
):
    run = drill(make_job, funded, times=1)
    world.hub._verify = lambda item, proof: proof[-1] % 2 == 0

    while not is_over(run):
        world.turn()
        assert find_differences(run) == []

    shown = get_run_document(run.id, None)
    assert run.status == RunStatus.CONFIRMED
    assert [len(task["attempts"]) for task in shown["tasks"]] == [2, 2, 2]
    assert shown["speculation"]["hit_rate"] == 0.5
    assert shown["rollbacks"][0]["slashed_units"] == "100000"
    told = {frame.type for frame in get_frames(run)}
    assert {"proof.queued", "proof.generated", "proof.deferred", "proof.submitted"} <= told
    assert {"task.failure_detected", "rollback.detected", "rollback.planned", "rollback.completed"} <= told
    assert {"task.rolled_back", "task.failed", "task.reopened", "dead_letter.recorded"} <= told


def test_the_decision_that_let_a_step_run_ahead_is_kept_with_its_ten_checks(world: World, make_job: MakeJob):
    run = open_run(make_job(*CHAIN))
    world.turn()

    decision = get_decision_document(task_of(run, "c").pk, None)

    assert (decision["verdict"], decision["depth"], decision["refusal"]) == ("ahead", 2, None)
    assert len(decision["checks"]) == 10
    assert all(check["seen"] and check["allowed"] for check in decision["checks"])
