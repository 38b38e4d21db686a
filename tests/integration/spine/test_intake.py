"""Whatever comes in: what does not hold is refused with its code, and the rest of its set is recorded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.attestation.data import Ballot, ballot_message
from apps.attestation.models import Ballot as BallotRow
from apps.attestation.models import Vote
from apps.attestation.services import rounds_open
from apps.eventlog.models import Event
from apps.execution.admission import tasks_admit
from apps.execution.data import Receipt, assignment_from_json
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, tasks_assign
from apps.kernel.bls import sign
from apps.kernel.hashing import NotCanonicalJson
from apps.kernel.ids import from_wire
from apps.kernel.outcome import Message
from apps.progress.invariants import find_violations
from apps.rollback.services import run_cancel
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from project.metrics import INTAKE_MESSAGES
from tests.integration.spine.driving import MakeJob, execute, open_run, roll_back, start, task_of
from tests.support.failing import acknowledgement, failed_receipt
from tests.support.network import Network
from workers import intake
from workers.keeper.outbox import BALLOTS, RECEIPTS

texts = st.text(max_size=12) | st.sampled_from(
    ["\x00", "a\x00b", "Bearer abcdefghijklmnopqrstuvwxyz", "0x", "0x00", "task_", "💥", "NaN"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
#: what a member of a result may be called, known names more often than not
names = (
    st.sampled_from(
        [
            "status",
            "error_code",
            "error_detail",
            "output_cid",
            "output_hash",
            "package_cid",
            "action",
            "cpu_ms",
            "started_at",
            "secret",
            "private_key",
        ]
    )
    | texts
)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def _quiet(monkeypatch) -> None:
    """Nothing leaves the intake."""
    monkeypatch.setattr(intake, "send", lambda messages: None)
    monkeypatch.setattr(intake, "poke", lambda stages: None)


@contextmanager
def undone() -> Iterator[None]:
    """One example's rows, gone after it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def counted(kind: str, outcome: str) -> float:
    return INTAKE_MESSAGES.labels(kind=kind, outcome=outcome)._value.get()


def errors() -> float:
    """Messages that broke the intake instead of being refused."""
    return sum(counted(kind, "error") for kind in ("receipt", "ballot", "acknowledgement"))


def offer_of(network: Network) -> Message:
    """The one offer under way."""
    (offer,) = network.messages
    return offer


@pytest.mark.usefixtures("_quiet")
def test_a_set_with_garbage_in_it_is_recorded_but_for_the_garbage(network: Network, make_job: MakeJob):
    run = start(network, make_job())
    network.deliver()
    (good,) = network.answers(RECEIPTS)
    garbage: list[Any] = [None, 7, "text", [], {}, {"task": {}}, {**good, "epoch": True}]
    recorded, malformed = counted("receipt", "recorded"), counted("receipt", "message_malformed")
    intake.receipts.run(items=[*garbage[:4], good, *garbage[4:]])
    assert task_of(run).status == TaskStatus.EXECUTED
    assert counted("receipt", "recorded") == recorded + 1
    assert counted("receipt", "message_malformed") == malformed + len(garbage)


@pytest.mark.usefixtures("_quiet")
@few
@given(garbage=st.lists(values, max_size=6), place=st.integers(0, 6))
def test_any_garbage_around_a_receipt_is_refused_and_the_receipt_recorded(
    network: Network, make_job: MakeJob, garbage, place
):
    with undone():
        run = start(network, make_job())
        network.deliver()
        (good,) = network.answers(RECEIPTS)
        before = errors()
        intake.receipts.run(items=[*garbage[:place], good, *garbage[place:]])
        intake.acknowledgements.run(items=garbage)
        intake.ballots.run(items=garbage)
        assert errors() == before
        assert task_of(run).status == TaskStatus.EXECUTED


@pytest.mark.usefixtures("_quiet")
@few
@given(result=st.dictionaries(names, values, max_size=6), keep=st.booleans())
@example(result={"secret": "x", "private_key": "0x11"}, keep=True)
@example(result={"status": "failed", "error_detail": "a\x00b"}, keep=False)
def test_whatever_a_keeper_signs_ends_its_attempt_or_is_refused_and_breaks_nothing(
    network: Network, make_job: MakeJob, result, keep
):
    """A sound result with members changed, or one made up; the sound receipt beside it is recorded."""
    with undone():
        run = start(network, make_job(("bad", []), ("good", [])))
        bad, good = sorted(network.messages, key=lambda m: m.body["assignment"]["spec"]["step"])
        network.messages = []
        network.work(good)
        network.work(bad)
        receipts = {item["task"]: item for item in network.answers(RECEIPTS)}
        honest = receipts[bad.body["assignment"]["task"]]
        value, _ = assignment_from_json(bad.body["assignment"])
        node = network.nodes[bad.keeper]
        said = {**honest["result"], **result} if keep else result
        try:
            signed = Receipt(
                task_id=value.task_id, epoch=value.epoch, lease=value.lease, keeper=node.address, result=said
            ).to_json(domain=node.domain, key=node.identity.key)
        except NotCanonicalJson:
            signed = {**honest, "result": said}
        before = errors()
        intake.receipts.run(items=[json.loads(json.dumps(signed)), receipts[good.body["assignment"]["task"]]])
        assert errors() == before
        assert task_of(run, "good").status == TaskStatus.EXECUTED
        task, lease = task_of(run, "bad"), Assignment.objects.get(pk=value.lease)
        assert (task.status, lease.status) in {
            (TaskStatus.EXECUTED, "returned"),
            (TaskStatus.SCHEDULED, "failed"),
            (TaskStatus.SCHEDULED, "offered"),
        }
        assert task.is_failing == (lease.status == "failed")
        roll_back(network)
        task.refresh_from_db()
        assert task.failures == (lease.status == "failed")
        assert (task.status == TaskStatus.WAITING) == (lease.status == "failed")


