"""A pass over a real chain: every log fires once, none that is gone or not meant does."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from apps.chains.client import ChainClient
from apps.chains.errors import ChainFault, ChainUnreachable
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.jobs.models import Firing, Job
from apps.jobs.services import job_pause, job_resume
from apps.watching.chains import events_catch_up
from apps.watching.data import CatchUp
from apps.watching.models import ChainCursor, Sighting
from tests.support.emitting import Emitter, make_event_job

pytestmark = pytest.mark.django_db(transaction=True)
Pass = Callable[[], CatchUp]


def values_of(job: Job) -> list[str]:
    """What the logs that fired a job said."""
    fired = Firing.objects.filter(job=job, kind="event").order_by("pk")
    return [firing.evidence["args"]["value"] for firing in fired]


def with_triggers(settings: Settings, **fields: object) -> None:
    triggers = dataclasses.replace(settings.FOREKEEP.triggers, **fields)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, triggers=triggers)


def test_a_log_fires_once_however_often_one_looks(emitter: Emitter, catch_up: Pass):
    job = make_event_job()
    emitter.emit(7)
    assert catch_up().job_ids == (job.id,)
    assert catch_up().job_ids == ()
    ChainCursor.objects.update(
        number=0, hash=emitter.node.request("eth_getBlockByNumber", "0x0", False)["hash"]
    )
    assert catch_up().fired == 0
    (firing,) = Firing.objects.filter(job=job)
    assert firing.status == "fired"
    assert firing.key == f"event:{firing.evidence['block_hash']}:{firing.evidence['log_index']}"
    assert firing.evidence["tx_hash"] == emitter.sent[0]
    assert firing.evidence["args"] == {"station": "1", "value": "7"}


def test_filters_choose(emitter: Emitter, catch_up: Pass):
    high = make_event_job(filters={"value": {"greater_equal": "100"}})
    third = make_event_job(filters={"station": ["3", 4]})
    for value, station in ((99, 1), (100, 1), (5, 3), (6, 5)):
        emitter.emit(value, station=station)
    emitter.emit(500, station=3, topic="0x" + "ab" * 32)
    catch_up()
    assert values_of(high) == ["100"]
    assert values_of(third) == ["5"]


def test_confirmations_are_waited_for(emitter: Emitter, catch_up: Pass):
    job = make_event_job(confirmations=3)
    emitter.emit(1)
    for _ in range(2):
        emitter.mine()
        assert catch_up().fired == 0
    emitter.mine()
    assert catch_up().fired == 1
    assert values_of(job) == ["1"]


def test_a_log_that_is_gone_before_its_confirmation_never_fires(emitter: Emitter, catch_up: Pass):
    job = make_event_job(confirmations=3)
    emitter.mine()
    snapshot = emitter.node.request("evm_snapshot")
    emitter.emit(1)
    assert catch_up().seen == 1
    emitter.node.request("evm_revert", snapshot)
    emitter.mine(2)
    catch_up()
    emitter.mine(5)
    catch_up()
    assert values_of(job) == []
    assert Sighting.objects.get().status == "dropped"
    assert Event.objects.filter(event_type="job.trigger_dropped", aggregate_id=job.id.hex).count() == 1


def test_a_log_that_is_mined_again_in_another_block_fires_from_there(emitter: Emitter, catch_up: Pass):
    job = make_event_job(confirmations=2)
    emitter.mine(3)
    emitter.emit(1)
    catch_up()
    emitter.node.request("anvil_reorg", 1, [])
    emitter.emit(2)
    emitter.mine(4)
    catch_up()
    assert values_of(job) == ["2"]


def test_a_log_that_is_gone_after_it_fired_is_reported(emitter: Emitter, catch_up: Pass):
    job = make_event_job()
    snapshot = emitter.node.request("evm_snapshot")
    emitter.emit(1)
    assert catch_up().fired == 1
    emitter.node.request("evm_revert", snapshot)
    assert catch_up().reorged == 0, "the block may still come"
    emitter.mine(3)
    assert catch_up().reorged == 1
    assert catch_up().reorged == 0
    told = Event.objects.get(event_type="job.trigger_reorged")
    assert told.aggregate_id == job.id.hex
    assert told.payload["tx_hash"] == emitter.sent[0]


def test_a_completed_job_still_hears_that_its_log_is_gone(emitter: Emitter, catch_up: Pass):
    job = make_event_job()
    snapshot = emitter.node.request("evm_snapshot")
    emitter.emit(1)
    catch_up()
    Job.objects.filter(pk=job.pk).update(status="completed")
    emitter.node.request("evm_revert", snapshot)
    emitter.mine(3)
    assert catch_up().reorged == 1


def test_logs_from_before_it_was_armed_do_not_count(emitter: Emitter, catch_up: Pass):
    early = make_event_job()
    emitter.emit(1)
    catch_up()
    armed_at = get_database_now() + timedelta(seconds=100)
    late = make_event_job()
    Job.objects.filter(pk=late.pk).update(armed_at=armed_at)
    emitter.emit(2)
    emitter.node.request("evm_setNextBlockTimestamp", int(armed_at.timestamp()))
    emitter.emit(3)
    catch_up()
    assert values_of(early) == ["1", "2", "3"]
    assert values_of(late) == ["3"]


def test_a_new_job_gets_the_logs_since_its_arming_that_others_were_read_for(emitter: Emitter, catch_up: Pass):
    make_event_job()
    emitter.mine(20)
    since = get_database_now()
    emitter.emit(1)
    catch_up()
    emitter.emit(2)
    emitter.mine(3)
    catch_up()
    late = make_event_job()
    Job.objects.filter(pk=late.pk).update(armed_at=since)
    catch_up()
    assert values_of(late) == ["1", "2"]


def test_a_paused_job_gets_nothing_and_counts_anew_when_resumed(emitter: Emitter, catch_up: Pass):
    job = make_event_job(confirmations=1)
    emitter.emit(1)
    catch_up()
    job_pause(job_id=job.id)
    emitter.mine(2)
    catch_up()
    assert values_of(job) == []
    assert Sighting.objects.get().reason == "job_not_waiting"
    Job.objects.filter(pk=job.pk).update(status="active", armed_at=get_database_now() + timedelta(seconds=50))
    emitter.node.request("evm_increaseTime", 60)
    emitter.emit(2)
    emitter.mine()
    catch_up()
    assert values_of(job) == ["2"]


def test_an_expired_job_gets_nothing(emitter: Emitter, catch_up: Pass):
    job = make_event_job()
    Job.objects.filter(pk=job.pk).update(expires_at=get_database_now())
    emitter.emit(1)
    catch_up()
    assert values_of(job) == []


def test_2500_blocks_are_read_in_ranges(
    emitter: Emitter, client: ChainClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    with_triggers(settings, block_range=1_000)
    job = make_event_job()
    ranges: list[int] = []
    read = client.get_logs

    def get_logs(**query):
        ranges.append(query["to_block"] - query["from_block"] + 1)
        return read(**query)

    monkeypatch.setattr(client, "get_logs", get_logs)
    for value in range(5):
        emitter.emit(value)
        emitter.mine(500)
    Job.objects.update(armed_at=get_database_now() - timedelta(days=1))
    done = events_catch_up(31337, client, now=get_database_now())
    assert done.is_at_head
    assert values_of(job) == ["0", "1", "2", "3", "4"]
    assert len(ranges) == 3
    assert max(ranges) == 1_000


def test_a_node_that_refuses_big_ranges_is_asked_for_smaller_ones(
    emitter: Emitter, client: ChainClient, monkeypatch: pytest.MonkeyPatch
):
    job = make_event_job()
    read = client.get_logs

    def get_logs(**query):
        if query["to_block"] - query["from_block"] >= 10:
            raise ChainFault(method="eth_getLogs", rpc_code=-32005, message="range too large", data="")
        return read(**query)

    monkeypatch.setattr(client, "get_logs", get_logs)
    emitter.mine(50)
    emitter.emit(1)
    emitter.mine(50)
    Job.objects.update(armed_at=get_database_now() - timedelta(days=1))
    assert events_catch_up(31337, client, now=get_database_now()).is_at_head
    assert values_of(job) == ["1"]


def test_a_node_that_is_away_is_noted_until_it_is_back(emitter: Emitter, catch_up: Pass):
    job = make_event_job()
    catch_up()
    emitter.node.save()
    emitter.node.kill()
    with pytest.raises(ChainUnreachable):
        catch_up()
    cursor = ChainCursor.objects.get()
    assert cursor.error == "chain_unreachable"
    assert cursor.error_since is not None
    emitter.node.start()
    Emitter(emitter.node).emit(3)
    catch_up()
    assert values_of(job) == ["3"]
    assert ChainCursor.objects.get().error == ""


def test_nobody_waiting_means_that_nothing_is_asked(client: ChainClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "observe", None)
    assert events_catch_up(31337, client, now=get_database_now()) == CatchUp()


def test_a_resumed_job_is_armed_by_its_service(emitter: Emitter):
    job = make_event_job()
    before = Job.objects.get(pk=job.pk).armed_at
    job_pause(job_id=job.id)
    job_resume(job_id=job.id)
    assert Job.objects.get(pk=job.pk).armed_at > before
