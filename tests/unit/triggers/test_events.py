"""Event triggers as rules: read with pointed refusals, and matched against logs exactly."""

import json

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.errors import DomainError
from apps.kernel.hashing import keccak, to_hex
from apps.triggers.data import event_from_json, matches, union_filter

ADDRESS = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
OTHER = "0x00000000000000000000000000000000000000aa"
TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"
TRANSFER_ENTRY = {
    "type": "event",
    "name": "Transfer",
    "anonymous": False,
    "inputs": [
        {"name": "from", "type": "address", "indexed": True},
        {"name": "to", "type": "address", "indexed": True},
        {"name": "value", "type": "uint256", "indexed": False},
    ],
}


def trigger_of(event=TRANSFER, **fields):
    body = {"chain_id": 1, "address": ADDRESS, "event": event, **fields}
    return event_from_json(body, "/event", chain_ids=(1, 10), confirmations_max=256)


def log_of(trigger, topics=(), types=(), values=()):
    return {
        "address": ADDRESS,
        "topics": [trigger.topic0, *topics],
        "data": to_hex(encode(types, values)),
    }


def address_topic(address):
    return "0x" + address[2:].rjust(64, "0")


def transfer(trigger, value=5, to=OTHER):
    return log_of(trigger, [address_topic(ADDRESS), address_topic(to)], ["uint256"], [value])


def test_the_text_and_the_abi_say_the_same():
    by_text = trigger_of()
    assert by_text.topic0 == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    for abi in (TRANSFER_ENTRY, [{"type": "function", "name": "Transfer"}, TRANSFER_ENTRY]):
        assert trigger_of("Transfer(address,address,uint256)", abi=abi) == by_text
        assert trigger_of("Transfer", abi=abi) == by_text
        assert trigger_of(TRANSFER, abi=abi) == by_text


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"event": "Transfer(address,address,uint256)"}, "event_signature_invalid", "/event/event"),
        ({"event": "Transfer(address indexed from"}, "event_signature_invalid", "/event/event"),
        ({"event": "A(uint7 indexed x)"}, "event_signature_invalid", "/event/event"),
        ({"event": "A(uint8 x, uint8 x)"}, "event_signature_invalid", "/event/event"),
        ({"event": 7}, "event_signature_invalid", "/event/event"),
        ({"event": "Approval(address)", "abi": [TRANSFER_ENTRY]}, "event_not_in_abi", "/event/event"),
        ({"abi": "x"}, "event_not_in_abi", "/event/abi"),
        ({"event": f"{TRANSFER} anonymous"}, "event_anonymous", "/event/event"),
        ({"abi": {**TRANSFER_ENTRY, "anonymous": True}}, "event_anonymous", "/event/abi"),
        (
            {"event": "A(bool indexed a, bool indexed b, bool indexed c, bool indexed d)"},
            "topic_count_invalid",
            "/event/event",
        ),
        ({"filters": {"amount": "1"}}, "filter_unknown", "/event/filters/amount"),
        ({"filters": {"value": "1.5"}}, "filter_invalid", "/event/filters/value/equals"),
        ({"filters": {"value": 1.5}}, "filter_invalid", "/event/filters/value/equals"),
        ({"filters": {"value": {"like": "1"}}}, "filter_invalid", "/event/filters/value/like"),
        ({"filters": {"from": {"less_than": "1"}}}, "filter_invalid", "/event/filters/from/less_than"),
        ({"filters": {"value": {"between": ["2", "1"]}}}, "filter_invalid", "/event/filters/value/between"),
        ({"filters": {"from": [ADDRESS, "0x1"]}}, "filter_invalid", "/event/filters/from/one_of/1"),
        ({"confirmations": 257}, "confirmations_invalid", "/event/confirmations"),
        ({"confirmations": -1}, "confirmations_invalid", "/event/confirmations"),
        ({"chain_id": 2}, "event_chain_unknown", "/event/chain_id"),
        ({"address": "0x1"}, "address_invalid", "/event/address"),
        ({"address": "0x5Aaeb6053f3e94c9b9a09f33669435e7ef1beaed"}, "address_checksum", "/event/address"),
        ({"topic": "x"}, "field_unknown", "/event/topic"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_and_place(fields, code, pointer):
    with pytest.raises(DomainError) as caught:
        trigger_of(**{"event": TRANSFER, **fields})
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("condition", "met", "not_met"),
    [
        ("5", [5], [4, 6]),
        (["5", 7], [5, 7], [6]),
        ({"greater_than": "5"}, [6], [5]),
        ({"greater_equal": str(2**255)}, [2**255], [2**255 - 1]),
        ({"less_than": "5"}, [4], [5]),
        ({"less_equal": "0x5"}, [5], [6]),
        ({"between": ["5", "7"]}, [5, 7], [4, 8]),
        ({"greater_than": "5", "less_than": "9"}, [6, 8], [5, 9]),
    ],
)
def test_integers_are_compared_exactly(condition, met, not_met):
    trigger = trigger_of(filters={"value": condition})
    assert all(matches(trigger, transfer(trigger, value)) for value in met)
    assert not any(matches(trigger, transfer(trigger, value)) for value in not_met)
    assert event_from_json(json.loads(json.dumps(trigger.to_json())), "/event") == trigger


