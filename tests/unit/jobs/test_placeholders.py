"""Placeholders of the example jobs."""

import pytest

from apps.jobs.domain.placeholders import bytes32_of, fill_placeholders, selector_of
from apps.jobs.errors import PlaceholderUnknown

LOOKUPS = {"chain_id": lambda _: 31337, "input": lambda name: f"cid-of-{name}"}


def test_a_whole_placeholder_keeps_its_type_and_one_inside_a_text_becomes_text():
    body = {"chain": "${chain_id}", "list": ["${input:a.csv}", 1, None], "text": "on ${chain_id}!"}
    assert fill_placeholders(body, LOOKUPS) == {
        "chain": 31337,
        "list": ["cid-of-a.csv", 1, None],
        "text": "on 31337!",
    }


def test_an_unknown_placeholder_is_never_left_standing():
    with pytest.raises(PlaceholderUnknown) as refused:
        fill_placeholders({"a": ["${colour}"]}, LOOKUPS)
    assert refused.value.name == "colour"


def test_texts_are_padded_to_a_word():
    assert bytes32_of("MSFT") == "0x4d534654" + "0" * 56
    with pytest.raises(PlaceholderUnknown):
        bytes32_of("x" * 33)


def test_a_selector_is_the_start_of_the_signatures_hash():
    assert selector_of("transfer(address,uint256)") == "0xa9059cbb"
