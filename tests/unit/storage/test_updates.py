"""What a job may keep, what of a script's updates is taken, and which of two runs wins."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.errors import DomainError
from apps.kernel.hashing import canonical_json
from apps.storage.data import Snapshot, StorageLimits, Stored
from apps.storage.domain.updates import carry_out, plan_updates, read_updates, snapshot_from_json

LIMITS = StorageLimits(keys_max=4, value_max_bytes=20, total_max_bytes=60)
NONE = Snapshot(stored={}, limits=LIMITS)
KEPT = Snapshot(stored={"a": Stored(value=1, version=3), "b": Stored(value="x", version=7)}, limits=LIMITS)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e9, 1e9)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def _read(updates: Any, snapshot: Snapshot = NONE) -> dict[str, Any]:
    return read_updates({"storage_updates": updates}, snapshot)


@pytest.mark.parametrize("output", [{}, {"storage_updates": None}, {"storage_updates": {}}])
def test_a_script_that_keeps_nothing_says_nothing(output: dict[str, Any]):
    assert read_updates(output, KEPT) == {}


def test_updates_are_values_by_key_and_null_forgets():
    assert list(_read({"b": None, "a": {"n": [1, 2.5]}, "A.b_c-9": True}, KEPT).items()) == [
        ("A.b_c-9", True),
        ("a", {"n": [1, 2.5]}),
        ("b", None),
    ]


def test_a_whole_float_is_the_integer_it_equals():
    assert json.dumps(_read({"a": -0.0, "b": 5.0})) == '{"a": 0, "b": 5}'


@pytest.mark.parametrize(
    "updates",
    [
        [],
        "x",
        5,
        True,
        {"": 1},
        {"a" * 65: 1},
        {"a\n": 1},
        {"a b": 1},
        {"é": 1},
        {"a/b": 1},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": 2**53},
        {"a": -1e300},
        {"a": "\0"},
        {"a": ["\ud800"]},
        {"a": {"\0": 1}},
        {"a": "fk_live_0123456789abcdef0123"},
        {"a": {"password": 1}},
        {"api_key_value": 1},
        {"fk_live_0123456789abcdef0123": 1},
    ],
)
def test_updates_that_cannot_be_kept_have_their_code(updates: Any):
    with pytest.raises(DomainError) as caught:
        _read(updates)
    assert caught.value.code == "storage_updates_invalid"
    assert caught.value.pointer.startswith("/storage_updates")


def test_a_value_is_nested_only_so_deep():
    value: Any = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(DomainError) as caught:
        _read({"a": value})
    assert caught.value.code == "storage_updates_invalid"


@pytest.mark.parametrize(
    ("updates", "pointer"),
    [
        ({f"k{n}": None for n in range(1_000)}, "/storage_updates"),
        ({f"k{n}": 1 for n in range(5)}, "/storage_updates"),
        ({"a": "x" * 19}, "/storage_updates/a"),
        ({"a": "x" * 18, "b": "x" * 18, "c": "x" * 17}, "/storage_updates"),
    ],
)
def test_updates_beyond_a_limit_are_too_large(updates: dict[str, Any], pointer: str):
    with pytest.raises(DomainError) as caught:
        _read(updates)
    assert (caught.value.code, caught.value.pointer) == ("storage_too_large", pointer)


def test_updates_up_to_every_limit_are_taken():
    assert _read({"a": "x" * 18, "b": "x" * 18, "c": "x" * 14, "d": None}) != {}
    assert len(_read({f"k{n}": 1 for n in range(4)})) == 4


def test_what_is_forgotten_makes_room():
    full = Snapshot(stored={f"k{n}": Stored(value=1, version=1) for n in range(4)}, limits=LIMITS)
    assert _read({"k0": None, "new": 2}, full) == {"k0": None, "new": 2}
    with pytest.raises(DomainError):
        _read({"new": 2}, full)


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True), values, max_size=4))
def test_what_is_taken_reads_back_from_any_store_to_the_same_bytes(given_values: dict[str, Any]):
    wide = StorageLimits(keys_max=64, value_max_bytes=4_096, total_max_bytes=32_768)
    try:
        updates = _read(given_values, Snapshot(stored={}, limits=wide))
    except DomainError:
        return
    stored = {key: Stored(value=value, version=1) for key, value in updates.items()}
    snapshot = Snapshot(stored=stored, limits=wide)
    again = snapshot_from_json(json.loads(json.dumps(snapshot.to_json())))
    assert again == snapshot
    assert canonical_json(again.values) == canonical_json(given_values)


@pytest.mark.parametrize(
    "given_storage",
    [
        None,
        {},
        [],
        {"values": {}},
        {"values": {}, "limits": {}},
        {"values": {}, "limits": {**LIMITS.to_json(), "more": 1}},
        {"values": {"a": 1}, "limits": LIMITS.to_json()},
        {"values": {"a": {"value": 1, "version": True}}, "limits": LIMITS.to_json()},
        {"values": {"a\n": {"value": 1, "version": 1}}, "limits": LIMITS.to_json()},
        {"values": [], "limits": LIMITS.to_json()},
    ],
)
def test_what_is_no_snapshot_is_refused(given_storage: Any):
    with pytest.raises(DomainError) as caught:
        snapshot_from_json(given_storage)
    assert caught.value.code == "storage_updates_invalid"


def test_updates_of_what_has_not_moved_are_carried_out_together():
    plan = plan_updates(KEPT.stored, KEPT.versions, {"a": 2, "b": None, "c": "new"}, LIMITS)

    assert (plan.is_applied, dict(plan.written), plan.deleted) == (True, {"a": 2, "c": "new"}, ("b",))
    assert carry_out(KEPT.stored, plan, version=9) == {
        "a": Stored(value=2, version=9),
        "c": Stored(value="new", version=9),
    }


@pytest.mark.parametrize(
    ("present", "conflicts"),
    [
        ({"a": Stored(value=1, version=4), "b": KEPT.stored["b"]}, ("a",)),
        ({"b": KEPT.stored["b"]}, ("a",)),
        ({**KEPT.stored, "c": Stored(value=1, version=1)}, ("c",)),
        ({"c": Stored(value=1, version=1)}, ("a", "c")),
    ],
)
def test_one_key_that_moved_leaves_everything_as_it_is(
    present: dict[str, Stored], conflicts: tuple[str, ...]
):
    plan = plan_updates(present, KEPT.versions, {"a": 2, "c": None}, LIMITS)

    assert (plan.is_applied, plan.reason, plan.conflicts) == (False, "version_moved", conflicts)
    assert carry_out(present, plan, version=9) == present


def test_a_key_nobody_updates_may_move():
    present = {**KEPT.stored, "b": Stored(value="y", version=8)}
    assert plan_updates(present, KEPT.versions, {"a": 2}, LIMITS).is_applied


def test_a_key_that_was_forgotten_and_kept_again_has_moved():
    forgotten = carry_out(
        KEPT.stored, plan_updates(KEPT.stored, KEPT.versions, {"a": None}, LIMITS), version=8
    )
    again = carry_out(forgotten, plan_updates(forgotten, {}, {"a": 1}, LIMITS), version=9)
    assert not plan_updates(again, KEPT.versions, {"a": 5}, LIMITS).is_applied


def test_two_runs_that_fill_the_room_together_cannot_both_have_it():
    first = carry_out({}, plan_updates({}, {}, {"a": 1, "b": 1, "c": 1}, LIMITS), version=1)
    plan = plan_updates(first, {}, {"d": 1, "e": 1}, LIMITS)
    assert (plan.is_applied, plan.reason, plan.conflicts) == (False, "storage_too_large", ("d", "e"))
