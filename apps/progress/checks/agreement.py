"""Invariants 14, 19 and 20: committees, quorums, and one settlement per task."""

from collections.abc import Iterable
from typing import Final

from django.db.models import Count, Exists, OuterRef

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem
from apps.progress.checks.violation import Violation, of_task
from apps.settlement.data import SettlementStatus
from apps.settlement.models import Settlement
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task

_ATTESTED: Final = (
    TaskStatus.ATTESTED,
    TaskStatus.PROVING,
    TaskStatus.PROVED,
    TaskStatus.WAITING_ANCESTORS,
    TaskStatus.SUBMITTED,
    TaskStatus.CONFIRMED,
)


def check_settlements() -> Iterable[Violation]:
    """14: confirmed and settled are the same."""
    settled = Settlement.objects.filter(status=SettlementStatus.SETTLED)
    bare = Task.objects.filter(status=TaskStatus.CONFIRMED).exclude(pk__in=settled.values("task_id"))
    for task in bare.values_list("pk", flat=True):
        yield of_task(14, "confirmed without a settlement", task)
    stray = settled.exclude(task__status=TaskStatus.CONFIRMED)
    for task in stray.values_list("task_id", flat=True):
        yield of_task(14, "settled and not confirmed", task)


def check_committees() -> Iterable[Violation]:
    """19 and 20: who may vote, and what was decided without enough of them."""
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
    valid = RoundItem.objects.filter(
        task=OuterRef("pk"),
        epoch=OuterRef("epoch"),
        verdict=ItemVerdict.VALID,
        round__status=RoundStatus.UNANIMOUS,
    )
    rows = Task.objects.filter(~Exists(valid), status__in=_ATTESTED)
    for task in rows.values_list("pk", flat=True):
        yield of_task(20, "attested without a unanimous round of its attempt", task)


def _of_round(invariant: int, reason: str, row: Round) -> Violation:
    return Violation(invariant=invariant, reason=reason, where=str(row))
