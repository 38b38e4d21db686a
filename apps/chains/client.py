"""One EVM chain, read and written to: typed, in sets, over batched JSON-RPC.

Nothing here keeps state but the connections. `observe` is the one request a whole polling pass makes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.chains.data import Block, Call, Fees, Log, Receipt, Simulation
from apps.chains.domain.sending import SendOutcome, classify_refusal, compute_fees
from apps.chains.errors import CallReverted, ChainUnreachable, WrongChain
from apps.chains.rpc import RpcCall, RpcFault, RpcTransport
from apps.kernel.hashing import to_hex

_ERROR_TEXT: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")
_DEFAULT_PRIORITY_WEI: Final = 1_000_000_000
#: How nodes say that a call reverts: geth's error code, and words for the other ways to fail.
_REVERT_CODE: Final = 3
_VERDICTS: Final = ("revert", "gas", "evm error", "opcode", "stack", "insufficient funds", "jump")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the chain showed in one look: prices, receipts, nonces and canonical hashes by number."""

    chain_id: int
    head: Block
    fees: Fees
    receipts: Mapping[str, Receipt]
    nonces: Mapping[str, int]
    block_hashes: Mapping[int, str]


class ChainClient:
    """A client for one node. Share it between threads, not across a fork."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._rpc = RpcTransport(url, timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._rpc.close()

    def request(self, method: str, *parameters: Any) -> Any:
        """Any JSON-RPC method; raise ChainUnreachable or ChainFault. The typed methods are below."""
        return self._rpc.call(method, *parameters)

    def get_chain_id(self) -> int:
        """The chain's id."""
        return int(self._rpc.call("eth_chainId"), 16)

    def require_chain(self, chain_id: int) -> None:
        """Raise WrongChain unless the node serves this chain."""
        found = self.get_chain_id()
        if found != chain_id:
            raise WrongChain(expected=chain_id, found=found)

    def is_local_node(self) -> bool:
        """Whether this is a development node that gives out money (`anvil_setBalance`)."""
        return "anvil" in str(self._rpc.call("web3_clientVersion")).lower()

    def set_balance(self, address: str, wei: int) -> None:
        """Give money, on a local node only."""
        self._rpc.call("anvil_setBalance", address, hex(wei))

    def get_head(self) -> Block:
        """The latest block."""
        return _block(self._rpc.call("eth_getBlockByNumber", "latest", False))

    def get_fees(self) -> Fees:
        """What a transaction should offer now."""
        head, tip = self._rpc.batch([_LATEST, _TIP])
        return _fees(_block(_require(head, "eth_getBlockByNumber")), tip)

    def get_block_hashes(self, numbers: Iterable[int]) -> dict[int, str]:
        """The canonical hash of each block that exists."""
        wanted = sorted(set(numbers))
        blocks = self._rpc.batch([_block_call(number) for number in wanted])
        return _hashes(wanted, blocks)

    def get_blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Each block that is on the canonical chain now."""
        wanted = sorted(set(numbers))
        blocks = self._rpc.batch([_block_call(number) for number in wanted])
        return {
            number: _block(answer)
            for number, answer in zip(wanted, blocks, strict=True)
            if isinstance(answer, dict)
        }

    def get_nonces(self, addresses: Iterable[str]) -> dict[str, int]:
        """How many transactions of each address are mined."""
        wanted = list(addresses)
        return _nonces(wanted, self._rpc.batch([_nonce_call(address) for address in wanted]))

    def get_balances(self, addresses: Iterable[str]) -> dict[str, int]:
        """Each address's balance in wei."""
        wanted = list(addresses)
        answers = self._rpc.batch([RpcCall("eth_getBalance", (address, "latest")) for address in wanted])
        return {a: int(_require(x, "eth_getBalance"), 16) for a, x in zip(wanted, answers, strict=True)}

    def get_codes(self, addresses: Iterable[str]) -> dict[str, bytes]:
        """Each address's code, empty where there is none."""
        wanted = list(addresses)
        answers = self._rpc.batch([RpcCall("eth_getCode", (address, "latest")) for address in wanted])
        return {a: _bytes(_require(x, "eth_getCode")) for a, x in zip(wanted, answers, strict=True)}

    def get_receipts(self, tx_hashes: Iterable[str]) -> dict[str, Receipt]:
        """The receipts of those transactions that are in a block."""
        wanted = list(tx_hashes)
        return _receipts(wanted, self._rpc.batch([_receipt_call(tx_hash) for tx_hash in wanted]))

    def observe(
        self, *, tx_hashes: Sequence[str], addresses: Sequence[str], block_numbers: Iterable[int]
    ) -> Observation:
        """Chain, head, prices, receipts, nonces and block hashes in one batch. The head is read first."""
        numbers = sorted(set(block_numbers))
        calls = [_LATEST, _TIP, _CHAIN, *map(_receipt_call, tx_hashes), *map(_nonce_call, addresses)]
        answers = self._rpc.batch([*calls, *map(_block_call, numbers)])
        head = _block(_require(answers[0], "eth_getBlockByNumber"))
        after_receipts = 3 + len(tx_hashes)
        after_nonces = after_receipts + len(addresses)
        return Observation(
            chain_id=int(_require(answers[2], "eth_chainId"), 16),
            head=head,
            fees=_fees(head, answers[1]),
            receipts=_receipts(tx_hashes, answers[3:after_receipts]),
            nonces=_nonces(addresses, answers[after_receipts:after_nonces]),
            block_hashes=_hashes(numbers, answers[after_nonces:]),
        )

    def call(self, call: Call) -> bytes:
        """Run a read-only call; raise CallReverted(reason, data), ChainUnreachable or ChainFault."""
        (result,) = self.simulate([call])
        if not result.is_success:
            raise CallReverted(reason=result.reason, data=to_hex(result.output))
        return result.output

    def simulate(self, calls: Sequence[Call], *, with_gas: bool = False) -> list[Simulation]:
        """What each call would do on the latest block, independently of the others, in one batch.

        `with_gas` adds the node's gas estimate. A revert is an answer (`reason`), not an exception.
        """
        requests = [RpcCall("eth_call", (_call_object(call), "latest")) for call in calls]
        if with_gas:
            requests += [RpcCall("eth_estimateGas", (_call_object(call),)) for call in calls]
        answers = self._rpc.batch(requests)
        gas = answers[len(calls) :] if with_gas else [None] * len(calls)
        return [_simulation(answer, used) for answer, used in zip(answers[: len(calls)], gas, strict=True)]

    def get_logs(
        self,
        *,
        addresses: Sequence[str],
        from_block: int,
        to_block: int | None = None,
        topics: Sequence[str | Sequence[str] | None] = (),
    ) -> list[Log]:
        """The logs of these contracts in a range of blocks, oldest first."""
        query = {
            "address": list(addresses),
            "fromBlock": hex(from_block),
            "toBlock": "latest" if to_block is None else hex(to_block),
            "topics": list(topics),
        }
        return [_log(item) for item in self._rpc.call("eth_getLogs", query)]

    def send_raw(self, raws: Sequence[bytes]) -> list[tuple[SendOutcome, str]]:
        """Send signed transactions in one batch, in order: an outcome and the node's words for each."""
        answers = self._rpc.batch([RpcCall("eth_sendRawTransaction", (to_hex(raw),)) for raw in raws])
        return [
            (classify_refusal(answer.message), answer.message)
            if isinstance(answer, RpcFault)
            else (SendOutcome.ACCEPTED, "")
            for answer in answers
        ]


