"""Keepers as values, and the two signed messages a keeper sends about itself.

Both signatures are EIP-712, bound to chain, hub and purpose; a nonce grows strictly per keeper over both
messages. Times are whole Unix seconds. Nothing here knows Django.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import coincurve

from apps.keepers.errors import KeeperMessageMalformed
from apps.kernel.abi import is_address
from apps.kernel.eip712 import TypedDomain, digest, sign, struct_hash
from apps.kernel.errors import Invalid
from apps.kernel.hashing import canonical_json, from_hex, keccak, to_hex
from apps.kernel.transitions import TransitionTable

REGISTRATION_TYPE: Final = (
    "Registration(address keeper,bytes32 blsKeyHash,bytes32 version,bytes32 profileHash,"
    "uint64 nonce,uint64 timestamp)"
)
CHECK_IN_TYPE: Final = "CheckIn(address keeper,bytes32 version,uint64 uptime,uint64 nonce,uint64 timestamp)"
MAX_NONCE: Final = (1 << 53) - 1
MAX_CAPABILITIES: Final = 32


class KeeperStatus(StrEnum):
    """Where one keeper stands with the network."""

    #: may be assigned work while it is online
    REGISTERED = "registered"
    #: an operator holds it back; it may still check in
    SUSPENDED = "suspended"
    #: gone for good
    RETIRED = "retired"


KEEPER_TABLE: Final = TransitionTable(
    name="keeper",
    moves={
        KeeperStatus.REGISTERED: frozenset({KeeperStatus.SUSPENDED, KeeperStatus.RETIRED}),
        KeeperStatus.SUSPENDED: frozenset({KeeperStatus.REGISTERED, KeeperStatus.RETIRED}),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperValue:
    """What choosing a performer or a committee reads of a keeper."""

    address: str
    version: str
    is_online: bool
    is_registered: bool
    stake_units: int
    reputation: int
    capabilities: tuple[str, ...] = ()
    tasks_confirmed: int = 0
    tasks_failed: int = 0
    latency_ms: int = 0
    last_assigned_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperOutcome:
    """What one set of finished tasks changes about one keeper; counts and points are never negative."""

    address: str
    confirmed_count: int = 0
    failed_count: int = 0
    points: int = 0
    reputation_delta: int = 0
    latency_ms: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """What the registry contract says of a keeper."""

    stake_units: int
    bls_public_key: bytes
    is_active: bool


class StakeRegistry(Protocol):
    """Port: the chain's keeper registry."""

    def get_entry(self, address: str) -> RegistryEntry | None:
        """The keeper's entry, None where it has none; raise RegistryUnreachable where nobody answers."""

    def get_entries(self, addresses: list[str]) -> dict[str, RegistryEntry]:
        """The entries of those addresses that have one, in one request; raise RegistryUnreachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineKeeper:
    """A keeper an alert is due for."""

    address: str
    name: str
    last_checkin_at: datetime | None
    contact: Mapping[str, Any]


class OfflineAlerts(Protocol):
    """Port: whoever is told that keepers went offline. Called after commit, once per keeper and cool-down."""

    def send(self, keepers: Sequence[OfflineKeeper]) -> None:
        """Tell; must not raise for a keeper that cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A keeper's request to join, or to change its profile."""

    keeper: str
    bls_public_key: bytes
    possession: bytes
    name: str
    version: str
    capabilities: tuple[str, ...]
    contact: Mapping[str, str]
    nonce: int
    timestamp: int

    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes the keeper signs. Name, capabilities and contact are bound by their hash."""
        profile = {"name": self.name, "capabilities": list(self.capabilities), "contact": dict(self.contact)}
        values = (
            self.keeper,
            keccak(self.bls_public_key),
            keccak(self.version.encode()),
            keccak(canonical_json(profile)),
            self.nonce,
            self.timestamp,
        )
        return digest(domain, struct_hash(REGISTRATION_TYPE, values))

    def to_json(self, *, domain: TypedDomain, key: coincurve.PrivateKey) -> dict[str, Any]:
        """The signed message body."""
        return {
            "keeper": self.keeper,
            "bls_public_key": to_hex(self.bls_public_key),
            "possession": to_hex(self.possession),
            "name": self.name,
            "version": self.version,
            "capabilities": list(self.capabilities),
            "contact": dict(self.contact),
            "nonce": self.nonce,
            "timestamp": self.timestamp,
            "signature": to_hex(sign(key, self.digest(domain))),
        }


def registration_from_json(body: Any) -> tuple[Registration, bytes]:
    """Parse a request body into the message and the signature it claims; raise KeeperMessageMalformed."""
    fields = _Fields("registration", body)
    registration = Registration(
        keeper=fields.address("keeper"),
        bls_public_key=fields.data("bls_public_key"),
        possession=fields.data("possession"),
        name=fields.text("name", 64),
        version=fields.text("version", 32),
        capabilities=fields.texts("capabilities"),
        contact=fields.contact("contact"),
        nonce=fields.count("nonce"),
        timestamp=fields.count("timestamp"),
    )
    return registration, fields.data("signature", 65)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """A keeper's sign of life."""

    keeper: str
    version: str
    uptime: int
    nonce: int
    timestamp: int

    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes the keeper signs."""
        values = (self.keeper, keccak(self.version.encode()), self.uptime, self.nonce, self.timestamp)
        return digest(domain, struct_hash(CHECK_IN_TYPE, values))

    def to_json(self, *, domain: TypedDomain, key: coincurve.PrivateKey) -> dict[str, Any]:
        """The signed message body."""
        return {
            "keeper": self.keeper,
            "version": self.version,
            "uptime": self.uptime,
            "nonce": self.nonce,
            "timestamp": self.timestamp,
            "signature": to_hex(sign(key, self.digest(domain))),
        }


def check_in_from_json(body: Any) -> tuple[CheckIn, bytes]:
    """Parse a request body into the message and the signature it claims; raise KeeperMessageMalformed."""
    fields = _Fields("check_in", body)
    check_in = CheckIn(
        keeper=fields.address("keeper"),
        version=fields.text("version", 32),
        uptime=fields.count("uptime"),
        nonce=fields.count("nonce"),
        timestamp=fields.count("timestamp"),
    )
    return check_in, fields.data("signature", 65)


class _Fields:
    """Reads the members of a message body, each refusal with its pointer."""

    def __init__(self, message: str, body: Any) -> None:
        self._message = message
        if not isinstance(body, Mapping):
            raise KeeperMessageMalformed(pointer="", message=message, reason="an object is expected")
        self._body = body

    def address(self, name: str) -> str:
        value = self._body.get(name)
        if not is_address(value):
            raise self._refused(name, "an address is expected")
        return str(value).lower()

    def text(self, name: str, longest: int) -> str:
        value = self._body.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
            raise self._refused(name, f"1 to {longest} printable characters are expected")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._body.get(name, [])
        if not isinstance(value, list) or len(value) > MAX_CAPABILITIES:
            raise self._refused(name, f"a list of at most {MAX_CAPABILITIES} is expected")
        if not all(isinstance(item, str) and 1 <= len(item) <= 64 and item.isprintable() for item in value):
            raise self._refused(name, "texts of 1 to 64 printable characters are expected")
        return tuple(sorted(set(value)))

    def contact(self, name: str) -> dict[str, str]:
        value = self._body.get(name, {})
        if not isinstance(value, Mapping) or len(value) > 8:
            raise self._refused(name, "an object of at most 8 members is expected")
        if not all(
            isinstance(item, str) and len(item) <= 200 and item.isprintable()
            for pair in value.items()
            for item in pair
        ):
            raise self._refused(name, "texts of at most 200 printable characters are expected")
        return dict(value)

    def count(self, name: str) -> int:
        value = self._body.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NONCE:
            raise self._refused(name, "an integer from 0 to 2^53 - 1 is expected")
        return value

    def data(self, name: str, length: int | None = None) -> bytes:
        try:
            return from_hex(str(self._body.get(name))[:2_000], length=length)
        except Invalid as exc:
            raise self._refused(name, str(exc.reason)) from None

    def _refused(self, name: str, reason: str) -> KeeperMessageMalformed:
        return KeeperMessageMalformed(pointer=f"/{name}", message=self._message, reason=reason)
