"""Conditions and sources from JSON: each refusal has its code and points at what is wrong."""

from typing import Any
from uuid import UUID

import pytest

from apps.kernel.errors import DomainError
from apps.triggers.data import (
    ChainSource,
    HttpSource,
    condition_from_json,
    decode_returns,
    secrets_of,
    shown_url,
    source_from_json,
    source_key,
    source_to_json,
)
from tests.unit.triggers.conditions import PRICE, condition, leaf

ONE, OTHER = UUID(int=1), UUID(int=2)
ADDRESS = "0x" + "ab" * 20
CHAIN: dict[str, Any] = {
    "kind": "chain",
    "chain_id": 31337,
    "address": ADDRESS,
    "function": "latestRoundData()",
    "returns": ["uint80", "int256"],
}


def _nested(depth: int) -> Any:
    when: Any = leaf()
    for _ in range(depth):
        when = {"all": [when]}
    return when


@pytest.mark.parametrize(
    ("form", "code", "pointer"),
    [
        (None, "condition_missing", ""),
        ({"when": leaf()}, "condition_missing", "/sources"),
        ({"sources": {"eth": PRICE}}, "condition_missing", "/when"),
        (condition(x=1), "field_unknown", "/x"),
        (condition(leaf("above")), "comparison_unknown", "/when/is"),
        (condition(leaf(value=None)), "threshold_missing", "/when/value"),
        (condition(leaf(value="abc")), "threshold_invalid", "/when/value"),
        (condition(leaf(value=True)), "threshold_invalid", "/when/value"),
        (condition(leaf(low="1")), "threshold_invalid", "/when/low"),
        (condition(leaf("between", "1", low="1", high="2")), "threshold_invalid", "/when/value"),
        (condition(leaf("between", None, low="1")), "threshold_missing", "/when/high"),
        (condition(leaf("between", None, low="2", high="1.9")), "threshold_order", "/when/low"),
        (condition(leaf(hysteresis="-1")), "hysteresis_invalid", "/when/hysteresis"),
        (condition(leaf(hysteresis="NaN")), "hysteresis_invalid", "/when/hysteresis"),
        (condition(leaf(route="$..a")), "route_invalid", "/when/route"),
        (condition(leaf(source="btc")), "source_unknown", "/when/source"),
        (condition({"all": []}), "group_empty", "/when/all"),
        (condition({"any": [leaf(), {"any": []}]}), "group_empty", "/when/any/1/any"),
        (condition({"any": [leaf()], "all": [leaf()]}), "group_ambiguous", "/when"),
        (condition({"any": [leaf()], "is": "equals"}), "group_ambiguous", "/when"),
        (condition(_nested(5)), "condition_too_deep", "/when/all/0/all/0/all/0/all/0"),
        (condition({"all": [leaf()] * 33}), "too_many_comparisons", "/when/all/32"),
        (condition(fires="often"), "fires_unknown", "/fires"),
        (condition(repeat_seconds=5), "repeat_invalid", "/repeat_seconds"),
        (condition(fires="level", repeat_seconds=0), "repeat_invalid", "/repeat_seconds"),
        (condition(sources={"e/h": PRICE}), "source_name_invalid", "/sources/e~1h"),
        (condition(sources={f"s{i}": PRICE for i in range(9)}), "too_many_sources", "/sources"),
        (condition(leaf(source="a"), sources={"a": PRICE, "b": PRICE}), "source_unused", "/sources/b"),
        (condition(sources={"a": PRICE, "b": PRICE}), "field_missing", "/when/source"),
        (condition(sources={"a": {"kind": "ftp"}}), "source_kind_unknown", "/sources/a/kind"),
    ],
)
def test_a_condition_that_is_wrong_is_refused_at_its_place(form: Any, code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as caught:
        condition_from_json(form)
    assert (caught.value.code, caught.value.pointer) == (code, f"/condition{pointer}")


def _http(**more: Any) -> dict[str, Any]:
    return {**PRICE, **more}


@pytest.mark.parametrize(
    ("form", "code", "pointer"),
    [
        ("x", "field_invalid", ""),
        (_http(url="ftp://a/b"), "source_url_invalid", "/url"),
        (_http(url="https://"), "source_url_invalid", "/url"),
        (_http(url="https://u:p@a/"), "source_url_invalid", "/url"),
        (_http(url="https://a/#b"), "source_url_invalid", "/url"),
        (_http(url="https://a:99999/"), "source_url_invalid", "/url"),
        (_http(url="https://a/ b"), "source_url_invalid", "/url"),
        (_http(url="https://a/" + "b" * 2048), "source_url_invalid", "/url"),
        (_http(method="PUT"), "method_unknown", "/method"),
        (_http(body={}), "field_invalid", "/body"),
        (_http(method="POST", body="x" * 65_536), "body_too_large", "/body"),
        (_http(headers={"Host": "a"}), "header_invalid", "/headers/Host"),
        (_http(headers={"a b": "a"}), "header_invalid", "/headers/a b"),
        (_http(headers={"a": "b\r\nc: d"}), "header_invalid", "/headers/a"),
        (_http(headers={"a": "1", "A": "2"}), "header_invalid", "/headers"),
        (_http(headers={"a": {"secret": "x y"}}), "header_invalid", "/headers/a/secret"),
        (_http(headers={"a": {"name": "x"}}), "field_unknown", "/headers/a/name"),
        (_http(poll_seconds=0), "poll_invalid", "/poll_seconds"),
        (_http(poll_seconds=86_401), "poll_invalid", "/poll_seconds"),
        (_http(subscribe={}), "field_unknown", "/subscribe"),
        ({"kind": "websocket", "url": "https://a/"}, "source_url_invalid", "/url"),
        ({"kind": "static"}, "field_missing", "/value"),
        ({**CHAIN, "chain_id": 0}, "source_chain_invalid", "/chain_id"),
        ({**CHAIN, "address": "0x1"}, "address_invalid", "/address"),
        ({**CHAIN, "returns": []}, "source_function_invalid", "/returns"),
        ({**CHAIN, "returns": None}, "source_function_invalid", "/abi"),
        ({**CHAIN, "returns": ["uint7"]}, "abi_invalid", "/returns"),
        ({**CHAIN, "function": "x"}, "abi_invalid", "/function"),
        ({**CHAIN, "arguments": [1]}, "arguments_mismatch", "/arguments"),
        ({**CHAIN, "decimals": 79}, "field_invalid", "/decimals"),
    ],
)
def test_a_source_that_is_wrong_is_refused_at_its_place(form: Any, code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as caught:
        source_from_json(form, "/s")
    assert (caught.value.code, caught.value.pointer) == (code, f"/s{pointer}")


SOURCES = [
    _http(method="POST", body={"q": 1.5}, headers={"X-Key": {"secret": "key"}, "Accept": "text/json"}),
    {"kind": "websocket", "url": "wss://a/b", "subscribe": ["x"]},
    CHAIN,
    {"kind": "static", "value": {"price": 5}},
]


@pytest.mark.parametrize("form", SOURCES, ids=lambda form: form["kind"])
def test_a_source_reads_back_from_its_own_json_with_the_same_key(form: Any) -> None:
    source = source_from_json(form, "")
    again = source_from_json(source_to_json(source), "")
    assert again == source
    assert source_key(again, ONE) == source_key(source, ONE)


def test_a_key_is_the_requests_and_of_one_project_only_where_a_secret_is_in_it() -> None:
    plain = source_from_json(PRICE, "")
    assert source_key(plain, ONE) == source_key(plain, OTHER)
    assert source_key(plain, ONE) != source_key(source_from_json(_http(poll_seconds=2), ""), ONE)
    secret = source_from_json(SOURCES[0], "")
    assert secrets_of(secret) == ("key",)
    assert source_key(secret, ONE) != source_key(secret, OTHER)
    shown = source_from_json({**CHAIN, "decimals": 8}, "")
    assert source_key(shown, ONE) == source_key(source_from_json(CHAIN, ""), ONE)


def test_what_is_shown_of_a_url_has_no_query() -> None:
    source = source_from_json(PRICE, "")
    assert isinstance(source, HttpSource)
    assert shown_url(source) == "https://prices.example/eth"


def test_a_calls_result_is_a_document_by_place_and_by_name() -> None:
    entry = {
        "type": "function",
        "name": "latest",
        "inputs": [],
        "outputs": [
            {"name": "answer", "type": "int256"},
            {"name": "", "type": "bool"},
            {"name": "twice", "type": "uint8"},
            {"name": "twice", "type": "uint8"},
        ],
    }
    form = {name: value for name, value in CHAIN.items() if name not in ("function", "returns")}
    source = source_from_json({**form, "abi": entry}, "")
    assert isinstance(source, ChainSource)
    words = [(-(2**200)).to_bytes(32, signed=True), *(n.to_bytes(32) for n in (1, 3, 4))]
    assert decode_returns(source, b"".join(words)) == {
        "0": str(-(2**200)),
        "answer": str(-(2**200)),
        "1": True,
        "2": "3",
        "3": "4",
    }
