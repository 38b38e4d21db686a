"""Random lives of runs through the real services, keepers and rules, over a hub in memory.

Messages are lost, repeated, reordered and forged; keepers fail, lie, dissent and go away; stages die at
any statement; time jumps; runs are cancelled. The numbered invariants hold after every step, and once
nothing stands in the way any more every run ends.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.attestation.data import ROUND_TABLE
from apps.content.store import ContentStore, open_store
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.execution.data import ASSIGNMENT_TABLE, AssignmentStatus
from apps.execution.models import Assignment
from apps.execution.services import tasks_assign
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.keepers.models import Keeper
from apps.kernel.errors import DomainError
from apps.ledger.domain.postings import deposit_project
from apps.ledger.services import transactions_post
from apps.progress.invariants import find_violations
from apps.settlement.data import BATCH_TABLE, SETTLEMENT_TABLE, SettlementStatus
from apps.settlement.models import Settlement
from apps.tasks import services as tasks_services
from apps.tasks.data import RUN_TABLE, TASK_TABLE, RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from tests.factories.accounts import make_project
from tests.support.crashing import Crash, crash_at
from tests.support.failing import dissent, failed_receipt, lie
from tests.support.hub import FakeHub
from tests.support.network import TURN, Network, deployment_without_chain, make_identity, make_network
from tests.support.replay import assert_spine_replays
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS

STAGES = tuple(step for step in TURN if not isinstance(step, str))
KINDS = (RECEIPTS, BALLOTS, ACKNOWLEDGEMENTS)
KEEPERS = 6
TABLES: dict[str, Any] = {"run": RUN_TABLE, "task": TASK_TABLE, "round": ROUND_TABLE, "batch": BATCH_TABLE}
#: what an answer to something that is over may be refused with
LATE = {
    "ballot_repeated",
    "epoch_stale",
    "lease_closed",
    "round_unknown",
}
picks = st.integers(0, 99)


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


class SpineMachine(RuleBasedStateMachine):
    """A handful of runs, six keepers and everything that can happen between them."""

    store: ClassVar[ContentStore]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(transaction.atomic())
        self.stack.callback(transaction.set_rollback, True)
        self.stack.enter_context(deployment_without_chain())
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(django_settings, "FOREKEEP", impatient(django_settings.FOREKEEP))
        self.ahead = timedelta()
        patch.setattr(tasks_services, "get_database_now", self.now)
        self.hub = FakeHub(active=KEEPERS).install(patch)
        self.project = make_project()
        transactions_post([deposit_project(self.project.id, 10**12, "test:0x00:0")])
        identities = [make_identity(number) for number in range(1, KEEPERS + 1)]
        self.network: Network = make_network(identities, store=self.store, folder=folder)
        self.stack.callback(self.network.close)
        self.network.now = self.now
        self.inbox: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.said: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.seen: dict[Any, tuple[str, int]] = {}
        self.read_to = 0
        self.steps = 0

    def now(self) -> datetime:
        """The machine's clock: the database's, so much ahead."""
        return get_database_now() + self.ahead

    # ---- what the operator does

    @initialize(
        given=st.lists(graphs(), min_size=1, max_size=3),
        units=st.sampled_from([10**7, 150_000]),
        bad=st.sets(st.integers(0, 5), max_size=3),
    )
    def begin(self, given: list[tuple[tuple[int, ...], ...]], units: int, bad: set[int]) -> None:
        """Some runs are under way, their first tasks offered; the actions of some will revert."""
        for graph in given:
            self.open_run(graph, units)
        for pick in bad:
            self.action(pick, True)
        self.network.turn(TURN[:3])

    @precondition(lambda self: Run.objects.count() < 6)
    @rule(graph=graphs(), units=st.sampled_from([10**7, 150_000, 0]))
    def open_run(self, graph: tuple[tuple[int, ...], ...], units: int) -> None:
        """A run of any shape, with much, little or no money."""
        steps = [
            {"key": f"s{n}", "script_source": "print({})", "parents": [f"s{parent}" for parent in parents]}
            for n, parents in enumerate(graph)
        ]
        definition = definition_from_json({"name": "job", "trigger_kind": "manual", "steps": steps}, Bounds())
        job = job_create(project_id=self.project.id, definition=definition, store=self.store)
        Job.objects.filter(pk=job.pk).update(estimated_cost_units=units)
        tasks_services.run_now(job_id=job.pk, project_ids=None)

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        """Cancel some run, now and then; what is settling or over refuses and changes nothing."""
        runs = list(Run.objects.order_by("pk"))
        if pick % 3:
            return
        told, refusal = Event.objects.count(), ""
        try:
            with transaction.atomic():
                tasks_services.run_cancel(run_id=runs[pick % len(runs)].pk, project_ids=None)
        except DomainError as exc:
            refusal = exc.code
        assert refusal in {"", "run_ended", "run_settling"}
        assert not refusal or Event.objects.count() == told

    # ---- what the stages do

    @rule(stage=st.sampled_from(STAGES), limit=st.sampled_from([1, 2, 100]))
    def run_stage(self, stage: Any, limit: int) -> None:
        """Any stage at any time."""
        self.network.stage(stage, limit=limit)

    @rule(stage=st.sampled_from(STAGES), statement=st.integers(1, 30))
    def die(self, stage: Any, statement: int) -> None:
        """A stage dies at a statement: what it would have sent is lost with it."""
        try:
            with transaction.atomic(), crash_at(statement):
                self.network.stage(stage)
        except Crash:
            pass

    @rule(first=st.integers(0, len(TURN) - 1), count=st.integers(2, len(TURN)))
    def turn(self, first: int, count: int) -> None:
        """A stretch of the pipeline runs undisturbed, over whatever is under way by then."""
        self.network.turn([*TURN, *TURN][first : first + count])

    # ---- what becomes of messages

    @precondition(lambda self: self.network.messages)
    @rule(pick=picks, fate=st.sampled_from(["arrives", "arrives", "twice", "again later", "is lost"]))
    def message(self, pick: int, fate: str) -> None:
        """One message to a keeper, in any order."""
        message = self.network.messages.pop(pick % len(self.network.messages))
        if fate != "is lost":
            self.network.work(message)
        if fate == "twice":
            self.network.work(message)
        if fate == "again later":
            self.network.messages.append(message)
        self.collect()

    @precondition(lambda self: any(self.inbox.values()))
    @rule(
        kind=st.sampled_from(KINDS),
        picked=st.lists(picks, min_size=1, max_size=6),
        fate=st.sampled_from(["kept", "kept", "repeated", "lost"]),
    )
    def answers(self, kind: str, picked: list[int], fate: str) -> None:
        """A set of keepers' answers, in any order; they are refused only where something is over."""
        items = [self.inbox[kind].pop(pick % len(self.inbox[kind])) for pick in picked if self.inbox[kind]]
        if fate == "lost":
            return
        refusals = self.network.record(kind, items * 2 if fate == "repeated" else items)
        assert {refusal.error.code for refusal in refusals} <= LATE
        self.said[kind] += items

    @precondition(lambda self: any(self.said.values()))
    @rule(
        kind=st.sampled_from([RECEIPTS, BALLOTS]),
        pick=picks,
        change=st.sampled_from(["signature", "keeper", "epoch", "result", "root", "nonsense"]),
    )
    def forge(self, kind: str, pick: int, change: str) -> None:
        """An answer with something changed in it is refused and leaves no trace."""
        if not self.said[kind]:
            return
        forged = dict(self.said[kind][pick % len(self.said[kind])])
        stranger = "0x" + "ee" * 20
        forged |= {
            "signature": {"signature": "0x" + "11" * (65 if kind == RECEIPTS else 128)},
            "keeper": {"keeper": stranger, "attester": stranger},
            "epoch": {"epoch": forged.get("epoch", 0) + 1, "round": "rnd_" + "7" * 32},
            "result": {"result": {"status": "ok"}, "verdicts": [False], "reasons": [""]},
            "root": {"lease": "0" * 32, "root": "0x" + "00" * 32},
            "nonsense": {"task": None, "round": 5},
        }[change]
        told, refusals = Event.objects.count(), self.network.record(kind, [forged])
        assert len(refusals) == 1
        assert Event.objects.count() == told

    # ---- what keepers do

    @precondition(lambda self: self.of_kind("keeper.execute"))
    @rule(pick=picks, code=st.sampled_from(["script_failed", "lies"]))
    def perform_badly(self, pick: int, code: str) -> None:
        """A performer fails, or signs another output than it had."""
        offers = self.of_kind("keeper.execute")
        offer = offers[pick % len(offers)]
        self.network.messages.remove(offer)
        node = self.network.nodes[offer.keeper]
        if code != "lies":
            self.inbox[RECEIPTS].append(failed_receipt(node, offer.body["assignment"], error_code=code))
            return
        self.collect()
        self.network.work(offer)
        told = self.network.answers(RECEIPTS)
        self.inbox[RECEIPTS] += [lie(receipt, node, self.store) for receipt in told]

    @precondition(lambda self: self.of_kind("keeper.execute"))
    @rule(times=st.integers(1, 3))
    def all_perform_badly(self, times: int) -> None:
        """Whoever is offered anything fails at once, and whoever is offered it next."""
        for _ in range(times):
            offers = self.of_kind("keeper.execute")
            self.network.messages = [one for one in self.network.messages if one not in offers]
            failures = [failed_receipt(self.network.nodes[o.keeper], o.body["assignment"]) for o in offers]
            refusals = self.network.record(RECEIPTS, failures)
            assert {refusal.error.code for refusal in refusals} <= LATE
            self.network.stage(tasks_assign)

    @precondition(lambda self: self.of_kind("keeper.attest"))
    @rule(pick=picks, most=st.integers(1, 4))
    def dissent(self, pick: int, most: int) -> None:
        """Members of a committee agree with nothing."""
        for _ in range(most):
            calls = self.of_kind("keeper.attest")
            if not calls:
                return
            call = calls[pick % len(calls)]
            self.network.messages.remove(call)
            self.inbox[BALLOTS].append(dissent(self.network.nodes[call.keeper], call.body["call"]))

    @rule(pick=picks, online=st.booleans())
    def come_or_go(self, pick: int, online: bool) -> None:
        """A keeper comes or goes."""
        addresses = sorted(self.network.nodes)
        Keeper.objects.filter(address=addresses[pick % KEEPERS]).update(online=online)

    # ---- what the world does

    @rule(seconds=st.sampled_from([1, 6, 31, 61, 100, 4_000]))
    def time_passes(self, seconds: int) -> None:
        """Time jumps forward."""
        self.ahead += timedelta(seconds=seconds)

    @rule(what=st.sampled_from(["is_refusing", "is_mining", "is_away"]), on=st.booleans())
    def chain(self, what: str, on: bool) -> None:
        """Transactions revert, blocks stop, the node is away; or all is well again."""
        setattr(self.hub, what, on)

    @rule(pick=picks, on=st.booleans())
    def action(self, pick: int, on: bool) -> None:
        """One task's action reverts, or no longer."""
        tasks = list(Task.objects.order_by("pk").values_list("pk", flat=True))
        if tasks:
            task_id = tasks[pick % len(tasks)].int
            (self.hub.reverting.add if on else self.hub.reverting.discard)(task_id)

    # ---- what must always hold

    @invariant()
    def endings_absorb_and_epochs_grow(self) -> None:
        """11 and 13, of every row with a status: only listed moves, nothing after an end."""
        for event in Event.objects.filter(
            sequence_number__gt=self.read_to, aggregate_type__in=TABLES
        ).order_by("sequence_number"):
            self.read_to = event.sequence_number
            status = event.payload["set"].get("status")
            if status is None:
                continue
            key, table = (event.aggregate_type, event.aggregate_id), TABLES[event.aggregate_type]
            if key in self.seen:
                assert table.is_legal(self.seen[key][0], status), (key, self.seen[key], status)
            self.seen[key] = (status, 0)
        for task_id, epoch in Task.objects.values_list("pk", "epoch"):
            assert epoch >= self.seen.get(task_id, ("", 0))[1]
            self.seen[task_id] = ("", epoch)
        self.look_at(ASSIGNMENT_TABLE, Assignment.objects.values_list("pk", "status"), AssignmentStatus)
        self.look_at(SETTLEMENT_TABLE, Settlement.objects.values_list("pk", "status"), SettlementStatus)

    @invariant()
    def nothing_settles_twice_and_the_hub_objects_to_nothing(self) -> None:
        """14, and 20 as the hub sees it."""
        assert len(set(self.hub.history)) == len(self.hub.history)
        assert self.hub.objections == []

    @invariant()
    def the_numbered_invariants_hold(self) -> None:
        """Every one that live data can be asked, every few steps."""
        self.steps += 1
        if self.steps % 5 == 0:
            assert find_violations() == []

    def teardown(self) -> None:
        """Nothing stands in the way any more: every run ends. Then leave the database as it was."""
        try:
            self.drain()
        finally:
            self.stack.close()

    def drain(self) -> None:
        """Turn until no run is open, letting time pass so that lost messages are made up for."""
        Keeper.objects.update(online=True)
        self.hub.is_refusing = self.hub.is_away = False
        self.hub.is_mining = True
        self.hub.reverting.clear()
        for _ in range(80):
            if not Run.objects.filter(status=RunStatus.OPEN).exists():
                break
            self.network.turn()
            self.ahead += timedelta(seconds=7)
        open_tasks = Task.objects.filter(run__status=RunStatus.OPEN)
        assert not Run.objects.filter(status=RunStatus.OPEN).exists(), list(
            open_tasks.values_list("step_key", "status", "wake_at", "epoch", "rounds")
        )
        self.endings_absorb_and_epochs_grow()
        self.nothing_settles_twice_and_the_hub_objects_to_nothing()
        assert find_violations() == []
        assert_spine_replays()
        confirmed = Task.objects.filter(status=TaskStatus.CONFIRMED).values_list("pk", flat=True)
        assert {task_id.int for task_id in confirmed} == set(self.hub.history)

    # ---- how it looks

    def of_kind(self, task: str) -> list[Any]:
        """The messages of a kind that are under way."""
        return [message for message in self.network.messages if message.task == task]

    def collect(self) -> None:
        """What keepers have said is under way to the intake."""
        for kind in KINDS:
            self.inbox[kind] += self.network.answers(kind)

    def look_at(self, table: Any, rows: Any, statuses: Any) -> None:
        """Statuses of rows without events: reached from the last one seen by listed moves."""
        for pk, text in rows:
            now, key = statuses(text), (table.name, pk)
            before = statuses(self.seen[key][0]) if key in self.seen else None
            if before is not None and before is not now:
                between = table.moves.get(before, frozenset())
                assert now in between or any(table.is_legal(one, now) for one in between), (key, before, now)
            self.seen[key] = (text, 0)


@pytest.mark.django_db
def test_every_run_ends_and_every_invariant_holds_whatever_happens_on_the_way():
    SpineMachine.store = open_store("memory://spine-machine")
    run_state_machine_as_test(
        SpineMachine, settings=settings(max_examples=20, stateful_step_count=40, deadline=None)
    )
