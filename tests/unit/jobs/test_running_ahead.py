"""What a job says about running ahead, what a proof can bind, and failures on purpose."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.content.domain.cid import cid_of
from apps.jobs.data import Bounds, Drill, definition_from_json
from apps.kernel.errors import DomainError
from apps.kernel.speculation import Choice, Mode
from apps.tasks.domain.spec import build_spec
from tests.factories.jobs import pipeline_body

CID = cid_of(b"some input")
FOUR = ("s0", "s1", "s2", "s3")


def drilling(drill: Any) -> dict[str, Any]:
    """A pipeline whose second step has this drill."""
    body = pipeline_body()
    body["steps"][1]["drill"] = drill
    return body


def reading(inputs: int, *parents: Any) -> dict[str, Any]:
    """A job whose last step reads so many inputs, and has these parents."""
    steps: list[dict[str, Any]] = [{"key": f"s{n}", "script_source": "1"} for n in range(8)]
    files = {f"f{n}": CID for n in range(inputs)}
    steps.append({"key": "last", "script_source": "1", "inputs": files, "parents": list(parents)})
    return {"name": "x", "trigger_kind": "manual", "steps": steps}


def refusal_of(job: dict[str, Any], bounds: Bounds | None = None) -> DomainError:
    with pytest.raises(DomainError) as refused:
        definition_from_json(job, bounds or Bounds())
    return refused.value


def test_what_a_job_says_about_running_ahead_is_no_part_of_what_it_computes():
    body = pipeline_body()
    ahead = definition_from_json({**body, "speculation": {"mode": "aggressive"}})
    assert ahead.speculation == Choice(mode=Mode.AGGRESSIVE)
    assert ahead.steps_hash() == definition_from_json(body).steps_hash()
    assert definition_from_json(ahead.to_json()) == ahead
    assert definition_from_json({**body, "speculation": None}).speculation == Choice()


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("off", ""),
        ({"enabled": 1}, "/enabled"),
        ({"mode": "reckless"}, "/mode"),
        ({"depth": 3}, "/depth"),
        ({"max_depth": 3}, "/max_depth"),
        ({"mode": "custom", "max_depth": 21, "max_branches": 8}, "/max_depth"),
        ({"mode": "custom", "max_depth": 20, "max_branches": 17}, "/max_branches"),
        ({"mode": "custom", "max_depth": 20}, "/max_branches"),
    ],
)
def test_a_choice_that_is_not_on_offer_is_refused_at_its_place(said, field):
    refused = refusal_of(pipeline_body(speculation=said))
    assert (refused.code, refused.pointer) == ("speculation_limits_invalid", f"/speculation{field}")


def test_a_drill_is_stored_with_its_step():
    drilled = definition_from_json(drilling({"reject_proof": 2}))
    assert [step.drill for step in drilled.steps] == [None, Drill(reject_proof=2), None]
    assert [step["drill"] for step in drilled.steps_json()["steps"]] == [None, {"reject_proof": 2}, None]
    assert definition_from_json(drilled.to_json()) == drilled


@pytest.mark.parametrize("drill", [None, {}, {"reject_proof": 0}, {"reject_proof": None}])
def test_a_drill_of_nothing_is_none(drill):
    assert definition_from_json(drilling(drill)).steps[1].drill is None


@pytest.mark.parametrize("count", [3, -1, True, 1.0, "1"])
def test_a_drill_leaves_an_attempt_that_can_succeed(count):
    refused = refusal_of(drilling({"reject_proof": count}))
    assert (refused.code, refused.pointer) == ("drill_invalid", "/steps/1/drill/reject_proof")


def test_a_drill_is_of_a_kind_there_is():
    assert refusal_of(drilling({"lose_receipt": 1})).code == "field_unknown"
    assert refusal_of(drilling(1)).pointer == "/steps/1/drill"
    assert refusal_of(pipeline_body(drill={"reject_proof": 1})).pointer == "/drill"


@pytest.mark.parametrize("job", [reading(7), reading(3, *FOUR), reading(0, *FOUR, "s4", "s5", "s6")])
def test_a_step_may_read_as_much_as_its_proof_binds(job):
    assert definition_from_json(job, Bounds(read_max=7)).steps[8].key == "last"


@pytest.mark.parametrize(
    ("job", "field"),
    [(reading(8), "inputs"), (reading(8, *FOUR), "inputs"), (reading(4, *FOUR), "parents")],
)
def test_a_step_that_reads_more_is_refused_where_it_goes_beyond(job, field):
    refused = refusal_of(job, Bounds(read_max=7))
    assert (refused.code, refused.pointer) == ("too_many_reads", f"/steps/8/{field}")
    assert refused.limit == 7
    assert definition_from_json(job, Bounds()).steps[8].key == "last"


def test_what_a_step_only_waits_for_is_not_read():
    waits = [{"step": step, "kind": kind} for step, kind in zip(FOUR, ["order", "resource"] * 2, strict=True)]
    assert definition_from_json(reading(7, *waits), Bounds(read_max=7)).steps[8].key == "last"


def test_a_keeper_is_not_told_of_a_drill():
    (_, step, _) = definition_from_json(drilling({"reject_proof": 1})).steps_json()["steps"]
    spec = build_spec(
        step, task="task_1", due_at=datetime.now(UTC), deadline_seconds=30, action_gas_limit=200_000
    )
    assert "drill" in step
    assert "drill" not in str(spec)
    assert "reject" not in str(spec)
