"""Random lives of runs through the real services, keepers and rules, over a hub in memory.

Steps run ahead under bond. Messages are lost, repeated, reordered and forged, links of canvases among them;
keepers fail, lie, dissent and go away; stages die at any statement; time jumps; runs and tasks are stopped
by hand, dead ones are opened again. The numbered invariants hold after every step, and once nothing stands
in the way any more every run ends.
"""

import tempfile
from collections.abc import Callable
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
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.attestation.services import rounds_decide, rounds_open
from apps.content.store import ContentStore, open_store
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.services import tasks_assign
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.keepers.models import Keeper
from apps.kernel.errors import DomainError
from apps.ledger.domain.postings import deposit_project
from apps.ledger.services import transactions_post
from apps.progress.invariants import find_violations
from apps.rollback import services as rollback_services
from apps.rollback.data import LetterFilter
from apps.rollback.services import rollbacks_apply
from apps.tasks import services as tasks_services
from apps.tasks.data import (
    RunStatus,
    TaskStatus,
)
from apps.tasks.models import Run, Task
from tests.factories.accounts import make_project
from tests.integration.spine.driving import give_stake
from tests.support.crashing import Crash, crash_at
from tests.support.failing import dissent, failed_receipt, lie
from tests.support.hub import FakeHub
from tests.support.network import TURN, Network, deployment_without_chain, make_identity, make_network
from tests.support.replay import assert_spine_replays
from tests.support.spine import LATE, OVER, SpineInvariants, graphs, impatient
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS

STAGES = tuple(step for step in TURN if not isinstance(step, str))
KINDS = (RECEIPTS, BALLOTS, ACKNOWLEDGEMENTS)
KEEPERS = 6
picks = st.integers(0, 99)


class SpineMachine(SpineInvariants):
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
        for module in (tasks_services, rollback_services):
            patch.setattr(module, "get_database_now", self.now)
        self.hub = FakeHub(active=KEEPERS).install(patch)
        self.project = make_project()
        transactions_post([deposit_project(self.project.id, 10**12, "test:0x00:0")])
        identities = [make_identity(number) for number in range(1, KEEPERS + 1)]
        self.network: Network = make_network(identities, store=self.store, folder=folder)
        self.stack.callback(self.network.close)
        give_stake(self.network)
        self.network.now = self.now
        self.inbox: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.said: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}

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
        run_id = runs[pick % len(runs)].pk
        self.by_hand(lambda: rollback_services.run_cancel(run_id=run_id, project_ids=None))

    @rule(pick=picks)
    def cancel_task(self, pick: int) -> None:
        """Stop some task and what stands on it, now and then."""
        tasks = list(Task.objects.order_by("pk"))
        if pick % 5:
            return
        task_id = tasks[pick % len(tasks)].pk
        self.by_hand(lambda: rollback_services.task_cancel(task_id=task_id, project_ids=None))

    @rule()
    def replay(self) -> None:
        """Everything that failed for good is opened again, where that is allowed and paid for."""
        with transaction.atomic():
            rollback_services.dead_letters_replay(project_ids=None, chosen=LetterFilter())

    def by_hand(self, stop: Callable[[], Any]) -> None:
        """What somebody does by hand is done or refused; refused, it changes nothing."""
        told, refusal = Event.objects.count(), ""
        try:
            with transaction.atomic():
                stop()
        except DomainError as exc:
            refusal = exc.code
        assert refusal in {"", *OVER}
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
    @rule(
        pick=picks,
        fate=st.sampled_from(["arrives", "arrives", "twice", "again later", "is lost", "alone"]),
    )
    def message(self, pick: int, fate: str) -> None:
        """One message to a keeper, in any order; what would follow it may be lost, or come twice with it."""
        message = self.network.messages.pop(pick % len(self.network.messages))
        if fate == "alone":
            message = replace(message, following=())
        if fate != "is lost":
            self.network.work(message)
        if fate == "twice":
            self.network.work(message)
        if fate == "again later":
            self.network.messages.append(message)
        self.collect()

    @rule()
    def stop_what_is_over(self) -> None:
        """Keepers are told of what was rolled back; nobody need be, it only saves work."""
        told = {one.rollback: [float(one.milliseconds or 0)] for one in self.network.revoke() if one.rollback}
        rollback_services.rollbacks_cleaned(latencies=told, now=self.now())
        rollback_services.rollbacks_log(now=self.now(), limit=10)

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
        own = offer.body["assignment"]["task"]
        told = self.network.answers(RECEIPTS)
        self.inbox[RECEIPTS] += [
            lie(receipt, node, self.store)
            if receipt["task"] == own and receipt["result"]["status"] == "ok"
            else receipt
            for receipt in told
        ]

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
            for stage in (rollbacks_apply, tasks_admit, tasks_assign):
                self.network.stage(stage)

    @precondition(lambda self: Task.objects.filter(status=TaskStatus.EXECUTED).exists())
    @rule(pick=picks, most=st.integers(2, 5))
    def disagree(self, pick: int, most: int) -> None:
        """A whole committee, or half of one, agrees with nothing, and its round is decided."""
        self.network.stage(rounds_open)
        calls = self.of_kind("keeper.attest")
        if not calls:
            return
        rounds = sorted({call.body["call"]["round"] for call in calls})
        own = [call for call in calls if call.body["call"]["round"] == rounds[pick % len(rounds)]]
        self.network.messages = [one for one in self.network.messages if one not in own]
        against = [dissent(self.network.nodes[one.keeper], one.body["call"]) for one in own[:most]]
        refusals = self.network.record(BALLOTS, against)
        assert {refusal.error.code for refusal in refusals} <= LATE
        self.network.stage(rounds_decide)

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

    # ---- how it ends

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


@pytest.mark.django_db
def test_every_run_ends_and_every_invariant_holds_whatever_happens_on_the_way():
    SpineMachine.store = open_store("memory://spine-machine")
    run_state_machine_as_test(
        SpineMachine, settings=settings(max_examples=20, stateful_step_count=40, deadline=None)
    )
