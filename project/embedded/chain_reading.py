"""Reads settlements back from the chain with a client of its own: plain JSON-RPC, nothing shared.

A task counts as confirmed here only if the hub holds the very proof the API told, and the
transaction the API named succeeded, carries the hub's event for this task, and lies in a block of
the present chain that is deep enough.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from apps.kernel.hashing import keccak

_SETTLED: Final = "0x" + keccak(b"settled(uint256)")[:4].hex()
_LATEST: Final = "0x" + keccak(b"latest(bytes32)")[:4].hex()
_ALARM_COUNT: Final = "0x" + keccak(b"alarm_count(bytes32)")[:4].hex()
_TASK_SETTLED: Final = "0x" + keccak(b"TaskSettled(uint256,bytes32,bytes32,bool,uint256)").hex()
_PRICE_REPORTED: Final = "0x" + keccak(b"PriceReported(bytes32,uint256)").hex()
_ALARM_RAISED: Final = "0x" + keccak(b"AlarmRaised(bytes32,int256,uint256)").hex()
_NO_PROOF: Final = "0x" + "00" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementClaim:
    """What the API says of one task: its wire id, its proof and the transaction that settled it."""

    task_id: str
    proof_of_task: str
    tx_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAnswer:
    """What the chain says of the same task; `problems` is empty for a confirmed one."""

    task_id: str
    block_number: int | None
    block_hash: str | None
    depth: int
    problems: tuple[str, ...]

    @property
    def is_confirmed(self) -> bool:
        """Whether nothing contradicts the claim."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardValues:
    """What the example targets hold, for the symbols and stations these transactions wrote."""

    prices: Mapping[str, int]
    alarms: Mapping[str, int]


#: Answers many `(method, parameters)` calls at once, in their order.
CallMany = Callable[[Sequence[tuple[str, list[Any]]]], list[Any]]


class JsonRpc:
    """Many JSON-RPC calls as one HTTP request."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx2.Client(timeout=10.0, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __call__(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """The results in the calls' order; raises KeyError where one was answered with an error."""
        if not calls:
            return []
        batch = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": parameters}
            for index, (method, parameters) in enumerate(calls)
        ]
        response = self._client.post(self._url, json=batch)
        response.raise_for_status()
        answers = {answer["id"]: answer for answer in response.json()}
        return [answers[index]["result"] for index in range(len(calls))]


class ChainReader:
    """Reads one deployment's contracts."""

    def __init__(self, *, call_many: CallMany, deployment: Mapping[str, Any], confirmations: int) -> None:
        self._call_many = call_many
        self._deployment = deployment
        self._confirmations = confirmations

    def check(self, claims: Sequence[SettlementClaim]) -> list[ChainAnswer]:
        """Compare each claim with the chain, in the claims' order."""
        hub = self._deployment["hub"]
        head = int(self._call_many([("eth_blockNumber", [])])[0], 16)
        proofs = self._read_words(hub, [_SETTLED + _task_word(claim.task_id) for claim in claims])
        receipts = self._receipts(claims)
        numbers = sorted({receipt["blockNumber"] for receipt in receipts.values()})
        blocks = self._call_many([("eth_getBlockByNumber", [number, False]) for number in numbers])
        hashes = {number: (block or {}).get("hash") for number, block in zip(numbers, blocks, strict=True)}
        return [
            self._answer(claim, proof, receipts.get(claim.tx_hash), hashes, head)
            for claim, proof in zip(claims, proofs, strict=True)
        ]

    def read_boards(self, claims: Sequence[SettlementClaim]) -> BoardValues:
        """The present values of everything these transactions wrote to the example targets."""
        logs = [log for receipt in self._receipts(claims).values() for log in receipt["logs"]]
        symbols = sorted({log["topics"][1] for log in logs if log["topics"][0] == _PRICE_REPORTED})
        stations = sorted({log["topics"][1] for log in logs if log["topics"][0] == _ALARM_RAISED})
        prices = self._read_words(
            self._deployment["price_board"], [_LATEST + symbol[2:] for symbol in symbols]
        )
        alarms = self._read_words(
            self._deployment["alarm_board"], [_ALARM_COUNT + station[2:] for station in stations]
        )
        return BoardValues(
            prices={_text(key): int(value[:66], 16) for key, value in zip(symbols, prices, strict=True)},
            alarms={_text(key): int(value, 16) for key, value in zip(stations, alarms, strict=True)},
        )

    def _answer(
        self,
        claim: SettlementClaim,
        proof: str,
        receipt: Mapping[str, Any] | None,
        hashes: Mapping[str, str | None],
        head: int,
    ) -> ChainAnswer:
        problems: list[str] = []
        if proof == _NO_PROOF:
            problems.append("the hub has not settled it")
        elif proof != claim.proof_of_task:
            problems.append("the hub holds another proof")
        if receipt is None:
            problems.append("its transaction has no receipt")
            return ChainAnswer(
                task_id=claim.task_id, block_number=None, block_hash=None, depth=0, problems=tuple(problems)
            )

        number = int(receipt["blockNumber"], 16)
        if int(receipt["status"], 16) != 1:
            problems.append("its transaction failed")
        if not self._has_event(claim, receipt["logs"]):
            problems.append("its transaction does not carry the hub's event for it")
        if hashes[receipt["blockNumber"]] != receipt["blockHash"]:
            problems.append("its block is no longer part of the chain")
        if head - number < self._confirmations:
            problems.append(f"only {head - number} blocks deep, {self._confirmations} expected")
        return ChainAnswer(
            task_id=claim.task_id,
            block_number=number,
            block_hash=receipt["blockHash"],
            depth=head - number,
            problems=tuple(problems),
        )

    def _has_event(self, claim: SettlementClaim, logs: Iterable[Mapping[str, Any]]) -> bool:
        topics = [_TASK_SETTLED, "0x" + _task_word(claim.task_id)]
        hub = str(self._deployment["hub"]).lower()
        return any(
            log["address"].lower() == hub
            and log["topics"] == topics
            and log["data"][:66] == claim.proof_of_task
            for log in logs
        )

    def _receipts(self, claims: Sequence[SettlementClaim]) -> dict[str, Any]:
        hashes = sorted({claim.tx_hash for claim in claims if claim.tx_hash})
        found = self._call_many([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes])
        return {tx_hash: receipt for tx_hash, receipt in zip(hashes, found, strict=True) if receipt}

    def _read_words(self, address: str, calls: Sequence[str]) -> list[str]:
        return self._call_many([("eth_call", [{"to": address, "data": data}, "latest"]) for data in calls])


def _task_word(wire_id: str) -> str:
    """The task's 128 bits as a 32-byte word in hex, as the hub counts tasks."""
    return f"{int(wire_id.rpartition('_')[2], 16):064x}"


def _text(word: str) -> str:
    """A bytes32 that holds padded text, as text."""
    return bytes.fromhex(word[2:]).rstrip(b"\0").decode("utf-8", "replace")
