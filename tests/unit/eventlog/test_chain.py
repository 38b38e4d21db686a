"""The hash chain, pure."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.eventlog.data import ChainLink
from apps.eventlog.domain.chain import compute_hash, find_fault, is_hash_of
from apps.eventlog.domain.forms import json_form
from apps.kernel.hashing import canonical_json, sha256

FIRST = ChainLink(
    aggregate_type="task",
    aggregate_id="ab" * 16,
    aggregate_sequence=1,
    event_type="task.discovered",
    payload={"set": {"status": "discovered"}},
    trace_id="cd" * 16,
    created_at="2026-11-20T07:00:00.000000Z",
    previous_hash="",
)
SECOND = replace(FIRST, aggregate_sequence=2, event_type="task.scheduled", previous_hash=compute_hash(FIRST))

_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=6)
)
_payloads = st.dictionaries(
    st.text("kfg_\xe9\U0001f680\ufb33", max_size=8),
    st.recursive(
        _leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("k:\xe9", max_size=3), inner),
    ),
    max_size=6,
)


def test_the_hash_is_the_one_everybody_can_compute():
    assert compute_hash(FIRST) == (
        sha256(
            b'{"aggregate_id":"' + b"ab" * 16 + b'","aggregate_sequence":1,"aggregate_type":"task",'
            b'"created_at":"2026-11-20T07:00:00.000000Z","event_type":"task.discovered",'
            b'"payload":{"set":{"status":"discovered"}},"previous_hash":"","trace_id":"' + b"cd" * 16 + b'"}'
        ).hex()
    )


@settings(deadline=None, max_examples=60)
@given(_payloads)
def test_the_fast_encoding_is_rfc_8785_for_every_json_form(payload):
    link = replace(FIRST, payload=json_form(payload))
    covered = {name: getattr(link, name) for name in ChainLink.__dataclass_fields__}
    assert compute_hash(link) == sha256(canonical_json(covered)).hex()


@pytest.mark.parametrize("value", [1e-5, -1e-7, 2.5e-12, 0.0001, 123456.789, [1e-5], {"a": 5e-324}])
def test_small_fractions_hash_as_rfc_8785_writes_them(value):
    link = replace(FIRST, payload={"set": {"x": value}})
    covered = {name: getattr(link, name) for name in ChainLink.__dataclass_fields__}
    assert compute_hash(link) == sha256(canonical_json(covered)).hex()


@settings(deadline=None, max_examples=60)
@given(_payloads, st.sampled_from(["event_type", "trace_id", "created_at", "previous_hash", "aggregate_id"]))
def test_no_covered_field_can_change_unseen(payload, name):
    link = replace(FIRST, payload=json_form(payload))
    stored = compute_hash(link)
    assert is_hash_of(link, stored)
    assert not is_hash_of(replace(link, **{name: getattr(link, name) + "x"}), stored)
    assert not is_hash_of(replace(link, payload={**link.payload, "extra": 1}), stored)


def test_a_sound_chain_has_no_fault():
    assert find_fault(FIRST, compute_hash(FIRST), None, "") is None
    assert find_fault(SECOND, compute_hash(SECOND), FIRST, compute_hash(FIRST)) is None


def test_a_missing_event_is_a_gap():
    assert find_fault(SECOND, compute_hash(SECOND), None, "") == "gap"
    third = replace(SECOND, aggregate_sequence=3)
    assert find_fault(third, compute_hash(third), FIRST, compute_hash(FIRST)) == "gap"


def test_another_predecessor_is_a_broken_link():
    assert find_fault(SECOND, compute_hash(SECOND), FIRST, "00" * 32) == "broken_link"


def test_changed_content_is_tampered():
    changed = replace(FIRST, payload={"set": {"status": "confirmed"}})
    assert find_fault(changed, compute_hash(FIRST), None, "") == "tampered"
