"""Posting: a set of transactions in a handful of statements, all of it or nothing.

Locks: the accounts, in primary-key order; of several calls in one transaction only the first waits in that
order, so a stage makes one call. The shared accounts (deposits, treasury, fees) are written once per
call however many drafts touch them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import Q

from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.writing import rows_insert, rows_update
from apps.kernel.ids import new_id
from apps.kernel.trace import current_trace
from apps.ledger.data import AccountKey, TransactionDraft
from apps.ledger.domain.drafts import apply_amounts, compute_amounts, require_postable
from apps.ledger.errors import InsufficientFunds, LedgerMoved
from apps.ledger.models import Account, Posting, Transaction


def transactions_post(drafts: Sequence[TransactionDraft], *, now: datetime | None = None) -> int:
    """Post the drafts whose reference is new; return how many were.

    `now` saves asking the database's clock. Raises InsufficientFunds (nothing is posted, and the caller's
    transaction stays usable), UnbalancedTransaction, PostingInvalid, ReferenceRepeated.
    """
    postable = require_postable(drafts)
    if not postable:
        return 0
    refusal: InsufficientFunds | None = None
    with transaction.atomic(savepoint=False):
        at = now or get_database_now()
        accounts = _lock_accounts({account for draft in postable for account, _ in draft.postings})
        fresh = _without_posted(postable)
        amounts = [compute_amounts(draft) for draft in fresh]
        try:
            apply_amounts({key: account.balance_units for key, account in accounts.items()}, amounts)
        except InsufficientFunds as exc:
            refusal = exc
        else:
            _write(fresh, amounts, accounts, at)
    if refusal is not None:
        raise refusal
    return len(fresh)


def accounts_lock(keys: Iterable[AccountKey]) -> dict[AccountKey, int]:
    """Lock these accounts (made where they are missing) and return their balances.

    For a stage that decides by balance which drafts to post: it names here every account its drafts
    will touch, inside the same transaction.
    """
    with transaction.atomic(savepoint=False):
        return {key: account.balance_units for key, account in _lock_accounts(set(keys)).items()}


def _lock_accounts(keys: set[AccountKey]) -> dict[AccountKey, Account]:
    found = _lock_existing(keys)
    missing = sorted(keys - found.keys(), key=lambda key: (key.kind, key.owner))
    if missing:
        rows = [Account(kind=key.kind.value, owner=key.owner) for key in missing]
        Account.objects.bulk_create(rows, ignore_conflicts=True)
        found |= _lock_existing(set(missing))
    return found


def _lock_existing(keys: set[AccountKey]) -> dict[AccountKey, Account]:
    owners: dict[str, list[str]] = {}
    for key in keys:
        owners.setdefault(key.kind.value, []).append(key.owner)
    if not owners:
        return {}
    named = reduce(or_, (Q(kind=kind, owner__in=names) for kind, names in sorted(owners.items())))
    return {account.key: account for account in lock_rows(Account.objects.filter(named), skip_locked=False)}


def _without_posted(drafts: Sequence[TransactionDraft]) -> list[TransactionDraft]:
    """Read under the accounts' locks, so that a reference posted meanwhile is seen."""
    posted = set(
        Transaction.objects.filter(reference__in=[draft.reference for draft in drafts])
        .order_by()
        .values_list("reference", flat=True)
    )
    return [draft for draft in drafts if draft.reference not in posted]


def _write(
    drafts: Sequence[TransactionDraft],
    amounts: Sequence[Mapping[AccountKey, int]],
    accounts: Mapping[AccountKey, Account],
    now: datetime,
) -> None:
    if not drafts:
        return
    trace_id = current_trace().trace_id
    transactions = [
        Transaction(
            id=new_id(),
            kind=draft.kind,
            reference=draft.reference,
            created_at=now,
            trace_id=draft.trace_id or trace_id,
            memo=dict(draft.memo),
        )
        for draft in drafts
    ]
    before = {key: account.balance_units for key, account in accounts.items()}
    postings: list[Posting] = []
    for posted, moved in zip(transactions, amounts, strict=True):
        for key, amount in moved.items():
            account = accounts[key]
            account.balance_units += amount
            postings.append(
                Posting(
                    transaction_id=posted.id,
                    account_id=account.pk,
                    amount_units=amount,
                    balance_after_units=account.balance_units,
                )
            )

    rows_insert(Transaction, transactions)
    _write_balances([key for key in before if accounts[key].balance_units != before[key]], accounts, before)
    rows_insert(Posting, postings, is_key_given=False)


def _write_balances(
    changed: Sequence[AccountKey], accounts: Mapping[AccountKey, Account], before: Mapping[AccountKey, int]
) -> None:
    written = rows_update(
        Account,
        [accounts[key] for key in changed],
        ["balance_units"],
        [before[key] for key in changed],
        guard_column="balance_units",
    )
    if written != len(changed):
        raise LedgerMoved(expected=len(changed), written=written)
