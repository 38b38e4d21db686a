"""What the control plane and an attester say to each other about one round.

A round asks a committee to re-execute a set of results of one performer. Each attester builds its
own settlement root from its own results. If it agrees with every item it signs the settlement
message over that root: exactly what the hub verifies, so a quorum's signatures aggregate into the
submission. If it disagrees with any, it signs its list of verdicts instead, and the round is
decided item by item. Nothing here knows Django.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import coincurve

from apps.attestation.errors import BallotMalformed
from apps.kernel.eip712 import TypedDomain, digest, sign, struct_hash, word
from apps.kernel.errors import Invalid
from apps.kernel.hashing import canonical_json, from_hex, keccak, to_hex
from apps.kernel.ids import from_wire, to_wire
from apps.kernel.transitions import TransitionTable

ROUND_TYPE: Final = (
    "RoundCall(uint256 roundId,uint64 number,address attester,uint64 expiresAt,bytes32 itemsHash)"
)
_BALLOT_TAG: Final = keccak(b"forekeep.ballot.v1")
_REASON: Final = re.compile(r"[a-z0-9_]{0,80}")


class RoundStatus(StrEnum):
    """Where one round stands."""

    #: ballots are awaited
    OPEN = "open"
    #: a quorum signed one root over every item: it can be submitted as it stands
    UNANIMOUS = "unanimous"
    #: decided item by item; what was valid is asked again alone
    SPLIT = "split"
    #: the time was over without a decision on every item
    EXPIRED = "expired"


ROUND_TABLE: Final = TransitionTable(
    name="round",
    moves={
        RoundStatus.OPEN: frozenset({RoundStatus.UNANIMOUS, RoundStatus.SPLIT, RoundStatus.EXPIRED}),
    },
)


class ItemVerdict(StrEnum):
    """What a round said of one item."""

    #: not decided yet
    OPEN = "open"
    #: a quorum agrees with the performer
    VALID = "valid"
    #: a quorum disagrees with the performer
    INVALID = "invalid"
    #: neither
    NO_QUORUM = "no_quorum"
    #: the task ended or moved to another attempt meanwhile
    MOOT = "moot"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCall:
    """A round's call to one attester.

    `items` are, in leaf order, `{"assignment": <assignment without its signature>, "receipt":
    <signed receipt body>, "parents": [<signed receipt body of each awaited parent>]}` of one performer.
    """

    round_id: UUID
    number: int
    attester: str
    expires_at: int
    items: Sequence[Mapping[str, Any]]

    def digest(self, domain: TypedDomain, items_hash: bytes | None = None) -> bytes:
        """The 32 bytes the dispatcher signs; `items_hash` saves hashing the same items again."""
        values = (
            self.round_id.int,
            self.number,
            self.attester,
            self.expires_at,
            items_hash or hash_items(self.items),
        )
        return digest(domain, struct_hash(ROUND_TYPE, values))

    def to_json(
        self, *, domain: TypedDomain, key: coincurve.PrivateKey, items_hash: bytes | None = None
    ) -> dict[str, Any]:
        """The signed message body."""
        return {
            "round": to_wire("rnd", self.round_id),
            "number": self.number,
            "attester": self.attester,
            "expires_at": self.expires_at,
            "items": list(self.items),
            "signature": to_hex(sign(key, self.digest(domain, items_hash))),
        }


def hash_items(items: Sequence[Mapping[str, Any]]) -> bytes:
    """The keccak of the items' canonical JSON."""
    return keccak(canonical_json(list(items)))


def round_call_from_json(body: Mapping[str, Any]) -> tuple[RoundCall, bytes]:
    """Parse a message body into the call and the signature it claims; raise BallotMalformed."""
    try:
        call = RoundCall(
            round_id=from_wire("rnd", body["round"]),
            number=int(body["number"]),
            attester=str(body["attester"]),
            expires_at=int(body["expires_at"]),
            items=tuple(body["items"]),
        )
        return call, from_hex(body["signature"], length=65)
    except (KeyError, TypeError, ValueError, AttributeError, Invalid) as exc:
        raise BallotMalformed(message="round", reason=repr(exc)[:200]) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """An attester's verdict on every item of a round, BLS signed.

    `verdicts[i]` is true where the attester's own result of item i equals the performer's;
    `reasons[i]` says why not (`output_differs`, `status_differs`, `gas_differs`, `action_differs`,
    `storage_differs`, `receipt_forged`, `package_differs`, `lineage_broken`, `statement_differs`, …) and is
    empty where it agrees.
    """

    round_id: UUID
    attester: str
    root: bytes
    verdicts: tuple[bool, ...]
    reasons: tuple[str, ...]
    signature: bytes

    @property
    def is_unanimous(self) -> bool:
        """Whether the attester agrees with every item."""
        return all(self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """The message body."""
        return {
            "round": to_wire("rnd", self.round_id),
            "attester": self.attester,
            "root": to_hex(self.root),
            "verdicts": list(self.verdicts),
            "reasons": list(self.reasons),
            "signature": to_hex(self.signature),
        }


def ballot_message(domain: TypedDomain, round_id: UUID, root: bytes, verdicts: Sequence[bool]) -> bytes:
    """The 32 bytes an attester signs when it does not agree with every item."""
    bits = bytes(verdicts)
    return keccak(
        _BALLOT_TAG + word(domain.chain_id) + word(domain.contract) + word(round_id.int) + root + keccak(bits)
    )


def ballot_from_json(body: Mapping[str, Any]) -> Ballot:
    """Parse a message body; raise BallotMalformed."""
    try:
        verdicts, reasons = tuple(body["verdicts"]), tuple(body["reasons"])
        if not all(isinstance(verdict, bool) for verdict in verdicts) or len(reasons) != len(verdicts):
            raise ValueError("a verdict is true or false and has its reason")
        if not all(_REASON.fullmatch(reason) for reason in reasons):
            raise ValueError("a reason is a code")
        return Ballot(
            round_id=from_wire("rnd", body["round"]),
            attester=to_hex(from_hex(body["attester"], length=20)),
            root=from_hex(body["root"], length=32),
            verdicts=verdicts,
            reasons=reasons,
            signature=from_hex(body["signature"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, Invalid) as exc:
        raise BallotMalformed(message="ballot", reason=repr(exc)[:200]) from None
