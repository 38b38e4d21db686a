"""Calls, answers and events by an ABI."""

import pytest
from eth_abi.abi import encode

from apps.chains.data import Log
from apps.chains.domain.contract_abi import ContractAbi, type_text
from apps.chains.errors import ArtifactInvalid
from apps.kernel.hashing import keccak, to_hex

ENTRIES = [
    {
        "type": "function",
        "name": "report",
        "inputs": [{"name": "symbol", "type": "bytes32"}, {"name": "figure", "type": "uint256"}],
        "outputs": [],
    },
    {
        "type": "function",
        "name": "latest",
        "inputs": [{"name": "key", "type": "bytes32"}],
        "outputs": [
            {
                "name": "",
                "type": "tuple",
                "components": [{"name": "figure", "type": "uint256"}, {"name": "by", "type": "address"}],
            }
        ],
    },
    {
        "type": "event",
        "name": "Reported",
        "inputs": [
            {"name": "figure", "type": "uint256", "indexed": False},
            {"name": "symbol", "type": "bytes32", "indexed": True},
            {"name": "note", "type": "string", "indexed": False},
        ],
    },
]
ABI = ContractAbi("Board", ENTRIES)


def log(topics, data=b""):
    return Log(
        address="0x" + "01" * 20,
        topics=tuple(topics),
        data=to_hex(data),
        block_number=3,
        block_hash="0xaa",
        tx_hash="0xbb",
        index=4,
    )


def test_a_call_is_selector_and_arguments():
    data = ABI.encode("report", b"\x01" * 32, 7)
    assert data == keccak(b"report(bytes32,uint256)")[:4] + b"\x01" * 32 + (7).to_bytes(32)


def test_tuples_are_spelled_out():
    assert type_text({"type": "tuple[2][]", "components": ENTRIES[0]["inputs"]}) == "(bytes32,uint256)[2][]"


def test_an_answer_is_decoded_to_plain_values():
    output = encode(["(uint256,address)"], [(5, "0x" + "ab" * 20)])
    assert ABI.decode("latest", output) == ((5, "0x" + "ab" * 20),)


def test_an_answer_that_does_not_fit_is_a_fact_not_a_crash():
    with pytest.raises(ArtifactInvalid):
        ABI.decode("latest", b"\x01")


def test_an_event_is_decoded_with_its_members_in_order():
    topics = [ABI.topic("Reported"), "0x" + "01" * 32]
    event = ABI.decode_log(log(topics, encode(["uint256", "string"], [9, "hot"])))
    assert event is not None
    assert list(event.arguments.items()) == [("figure", 9), ("symbol", b"\x01" * 32), ("note", "hot")]
    assert (event.name, event.block_number, event.tx_hash, event.index) == ("Reported", 3, "0xbb", 4)


def test_another_contracts_event_is_none():
    assert ABI.decode_log(log(["0x" + "05" * 32])) is None
    assert ABI.decode_log(log([])) is None


@pytest.mark.parametrize("ask", [lambda: ABI.encode("nothing"), lambda: ABI.topic("Nothing")])
def test_an_unknown_name_is_named(ask):
    with pytest.raises(ArtifactInvalid):
        ask()