@pytest.mark.usefixtures("_quiet")
@few
@given(
    reasons=st.lists(values, min_size=1, max_size=1),
    verdicts=st.lists(st.booleans() | values, min_size=1, max_size=2),
    attester=st.none() | values,
)
def test_whatever_a_committee_member_signs_is_a_vote_or_is_refused_and_breaks_nothing(
    network: Network, make_job: MakeJob, reasons, verdicts, attester
):
    with undone():
        execute(network, make_job())
        network.stage(rounds_open)
        call, other = network.messages[:2]
        network.messages = []
        network.work(other)
        (good,) = network.answers(BALLOTS)
        node, round_id = network.nodes[call.keeper], from_wire("rnd", call.body["call"]["round"])
        bits = tuple(bool(verdict) for verdict in verdicts)
        signature = sign(node.identity.bls_secret, ballot_message(node.domain, round_id, bytes(32), bits))
        ballot = Ballot(
            round_id=round_id,
            attester=node.address,
            root=bytes(32),
            verdicts=bits,
            reasons=("",),
            signature=signature,
        ).to_json()
        body = {**ballot, "verdicts": verdicts, "reasons": reasons}
        before, votes = errors(), Vote.objects.count()
        intake.ballots.run(items=[body if attester is None else {**body, "attester": attester}, good])
        assert errors() == before
        assert BallotRow.objects.filter(round_id=round_id, attester=other.keeper).exists()
        assert votes + 1 <= Vote.objects.count() <= votes + 2


@pytest.mark.parametrize(
    "detail",
    ["Authorization: Bearer abcdefghijklmnopqrstuvwx", "-----BEGIN PRIVATE KEY-----", "\ufffd" * 600],
)
def test_a_script_that_prints_secrets_fails_its_attempt_like_any_other(
    network: Network, make_job: MakeJob, detail
):
    run = start(network, make_job())
    offer = offer_of(network)
    said = failed_receipt(network.nodes[offer.keeper], offer.body["assignment"], error_detail=detail)
    assert network.record(RECEIPTS, [said]) == []
    assert task_of(run).is_failing
    roll_back(network)
    assert (task_of(run).is_failing, task_of(run).failures) == (False, 1)
    assert "Bearer" not in json.dumps(list(Event.objects.values_list("payload", flat=True)))


def test_an_answer_for_a_cancelled_task_is_refused_and_the_rest_of_its_set_recorded(
    network: Network, make_job: MakeJob
):
    """Whether its lease was taken back yet or not."""
    job = make_job()
    lost, kept = open_run(job), open_run(job)
    network.stage(tasks_admit)
    network.stage(tasks_assign)
    acknowledged = [
        acknowledgement(network.nodes[offer.keeper], offer.body["assignment"]) for offer in network.messages
    ]
    network.deliver()
    items = network.answers(RECEIPTS)
    run_cancel(run_id=lost.id, project_ids=None)
    refusals = network.record("acknowledgements", acknowledged) + network.record(RECEIPTS, items)
    assert [refusal.error.code for refusal in refusals] == ["lease_closed", "lease_closed"]
    assert task_of(lost).status == TaskStatus.CANCELLED
    assert task_of(kept).status == TaskStatus.EXECUTED
    assert find_violations() == []


def test_failures_are_on_the_record_of_the_keeper_that_failed(network: Network, make_job: MakeJob):
    start(network, make_job())
    offer = offer_of(network)
    node = network.nodes[offer.keeper]
    said = failed_receipt(node, offer.body["assignment"], error_code="cid_invalid")
    network.record(RECEIPTS, [said])
    told = Event.objects.get(event_type="keeper.work_recorded")
    assert (told.aggregate_id, told.payload["set"]["tasks_failed"]) == (offer.keeper, 1)
    network.messages.clear()
    network.stage(leases_sweep)
    assert Event.objects.filter(event_type="keeper.work_recorded").count() == 1


def test_a_script_that_fails_is_not_on_the_record_of_its_keeper(network: Network, make_job: MakeJob):
    start(network, make_job())
    offer = offer_of(network)
    network.record(RECEIPTS, [failed_receipt(network.nodes[offer.keeper], offer.body["assignment"])])
    roll_back(network)
    assert Task.objects.get().failures == 1
    assert not Event.objects.filter(event_type="keeper.work_recorded").exists()
