"""Work that travels from keeper to keeper: links under way, and committees that stand on the same parents."""

from dataclasses import replace
from typing import Any

import pytest

from apps.attestation.calls import calls_of
from apps.attestation.models import Ballot, Round, Vote
from apps.eventlog.selectors import get_database_now
from apps.execution.models import Assignment
from apps.execution.services import tasks_assign
from apps.kernel.ids import to_wire
from apps.kernel.outcome import Message, Revocation
from apps.tasks.data import TaskStatus
from apps.tasks.models import Run, Task
from tests.integration.spine.driving import MakeJob, attest, execute, start, task_of
from tests.support.network import Network
from workers.keeper.outbox import RECEIPTS

PROOF = {"circuit": 16}


def _schedule(network: Network, run: Run, step: str, *parents: str) -> Message:
    """Have a step assigned under parents that are recorded already, as if they had been under way."""
    network.is_tampered = True
    awaits = {}
    for parent in parents:
        lease = Assignment.objects.get(task=task_of(run, parent))
        awaits[parent] = {
            "task": to_wire("task", lease.task_id),
            "epoch": lease.epoch,
            "lease": lease.id.hex,
            "keeper": lease.keeper_id,
            "kind": "data",
        }
    task = task_of(run, step)
    spec = {**task.spec, "parents": {}, "awaits": awaits, "proof": PROOF}
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.SCHEDULED, spec=spec, wake_at=get_database_now())
    network.stage(tasks_assign)
    (message,) = [one for one in network.messages if one.body["assignment"]["task"] == spec["task"]]
    network.messages.remove(message)
    return message


def _receipt_of(run: Run, step: str) -> Any:
    return Assignment.objects.get(task=task_of(run, step)).receipt


@pytest.fixture
def run(network: Network, make_job: MakeJob) -> Run:
    """A run whose first step is executed."""
    return execute(network, make_job(("load", []), ("clean", ["load"]), ("fit", ["clean"])))


def test_a_committee_does_again_what_stood_on_a_parent_that_was_under_way(network: Network, run: Run) -> None:
    message = _schedule(network, run, "clean", "load")
    network.work(replace(message, body={**message.body, "parents": [_receipt_of(run, "load")]}))
    network.record(RECEIPTS)
    clean = task_of(run, "clean")
    assert clean.result["parents"]["load"]["output_cid"] == task_of(run, "load").output_cid

    attest(network)

    assert {task_of(run, step).status for step in ("load", "clean")} == {TaskStatus.ATTESTED}
    assert set(Vote.objects.values_list("reason", flat=True)) == {""}
    assert {ballot.root for ballot in Ballot.objects.all()} == set(
        Round.objects.values_list("root", flat=True)
    )


def test_calls_bring_the_parents_receipts_in_three_queries_whatever_the_number(
    network: Network, run: Run, django_assert_num_queries: Any
) -> None:
    receipt = _receipt_of(run, "load")
    message = _schedule(network, run, "clean", "load")
    network.work(replace(message, body={**message.body, "parents": [receipt]}))
    network.record(RECEIPTS)
    attest(network)
    rounds = list(Round.objects.all())

    with django_assert_num_queries(3):
        messages = calls_of(rounds)

    items = [item for message in messages for item in message.body["call"]["items"]]
    parents = {item["assignment"]["spec"]["step"]: item["parents"] for item in items}
    assert parents == {"load": [], "clean": [receipt]}


def test_a_statement_is_bound_into_the_root_that_the_committee_signs(
    network: Network, make_job: MakeJob
) -> None:
    run = start(network, make_job())
    network.messages = []
    Task.objects.filter(run=run).update(status=TaskStatus.WAITING)
    Assignment.objects.all().delete()
    message = _schedule(network, run, "main")
    network.work(message)
    network.record(RECEIPTS)
    assert task_of(run).result["statement"].startswith("0x")

    attest(network)

    assert task_of(run).status == TaskStatus.ATTESTED
    assert {ballot.root for ballot in Ballot.objects.all()} == {Round.objects.get().root}


def _chain(network: Network, run: Run) -> Message:
    """`clean` under `load`, and `load` once more: a message with one that follows it."""
    first = _schedule(network, run, "clean", "load")
    head = Message(
        keeper=first.keeper,
        task=first.task,
        body={**first.body, "parents": [_receipt_of(run, "load")]},
        trace_id=run.trace_id,
        stamps=("root:1", "clean:1"),
        following=(replace(first, stamps=("root:1", "clean:1", "fit:1")),),
    )
    network.messages = [head]
    return head


def test_what_follows_is_under_way_with_the_receipt_of_the_link_before(network: Network, run: Run) -> None:
    head = _chain(network, run)
    network.messages = []

    (link,) = network.work(head)

    (receipt,) = link.body["receipts"]
    assert receipt["task"] == head.body["assignment"]["task"]
    assert network.messages == [link]


def test_a_link_can_be_lost_and_takes_along_what_follows(network: Network, run: Run) -> None:
    _chain(network, run)

    assert network.deliver(keep=lambda message: message.following != ()) == 2
    assert network.messages == []


def test_a_link_that_is_refused_takes_along_what_follows(network: Network, run: Run) -> None:
    head = _chain(network, run)
    network.messages = [replace(head, body={"assignment": head.body["assignment"]})]

    assert network.deliver() == 1
    assert network.refused == ["parent_receipt_missing"]


def test_a_revoked_link_is_not_worked_on(network: Network, run: Run) -> None:
    head = _chain(network, run)
    attempt = (head.body["assignment"]["task"], head.body["assignment"]["epoch"])
    network.revocations = [Revocation(rollback="r", stamps=("fit:1",), aborts={head.keeper: (attempt,)})]

    (reply,) = network.revoke()

    assert (reply.keeper, reply.killed) == (head.keeper, ())
    network.work(replace(head, stamps=("root:1", "fit:1")))
    assert network.refused == ["revoked"]
    network.work(head)
    assert network.refused == ["revoked", "epoch_stale"]
