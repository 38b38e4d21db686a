"""What must always hold, asked of live data in set queries.

Each check is one question by its number; the answer is the rows that break it, none when all is well.
What SQL holds by itself (named constraints) is not asked again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, F, Max, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem
from apps.eventlog.selectors import chain_verify
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.ledger.data import AccountKind
from apps.ledger.models import Account
from apps.ledger.selectors import check as check_ledger
from apps.settlement.data import SettlementStatus
from apps.settlement.models import Settlement
from apps.tasks.data import UNFINISHED, RunStatus, TaskStatus
from apps.tasks.models import Edge, Run, Task

_DEAD: Final = (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.ABORTED)
_UNFINISHED: Final = tuple(UNFINISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken invariant: its number, what is wrong, and where."""

    invariant: int
    reason: str
    where: str


def find_violations() -> list[Violation]:
    """Every violation, by number."""
    found: list[Violation] = []
    for check in _CHECKS:
        found.extend(check())
    return sorted(found, key=lambda one: (one.invariant, one.where))


def _ledger() -> Iterable[Violation]:
    for fault in check_ledger():
        reason = f"{fault.reason}: {fault.found} instead of {fault.expected}"
        yield Violation(invariant=fault.invariant, reason=reason, where=fault.where)
    held = {
        row["project_id"]: row["held"]
        for row in Run.objects.filter(status=RunStatus.OPEN)
        .values("project_id")
        .annotate(held=Sum(F("escrow_units") - F("spent_units")))
        .order_by()
    }
    for account in Account.objects.filter(kind=AccountKind.PROJECT_ESCROW):
        expected = next((units for key, units in held.items() if key.hex == account.owner), 0)
        if account.balance_units != expected:
            reason = f"escrow holds {account.balance_units}, its open runs {expected}"
            yield Violation(invariant=1, reason=reason, where=f"project {account.owner}")


def _ancestors() -> Iterable[Violation]:
    early = Edge.objects.filter(child__status=TaskStatus.CONFIRMED).exclude(
        parent__status=TaskStatus.CONFIRMED
    )
    for child in early.values_list("child_id", flat=True):
        yield _of_task(6, "confirmed before an ancestor", child)
    orphans = Edge.objects.filter(parent__status__in=_DEAD, child__status__in=_UNFINISHED)
    for child in orphans.values_list("child_id", flat=True):
        yield _of_task(7, "alive under an ancestor that failed", child)
    torn = Edge.objects.filter(
        ~Q(parent__run_id=F("child__run_id")) | Q(child__depth__lte=F("parent__depth"))
    )
    for child in torn.values_list("child_id", flat=True):
        yield _of_task(9, "an edge across runs, or a depth not below its parent's", child)


def _leases() -> Iterable[Violation]:
    latest = Assignment.objects.filter(task=OuterRef("pk")).order_by().values("task")
    rows = Task.objects.annotate(
        leased=Coalesce(Subquery(latest.annotate(top=Max("epoch")).values("top")), 0)
    ).exclude(epoch=F("leased"))
    for task in rows.values_list("pk", flat=True):
        yield _of_task(11, "its epoch is not its last lease's", task)
    ended = Assignment.objects.filter(status__in=OPEN_STATUSES).exclude(epoch=F("task__epoch"))
    for task in ended.values_list("task_id", flat=True):
        yield _of_task(11, "a live lease of an epoch that is over", task)


def _settlements() -> Iterable[Violation]:
    settled = Settlement.objects.filter(status=SettlementStatus.SETTLED)
    bare = Task.objects.filter(status=TaskStatus.CONFIRMED).exclude(pk__in=settled.values("task_id"))
    for task in bare.values_list("pk", flat=True):
        yield _of_task(14, "confirmed without a settlement", task)
    stray = settled.exclude(task__status=TaskStatus.CONFIRMED)
    for task in stray.values_list("task_id", flat=True):
        yield _of_task(14, "settled and not confirmed", task)


def _wake_ups() -> Iterable[Violation]:
    for task in Task.objects.filter(status__in=_UNFINISHED, wake_at=None).values_list("pk", flat=True):
        yield _of_task(18, "unfinished without a wake-up", task)
    over = Run.objects.exclude(status=RunStatus.OPEN).filter(tasks__status__in=_UNFINISHED).distinct()
    for run in over.values_list("pk", flat=True):
        yield Violation(invariant=18, reason="ended with an unfinished task", where=f"run_{run.hex}")
    idle = Run.objects.filter(status=RunStatus.OPEN).exclude(tasks__status__in=_UNFINISHED)
    for run in idle.values_list("pk", flat=True):
        yield Violation(invariant=18, reason="open with nothing unfinished", where=f"run_{run.hex}")


def _agreement() -> Iterable[Violation]:
    committees = {row.pk: row for row in Round.objects.only("committee", "performer", "required", "status")}
    for row in committees.values():
        if row.performer in row.committee or len(set(row.committee)) != len(row.committee):
            yield _of_round(19, "the performer, or somebody twice, on the committee", row)
    for round_id, attester in Ballot.objects.values_list("round_id", "attester"):
        if attester not in committees[round_id].committee:
            yield _of_round(19, "a vote from outside the committee", committees[round_id])
    agreed = dict(
        Ballot.objects.filter(is_unanimous=True).values_list("round_id").annotate(n=Count("pk")).order_by()
    )
    for row in committees.values():
        if row.status == RoundStatus.UNANIMOUS and agreed.get(row.pk, 0) < row.required:
            yield _of_round(20, "decided without a quorum", row)
    valid = RoundItem.objects.filter(verdict=ItemVerdict.VALID, round__status=RoundStatus.UNANIMOUS)
    final = (TaskStatus.ATTESTED, TaskStatus.SUBMITTED, TaskStatus.CONFIRMED)
    rows = Task.objects.filter(status__in=final).exclude(pk__in=valid.values("task_id"))
    for task in rows.values_list("pk", flat=True):
        yield _of_task(20, "attested without a unanimous round", task)


def _events() -> Iterable[Violation]:
    for fault in chain_verify():
        where = f"{fault.aggregate_type} {fault.aggregate_id} #{fault.aggregate_sequence}"
        yield Violation(invariant=25, reason=fault.reason, where=where)


_CHECKS: Final[tuple[Callable[[], Iterable[Violation]], ...]] = (
    _ledger,
    _ancestors,
    _leases,
    _settlements,
    _wake_ups,
    _agreement,
    _events,
)


def _of_task(invariant: int, reason: str, task: object) -> Violation:
    return Violation(invariant=invariant, reason=reason, where=f"task_{getattr(task, 'hex', task)}")


def _of_round(invariant: int, reason: str, row: Round) -> Violation:
    return Violation(invariant=invariant, reason=reason, where=str(row))
