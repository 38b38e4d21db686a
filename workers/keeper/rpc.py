"""The chain as a node needs it: simulating calls, a whole set in one HTTP request.

A tiny JSON-RPC client over one kept-alive connection pool; no web3, to keep a node small. A call that
reverts is an answer; a node that does not answer is `ChainUnavailable`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from apps.execution.domain.action import Action
from apps.kernel.hashing import from_hex, to_hex
from workers.keeper.errors import BlockUnavailable, ChainUnavailable

_TIMEOUT_SECONDS: Final = 10.0
_BLOCK_GONE: Final = re.compile(
    r"header not found|unknown block|block not found|could not find block|blockoutofrange|missing trie node"
    r"|state .*not available|pruned",
    re.IGNORECASE,
)
_EXECUTION: Final = re.compile(
    r"revert|out ?of ?gas|gas required exceeds|intrinsic gas|invalid ?(fe)?opcode|evm error|vm execution"
    r"|stack ?(under|over)flow|invalid ?jump|opcodenotfound|bad instruction",
    re.IGNORECASE,
)
_ERROR_TEXT: Final = bytes.fromhex("08c379a0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What a call would do at a block. `gas_used` is the estimate of the whole call, 0 where it fails."""

    block: int
    gas_used: int
    failure: str | None = None


class ChainRpc:
    """One JSON-RPC endpoint. Safe to share between threads."""

    def __init__(self, url: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._url = url
        self._client = httpx2.Client(
            timeout=timeout_seconds, limits=httpx2.Limits(max_keepalive_connections=4), trust_env=False
        )

    def get_head(self) -> int:
        """The number of the latest block; raise ChainUnavailable."""
        (answer,) = self._ask([("eth_blockNumber", [])])
        return _number(_required(answer))

    def simulate(self, actions: Sequence[Action], *, sender: str, block: int) -> tuple[Simulation, ...]:
        """Simulate each action as a call of its own from `sender` on the state of `block`.

        The call is given the gas the hub gives it, plus what any transaction costs before its first
        instruction. A target without code fails: the hub's call would do nothing and look like success.
        Raises BlockUnavailable, ChainUnavailable.
        """
        if not actions:
            return ()
        at = hex(block)
        requests: list[tuple[str, list[Any]]] = []
        for action in actions:
            call = {"from": sender, "to": action.target, "data": to_hex(action.call_data)}
            gas = hex(action.gas_limit + _intrinsic_gas(action.call_data))
            requests.append(("eth_getCode", [action.target, at]))
            requests.append(("eth_call", [{**call, "gas": gas}, at]))
            requests.append(("eth_estimateGas", [call, at]))
        answers = self._ask(requests)
        return tuple(_judge(answers[i : i + 3], block) for i in range(0, len(answers), 3))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, requests: Sequence[tuple[str, list[Any]]]) -> list[Mapping[str, Any]]:
        """One batch; the answers in the order of the requests."""
        body = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
            for i, (method, params) in enumerate(requests)
        ]
        try:
            response = self._client.post(
                self._url, content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            response.raise_for_status()
            answers = {answer["id"]: answer for answer in response.json()}
            return [answers[i] for i in range(len(body))]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
            raise ChainUnavailable(reason=type(exc).__name__) from None


def _judge(answers: Sequence[Mapping[str, Any]], block: int) -> Simulation:
    code, call, estimate = answers
    for answer in answers:
        _refuse_outside(answer, block)
    if _required(code) == "0x":
        return Simulation(block=block, gas_used=0, failure="the target is no contract")
    for answer in (call, estimate):
        if "error" in answer:
            return Simulation(block=block, gas_used=0, failure=_failure_of(answer["error"]))
    return Simulation(block=block, gas_used=_number(_required(estimate)))


def _refuse_outside(answer: Mapping[str, Any], block: int) -> None:
    """Raise where the error is the node's and not the call's."""
    error = answer.get("error")
    if error is None:
        return
    message = str(error.get("message", ""))
    if _BLOCK_GONE.search(message):
        raise BlockUnavailable(block=block)
    if error.get("code") != 3 and not _EXECUTION.search(message):
        raise ChainUnavailable(reason=message[:200])


def _failure_of(error: Mapping[str, Any]) -> str:
    """The revert's own words where it has some, else the node's."""
    data = error.get("data")
    if isinstance(data, str) and data.startswith("0x"):
        raw = from_hex(data) if len(data) % 2 == 0 else b""
        if raw[:4] == _ERROR_TEXT and len(raw) >= 68:
            length = int.from_bytes(raw[36:68])
            return raw[68 : 68 + min(length, 200)].decode(errors="replace")
    return str(error.get("message", ""))[:200]


def _intrinsic_gas(call_data: bytes) -> int:
    """What a transaction with this data costs before it executes (EIP-2028), at least EIP-7623's floor."""
    zeros = call_data.count(0)
    others = len(call_data) - zeros
    return 21_000 + max(4 * zeros + 16 * others, 10 * zeros + 40 * others)


def _required(answer: Mapping[str, Any]) -> str:
    result = answer.get("result")
    if not isinstance(result, str):
        raise ChainUnavailable(reason="an answer without a result")
    return result


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise ChainUnavailable(reason="an answer that is no number") from None
