"""What a person may say about running ahead: read strictly, stored as said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.errors import DomainError
from apps.kernel.speculation import (
    Choice,
    Mode,
    SpeculationLimitsInvalid,
    choice_from_json,
)


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, Choice()),
        ({}, Choice()),
        ({"enabled": None, "mode": None}, Choice()),
        ({"enabled": False}, Choice(is_enabled=False)),
        ({"mode": "aggressive"}, Choice(mode=Mode.AGGRESSIVE)),
        (
            {"enabled": True, "mode": "custom", "max_depth": 20, "max_branches": 16},
            Choice(is_enabled=True, mode=Mode.CUSTOM, max_depth=20, max_branches=16),
        ),
    ],
)
def test_a_choice_is_what_is_said_and_nothing_else(value, choice):
    read = choice_from_json(value)
    assert read == choice
    assert choice_from_json(json.loads(json.dumps(read.to_json()))) == read
    assert None not in read.to_json().values()


def test_the_stored_form_of_a_choice_that_says_nothing_is_empty():
    assert choice_from_json({"mode": None}).to_json() == {}


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ("off", "/speculation"),
        ([], "/speculation"),
        (False, "/speculation"),
        ({"enabled": "no"}, "/speculation/enabled"),
        ({"enabled": 0}, "/speculation/enabled"),
        ({"mode": "reckless"}, "/speculation/mode"),
        ({"mode": ["custom"]}, "/speculation/mode"),
        ({"depth": 3}, "/speculation/depth"),
        ({"a/b~": 3}, "/speculation/a~1b~0"),
        ({"max_depth": 3}, "/speculation/max_depth"),
        ({"mode": "balanced", "max_branches": 3}, "/speculation/max_branches"),
        ({"mode": "custom"}, "/speculation/max_depth"),
        ({"mode": "custom", "max_branches": 3}, "/speculation/max_depth"),
        ({"mode": "custom", "max_depth": 3}, "/speculation/max_branches"),
        ({"mode": "custom", "max_depth": 0, "max_branches": 3}, "/speculation/max_depth"),
        ({"mode": "custom", "max_depth": 2.0, "max_branches": 3}, "/speculation/max_depth"),
        ({"mode": "custom", "max_depth": "3", "max_branches": 3}, "/speculation/max_depth"),
        ({"mode": "custom", "max_depth": 3, "max_branches": 17}, "/speculation/max_branches"),
    ],
)
def test_what_is_not_on_offer_is_refused_at_its_place(value, pointer):
    with pytest.raises(DomainError) as refused:
        choice_from_json(value, "/speculation")
    assert (refused.value.code, refused.value.pointer) == ("speculation_limits_invalid", pointer)


def test_a_depth_of_21_is_refused_and_the_limit_is_named():
    with pytest.raises(DomainError) as refused:
        choice_from_json({"mode": "custom", "max_depth": 21, "max_branches": 1}, "/speculation")
    assert refused.value.pointer == "/speculation/max_depth"
    assert (refused.value.value, refused.value.reason) == (21, "custom takes 1 to 20")


FIELDS = st.sampled_from(["enabled", "mode", "max_depth", "max_branches", "x"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 25)
    | st.floats()
    | st.sampled_from([*Mode, "x"])
    | st.lists(st.none())
)


@given(st.dictionaries(FIELDS, VALUES))
def test_whatever_is_said_is_a_choice_on_offer_or_a_coded_refusal(value: dict[str, Any]):
    try:
        choice = choice_from_json(value)
    except SpeculationLimitsInvalid:
        return
    assert choice_from_json(choice.to_json()) == choice
    assert (choice.mode is Mode.CUSTOM) == (choice.max_depth is not None and choice.max_branches is not None)
