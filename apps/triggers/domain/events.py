"""An event trigger: which logs of which contract on which chain open a run, and what they say.

The rule is read from a job's `event`, stored in canonical form, and asked the same way by whoever watches
and by whoever checks: `matches(trigger, log)` decodes every argument exactly and never raises. A log is an
object with `address`, `topics` and `data`, as a node or a firing's evidence has it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.kernel.abi import AddressChecksum, AddressInvalid, checksum_address, is_address
from apps.kernel.abi_decoding import decode, decode_word
from apps.kernel.errors import Invalid
from apps.kernel.hashing import from_hex
from apps.kernel.reading import Reading, is_clean
from apps.triggers.domain.event_filters import ArgumentFilter, filters_from_json, is_hashed
from apps.triggers.domain.event_signatures import Event, event_from_text
from apps.triggers.errors import ChainUnknown, ConfirmationsInvalid

_FIELDS: Final = ("chain_id", "address", "event", "abi", "filters", "confirmations")
_MAX_CHAIN_ID: Final = (1 << 53) - 1
_TOPIC_BYTES: Final = 32
DEFAULT_CONFIRMATIONS: Final = 1

Topics = tuple[tuple[str, ...] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTrigger:
    """Fires once per matching log, once `confirmations` blocks follow the log's own (0: as soon as seen)."""

    chain_id: int
    address: str
    event: Event
    filters: tuple[ArgumentFilter, ...] = ()
    confirmations: int = DEFAULT_CONFIRMATIONS

    @property
    def topic0(self) -> str:
        """What the first topic of its logs is."""
        return self.event.topic0

    def topics_filter(self) -> Topics:
        """What `eth_getLogs` may choose by: per topic the allowed values, or None for any."""
        by_name = {one.argument.name: one.topics() for one in self.filters}
        topics: list[tuple[str, ...] | None] = [(self.topic0,)]
        topics += [by_name.get(argument.name) for argument in self.event.indexed]
        while topics[-1] is None:
            topics.pop()
        return tuple(topics)

    def to_json(self) -> dict[str, Any]:
        """The stored form, which reads back to an equal trigger."""
        return {
            "chain_id": self.chain_id,
            "address": self.address,
            "event": self.event.signature,
            "abi": self.event.to_json(),
            "filters": {one.argument.name: one.to_json() for one in self.filters},
            "confirmations": self.confirmations,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Whether a log fires a trigger. `args` where it could be decoded, `reason` where it does not fire."""

    is_match: bool
    args: Mapping[str, Any]
    reason: str = ""

    def __bool__(self) -> bool:
        """A match."""
        return self.is_match


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """What to ask a node for: the logs of any of these contracts with any of these topics."""

    addresses: tuple[str, ...]
    topics: Topics

    def to_json(self) -> dict[str, Any]:
        """The parameter of `eth_subscribe`."""
        topics = [None if values is None else list(values) for values in self.topics]
        return {"address": list(self.addresses), "topics": topics}


def event_from_json(
    value: Any,
    pointer: str,
    *,
    chain_ids: Collection[int] | None = None,
    confirmations_max: int | None = None,
) -> EventTrigger:
    """A job's `event`, which stands at `pointer`; where a bound is None, anything goes.

    Raises FieldInvalid, FieldMissing, FieldUnknown, ChainUnknown, AddressInvalid, AddressChecksum,
    EventSignatureInvalid, EventNotInAbi, EventAnonymous, TopicCountInvalid, FilterUnknown, FilterInvalid,
    ConfirmationsInvalid.
    """
    reading = Reading(value, pointer, _FIELDS)
    event = event_from_text(reading.require("event"), reading.get("abi"), pointer)
    return EventTrigger(
        chain_id=_chain_id(reading, chain_ids),
        address=_address(reading),
        event=event,
        filters=filters_from_json(reading.get("filters"), event, reading.at("filters")),
        confirmations=reading.number(
            "confirmations",
            DEFAULT_CONFIRMATIONS
            if confirmations_max is None
            else min(DEFAULT_CONFIRMATIONS, confirmations_max),
            ConfirmationsInvalid,
            low=0,
            high=_MAX_CHAIN_ID if confirmations_max is None else confirmations_max,
        ),
    )


def matches(trigger: EventTrigger, log: Mapping[str, Any]) -> Match:
    """Whether this log fires the trigger, and all its arguments by name.

    Arguments are exact and plain JSON: integers as decimal text, addresses with their checksum, bytes as
    `0x…`, texts, true or false, lists; an indexed argument of a dynamic type is its hash. A log that is not
    the event's, or does not decode, is no match and the reason says why.
    """
    address, topics, data = log.get("address"), log.get("topics"), log.get("data")
    if not isinstance(address, str) or address.lower() != trigger.address:
        return _no("another contract")
    if isinstance(topics, str | bytes) or not isinstance(topics, Sequence) or not topics:
        return _no("no topics")
    if str(topics[0]).lower() != trigger.topic0:
        return _no("another event")
    if len(topics) != 1 + len(trigger.event.indexed):
        return _no("another number of topics")
    try:
        values = _decode(trigger.event, topics[1:], data)
        args = {name: _plain(value) for name, value in values.items()}
    except Invalid as exc:
        return _no(f"not decodable: {exc.fields.get('reason', '')}")

    for one in trigger.filters:
        if not one.is_met(values[one.argument.name]):
            return Match(is_match=False, args=args, reason=f"filter: {one.argument.name}")
    return Match(is_match=True, args=args)


def union_filter(triggers: Iterable[EventTrigger]) -> LogFilter | None:
    """One filter that lets through whatever any of the triggers wants; None for no triggers."""
    found = list(triggers)
    if not found:
        return None
    asked = [trigger.topics_filter() for trigger in found]
    topics: list[tuple[str, ...] | None] = []
    for at in range(min(len(topics) for topics in asked)):
        values = [topics[at] for topics in asked]
        known = [each for each in values if each is not None]
        is_open = len(known) < len(values)
        topics.append(None if is_open else tuple(sorted({value for each in known for value in each})))
    while topics[-1] is None:
        topics.pop()
    return LogFilter(addresses=tuple(sorted({trigger.address for trigger in found})), topics=tuple(topics))


def _chain_id(reading: Reading, chain_ids: Collection[int] | None) -> int:
    reading.require("chain_id")
    found = reading.number("chain_id", None, ChainUnknown, low=1, high=_MAX_CHAIN_ID)
    if chain_ids is not None and found not in chain_ids:
        raise ChainUnknown(pointer=reading.at("chain_id"), chain_id=found, known=sorted(chain_ids))
    return found


def _address(reading: Reading) -> str:
    address = reading.require("address")
    is_hex = isinstance(address, str) and is_address(address.lower())
    if not is_hex or int(address, 16) == 0:
        raise AddressInvalid(pointer=reading.at("address"), given=str(address)[:80])
    if not is_address(address):
        raise AddressChecksum(
            pointer=reading.at("address"), given=address, expected=checksum_address(address)
        )
    return str(address).lower()


def _decode(event: Event, topics: Sequence[Any], data: Any) -> dict[str, Any]:
    words = iter(from_hex(topic, length=_TOPIC_BYTES) for topic in topics)
    plain = iter(decode(event.data_type, from_hex(data or "0x")))
    values: dict[str, Any] = {}
    for argument in event.arguments:
        if not argument.is_indexed:
            values[argument.name] = next(plain)
        elif is_hashed(argument):
            values[argument.name] = "0x" + next(words).hex()
        else:
            values[argument.name] = decode_word(argument.kind, next(words))
    return values


def _plain(value: Any) -> Any:
    """Plain JSON that can be kept; raise Invalid for a text that cannot."""
    if isinstance(value, str) and not is_clean(value):
        raise Invalid(reason="a text with NUL")
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _no(reason: str) -> Match:
    return Match(is_match=False, args={}, reason=reason)
