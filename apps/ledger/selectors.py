"""Reading balances, statements, and the numbered invariants of the ledger."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Sum

from apps.ledger.data import AccountKey, AccountKind, LedgerFault
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.models import Account, Posting

#: Each query is one statement, so one snapshot: right also beside writers.
_BALANCES_THAT_DIFFER: Final = """
    SELECT a.kind, a.owner, a.balance_units, COALESCE(p.total, 0)
    FROM ledger_account a
    LEFT JOIN (SELECT account_id, SUM(amount_units) AS total FROM ledger_posting GROUP BY account_id) p
      ON p.account_id = a.id
    WHERE a.balance_units <> COALESCE(p.total, 0)
    ORDER BY a.id
"""
_UNBALANCED: Final = """
    SELECT t.reference, COALESCE(p.total, 0), COALESCE(p.parts, 0)
    FROM ledger_transaction t
    LEFT JOIN (
        SELECT transaction_id, SUM(amount_units) AS total, COUNT(*) AS parts
        FROM ledger_posting GROUP BY transaction_id
    ) p ON p.transaction_id = t.id
    WHERE COALESCE(p.total, 0) <> 0 OR COALESCE(p.parts, 0) < 2
    ORDER BY t.id
"""


def get_balances(keys: Iterable[AccountKey]) -> dict[AccountKey, int]:
    """Units per account; an account nobody has used yet has 0."""
    wanted = set(keys)
    owners: dict[AccountKind, list[str]] = {}
    for key in wanted:
        owners.setdefault(key.kind, []).append(key.owner)
    named = Q(pk__in=())
    for kind, names in owners.items():
        named |= Q(kind=kind.value, owner__in=names)
    return dict.fromkeys(wanted, 0) | {
        account.key: account.balance_units for account in Account.objects.filter(named)
    }


def get_statement(project_id: UUID) -> QuerySet[Posting, Posting]:
    """What was posted to a project's accounts, newest first, with account and transaction at hand."""
    accounts = Account.objects.filter(
        owner=project_id.hex, kind__in=(AccountKind.PROJECT_PREPAID.value, AccountKind.PROJECT_ESCROW.value)
    )
    postings = Posting.objects.filter(account_id__in=list(accounts.values_list("pk", flat=True)))
    return postings.select_related("transaction", "account").order_by("-pk")


def get_project_balances(project_id: UUID) -> tuple[int, int]:
    """(prepaid, escrow) of a project, in units."""
    prepaid, escrow = project_prepaid(project_id), project_escrow(project_id)
    balances = get_balances((prepaid, escrow))
    return balances[prepaid], balances[escrow]


def check() -> list[LedgerFault]:
    """Invariants 1 (nothing appears or vanishes) and 2 (balances are what was posted, none below 0)."""
    faults = []
    total = Account.objects.aggregate(total=Sum("balance_units"))["total"] or 0
    if total:
        faults.append(_fault(1, "the accounts do not sum to what was deposited", "", 0, total))
    with connection.cursor() as cursor:
        cursor.execute(_UNBALANCED)
        for reference, found, parts in cursor.fetchall():
            if found:
                faults.append(_fault(1, "the postings do not sum to 0", reference, 0, found))
            else:
                faults.append(_fault(1, "a transaction with fewer than two postings", reference, 2, parts))
        cursor.execute(_BALANCES_THAT_DIFFER)
        for kind, owner, balance, posted in cursor.fetchall():
            where = str(AccountKey(kind=AccountKind(kind), owner=owner))
            faults.append(_fault(2, "the balance is not the sum of the postings", where, posted, balance))
    wrong_side = Q(kind=AccountKind.DEPOSITS.value, balance_units__gt=0) | (
        ~Q(kind=AccountKind.DEPOSITS.value) & Q(balance_units__lt=0)
    )
    for account in Account.objects.filter(wrong_side).order_by("pk"):
        faults.append(
            _fault(2, "the balance is on the wrong side of 0", str(account), 0, account.balance_units)
        )
    return faults


def _fault(invariant: int, reason: str, where: str, expected: int, found: int) -> LedgerFault:
    return LedgerFault(
        invariant=invariant, reason=reason, where=where, expected=int(expected), found=int(found)
    )
