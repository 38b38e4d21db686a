"""Invariants 1 to 5: nothing appears or vanishes, bonds are what commitments say, each ends once."""

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Concat, Replace

from apps.ledger.data import AccountKind
from apps.ledger.models import Account, Transaction
from apps.ledger.selectors import check as check_ledger
from apps.progress.checks.violation import Violation, of_attempt
from apps.rollback.models import Rollback, RollbackItem
from apps.speculation.data import CommitmentStatus
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.tasks.data import RunStatus
from apps.tasks.models import Run

_HAS_BOND: Final = Q(released_units__gt=0) | Q(slashed_units__gt=0)


def check_balances() -> Iterable[Violation]:
    """1 and 2: the ledger's own, the escrow of open runs, the bonds of open commitments."""
    for fault in check_ledger():
        reason = f"{fault.reason}: {fault.found} instead of {fault.expected}"
        yield Violation(invariant=fault.invariant, reason=reason, where=fault.where)
    open_runs = Run.objects.filter(status=RunStatus.OPEN).values_list("project_id")
    held = {
        project.hex: units
        for project, units in open_runs.annotate(units=Sum(F("escrow_units") - F("spent_units"))).order_by()
    }
    yield from _compare(1, AccountKind.PROJECT_ESCROW, held, "project", "escrow", "its open runs")
    open_bonds = Commitment.objects.filter(status__in=OPEN_COMMITMENTS).values_list("producer_id")
    bonded = dict(open_bonds.annotate(units=Sum("bond_units")).order_by())
    yield from _compare(2, AccountKind.KEEPER_BONDED, bonded, "keeper", "bonded", "its open commitments")


def check_bonds() -> Iterable[Violation]:
    """3: a commitment's bond was locked, and has ended, once, if and only if the commitment has."""
    bonds = _with_ends(Commitment.objects.filter(bond_units__gt=0))
    is_open = Q(status__in=OPEN_COMMITMENTS)
    for rows, reason in (
        (bonds.filter(is_locked=False), "its bond was never locked"),
        (bonds.filter(is_open).exclude(Q(ends_alone=False, ends_in_cascade=False)), "its bond has ended"),
        (bonds.exclude(is_open).filter(ends_alone=False, ends_in_cascade=False), "its bond has not ended"),
        (bonds.filter(ends_alone=True, ends_in_cascade=True), "its bond ended twice"),
    ):
        for task, epoch in rows.values_list("task_id", "epoch"):
            yield of_attempt(3, reason, task, epoch)
    parts = RollbackItem.objects.filter(task=OuterRef("task"), epoch=OuterRef("epoch"))
    whole = parts.filter(_HAS_BOND).exclude(released_units=OuterRef("bond_units") - F("slashed_units"))
    for task, epoch in bonds.filter(Exists(whole)).values_list("task_id", "epoch"):
        yield of_attempt(3, "a cascade ended another bond than it had", task, epoch)


def check_slashes() -> Iterable[Violation]:
    """5: only the root of a failure fails its commitment."""
    roots = Rollback.objects.filter(root=OuterRef("task"), epoch=OuterRef("epoch"))
    failed = Commitment.objects.filter(status=CommitmentStatus.FAILED).exclude(Exists(roots))
    for task, epoch in failed.values_list("task_id", "epoch"):
        yield of_attempt(5, "its commitment failed, and it is no root of a failure", task, epoch)


def _compare(
    invariant: int, kind: AccountKind, expected: dict[str, int], owner: str, name: str, holders: str
) -> Iterable[Violation]:
    """The accounts of a kind whose balance is not what their holders add up to."""
    found = dict(Account.objects.filter(kind=kind).values_list("owner", "balance_units"))
    for key in sorted(found.keys() | expected.keys()):
        balance, units = found.get(key, 0), expected.get(key, 0)
        if balance != units:
            reason = f"{name} holds {balance}, {holders} {units}"
            yield Violation(invariant=invariant, reason=reason, where=f"{owner} {key}")


def _with_ends(rows: "QuerySet[Commitment, Commitment]") -> "QuerySet[Any, Any]":
    """With whether the ledger has each bond's lock, its own end, and its end in a cascade."""
    cascades = RollbackItem.objects.annotate(
        reference=Concat(Value("cascade:"), _hex("rollback_id"), output_field=CharField())
    ).filter(_HAS_BOND, task=OuterRef("task"), epoch=OuterRef("epoch"))
    posted = Transaction.objects.filter(reference=OuterRef("reference"))
    return rows.annotate(
        lock=_reference("bond:"),
        end=_reference("bond-end:"),
        is_locked=Exists(Transaction.objects.filter(reference=OuterRef("lock"))),
        ends_alone=Exists(Transaction.objects.filter(reference=OuterRef("end"))),
        ends_in_cascade=Exists(cascades.filter(Exists(posted))),
    )


def _reference(prefix: str) -> Concat:
    """The ledger's name for what happens to one attempt's bond (`speculation/domain/postings.py`)."""
    epoch = Cast("epoch", CharField())
    return Concat(Value(prefix), _hex("task_id"), Value(":"), epoch, output_field=CharField())


def _hex(column: str) -> Replace:
    """A UUID column as 32 hex digits; some databases keep it with dashes."""
    return Replace(Cast(column, CharField()), Value("-"), Value(""))
