"""What makes a set of drafts postable, and what it does to balances. Invariants 1 and 2, pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from apps.ledger.data import SHARED_KINDS, AccountKey, AccountKind, TransactionDraft
from apps.ledger.errors import InsufficientFunds, PostingInvalid, ReferenceRepeated, UnbalancedTransaction

REFERENCE_MAX: Final = 128
_AMOUNT_MAX: Final = 2**62
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_PROJECT: Final = re.compile(r"[0-9a-f]{32}")
_OWNER_FORMS: Final = {
    AccountKind.KEEPER_FREE: _ADDRESS,
    AccountKind.KEEPER_BONDED: _ADDRESS,
    AccountKind.PROJECT_PREPAID: _PROJECT,
    AccountKind.PROJECT_ESCROW: _PROJECT,
}


def require_postable(drafts: Iterable[TransactionDraft]) -> list[TransactionDraft]:
    """The drafts without exact repetitions.

    Raises PostingInvalid, UnbalancedTransaction, ReferenceRepeated.
    """
    by_reference: dict[str, TransactionDraft] = {}
    for draft in drafts:
        known = by_reference.get(draft.reference)
        if known is None:
            _require_sound(draft)
            by_reference[draft.reference] = draft
        elif known != draft:
            raise ReferenceRepeated(reference=draft.reference)
    return list(by_reference.values())


def compute_amounts(draft: TransactionDraft) -> dict[AccountKey, int]:
    """The net amount per account; accounts whose amounts cancel out are left out."""
    amounts: dict[AccountKey, int] = {}
    for account, amount in draft.postings:
        amounts[account] = amounts.get(account, 0) + amount
    return {account: amount for account, amount in amounts.items() if amount}


def apply_amounts(
    balances: Mapping[AccountKey, int], amounts: Sequence[Mapping[AccountKey, int]]
) -> dict[AccountKey, int]:
    """The balances after all of it; raise InsufficientFunds where one would end on the wrong side of 0."""
    after = dict(balances)
    for moved in amounts:
        for account, amount in moved.items():
            after[account] += amount
    for account, balance in after.items():
        if not is_allowed(account.kind, balance):
            needed = abs(balances[account] - balance)
            raise InsufficientFunds(account=str(account), balance=balances[account], needed=needed)
    return after


def is_allowed(kind: AccountKind, balance: int) -> bool:
    """Deposits never above 0, every other balance never below (invariant 2)."""
    return balance <= 0 if kind is AccountKind.DEPOSITS else balance >= 0


def _require_sound(draft: TransactionDraft) -> None:
    if not draft.reference or len(draft.reference) > REFERENCE_MAX:
        reason = f"a reference of 1 to {REFERENCE_MAX} characters expected"
        raise PostingInvalid(reference=draft.reference[:REFERENCE_MAX], reason=reason)
    for account, amount in draft.postings:
        _require_account(draft.reference, account)
        if type(amount) is not int or not -_AMOUNT_MAX < amount < _AMOUNT_MAX:
            raise PostingInvalid(reference=draft.reference, reason="an amount is an integer of 62 bits")
    total = sum(amount for _, amount in draft.postings)
    if total:
        raise UnbalancedTransaction(reference=draft.reference, sum=total)
    if len(compute_amounts(draft)) < 2:
        raise PostingInvalid(reference=draft.reference, reason="nothing moves")


def _require_account(reference: str, account: AccountKey) -> None:
    if account.kind in SHARED_KINDS:
        is_known = account.owner == ""
    else:
        is_known = _OWNER_FORMS[account.kind].fullmatch(account.owner) is not None
    if not is_known:
        raise PostingInvalid(
            reference=reference, reason=f"{account.kind} has no owner {account.owner[:80]!r}"
        )
