"""Each bad definition has its own stable code and points at the part that is wrong."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.content.domain.unixfs import cid_of
from apps.jobs.data import Action, Bounds, IntervalSchedule, JobDefinition, definition_from_json
from apps.jobs.domain.timing import start
from apps.kernel.errors import DomainError

NOW = datetime(2026, 11, 20, 6, 45, 0, 250_000, tzinfo=UTC)
CID = cid_of(b"some input")
TARGET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ABI = {
    "type": "function",
    "name": "report",
    "stateMutability": "nonpayable",
    "inputs": [{"name": "symbol", "type": "bytes32"}, {"name": "value", "type": "uint256"}],
    "outputs": [],
}
GOOD: dict[str, Any] = {
    "name": "price report",
    "trigger_kind": "time",
    "schedule": {"kind": "interval", "seconds": 300},
    "missed_policy": "all",
    "missed_limit": 10,
    "max_fires": 9,
    "expires_at": "2027-01-01T00:00:00+01:00",
    "speculation": {"enabled": True, "mode": "custom", "max_depth": 20, "max_branches": 8},
    "steps": [
        {
            "key": "load",
            "script_source": "print(1)",
            "inputs": {"stocks.csv": CID},
            "params": {"a": [1, 2.5]},
            "drill": {"reject_proof": 1},
        },
        {
            "key": "publish",
            "parents": [{"step": "load", "kind": "data"}],
            "action": {
                "chain_id": 31337,
                "target": TARGET,
                "function": "report(bytes32,uint256)",
                "abi": ABI,
            },
            "arguments": {"kind": "static", "values": ["0x" + "11" * 32, str(2**256 - 1)]},
            "limits": {"deadline_seconds": 20, "memory_mb": 64, "cpu_seconds": 3},
        },
    ],
}
BOUNDS = Bounds(chain_ids=(31337,))


def test_a_good_definition_is_read_whole():
    value = definition_from_json(GOOD, BOUNDS)
    assert value.expires_at == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert value.sources == {cid_of(b"print(1)"): b"print(1)"}
    assert value.content_ids() == tuple(sorted([CID, cid_of(b"print(1)")]))
    assert action_of(value).target == TARGET.lower()
    assert action_of(value).gas_limit == 200_000
    assert value.steps[1].limits.cpu_seconds == 3


def test_the_stored_form_reads_back_to_the_same_definition():
    value = definition_from_json(GOOD, BOUNDS)
    again = definition_from_json(json.loads(json.dumps(value.to_json())), BOUNDS)
    assert again == value
    assert again.steps_hash() == value.steps_hash()


def test_a_job_without_steps_has_one_step_called_main():
    value = definition_from_json({"name": "x", "trigger_kind": "manual", "script_source": "print(1)"})
    assert [step.key for step in value.steps] == ["main"]
    assert value.steps[0].limits.cpu_seconds == value.steps[0].limits.deadline_seconds == 30


def test_a_parent_may_be_given_by_its_key_alone():
    job = change({"steps/1/parents": ["load"]})
    assert definition_from_json(job, BOUNDS) == definition_from_json(GOOD, BOUNDS)


def test_a_function_given_as_text_needs_no_abi():
    job = change({"steps/1/action/abi": None, "steps/1/action/function": "report( bytes32 , uint )"})
    with pytest.raises(DomainError) as refused:
        definition_from_json(change({"steps/1/action/function": "report(bytes32,uint8)"}), BOUNDS)
    assert refused.value.code == "abi_function_mismatch"
    assert action_of(definition_from_json(job, BOUNDS)).function == "report(bytes32,uint256)"


def test_tuples_and_arrays_are_read_from_a_function_text():
    text = "set((address,uint8[2])[],string,bytes)"
    job = change(
        {
            "steps/1/action/abi": None,
            "steps/1/action/function": text,
            "steps/1/arguments/values": [[[TARGET, [1, "2"]]], "grüße", "0x00ff"],
        }
    )
    assert action_of(definition_from_json(job, BOUNDS)).function == text


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("field_missing", "/name", {"name": None}),
    ("field_invalid", "/name", {"name": " "}),
    ("field_invalid", "/name", {"name": "x" * 201}),
    ("field_invalid", "/name", {"name": "nul\0"}),
    ("field_invalid", "/name", {"name": 7}),
    ("field_unknown", "/nmae", {"nmae": "x"}),
    ("field_unknown", "/steps/0/a~1b~0", {"steps/0": {"key": "load", "a/b~": 1}}),
    ("trigger_unknown", "/trigger_kind", {"trigger_kind": "weather"}),
    ("trigger_unknown", "/trigger_kind", {"trigger_kind": ["time"]}),
    ("schedule_missing", "/schedule", {"schedule": None}),
    ("schedule_not_allowed", "/schedule", {"trigger_kind": "manual"}),
    ("schedule_unknown", "/schedule/kind", {"schedule": {"kind": "lunar"}}),
    ("field_invalid", "/schedule", {"schedule": "@daily"}),
    ("field_unknown", "/schedule/zone", {"schedule/zone": "UTC"}),
    ("cron_invalid", "/schedule/expression", {"schedule": {"kind": "cron", "expression": "61 * * * *"}}),
    ("cron_invalid", "/schedule/expression", {"schedule": {"kind": "cron", "expression": 5}}),
    ("cron_six_fields", "/schedule/expression", {"schedule": {"kind": "cron", "expression": "0 0 12 * * *"}}),
    (
        "zone_unknown",
        "/schedule/zone",
        {"schedule": {"kind": "cron", "expression": "@daily", "zone": "Mars/X"}},
    ),
    ("zone_unknown", "/schedule/zone", {"schedule": {"kind": "cron", "expression": "@daily", "zone": 1}}),
    ("interval_invalid", "/schedule/seconds", {"schedule/seconds": 0}),
    ("interval_invalid", "/schedule/seconds", {"schedule/seconds": 1.5}),
    ("interval_invalid", "/schedule/seconds", {"schedule/seconds": True}),
    ("interval_invalid", "/schedule/seconds", {"schedule/seconds": 10**12}),
    ("interval_invalid", "/schedule/start_at", {"schedule/start_at": "2026-01-01 00:00"}),
    ("interval_invalid", "/schedule/start_at", {"schedule/start_at": "9999-12-31T23:59:59Z"}),
    ("instants_invalid", "/schedule/instants", {"schedule": {"kind": "specific"}}),
    ("instants_invalid", "/schedule/instants", {"schedule": {"kind": "specific", "instants": []}}),
    (
        "instants_invalid",
        "/schedule/instants/0",
        {"schedule": {"kind": "specific", "instants": ["2027-01-01"]}},
    ),
    (
        "instants_invalid",
        "/schedule/instants/1",
        {"schedule": {"kind": "specific", "instants": ["2026-12-01T00:00:00Z", "2026-12-01T01:00:00+01:00"]}},
    ),
    ("missed_policy_invalid", "/missed_policy", {"missed_policy": "some"}),
    ("missed_policy_invalid", "/missed_limit", {"missed_limit": 0}),
    ("max_fires_invalid", "/max_fires", {"max_fires": 0}),
    ("max_fires_invalid", "/max_fires", {"recurring": False}),
    ("field_invalid", "/recurring", {"recurring": "yes"}),
    ("field_invalid", "/expires_at", {"expires_at": "tomorrow"}),
    ("field_invalid", "/steps", {"steps": "load"}),
    ("field_missing", "/steps/0", {"steps": []}),
    ("field_invalid", "/params", {"params": {}}),
    ("too_many_steps", "/steps", {"steps": [{"key": f"s{n}", "script_source": "1"} for n in range(1001)]}),
    ("field_missing", "/steps/0/key", {"steps/0/key": None}),
    ("step_key_invalid", "/steps/0/key", {"steps/0/key": "Load it"}),
    ("step_duplicate", "/steps/1/key", {"steps/1/key": "load", "steps/1/parents": []}),
    ("step_empty", "/steps/0", {"steps/0/script_source": None}),
    ("parent_unknown", "/steps/1/parents/0", {"steps/1/parents": ["lode"]}),
    ("self_dependency", "/steps/1/parents/0", {"steps/1/parents": ["publish"]}),
    (
        "duplicate_edge",
        "/steps/1/parents/1",
        {"steps/1/parents": ["load", {"step": "load", "kind": "order"}]},
    ),
    ("edge_unknown", "/steps/1/parents/0/kind", {"steps/1/parents/0/kind": "magic"}),
    ("dependency_cycle", "/steps", {"steps/0/parents": ["publish"]}),
    ("script_language_unknown", "/steps/0/script/language", {"steps/0/script": {"language": "cobol"}}),
    ("script_invalid", "/steps/0/script/cid", {"steps/0/script": {"cid": CID}}),
    ("script_invalid", "/steps/0/script_source", {"steps/0/script_source": "  \n"}),
    ("script_invalid", "/steps/0/script_source", {"steps/0/script_source": "x\0"}),
    ("script_syntax_invalid", "/steps/0/script_source", {"steps/0/script_source": "print(1"}),
    ("script_syntax_invalid", "/steps/0/script_source", {"steps/0/script_source": "return 1"}),
    ("script_syntax_invalid", "/steps/0/script_source", {"steps/0/script_source": "(" * 5_000}),
    (
        "script_syntax_invalid",
        "/steps/0/script_source",
        {"steps/0/script_source": "x = " + "-" * 50_000 + "1"},
    ),
    ("script_too_large", "/steps/0/script_source", {"steps/0/script_source": "#" * 262_145}),
    ("cid_invalid", "/steps/0/inputs/stocks.csv", {"steps/0/inputs/stocks.csv": "Qmabc"}),
    ("cid_invalid", "/steps/0/inputs/stocks.csv", {"steps/0/inputs/stocks.csv": 7}),
    ("input_name_invalid", "/steps/0/inputs/..~1x", {"steps/0/inputs": {"../x": CID}}),
    ("input_name_invalid", "/steps/0/inputs/.hidden", {"steps/0/inputs": {".hidden": CID}}),
    ("argument_too_large", "/steps/0/params", {"steps/0/params": "x" * 65_536}),
    ("field_invalid", "/steps/0/params", {"steps/0/params": 2**53}),
    ("field_invalid", "/steps/0/params", {"steps/0/params": 1e300}),
    ("field_invalid", "/steps/0/params", {"steps/0/params": float("nan")}),
    ("field_invalid", "/steps/0/params", {"steps/0/params": ["\ud800"]}),
    ("field_invalid", "/steps/0/params", {"steps/0/params": {"\0": 1}}),
    ("chain_unknown", "/steps/1/action/chain_id", {"steps/1/action/chain_id": 1}),
    ("chain_unknown", "/steps/1/action/chain_id", {"steps/1/action/chain_id": "31337"}),
    ("address_invalid", "/steps/1/action/target", {"steps/1/action/target": "0x12"}),
    ("address_invalid", "/steps/1/action/target", {"steps/1/action/target": "0x" + "0" * 40}),
    ("address_checksum", "/steps/1/action/target", {"steps/1/action/target": TARGET.replace("aA", "Aa")}),
    ("abi_invalid", "/steps/1/action/function", {"steps/1/action/function": "report"}),
    ("abi_invalid", "/steps/1/action/function", {"steps/1/action/function": "report(uint7)"}),
    ("abi_invalid", "/steps/1/action/function", {"steps/1/action/function": "report(uint256,)"}),
    ("abi_invalid", "/steps/1/action/function", {"steps/1/action/function": "report((((uint256))"}),
    ("abi_invalid", "/steps/1/action/abi", {"steps/1/action/abi": [1]}),
    ("abi_invalid", "/steps/1/action/abi", {"steps/1/action/abi": {"type": "event"}}),
    ("abi_invalid", "/steps/1/action/abi/inputs/0/type", {"steps/1/action/abi/inputs/0/type": "bytes33"}),
    ("abi_invalid", "/steps/1/action/abi/stateMutability", {"steps/1/action/abi/stateMutability": "view"}),
    ("abi_function_mismatch", "/steps/1/action/abi", {"steps/1/action/abi/name": "raise_alarm"}),
    ("gas_limit_invalid", "/steps/1/action/gas_limit", {"steps/1/action/gas_limit": 10**9}),
    ("value_invalid", "/steps/1/action/value_wei", {"steps/1/action/value_wei": "1"}),
    ("value_invalid", "/steps/1/action/value_wei", {"steps/1/action/value_wei": 0.5}),
    ("arguments_unknown", "/steps/1/arguments/kind", {"steps/1/arguments/kind": "random"}),
    ("argument_invalid", "/steps/1/arguments/values", {"steps/1/arguments/values": ["0x" + "11" * 32]}),
    ("argument_invalid", "/steps/1/arguments/values/0", {"steps/1/arguments/values/0": "0x11"}),
    ("argument_invalid", "/steps/1/arguments/values/1", {"steps/1/arguments/values/1": "-1"}),
    ("argument_invalid", "/steps/1/arguments/values/1", {"steps/1/arguments/values/1": 1.0}),
    ("argument_invalid", "/steps/1/arguments/values", {"steps/1/arguments/kind": "none"}),
    ("argument_invalid", "/steps/1/arguments", {"steps/1/arguments": None}),
    ("script_missing", "/steps/1/arguments/kind", {"steps/1/arguments": {"kind": "dynamic"}}),
    ("action_missing", "/steps/0/arguments/kind", {"steps/0/arguments": {"kind": "dynamic"}}),
    (
        "argument_too_large",
        "/steps/1/arguments/values",
        {
            "steps/1/action/abi": None,
            "steps/1/action/function": "log(string)",
            "steps/1/arguments/values": ["x" * 1000],
        },
    ),
    ("deadline_invalid", "/steps/1/limits/deadline_seconds", {"steps/1/limits/deadline_seconds": 61}),
    ("deadline_invalid", "/steps/1/limits/deadline_seconds", {"steps/1/limits/deadline_seconds": "20"}),
    ("memory_invalid", "/steps/1/limits/memory_mb", {"steps/1/limits/memory_mb": 4096}),
    ("cpu_invalid", "/steps/1/limits/cpu_seconds", {"steps/1/limits/cpu_seconds": 21}),
]


@pytest.mark.parametrize(
    ("code", "pointer", "changes"), BAD, ids=[f"{n}-{bad[0]}" for n, bad in enumerate(BAD)]
)
def test_a_bad_definition_is_refused_with_its_code_and_place(code, pointer, changes):
    with pytest.raises(DomainError) as refused:
        definition_from_json(change(changes), BOUNDS)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(DomainError) as refused:
        definition_from_json([GOOD])
    assert refused.value.code == "field_invalid"


def test_params_nested_too_deep_are_refused():
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(DomainError) as refused:
        definition_from_json(change({"steps/0/params": deep}), BOUNDS)
    assert refused.value.code == "field_invalid"


def test_a_chain_of_steps_may_be_deeper_than_anything_runs_ahead():
    steps = [{"key": f"s{n}", "script_source": "1", "parents": [f"s{n - 1}"] if n else []} for n in range(22)]
    assert len(definition_from_json(change({"steps": steps}), BOUNDS).steps) == 22


@pytest.mark.parametrize(
    ("code", "pointer", "changes"),
    [
        ("expires_in_past", "/expires_at", {"expires_at": "2026-11-20T06:45:00Z"}),
        (
            "interval_longer_than_life",
            "/schedule/seconds",
            {"expires_at": "2026-11-20T07:00:00Z", "schedule/seconds": 3600},
        ),
        (
            "never_fires",
            "/schedule",
            {"expires_at": "2026-11-20T07:00:00Z", "schedule": {"kind": "cron", "expression": "@daily"}},
        ),
        (
            "instants_invalid",
            "/schedule/instants/0",
            {"schedule": {"kind": "specific", "instants": ["2026-12-20T06:00:00Z", "2026-11-20T06:00:00Z"]}},
        ),
    ],
)
def test_a_definition_that_can_no_longer_start_is_refused(code, pointer, changes):
    value = definition_from_json(change(changes), BOUNDS)
    with pytest.raises(DomainError) as refused:
        start(value, NOW)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_an_interval_without_a_start_is_anchored_one_interval_from_now():
    schedule = start(definition_from_json(GOOD, BOUNDS), NOW).schedule
    assert schedule == IntervalSchedule(
        seconds=300, start_at=NOW.replace(second=1, microsecond=0) + timedelta(seconds=300)
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    "name",
    "trigger_kind",
    "schedule",
    "schedule/kind",
    "schedule/seconds",
    "schedule/start_at",
    "missed_policy",
    "missed_limit",
    "recurring",
    "max_fires",
    "expires_at",
    "speculation",
    "speculation/enabled",
    "speculation/mode",
    "speculation/max_depth",
    "steps",
    "steps/0",
    "steps/0/key",
    "steps/1/parents",
    "steps/1/parents/0",
    "steps/1/parents/0/step",
    "steps/1/parents/0/kind",
    "steps/0/script",
    "steps/0/script_source",
    "steps/0/inputs",
    "steps/0/inputs/stocks.csv",
    "steps/0/params",
    "steps/0/drill",
    "steps/0/drill/reject_proof",
    "steps/1/action",
    "steps/1/action/chain_id",
    "steps/1/action/target",
    "steps/1/action/function",
    "steps/1/action/abi",
    "steps/1/action/abi/inputs",
    "steps/1/action/abi/inputs/0",
    "steps/1/action/abi/name",
    "steps/1/action/abi/stateMutability",
    "steps/1/action/gas_limit",
    "steps/1/action/value_wei",
    "steps/1/arguments",
    "steps/1/arguments/kind",
    "steps/1/arguments/values",
    "steps/1/arguments/values/1",
    "steps/1/limits",
    "steps/1/limits/memory_mb",
]


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=400)
def test_whatever_stands_in_a_field_is_read_or_refused_with_a_code(place, value):
    try:
        found = definition_from_json(change({place: value}), BOUNDS)
    except DomainError as error:
        refused = error
    else:
        assert definition_from_json(json.loads(json.dumps(found.to_json())), BOUNDS) == found
        return
    assert refused.code != "domain_error"
    assert refused.pointer is not None


def action_of(value: JobDefinition) -> Action:
    """The action of the second step."""
    action = value.steps[1].action
    assert isinstance(action, Action)
    return action


def change(changes: dict[str, Any]) -> dict[str, Any]:
    """GOOD with some places replaced (None removes)."""
    job = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split("/") if not path.startswith("steps/0/inputs/") else path.split("/", 3)
        place: Any = job
        for name in parents:
            place = place[int(name) if isinstance(place, list) else name]
        if isinstance(place, list):
            place[int(last)] = value
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return job
