"""Work that is more than keepers can do waits as rows, not as messages that grow old in their queues."""

from collections import Counter
from datetime import timedelta

from apps.attestation.data import RoundStatus
from apps.attestation.models import Ballot, Round
from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.selectors import get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, receipts_record, tasks_assign
from apps.keepers.models import Keeper
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import run_now
from tests.integration.spine.driving import MakeJob, start, task_of
from tests.support.network import Network
from workers.keeper.outbox import BALLOTS, RECEIPTS

#: what a keeper that was never measured may hold
WINDOW = 8


def steps(count: int) -> list[tuple[str, list[str]]]:
    return [(f"s{number}", []) for number in range(count)]


def use_only(network: Network, count: int) -> None:
    """Let only so many of the keepers perform; all of them attest."""
    Keeper.objects.filter(address__in=list(network.nodes)[count:]).update(capabilities=[])


def test_keepers_hold_no_more_than_their_windows_until_receipts_make_room(network, make_job: MakeJob):
    start(network, make_job(*steps(60)))
    assert Counter(Assignment.objects.values_list("keeper_id", flat=True)) == dict.fromkeys(
        network.nodes, WINDOW
    )
    assert network.stage(tasks_assign).taken == 0

    network.deliver()
    outcome, _ = receipts_record(items=network.answers(RECEIPTS), now=network.now())
    assert "assign" in outcome.pokes
    assert network.stage(tasks_assign).taken == 60 - 5 * WINDOW
    network.deliver()
    outcome, _ = receipts_record(items=network.answers(RECEIPTS), now=network.now())
    assert "assign" not in outcome.pokes
    assert set(Task.objects.values_list("status", flat=True)) == {TaskStatus.EXECUTED}
    assert set(Task.objects.values_list("epoch", flat=True)) == {1}


def test_a_slow_keeper_holds_little(network, make_job: MakeJob):
    use_only(network, 1)
    Keeper.objects.update(latency_ms_ewma=3_000)
    start(network, make_job(*steps(5)))
    assert Assignment.objects.count() == 2


def test_a_keeper_that_does_not_begin_on_its_offers_is_given_no_more(network, make_job: MakeJob):
    first = start(network, make_job())
    silent = task_of(first).performer
    network.messages.clear()
    later = get_database_now() + timedelta(seconds=3)
    network.now = lambda: later
    start(network, make_job(*steps(12)))
    performers = set(Task.objects.exclude(run=first).values_list("performer", flat=True))
    assert performers == set(network.nodes) - {silent}


def test_with_every_keeper_behind_tasks_wait_without_being_looked_at(network, make_job: MakeJob):
    use_only(network, 1)
    run = start(network, make_job())
    network.messages.clear()
    later = get_database_now() + timedelta(seconds=3)
    network.now = lambda: later
    other = run_now(job_id=run.job_id, project_ids=None)
    network.stage(tasks_admit)
    network.stage(tasks_assign)
    waiting = task_of(other)
    assert (waiting.status, waiting.epoch) == (TaskStatus.SCHEDULED, 0)

    later += timedelta(seconds=3)
    network.stage(leases_sweep)
    network.deliver()
    network.record(RECEIPTS)
    network.stage(tasks_assign)
    waiting.refresh_from_db()
    assert waiting.epoch == 1


def test_an_offer_is_repeated_less_and_less_often(network, make_job: MakeJob):
    start(network, make_job())
    lease = Assignment.objects.get()
    pauses = []
    for _ in range(3):
        at = lease.resend_at
        network.now = lambda at=at: at
        network.stage(leases_sweep)
        lease.refresh_from_db()
        pauses.append((lease.resend_at - at).total_seconds())
    assert lease.status == AssignmentStatus.OFFERED
    assert pauses == [5, 10, 20]


def test_a_call_is_repeated_less_and_less_often(network, make_job: MakeJob):
    start(network, make_job())
    network.deliver()
    network.record(RECEIPTS)
    network.stage(rounds_open)
    network.messages.clear()
    row = Round.objects.get()
    at = row.resend_at
    network.now = lambda: at
    network.stage(rounds_resend)
    row.refresh_from_db()
    assert len(network.messages) == 4
    assert row.resend_at - at == at - row.opened_at


def test_results_gather_while_a_round_of_their_performer_is_under_way(network, make_job: MakeJob):
    use_only(network, 1)
    job = make_job(*steps(3))
    for _ in range(2):
        start(network, job)
        network.deliver()
        network.record(RECEIPTS)
        network.stage(rounds_open)
    first = Round.objects.get()
    assert first.size == 3
    assert Task.objects.filter(status=TaskStatus.EXECUTED, rounds=0).count() == 3

    network.deliver()
    network.record(BALLOTS)
    outcome = network.stage(rounds_decide)
    assert "attest" in outcome.pokes
    network.stage(rounds_open)
    assert Round.objects.exclude(pk=first.pk).get().size == 3


def test_a_round_is_tallied_from_the_ballot_on_that_can_decide_it(network, make_job: MakeJob):
    start(network, make_job())
    network.deliver()
    network.record(RECEIPTS)
    network.stage(rounds_open)
    network.deliver()
    ballots = network.answers(BALLOTS)
    for ballot in ballots[:2]:
        network.record(BALLOTS, [ballot])
        assert network.stage(rounds_decide).taken == 0
    network.record(BALLOTS, [ballots[2]])
    assert network.stage(rounds_decide).taken == 1
    assert Round.objects.get().status == RoundStatus.UNANIMOUS
    assert Ballot.objects.count() == 3
