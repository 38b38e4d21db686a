"""What a node's answer to `eth_sendRawTransaction` means, and what a transaction may cost.

Nodes word their refusals differently; the phrases here are those of geth, reth, erigon, nethermind
and anvil. An unknown phrase is worth another try, never a verdict.
"""

from enum import StrEnum
from typing import Final

from apps.chains.data import Fees

#: A node replaces a pending transaction only for at least this much more (geth: 10 %).
_BUMP_PERCENT: Final = 25
_LOWEST_PRIORITY_WEI: Final = 1_000_000


class SendOutcome(StrEnum):
    """What became of one sent transaction."""

    #: the node has it, now or already
    ACCEPTED = "accepted"
    #: the nonce is used; the receipt will say by whom
    NONCE_USED = "nonce_used"
    #: its price is below what the chain or a pending replacement asks
    FEE_TOO_LOW = "fee_too_low"
    #: the sender cannot pay for it now
    NO_FUNDS = "no_funds"
    #: no node will ever take these bytes
    REFUSED = "refused"
    #: anything else: try again later
    RETRY = "retry"


_PHRASES: Final = (
    ("already known", SendOutcome.ACCEPTED),
    ("already imported", SendOutcome.ACCEPTED),
    ("known transaction", SendOutcome.ACCEPTED),
    ("replacement transaction underpriced", SendOutcome.ACCEPTED),
    ("nonce too low", SendOutcome.NONCE_USED),
    ("nonce is too low", SendOutcome.NONCE_USED),
    ("insufficient funds", SendOutcome.NO_FUNDS),
    ("insufficient balance", SendOutcome.NO_FUNDS),
    ("less than block base fee", SendOutcome.FEE_TOO_LOW),
    ("fee cap", SendOutcome.FEE_TOO_LOW),
    ("underpriced", SendOutcome.FEE_TOO_LOW),
    ("feetoolow", SendOutcome.FEE_TOO_LOW),
    ("intrinsic gas", SendOutcome.REFUSED),
    ("exceeds block gas limit", SendOutcome.REFUSED),
    ("gas limit exceeds", SendOutcome.REFUSED),
    ("gas limit too high", SendOutcome.REFUSED),
    ("gas too high", SendOutcome.REFUSED),
    ("exceeds the", SendOutcome.REFUSED),
    ("oversized data", SendOutcome.REFUSED),
    ("max initcode size", SendOutcome.REFUSED),
    ("tip above fee cap", SendOutcome.REFUSED),
    ("priority fee per gas higher", SendOutcome.REFUSED),
    ("failed to decode", SendOutcome.REFUSED),
)


def classify_refusal(message: str) -> SendOutcome:
    """Read a node's refusal."""
    lowered = message.lower()
    return next((outcome for phrase, outcome in _PHRASES if phrase in lowered), SendOutcome.RETRY)


def compute_fees(base_fee_wei: int, priority_fee_wei: int) -> Fees:
    """Twice the base fee plus the tip: good for about six full blocks of rising prices."""
    priority = max(priority_fee_wei, _LOWEST_PRIORITY_WEI)
    return Fees(max_fee_wei=2 * base_fee_wei + priority, priority_fee_wei=priority)


def compute_bumped_fees(former: Fees, current: Fees, cap_wei: int) -> Fees:
    """At least a quarter more than before and at least the current price, never above the cap."""
    priority = max(_raised(former.priority_fee_wei), current.priority_fee_wei)
    max_fee = min(max(_raised(former.max_fee_wei), current.max_fee_wei, priority), cap_wei)
    return Fees(max_fee_wei=max_fee, priority_fee_wei=min(priority, max_fee))


def _raised(amount: int) -> int:
    return -(-amount * (100 + _BUMP_PERCENT) // 100)
