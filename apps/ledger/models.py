"""Accounts and what was posted to them. Transactions and postings only grow (triggers in the migration)."""

from typing import Any, Never

from django.db import models
from django.db.models import Q

from apps.kernel.ids import new_id
from apps.ledger.data import SHARED_KINDS, AccountKey, AccountKind
from apps.ledger.domain.drafts import REFERENCE_MAX
from apps.ledger.errors import LedgerImmutable


class Account(models.Model):
    """One balance, in units; always the sum of its postings."""

    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in AccountKind])
    owner = models.CharField(max_length=42, default="", blank=True)
    balance_units = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("kind", "owner")
        constraints = [
            models.UniqueConstraint(fields=("kind", "owner"), name="account_kind_owner"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in AccountKind]), name="account_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(kind=AccountKind.DEPOSITS.value, balance_units__lte=0)
                | (~Q(kind=AccountKind.DEPOSITS.value) & Q(balance_units__gte=0)),
                name="account_balance_side",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=sorted(kind.value for kind in SHARED_KINDS), owner="")
                | (~Q(kind__in=sorted(kind.value for kind in SHARED_KINDS)) & ~Q(owner="")),
                name="account_owner_iff_not_shared",
            ),
        ]

    def __str__(self) -> str:
        return str(self.key)

    @property
    def key(self) -> AccountKey:
        """The account's name in drafts."""
        return AccountKey(kind=AccountKind(self.kind), owner=self.owner)


class PostedQuerySet(models.QuerySet[Any]):
    """What was posted can be read and added to, never changed."""

    def update(self, **kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable()

    def delete(self) -> Never:
        """Refused."""
        raise LedgerImmutable()


class Transaction(models.Model):
    """A movement of units between accounts; its postings sum to 0."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32)
    reference = models.CharField(max_length=REFERENCE_MAX)
    created_at = models.DateTimeField()
    trace_id = models.CharField(max_length=32, default="", blank=True)
    memo = models.JSONField(default=dict, blank=True)

    objects = PostedQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("reference",), name="transaction_reference_once"),
            models.CheckConstraint(condition=~Q(reference=""), name="transaction_reference_given"),
        ]

    def __str__(self) -> str:
        return self.reference

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable()


class Posting(models.Model):
    """One account's part in a transaction; `balance_after_units` is the account's balance with it."""

    transaction = models.ForeignKey(
        Transaction, on_delete=models.PROTECT, related_name="postings", db_index=False
    )
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="postings", db_index=False)
    amount_units = models.BigIntegerField()
    balance_after_units = models.BigIntegerField()

    objects = PostedQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("transaction", "account"), name="posting_once_per_account"),
            models.CheckConstraint(condition=~Q(amount_units=0), name="posting_amount_not_zero"),
        ]
        indexes = [models.Index(fields=("account", "-id"), name="posting_of_account")]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.amount_units}"

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        """Refused."""
        raise LedgerImmutable()
