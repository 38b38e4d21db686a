"""Canonical JSON: one value, one text, whoever writes it."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.hashing import NotCanonicalJson, canonical_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_the_bytes_are_those_of_rfc_8785(value):
    assert canonical_json(value) == rfc8785.dumps(value)


@given(
    st.dictionaries(
        st.text(alphabet=st.characters(min_codepoint=0xD000, exclude_categories=("Cs",))), st.none()
    )
)
def test_keys_are_sorted_by_utf_16_code_units(value):
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.text(alphabet=st.characters(max_codepoint=0x9F)))
def test_control_characters_are_escaped_as_rfc_8785_escapes_them(text):
    assert canonical_json({text: text}) == rfc8785.dumps({text: text})


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53, -(2**53), {1: 2}, "\ud800", {"a": ["\udfff"]}, b"bytes", {1, 2}],
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(NotCanonicalJson):
        canonical_json(value)


def test_a_value_nested_without_end_is_refused():
    value: list = []
    value.append(value)
    with pytest.raises(NotCanonicalJson):
        canonical_json(value)