def test_the_node_chooses_by_equal_topics_only():
    trigger = trigger_of(filters={"to": [ADDRESS, OTHER], "value": "1"})
    assert trigger.topics_filter() == (
        (trigger.topic0,),
        None,
        tuple(sorted([address_topic(ADDRESS), address_topic(OTHER)])),
    )
    negative = trigger_of("A(int8 indexed x)", filters={"x": "-1"})
    assert negative.topics_filter()[1] == ("0x" + "ff" * 32,)


def test_one_filter_lets_through_what_any_of_them_wants():
    narrow, wide = trigger_of(filters={"from": ADDRESS}), trigger_of()
    other = trigger_of("Paused()")
    assert union_filter([narrow]).topics == narrow.topics_filter()
    assert union_filter([narrow, wide]).topics == ((narrow.topic0,),)
    assert union_filter([narrow, other]).topics == (tuple(sorted([narrow.topic0, other.topic0])),)
    assert union_filter([]) is None


def test_an_indexed_text_is_compared_by_its_hash():
    trigger = trigger_of("Named(string indexed name, uint8[] indexed ids)", filters={"name": "alice"})
    topics = [to_hex(keccak(b"alice")), "0x" + "11" * 32]
    assert matches(trigger, log_of(trigger, topics)).args == {"name": topics[0], "ids": topics[1]}
    assert not matches(trigger, log_of(trigger, [topics[1], topics[0]]))
    assert event_from_json(trigger.to_json(), "/event") == trigger
    by_hash = trigger_of("Named(uint8[] indexed ids)", filters={"ids": {"hash": topics[1]}})
    assert matches(by_hash, log_of(by_hash, [topics[1]]))


def test_texts_are_compared_as_they_are():
    trigger = trigger_of("Said(string words, bytes4 tag, bool loud)", filters={"words": "0xAB", "loud": True})
    types = ["string", "bytes4", "bool"]
    assert matches(trigger, log_of(trigger, (), types, ["0xAB", b"\1\2\3\4", True]))
    assert not matches(trigger, log_of(trigger, (), types, ["0xab", b"\1\2\3\4", True]))
    assert not matches(trigger, log_of(trigger, (), types, ["0xAB", b"\1\2\3\4", False]))


@pytest.mark.parametrize(
    "change",
    [
        {"topics": []},
        {"topics": None},
        {"topics": ["0x12"]},
        {"data": "0x"},
        {"data": "0x1"},
        {"data": None},
        {"data": 5},
        {"address": OTHER},
        {"address": None},
    ],
)
def test_what_is_no_log_of_the_event_is_no_match_and_says_why(change):
    trigger = trigger_of()
    match = matches(trigger, {**transfer(trigger), **change})
    assert not match
    assert match.reason


def test_a_wrong_number_of_topics_or_a_dirty_word_is_no_match():
    trigger = trigger_of()
    log = transfer(trigger)
    assert not matches(trigger, {**log, "topics": log["topics"][:2]})
    assert not matches(trigger, {**log, "topics": [*log["topics"], log["topics"][1]]})
    assert not matches(trigger, {**log, "topics": [log["topics"][0], "0x" + "ff" * 32, log["topics"][2]]})


def test_a_text_no_store_can_keep_is_no_match():
    trigger = trigger_of("Said(string words, bool loud)")
    assert not matches(trigger, log_of(trigger, (), ["string", "bool"], ["a\0b", True]))


_VALUES = {
    "uint256": st.integers(0, 2**256 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    "bytes": st.binary(max_size=70),
    "bytes8": st.binary(min_size=8, max_size=8),
    "uint8[]": st.lists(st.integers(0, 255), max_size=5),
}


@st.composite
def typed_values(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(_VALUES)), min_size=1, max_size=6))
    return [(kind, draw(_VALUES[kind])) for kind in kinds]


def plain(value):
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return to_hex(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(typed_values())
def test_whatever_another_encoder_writes_is_read_back(pairs):
    text = ", ".join(f"{kind} a{at}" for at, (kind, _) in enumerate(pairs))
    trigger = trigger_of(f"Any({text})")
    log = log_of(trigger, (), [kind for kind, _ in pairs], [value for _, value in pairs])
    assert matches(trigger, log).args == {f"a{at}": plain(value) for at, (_, value) in enumerate(pairs)}


@given(st.integers(-(2**255), 2**255 - 1), st.integers(-(2**255), 2**255 - 1))
def test_comparing_is_what_python_says(low, found):
    trigger = trigger_of("A(int256 indexed x)", filters={"x": {"greater_than": str(low)}})
    log = log_of(trigger, [to_hex(found.to_bytes(32, signed=True))])
    assert bool(matches(trigger, log)) is (found > low)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_whatever_raise(data, topics):
    trigger = trigger_of("A((string,uint8[])[] items, bytes b, address indexed who)")
    matches(
        trigger, {"address": ADDRESS, "topics": [trigger.topic0, *map(to_hex, topics)], "data": to_hex(data)}
    )
