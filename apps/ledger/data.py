"""The values the ledger takes and gives. Amounts are integer units (1 unit = 1 gwei)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class AccountKind(StrEnum):
    """What an account holds; every unit in the others came in through `deposits`."""

    #: What has come in from outside, negative: the counterpart of all the others.
    DEPOSITS = "deposits"
    #: A keeper's stake and rewards that nothing is bound to.
    KEEPER_FREE = "keeper_free"
    #: A keeper's units that open bonds hold.
    KEEPER_BONDED = "keeper_bonded"
    #: The network's own share.
    TREASURY = "treasury"
    #: A project's balance to spend.
    PROJECT_PREPAID = "project_prepaid"
    #: A project's units held for its runs.
    PROJECT_ESCROW = "project_escrow"
    #: What the network keeps for gas and service.
    FEES = "fees"
    #: What has left to outside.
    WITHDRAWN = "withdrawn"


#: Kinds with one account for the whole network; the others have an owner each.
SHARED_KINDS: Final = frozenset(
    {AccountKind.DEPOSITS, AccountKind.TREASURY, AccountKind.FEES, AccountKind.WITHDRAWN}
)


class TransactionKind(StrEnum):
    """Why units moved."""

    #: A project's deposit was seen on the chain.
    PROJECT_DEPOSIT = "project_deposit"
    #: A keeper's stake was seen on the chain.
    KEEPER_DEPOSIT = "keeper_deposit"
    #: A run's estimated cost was set aside.
    ESCROW_HOLD = "escrow_hold"
    #: A confirmed task was paid from escrow.
    ESCROW_SETTLE = "escrow_settle"
    #: What a run did not use went back to the project.
    ESCROW_RELEASE = "escrow_release"
    #: A keeper's units were bound to an attempt that runs ahead.
    BOND_LOCK = "bond_lock"
    #: A bond ended well and went back to its keeper.
    BOND_RELEASE = "bond_release"
    #: A bond ended badly: a part of it went to the treasury and the victims, the rest back.
    BOND_SLASH = "bond_slash"
    #: The bonds a cascade ended, in one movement.
    CASCADE_SETTLE = "cascade_settle"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountKey:
    """Which account: its kind and owner (a keeper's `0x…`, a project's 32 hex digits, or empty)."""

    kind: AccountKind
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.owner}" if self.owner else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionDraft:
    """One transaction to post: signed amounts per account that sum to 0.

    `reference` makes it happen once: a draft whose reference is already posted is a no-op. `trace_id` is
    that of what it pays for, where it is not the caller's own.
    """

    kind: str
    reference: str
    postings: tuple[tuple[AccountKey, int], ...]
    memo: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFault:
    """A broken invariant: its number, what is wrong where, and the two values that should agree."""

    invariant: int
    reason: str
    where: str
    expected: int
    found: int
