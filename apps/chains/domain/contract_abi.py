"""One contract's ABI: encode its calls, decode its answers and its events.

Built from an artefact's ABI list; JSON types in (`0x…` addresses, bytes, integers), plain values out
(addresses lower case, bytes as bytes, tuples as tuples).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode, encode

from apps.chains.data import HubEvent, Log
from apps.chains.errors import ArtifactInvalid
from apps.kernel.hashing import keccak, to_hex


class ContractAbi:
    """The functions and events of one contract, indexed by name and by topic."""

    def __init__(self, contract: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.contract = contract
        self._functions: dict[str, tuple[bytes, list[str], list[str]]] = {}
        self._events: dict[str, tuple[str, list[tuple[str, str, bool]]]] = {}
        self._topics: dict[str, str] = {}
        self._constructor: list[str] = []
        for entry in entries:
            self._add(entry)

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Selector and arguments; raise ArtifactInvalid for an unknown function."""
        selector, inputs, _ = self._function(function)
        return selector + encode(inputs, arguments)

    def decode(self, function: str, output: bytes) -> tuple[Any, ...]:
        """The returned values, always a tuple; raise ArtifactInvalid where the bytes do not fit."""
        _, _, outputs = self._function(function)
        try:
            return tuple(decode(outputs, output))
        except Exception as exc:
            raise ArtifactInvalid(contract=self.contract, name=function, reason=str(exc)[:200]) from exc

    def encode_constructor(self, *arguments: Any) -> bytes:
        """What follows the creation code."""
        return encode(self._constructor, arguments)

    def topic(self, event: str) -> str:
        """An event's first topic; raise ArtifactInvalid for an unknown event."""
        try:
            return self._topics[event]
        except KeyError:
            raise ArtifactInvalid(contract=self.contract, name=event) from None

    def decode_log(self, log: Log) -> HubEvent | None:
        """The event behind a log, or None where it is none of this contract's."""
        known = self._events.get(log.topics[0]) if log.topics else None
        if known is None:
            return None
        name, members = known
        plain = [(member, kind) for member, kind, is_indexed in members if not is_indexed]
        indexed = [(member, kind) for member, kind, is_indexed in members if is_indexed]
        values = decode([kind for _, kind in plain], bytes.fromhex(log.data[2:]))
        arguments = {member: value for (member, _), value in zip(plain, values, strict=True)}
        for (member, kind), topic in zip(indexed, log.topics[1:], strict=True):
            arguments[member] = decode([kind], bytes.fromhex(topic[2:]))[0]
        return HubEvent(
            name=name,
            contract=self.contract,
            arguments={member: arguments[member] for member, _, _ in members},
            tx_hash=log.tx_hash,
            block_number=log.block_number,
            block_hash=log.block_hash,
            index=log.index,
        )

    def _function(self, name: str) -> tuple[bytes, list[str], list[str]]:
        try:
            return self._functions[name]
        except KeyError:
            raise ArtifactInvalid(contract=self.contract, name=name) from None

    def _add(self, entry: Mapping[str, Any]) -> None:
        inputs = [type_text(member) for member in entry.get("inputs", ())]
        signature = f"{entry.get('name')}({','.join(inputs)})".encode()
        match entry["type"]:
            case "function":
                outputs = [type_text(member) for member in entry["outputs"]]
                self._functions[entry["name"]] = (keccak(signature)[:4], inputs, outputs)
            case "event":
                topic = to_hex(keccak(signature))
                members = [(m["name"], type_text(m), bool(m["indexed"])) for m in entry["inputs"]]
                self._events[topic] = (entry["name"], members)
                self._topics[entry["name"]] = topic
            case "constructor":
                self._constructor = inputs


def type_text(member: Mapping[str, Any]) -> str:
    """The canonical type of an ABI member, tuples spelled out."""
    text = str(member["type"])
    if not text.startswith("tuple"):
        return text
    parts = ",".join(type_text(part) for part in member["components"])
    return f"({parts}){text.removeprefix('tuple')}"
