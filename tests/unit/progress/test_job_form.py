"""A job's form and its JSON say the same, whichever is made from the other."""

import json
from typing import Any

import pytest

from apps.jobs.data import Bounds, definition_from_json
from apps.progress.domain.job_form import DEFAULTS, as_steps, body_of, field_of, form_of
from apps.progress.domain.job_form_choices import STEP_FIELDS
from apps.progress.domain.trigger_words import describe_trigger

TARGET = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
SCRIPT = "print('{}')\n"
CALL = {
    "action": "static",
    "chain_id": "31337",
    "target": TARGET,
    "function": "put(uint256)",
    "arguments": "[7]",
}
SCRIPTED = {**CALL, "action": "dynamic", "script_source": SCRIPT}
CUSTOM = {"action": "custom", "chain_id": "31337", "targets": TARGET, "script_source": SCRIPT}
TIME = {"trigger_kind": "time", "schedule_kind": "cron", "expression": "0 9 * * 1", "zone": "Europe/Vienna"}
EVENT = {
    "trigger_kind": "event",
    "event_chain_id": "31337",
    "event_address": TARGET,
    "event_signature": "Moved(address indexed from, uint256 value)",
    "event_filters": '{"value": {"greater_equal": "1000"}}',
    "event_confirmations": "2",
}
CONDITION = {
    "trigger_kind": "condition",
    "source_0_name": "eth",
    "source_0_kind": "http",
    "source_0_url": "https://prices.example/eth",
    "leaf_0_route": "data.price",
    "leaf_0_is": "greater_than",
    "leaf_0_value": "3000.50",
    "leaf_0_hysteresis": "5",
    "leaf_1_route": "data.price",
    "leaf_1_is": "between",
    "leaf_1_low": "1",
    "leaf_1_high": "9",
    "leaf_1_value": "left over",
    "join": "any",
}
KINDS = {
    "time static": TIME | CALL,
    "time dynamic": TIME | SCRIPTED,
    "event static": EVENT | CALL,
    "event dynamic": EVENT | SCRIPTED,
    "condition static": CONDITION | CALL,
    "condition dynamic": CONDITION | SCRIPTED,
    "custom": TIME | CUSTOM,
    "by hand": {"trigger_kind": "manual", "script_source": SCRIPT, "params": '{"a": 1}'},
}


def filled(**fields: str) -> dict[str, str]:
    return {**DEFAULTS, "name": "a job", **fields}


def read(body: Any) -> Any:
    return definition_from_json(body, Bounds())


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_of_each_kind_survives_the_way_from_form_to_stored_job_to_form(kind: str):
    built = body_of(filled(**KINDS[kind]))
    definition = read(built.body)
    stored = definition.to_json()
    scripts = {cid: source.decode() for cid, source in definition.sources.items()}

    again = body_of(form_of(stored, scripts))

    assert not built.unread
    assert not again.unread
    assert read(again.body) == definition


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_hands_the_one_step_over_by_its_key(kind: str):
    body = body_of(filled(**KINDS[kind])).body

    assert read(as_steps(body, STEP_FIELDS)) == read(body)


def test_what_a_kind_does_not_use_is_left_out_of_the_body():
    body = body_of(filled(**(CONDITION | TIME | CALL | {"script_source": ""}))).body

    assert set(body) == {"name", "trigger_kind", "schedule", "missed_policy", "action", "arguments"}


def test_json_that_cannot_be_read_is_told_by_its_field():
    built = body_of(filled(**(TIME | CALL | {"arguments": "[1,", "params": "{"})))

    assert set(built.unread) == {"arguments", "params"}


def test_a_number_that_is_none_goes_on_as_it_was_typed():
    body = body_of(filled(seconds="soon", max_fires="²")).body

    assert body["schedule"]["seconds"] == "soon"
    assert body["max_fires"] == "²"


def test_several_steps_are_edited_as_json():
    steps = [{"key": key, "script_source": SCRIPT} for key in ("one", "two")]
    stored = read({"name": "two", "trigger_kind": "manual", "steps": steps}).to_json()

    form = form_of(stored, {})

    assert form["use_whole"]
    assert read(body_of(form).body).to_json() == stored
    assert field_of("/steps/1/key", form) == "whole"


@pytest.mark.parametrize(
    ("pointer", "field"),
    [
        ("/schedule/expression", "expression"),
        ("/schedule/instants/3", "instants"),
        ("/steps/0/action/target", "target"),
        ("/action/targets/1", "targets"),
        ("/event/filters/value/greater_equal", "event_filters"),
        ("/condition/sources/eth/url", "source_0_url"),
        ("/condition/when/any/1/high", "leaf_1_high"),
        ("/arguments/values/0", "arguments"),
        ("/speculation/mode", ""),
        (None, ""),
    ],
)
def test_an_error_is_shown_at_the_field_it_is_about(pointer: str | None, field: str):
    assert field_of(pointer, filled(**CONDITION)) == field


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("time static", "cron 0 9 * * 1 (Europe/Vienna)"),
        ("by hand", "by hand"),
        (
            "event static",
            "on Moved of 0x5aaeb605…eaed on chain 31337, where value fit, after 2 confirmations",
        ),
        (
            "condition static",
            "when eth data.price is above 3000.5 (hysteresis 5) or eth data.price is between 1 and 9",
        ),
    ],
)
def test_a_trigger_of_each_kind_is_said_in_words(kind: str, words: str):
    assert describe_trigger(read(body_of(filled(**KINDS[kind])).body).to_json()) == words


def test_groups_within_groups_stay_json():
    leaf = {"route": "", "is": "less_than", "value": "1"}
    when = {"all": [leaf, {"any": [leaf, leaf]}]}
    form = filled(**(CONDITION | {"when_json": json.dumps(when)}))
    stored = read({**body_of(form).body, "script_source": SCRIPT}).to_json()

    assert json.loads(form_of(stored, {})["when_json"])["all"][1]["any"]