_LATEST: Final = RpcCall("eth_getBlockByNumber", ("latest", False))
_TIP: Final = RpcCall("eth_maxPriorityFeePerGas")
_CHAIN: Final = RpcCall("eth_chainId")


def _block_call(number: int) -> RpcCall:
    return RpcCall("eth_getBlockByNumber", (hex(number), False))


def _nonce_call(address: str) -> RpcCall:
    return RpcCall("eth_getTransactionCount", (address, "latest"))


def _receipt_call(tx_hash: str) -> RpcCall:
    return RpcCall("eth_getTransactionReceipt", (tx_hash,))


def _require(answer: Any, method: str) -> Any:
    """A batch's answer without which nothing can be concluded."""
    if isinstance(answer, RpcFault) or answer is None:
        reason = answer.message if isinstance(answer, RpcFault) else "no answer"
        raise ChainUnreachable(method=method, reason=reason[:200])
    return answer


def _block(item: Any) -> Block:
    return Block(
        number=int(item["number"], 16),
        hash=item["hash"],
        timestamp=int(item["timestamp"], 16),
        base_fee_wei=int(item.get("baseFeePerGas") or "0x0", 16),
    )


def _fees(head: Block, tip: Any) -> Fees:
    priority = int(tip, 16) if isinstance(tip, str) else _DEFAULT_PRIORITY_WEI
    return compute_fees(head.base_fee_wei, priority)


