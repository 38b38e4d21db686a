"""The fire drill: what a person is told of it, from documents of the API."""

from typing import Any

import pytest

from project.embedded.drill import DRILL_JOB, build_drill, format_drill
from project.embedded.following import Followed
from tests.unit.embedded.documents import KEEPERS, rollback, run, task

AGAIN = {
    "discovered": 0.0,
    "failed": 3.0,
    "waiting": 3.1,
    "scheduled": 4.0,
    "executed": 4.5,
    "confirmed": 8.0,
}
ALONG = {"discovered": 0.0, "rolled_back": 3.0, "waiting": 3.1, "executed": 5.0, "confirmed": 8.5}
ROOT = task(0, "wet_days", AGAIN, failures=1, epoch=2)
CHILD = task(1, "wet_spells", ALONG, epoch=2)
LEAF = task(2, "report", ALONG, epoch=2)


def followed(
    *rollbacks: dict[str, Any], status: str = "confirmed", tasks: Any = (ROOT, CHILD, LEAF)
) -> Followed:
    return Followed(
        jobs={"job_1": {"name": DRILL_JOB}, "job_2": {"name": "Pipeline"}},
        runs={"run_1": run("run_1", "job_1", list(tasks), status=status)},
        rollbacks={"run_1": list(rollbacks)},
    )


def drill_of(seen: Followed) -> dict[str, Any]:
    return build_drill(seen, is_expected=True)


def test_the_cascade_the_slash_and_the_retry_are_told():
    drill = drill_of(followed(rollback(ROOT, [LEAF, CHILD])))
    assert drill["problems"] == []
    assert (drill["status"], drill["seconds"], drill["slashed_units"]) == ("confirmed", 8.5, "100000")
    (found,) = drill["rollbacks"]
    assert (found["root"], found["reason"], found["size"], found["keeper"]) == (
        "wet_days",
        "proof_rejected",
        3,
        KEEPERS[0],
    )
    assert [(item["step"], item["became"]) for item in found["items"]] == [
        ("wet_days", "failed"),
        ("wet_spells", "rolled_back"),
        ("report", "rolled_back"),
    ]
    assert [step["failures"] for step in drill["steps"]] == [1, 0, 0]


def test_a_person_reads_it_in_a_few_lines():
    text = format_drill({"drill": drill_of(followed(rollback(ROOT, [LEAF, CHILD])))})
    undone = "wet_days failed, wet_spells rolled_back, report rolled_back"
    assert f"wet_days: proof_rejected; 3 tasks undone: {undone}" in text
    assert f"slashed: 100,000 units of {KEEPERS[0]}" in text
    assert "3 of 3 tasks confirmed 8.5 s after the run was opened, wet_days at another attempt" in text
    assert "NOT SEEN" not in text


def test_a_task_named_by_an_object_is_the_same_as_one_named_by_its_id():
    plain = rollback(ROOT, [LEAF, CHILD])
    nested = {**plain, "root": {"id": ROOT["id"], "step": "wet_days"}}
    nested["items"] = [{**item, "task": {"id": item["task"]}} for item in plain["items"]]
    assert drill_of(followed(nested)) == drill_of(followed(plain))


def test_whose_bond_was_slashed_is_known_without_being_said():
    unsaid = {**rollback(ROOT, [LEAF, CHILD]), "slashed_keeper": ""}
    (found,) = drill_of(followed(unsaid))["rollbacks"]
    assert found["keeper"] == KEEPERS[2]


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (followed(), "no proof was rejected"),
        (followed(rollback(ROOT, [LEAF, CHILD], reason="timeout")), "no proof was rejected"),
        (followed(rollback(ROOT, [])), "nothing ran ahead of the rejected proof"),
        (followed(rollback(ROOT, [LEAF, CHILD], slashed_units="0")), "nobody was slashed"),
        (followed(rollback(ROOT, [LEAF, CHILD]), status="failed"), "the retry did not succeed"),
        (Followed(jobs={}, runs={}), "no run of the drill was found"),
    ],
)
def test_a_drill_in_which_something_was_not_seen_says_what(seen, problem):
    drill = drill_of(seen)
    assert any(problem in each for each in drill["problems"])
    assert build_drill(seen, is_expected=False)["problems"] == []
    if drill["run"]:
        assert f"NOT SEEN: {problem}" in format_drill({"drill": drill})


def test_without_a_drill_there_is_nothing_to_tell():
    assert format_drill({"drill": build_drill(Followed(), is_expected=False)}) == ""
