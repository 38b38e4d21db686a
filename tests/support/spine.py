"""Shapes of runs, refusals that are no fault, and what must hold after every step of a machine over them."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from apps.attestation.data import ROUND_TABLE
from apps.eventlog.models import Event
from apps.execution.data import ASSIGNMENT_TABLE, AssignmentStatus
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.progress.invariants import find_violations
from apps.settlement.data import BATCH_TABLE, SETTLEMENT_TABLE, SettlementStatus
from apps.settlement.models import Settlement
from apps.speculation.data import COMMITMENT_TABLE, CommitmentStatus
from apps.speculation.models import Commitment
from apps.tasks.data import REOPENABLE, RUN_REOPENABLE, RUN_TABLE, TASK_TABLE, RunStatus, TaskStatus
from apps.tasks.models import Failure, Task
from tests.support.hub import FakeHub

TABLES: dict[str, Any] = {"run": RUN_TABLE, "task": TASK_TABLE, "round": ROUND_TABLE, "batch": BATCH_TABLE}
#: event → the endings after which it may come, and the status that follows
REOPENINGS = {("task.reopened", str(status)) for status in REOPENABLE} | {
    ("run.reopened", str(status)) for status in RUN_REOPENABLE
}
REOPENED = {"task": TaskStatus.WAITING, "run": RunStatus.OPEN}
#: what an answer to something that is over may be refused with
LATE = {
    "ballot_repeated",
    "epoch_stale",
    "lease_closed",
    "parent_not_recorded",
    "round_unknown",
}
#: what a stop by hand, or a replay, may be refused with
OVER = {"run_ended", "run_settling", "task_ended", "rollback_of_confirmed", "rollback_too_late"}


@st.composite
def graphs(draw: Any) -> tuple[tuple[int, ...], ...]:
    """The parents of each step, one to four steps."""
    size = draw(st.integers(1, 4))
    return tuple(
        tuple(sorted(draw(st.sets(st.integers(0, step - 1), max_size=2)))) if step else ()
        for step in range(size)
    )


def impatient(tree: Any) -> Any:
    """Settings under which a task fails soon: that is where the many endings are."""
    return replace(
        tree,
        execution=replace(tree.execution, max_attempts=2),
        settlement=replace(tree.settlement, resubmit_max=1),
    )


class SpineInvariants(RuleBasedStateMachine):
    """The questions; `hub` is what the machine settles on."""

    hub: FakeHub

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Any, tuple[str, int]] = {}
        self.read_to = 0

    @invariant()
    def endings_absorb_and_epochs_grow(self) -> None:
        """11 and 13, of every row with a status: only listed moves, nothing after an end.

        But another attempt may be opened after some ends, and a run with it.
        """
        for event in Event.objects.filter(
            sequence_number__gt=self.read_to, aggregate_type__in=TABLES
        ).order_by("sequence_number"):
            self.read_to = event.sequence_number
            status = event.payload["set"].get("status")
            if status is None:
                continue
            key, table = (event.aggregate_type, event.aggregate_id), TABLES[event.aggregate_type]
            if key in self.seen:
                before = self.seen[key][0]
                opened = (event.event_type, before) in REOPENINGS and status == REOPENED[event.aggregate_type]
                assert opened or table.is_legal(before, status), (key, before, event.event_type, status)
            self.seen[key] = (status, 0)
        for task_id, epoch in Task.objects.values_list("pk", "epoch"):
            assert epoch >= self.seen.get(task_id, ("", 0))[1]
            self.seen[task_id] = ("", epoch)
        self.look_at(ASSIGNMENT_TABLE, Assignment.objects.values_list("pk", "status"), AssignmentStatus)
        self.look_at(SETTLEMENT_TABLE, Settlement.objects.values_list("pk", "status"), SettlementStatus)
        self.look_at(COMMITMENT_TABLE, Commitment.objects.values_list("pk", "status"), CommitmentStatus)

    @invariant()
    def nothing_settles_twice_and_the_hub_objects_to_nothing(self) -> None:
        """14, and 20 as the hub sees it."""
        assert len(set(self.hub.history)) == len(self.hub.history)
        assert self.hub.objections == []

    @invariant()
    def nothing_starts_under_a_parent_whose_failure_is_signalled(self) -> None:
        """10."""
        failing = Failure.objects.filter(wake_at__isnull=False, task__is_failing=True)
        for task_id, detected_at in failing.values_list("task_id", "detected_at"):
            late = Assignment.objects.filter(
                task__parent_edges__parent=task_id, status__in=OPEN_STATUSES, offered_at__gt=detected_at
            )
            assert not late.exists()

    @invariant()
    def the_numbered_invariants_hold(self) -> None:
        """Every one that live data can be asked, and the bookkeeping of every row that has events."""
        assert find_violations() == []

    def look_at(self, table: Any, rows: Any, statuses: Any) -> None:
        """Statuses of rows without events: reached from the last one seen by listed moves."""
        for pk, text in rows:
            now, key = statuses(text), (table.name, pk)
            before = statuses(self.seen[key][0]) if key in self.seen else None
            if before is not None and before is not now:
                between = table.moves.get(before, frozenset())
                assert now in between or any(table.is_legal(one, now) for one in between), (key, before, now)
            self.seen[key] = (text, 0)