def _hashes(numbers: Sequence[int], answers: Sequence[Any]) -> dict[int, str]:
    return {
        number: answer["hash"]
        for number, answer in zip(numbers, answers, strict=True)
        if isinstance(answer, dict)
    }


def _nonces(addresses: Sequence[str], answers: Sequence[Any]) -> dict[str, int]:
    return {
        address: int(_require(answer, "eth_getTransactionCount"), 16)
        for address, answer in zip(addresses, answers, strict=True)
    }


def _receipts(tx_hashes: Sequence[str], answers: Sequence[Any]) -> dict[str, Receipt]:
    """Receipts that are there; a refused look-up fails the pass, for "no receipt" is a statement."""
    for answer in answers:
        if isinstance(answer, RpcFault):
            _require(answer, "eth_getTransactionReceipt")
    return {
        tx_hash: _receipt(answer)
        for tx_hash, answer in zip(tx_hashes, answers, strict=True)
        if answer is not None and answer.get("blockHash")
    }


def _receipt(item: Mapping[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=item["transactionHash"],
        block_number=int(item["blockNumber"], 16),
        block_hash=item["blockHash"],
        is_success=int(item["status"], 16) == 1,
        gas_used=int(item["gasUsed"], 16),
        effective_gas_price_wei=int(item.get("effectiveGasPrice") or "0x0", 16),
        contract_address=item.get("contractAddress"),
        logs=tuple(_log(log) for log in item["logs"]),
    )


def _log(item: Mapping[str, Any]) -> Log:
    return Log(
        address=item["address"].lower(),
        topics=tuple(item["topics"]),
        data=item["data"],
        block_number=int(item["blockNumber"], 16),
        block_hash=item["blockHash"],
        tx_hash=item["transactionHash"],
        index=int(item["logIndex"], 16),
    )


def _call_object(call: Call) -> dict[str, str]:
    fields = {"from": call.sender, "to": call.to, "data": to_hex(call.data)}
    if call.value_wei:
        fields["value"] = hex(call.value_wei)
    if call.gas_limit is not None:
        fields["gas"] = hex(call.gas_limit)
    return fields


def _simulation(answer: Any, gas: Any) -> Simulation:
    for fault in (answer, gas):
        if isinstance(fault, RpcFault) and not _is_verdict(fault):
            raise ChainUnreachable(method="eth_call", reason=fault.message[:200])
    if isinstance(answer, RpcFault):
        data = _bytes(answer.data) if answer.data else b""
        return Simulation(is_success=False, output=data, reason=_revert_reason(data, answer.message))
    used = int(gas, 16) if isinstance(gas, str) else None
    if isinstance(gas, RpcFault):
        return Simulation(is_success=False, reason=gas.message)
    return Simulation(is_success=True, output=_bytes(answer), gas_used=used)


def _is_verdict(fault: RpcFault) -> bool:
    """Whether the call itself failed, as against a node that could not answer just now."""
    lowered = fault.message.lower()
    return fault.code == _REVERT_CODE or any(phrase in lowered for phrase in _VERDICTS)


def _revert_reason(data: bytes, message: str) -> str:
    """The contract's own text, a panic's code, or the node's words."""
    if data[:4] == _ERROR_TEXT and len(data) >= 68:
        length = int.from_bytes(data[36:68])
        return data[68 : 68 + length].decode("utf-8", "replace")
    if data[:4] == _PANIC and len(data) == 36:
        return f"panic {int.from_bytes(data[4:]):#x}"
    return message


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
