"""Reading settlements back, against a chain made of dictionaries."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from apps.kernel.hashing import keccak
from project.embedded.chain_reading import ChainReader, SettlementClaim

HUB = "0x" + "aa" * 20
BOARD = "0x" + "bb" * 20
ALARMS = "0x" + "cc" * 20
TASK = "task_" + "0" * 30 + "2a"
WORD = f"{0x2A:064x}"
PROOF = "0x" + "11" * 32
ROOT = "22" * 32
TX = "0x" + "33" * 32
BLOCK = "0x" + "44" * 32
SYMBOL = b"AAPL".ljust(32, b"\0").hex()
STATION = b"SEATTLE".ljust(32, b"\0").hex()
SETTLED_TOPIC = "0x" + keccak(b"TaskSettled(uint256,bytes32,bytes32,bool,uint256)").hex()
PRICE_TOPIC = "0x" + keccak(b"PriceReported(bytes32,uint256)").hex()
ALARM_TOPIC = "0x" + keccak(b"AlarmRaised(bytes32,int256,uint256)").hex()

Change = Callable[["Chain"], None]


class Chain:
    """Answers the handful of methods the reader uses."""

    def __init__(self) -> None:
        self.head = 12
        self.proof = PROOF
        self.canonical = {"0xa": BLOCK}
        self.receipt: dict[str, Any] | None = {
            "status": "0x1",
            "blockNumber": "0xa",
            "blockHash": BLOCK,
            "logs": [
                {
                    "address": HUB.upper().replace("X", "x"),
                    "topics": [SETTLED_TOPIC, "0x" + WORD],
                    "data": PROOF + ROOT,
                },
                {"address": BOARD, "topics": [PRICE_TOPIC, "0x" + SYMBOL], "data": "0x"},
                {"address": ALARMS, "topics": [ALARM_TOPIC, "0x" + STATION], "data": "0x"},
            ],
        }

    def __call__(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        return [self._one(method, parameters) for method, parameters in calls]

    def _one(self, method: str, parameters: list[Any]) -> Any:
        match method:
            case "eth_blockNumber":
                return hex(self.head)
            case "eth_getTransactionReceipt":
                return self.receipt if parameters[0] == TX else None
            case "eth_getBlockByNumber":
                found = self.canonical.get(parameters[0])
                return {"hash": found} if found else None
            case "eth_call":
                return self._eth_call(parameters[0])
        raise AssertionError(method)

    def _eth_call(self, call: dict[str, str]) -> str:
        if call["to"] == HUB:
            assert call["data"] == "0x" + keccak(b"settled(uint256)")[:4].hex() + WORD
            return self.proof
        if call["to"] == BOARD:
            assert call["data"].endswith(SYMBOL)
            return "0x" + f"{187_500:064x}" + f"{1_700_000_000:064x}"
        assert call["to"] == ALARMS
        return "0x" + f"{3:064x}"


def reader(chain: Chain) -> ChainReader:
    deployment = {"hub": HUB, "price_board": BOARD, "alarm_board": ALARMS}
    return ChainReader(call_many=chain, deployment=deployment, confirmations=2)


def claim(tx_hash: str = TX) -> SettlementClaim:
    return SettlementClaim(task_id=TASK, proof_of_task=PROOF, tx_hash=tx_hash)


def test_a_settlement_that_is_deep_enough_and_matches_is_confirmed() -> None:
    (answer,) = reader(Chain()).check([claim()])

    assert answer.is_confirmed
    assert (answer.block_number, answer.block_hash, answer.depth) == (10, BLOCK, 2)


def _unsettled(chain: Chain) -> None:
    chain.proof = "0x" + "00" * 32


def _other_proof(chain: Chain) -> None:
    chain.proof = "0x" + "99" * 32


def _failed(chain: Chain) -> None:
    assert chain.receipt is not None
    chain.receipt["status"] = "0x0"


def _shallow(chain: Chain) -> None:
    chain.head = 11


def _reorganised(chain: Chain) -> None:
    chain.canonical = {"0xa": "0x" + "55" * 32}


def _without_event(chain: Chain) -> None:
    assert chain.receipt is not None
    chain.receipt["logs"] = chain.receipt["logs"][1:]


def _foreign_event(chain: Chain) -> None:
    assert chain.receipt is not None
    chain.receipt["logs"][0]["address"] = BOARD


def _without_receipt(chain: Chain) -> None:
    chain.receipt = None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_unsettled, "the hub has not settled it"),
        (_other_proof, "the hub holds another proof"),
        (_failed, "its transaction failed"),
        (_shallow, "only 1 blocks deep, 2 expected"),
        (_reorganised, "its block is no longer part of the chain"),
        (_without_event, "its transaction does not carry the hub's event for it"),
        (_foreign_event, "its transaction does not carry the hub's event for it"),
        (_without_receipt, "its transaction has no receipt"),
    ],
)
def test_whatever_contradicts_the_claim_is_named(change: Change, problem: str) -> None:
    chain = Chain()
    change(chain)

    (answer,) = reader(chain).check([claim()])

    assert not answer.is_confirmed
    assert answer.problems == (problem,)


def test_a_task_without_a_transaction_is_not_confirmed() -> None:
    (answer,) = reader(Chain()).check([claim(tx_hash="")])

    assert answer.problems == ("its transaction has no receipt",)


def test_the_boards_are_read_for_the_symbols_and_stations_that_were_written() -> None:
    boards = reader(Chain()).read_boards([claim()])

    assert boards.prices == {"AAPL": 187_500}
    assert boards.alarms == {"SEATTLE": 3}


def test_nothing_claimed_means_nothing_asked_of_the_boards() -> None:
    boards = reader(Chain()).read_boards([])

    assert (boards.prices, boards.alarms) == ({}, {})
