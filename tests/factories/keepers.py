"""Keepers for tests: their keys, their signed messages, and rows made with their events."""

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import coincurve

from apps.eventlog.data import EventDraft
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create
from apps.keepers.data import CheckIn, Registration, RegistryEntry
from apps.keepers.models import PUBLIC_FIELDS, Keeper
from apps.kernel import bls
from apps.kernel.eip712 import TypedDomain, address_of
from apps.kernel.hashing import from_hex

DOMAIN = TypedDomain(chain_id=31337, contract="0x" + "ab" * 20)
STAKE_UNITS = 10_000_000_000

_numbers = itertools.count(1)
_nonces = itertools.count(time.time_ns() // 1_000)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A keeper's keys, and the messages signed with them."""

    key: coincurve.PrivateKey = field(default_factory=coincurve.PrivateKey)
    bls_secret: bytes = field(default_factory=bls.secret_key_new)

    @property
    def address(self) -> str:
        """Its address."""
        return address_of(self.key.public_key)

    @property
    def bls_public_key(self) -> bytes:
        """Its BLS key."""
        return bls.public_key_of(self.bls_secret)

    @property
    def entry(self) -> RegistryEntry:
        """What the chain's registry says of it."""
        return RegistryEntry(stake_units=STAKE_UNITS, bls_public_key=self.bls_public_key, is_active=True)

    def registration(self, **changes: Any) -> Registration:
        """A registration that is in order but for the changes."""
        return replace(
            Registration(
                keeper=self.address,
                bls_public_key=self.bls_public_key,
                possession=bls.prove_possession(self.bls_secret, self.address),
                name="north",
                version="0.1.0",
                capabilities=("chain:31337", "python"),
                contact={"email": "ops@example.org"},
                nonce=next(_nonces),
                timestamp=int(time.time()),
            ),
            **changes,
        )

    def check_in(self, **changes: Any) -> CheckIn:
        """A check-in that is in order but for the changes."""
        return replace(
            CheckIn(
                keeper=self.address,
                version="0.1.0",
                uptime=60,
                nonce=next(_nonces),
                timestamp=int(time.time()),
            ),
            **changes,
        )

    def sign(self, message: Registration | CheckIn, domain: TypedDomain = DOMAIN) -> dict[str, Any]:
        """The message's signed body."""
        return message.to_json(domain=domain, key=self.key)

    def signature(self, message: Registration | CheckIn, domain: TypedDomain = DOMAIN) -> bytes:
        """The message's signature alone."""
        return from_hex(self.sign(message, domain)["signature"])


@dataclass(kw_only=True)
class FakeRegistry:
    """The stake registry port over a dict; `error` is raised instead where it is set."""

    entries: dict[str, RegistryEntry] = field(default_factory=dict)
    error: Exception | None = None

    def get_entry(self, address: str) -> RegistryEntry | None:
        """See StakeRegistry."""
        if self.error is not None:
            raise self.error
        return self.entries.get(address)

    def get_entries(self, addresses: list[str]) -> dict[str, RegistryEntry]:
        found = {address: self.get_entry(address) for address in addresses}
        return {address: entry for address, entry in found.items() if entry is not None}


@dataclass(kw_only=True)
class FakePorts:
    """Every port of the keepers app; `current` are those of the running test."""

    current: ClassVar["FakePorts"]

    domain: TypedDomain = DOMAIN
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    alerts: Any = None


def current_ports() -> FakePorts:
    """For `settings.KEEPER_PORTS`."""
    return FakePorts.current


def make_keeper(address: str | None = None, **fields: Any) -> Keeper:
    """A registered keeper, online unless told otherwise, with the event that made it."""
    number = next(_numbers)
    now = get_database_now()
    facts: dict[str, Any] = {
        "address": address or "0x" + f"{number:040x}",
        "bls_public_key": "0x" + f"{number:0512x}",
        "name": f"keeper-{number}",
        "version": "0.1.0",
        "online": True,
        "registered_at": now,
        "reputation_decayed_at": now,
        "last_checkin_at": now,
        "stake_units": STAKE_UNITS,
        "capabilities": ["chain:31337", "python"],
    }
    keeper = Keeper(**{**facts, **fields})
    payload = {"set": keeper.get_json_fields(list(PUBLIC_FIELDS))}
    rows_create([keeper], [EventDraft(row=keeper, type="keeper.registered", payload=payload)])
    return keeper
