"""Rounds: shared, lost, forged, outvoted, without a quorum."""

from datetime import timedelta

import pytest

from apps.attestation.data import ItemVerdict
from apps.attestation.models import Ballot, Round, RoundItem, Vote
from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.selectors import get_database_now
from apps.keepers.models import Keeper
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Failure, Task
from tests.integration.spine.driving import (
    MakeJob,
    attest,
    execute,
    roll_back,
    start,
    task_of,
    try_again,
)
from tests.support.failing import lie
from workers.keeper.outbox import BALLOTS, RECEIPTS


def test_results_of_one_performer_share_a_round_and_one_signature(network, make_job: MakeJob):
    Keeper.objects.filter(address__in=list(network.nodes)[1:]).update(capabilities=[])
    job = make_job(*((f"s{n}", []) for n in range(6)))
    Task.objects.all().update(spec={})
    run = start(network, job)
    performers = {message.keeper for message in network.messages}
    network.deliver()
    network.record(RECEIPTS)
    attest(network)
    assert Task.objects.filter(run=run, status=TaskStatus.ATTESTED).count() == 6
    assert Round.objects.count() == len(performers)
    assert Ballot.objects.count() == 4 * len(performers)


def test_a_lost_call_is_made_again_to_those_who_have_not_voted(network, make_job: MakeJob):
    execute(network, make_job())
    network.stage(rounds_open)
    lost = network.messages[0].keeper
    network.deliver(keep=lambda message: message.keeper != lost)
    network.record(BALLOTS)
    later = get_database_now() + timedelta(seconds=6)
    network.now = lambda: later
    network.stage(rounds_resend)
    assert [message.keeper for message in network.messages] == [lost]


@pytest.mark.parametrize("change", ["signature", "root", "attester", "again", "verdicts"])
def test_a_ballot_that_does_not_hold_is_refused(network, make_job: MakeJob, change):
    execute(network, make_job())
    network.stage(rounds_open)
    performer = Task.objects.get().performer
    network.deliver()
    ballots = network.answers(BALLOTS)
    first, second = ballots[:2]
    bad = {
        "signature": {**first, "signature": second["signature"]},
        "root": {**first, "root": "0x" + "00" * 32},
        "attester": {**first, "attester": performer},
        "again": second,
        "verdicts": {**first, "verdicts": [True, True], "reasons": ["", ""]},
    }[change]
    codes = {
        "signature": "signature_invalid",
        "root": "ballot_malformed",
        "attester": "not_on_committee",
        "again": "ballot_repeated",
        "verdicts": "ballot_malformed",
    }
    network.record(BALLOTS, [second])
    (refusal,) = network.record(BALLOTS, [bad])
    assert refusal.error.code == codes[change]
    assert Vote.objects.count() == 1


def test_a_performer_that_lies_is_outvoted_and_the_task_goes_to_another(network, make_job: MakeJob, store):
    run = start(network, make_job())
    (message,) = network.messages
    node = network.nodes[message.keeper]
    network.work(message)
    network.messages = []
    network.record(RECEIPTS, [lie(network.answers(RECEIPTS)[0], node, store)])
    attest(network)
    task = task_of(run)
    assert (task.status, task.is_failing, task.failures) == (TaskStatus.EXECUTED, True, 0)
    assert Failure.objects.get().reason == FailureReason.RESULT_REJECTED
    assert RoundItem.objects.get().verdict == ItemVerdict.INVALID
    assert set(Vote.objects.values_list("reason", flat=True)) == {"output_differs"}

    roll_back(network)
    task = task_of(run)
    assert (task.status, task.is_failing, task.failures) == (TaskStatus.WAITING, False, 1)
    assert (task.epoch, task.result, task.output_cid) == (2, None, "")
    try_again(network)
    assert task_of(run).status == TaskStatus.SCHEDULED
    network.deliver()
    network.record(RECEIPTS)
    attest(network)
    task = task_of(run)
    assert (task.status, task.epoch) == (TaskStatus.ATTESTED, 3)
    assert task.performer != node.address


def test_no_quorum_draws_again_once_and_then_fails_and_nobody_is_blamed(network, make_job: MakeJob):
    run = execute(network, make_job())
    for _ in range(2):
        network.stage(rounds_open)
        voters = [message.keeper for message in network.messages][:2]
        network.deliver(keep=lambda message, voters=voters: message.keeper in voters)
        network.record(BALLOTS)
        later = network.now() + timedelta(seconds=61)
        network.now = lambda later=later: later
        network.stage(rounds_decide)
    task = task_of(run)
    assert (task.status, task.is_failing) == (TaskStatus.EXECUTED, True)
    roll_back(network)
    task = task_of(run)
    assert (task.status, task.error_code) == (TaskStatus.FAILED, "no_quorum")
    assert list(Round.objects.order_by("id").values_list("status", flat=True)) == ["expired", "expired"]
    assert not Keeper.objects.filter(tasks_failed__gt=0).exists()


def test_too_few_attesters_online_is_waited_for_not_failed(network, make_job: MakeJob):
    run = execute(network, make_job())
    Keeper.objects.filter(address__in=list(network.nodes)[:2]).exclude(address=task_of(run).performer).update(
        online=False
    )
    network.stage(rounds_open)
    assert not Round.objects.exists()
    assert task_of(run).status == TaskStatus.EXECUTED
    Keeper.objects.update(online=True)
    later = get_database_now() + timedelta(seconds=6)
    network.now = lambda: later
    attest(network)
    assert task_of(run).status == TaskStatus.ATTESTED
