"""Whatever happens to a settlement's transaction on a real chain, a task is settled once or fails openly."""

import dataclasses

from apps.attestation.models import Round
from apps.chains.data import OutboundStatus
from apps.chains.deploy import ensure_keepers
from apps.chains.keys import ensure_keystore
from apps.chains.models import Outbound
from apps.chains.registry import get_settled
from apps.eventlog.models import Event
from apps.ledger.domain.postings import project_prepaid
from apps.ledger.models import Transaction
from apps.ledger.selectors import get_balances
from apps.settlement.data import BatchStatus, SettlementStatus
from apps.settlement.models import Batch, Settlement
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Task
from tests.factories.keepers import make_keeper
from tests.integration.spine.conftest import DEPOSIT_UNITS
from tests.integration.spine.driving import (
    REVERTING,
    MakeJob,
    has_any,
    is_over,
    let_submit,
    open_run,
    patient,
    report,
    reported,
    set_board_code,
    settled_events,
    submit,
    turn_until,
    use_only,
)
from tests.support.chain import STAKE_WEI
from tests.support.waiting import wait_until


def test_an_action_that_reverts_only_when_it_is_settled_voids_its_item_alone_and_is_settled_later(
    chain, chain_network, make_job: MakeJob
):
    use_only(chain_network, 1)
    run = open_run(make_job(("price", [], report(chain, 7)), ("plain", []), ("other", [])))
    (batch,) = submit(chain_network, run)
    code = chain.node.request("eth_getCode", chain.deployment.price_board, "latest")
    set_board_code(chain, REVERTING)
    turn_until(chain_network, lambda: Settlement.objects.filter(status=SettlementStatus.VOID).exists())

    by_step = dict(Task.objects.filter(run=run).values_list("step_key", "status"))
    assert by_step["plain"] == by_step["other"] == TaskStatus.CONFIRMED
    price = Task.objects.get(step_key="price")
    assert (price.status, price.resubmissions, price.is_solo) == (TaskStatus.EXECUTED, 1, True)
    batch.refresh_from_db()
    assert batch.status == BatchStatus.CONFIRMED
    resubmitted = Event.objects.get(event_type="task.resubmitted")
    assert resubmitted.payload["reason"] == "action_reverted"

    set_board_code(chain, code)
    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert reported(chain) == [7]
    assert sorted(Settlement.objects.filter(task=price).values_list("status", flat=True)) == [
        "settled",
        "void",
    ]


def test_an_action_that_always_reverts_is_submitted_a_bounded_number_of_times_and_then_fails(
    chain, chain_network, make_job: MakeJob, funded, settings
):
    settlement = dataclasses.replace(settings.FOREKEEP.settlement, resubmit_max=1)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, settlement=settlement)
    run = open_run(make_job(("price", [], report(chain, 7)), ("after", ["price"])))
    code = chain.node.request("eth_getCode", chain.deployment.price_board, "latest")
    for _ in range(2):
        submit(chain_network, run)
        set_board_code(chain, REVERTING)
        turn_until(chain_network, lambda: not has_any(run, TaskStatus.SUBMITTED))
        set_board_code(chain, code)

    assert is_over(run)
    price, after = Task.objects.order_by("position")
    assert (price.status, price.error_code, price.resubmissions) == (TaskStatus.FAILED, "action_reverted", 1)
    assert (after.status, after.error_code) == (TaskStatus.CANCELLED, "ancestor_failed")
    assert (run.status, Batch.objects.count()) == (RunStatus.FAILED, 2)
    assert reported(chain) == []
    assert get_balances([project_prepaid(funded.id)])[project_prepaid(funded.id)] == DEPOSIT_UNITS


def test_bytes_that_were_sent_before_a_crash_are_sent_again_and_settle_once(
    chain, chain_network, make_job: MakeJob
):
    run = open_run(make_job(("main", [], report(chain, 12))))
    (batch,) = submit(chain_network, run)
    raw = bytes(batch.outbound.raw)
    chain.client.send_raw([raw])
    wait_until(lambda: chain.client.get_receipts([batch.outbound.tx_hash]))
    assert Outbound.objects.get().status == OutboundStatus.SIGNED

    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert settled_events(chain) == [Task.objects.get().id.int]
    assert reported(chain) == [12]
    assert Transaction.objects.filter(kind="escrow_settle").count() == 1


def test_a_task_that_an_earlier_transaction_settled_is_confirmed_once_and_paid_once(
    chain, chain_network, make_job: MakeJob
):
    """The hub skips what it has: whoever's transaction came first, ours confirms it."""
    run = open_run(make_job(("main", [], report(chain, 5))))
    (batch,) = submit(chain_network, run)
    let_submit(chain, chain.deployer.address, is_allowed=True)
    call = bytes(batch.outbound.data)
    chain.send(chain.deployer, chain.deployment.hub, call, gas_limit=batch.outbound.gas_limit)
    assert reported(chain) == [5]

    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert settled_events(chain) == [Task.objects.get().id.int]
    assert reported(chain) == [5]
    assert Transaction.objects.filter(kind="escrow_settle").count() == 1
    assert Settlement.objects.get().status == SettlementStatus.SETTLED


def test_a_batch_refused_as_a_whole_is_attested_and_submitted_again(chain, chain_network, make_job: MakeJob):
    use_only(chain_network, 1)
    run = open_run(make_job(("a", []), ("b", [])))
    (batch,) = submit(chain_network, run)
    for account in chain.submitters:
        let_submit(chain, account.address, is_allowed=False)
    turn_until(chain_network, lambda: has_any(run, TaskStatus.EXECUTED))
    batch.refresh_from_db()
    assert batch.status == BatchStatus.FAILED
    assert {s.status for s in batch.settlements.all()} == {SettlementStatus.VOID}
    assert set(Task.objects.values_list("resubmissions", "is_solo")) == {(1, True)}

    for account in chain.submitters:
        let_submit(chain, account.address, is_allowed=True)
    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert list(Batch.objects.order_by("id").values_list("size", "status")) == [
        (2, "failed"),
        (1, "confirmed"),
        (1, "confirmed"),
    ]
    assert len(settled_events(chain)) == 2


def test_a_batch_that_is_always_refused_fails_after_the_allowed_number_and_costs_nothing(
    chain, chain_network, make_job: MakeJob, funded, settings
):
    run = open_run(make_job())
    for account in chain.submitters:
        let_submit(chain, account.address, is_allowed=False)
    turn_until(chain_network, lambda: is_over(run))
    task = Task.objects.get()
    assert (run.status, task.status, task.error_code) == (RunStatus.FAILED, TaskStatus.FAILED, "refused")
    assert Batch.objects.count() == settings.FOREKEEP.settlement.resubmit_max + 1
    assert get_settled(chain.client, chain.deployment, [task.id.int]) == {}
    assert get_balances([project_prepaid(funded.id)])[project_prepaid(funded.id)] == DEPOSIT_UNITS


def test_a_quorum_is_as_large_as_the_hub_asks_even_when_keepers_it_counts_are_offline(
    chain, chain_network, make_job: MakeJob, tmp_path
):
    """With six active keepers the hub asks for four of five; one is offline, so all four others must sign."""
    sixth = ensure_keystore(tmp_path / "sixth.json")
    chain.client.set_balance(sixth.address, 10**24)
    ensure_keepers(chain.client, chain.deployment, [sixth], stake_wei=STAKE_WEI)
    make_keeper(sixth.address, bls_public_key="0x" + sixth.bls_public_key.hex(), online=False)
    run = open_run(make_job())
    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert Round.objects.get().required == 4
    assert len(Batch.objects.get().attesters) == 4


def test_a_batch_whose_block_is_reorganised_away_is_sent_again_and_settles_once(
    own_chain, own_network, make_job: MakeJob, settings
):
    settings.FOREKEEP = patient(settings, confirmations=1_000)
    run = open_run(make_job(("main", [], report(own_chain, 3))))
    turn_until(own_network, lambda: Outbound.objects.filter(status=OutboundStatus.MINED).exists())
    outbound = Outbound.objects.get()
    depth = own_chain.client.get_head().number - outbound.block_number + 1
    own_chain.node.request("anvil_reorg", depth + 3, [])
    assert reported(own_chain) == []
    settings.FOREKEEP = patient(settings, confirmations=2)
    turn_until(own_network, lambda: is_over(run))

    outbound.refresh_from_db()
    settlement = Settlement.objects.get()
    assert (run.status, outbound.reorg_count) == (RunStatus.CONFIRMED, 1)
    assert (settlement.block_number, settlement.block_hash) == (outbound.block_number, outbound.block_hash)
    assert own_chain.client.get_block_hashes([outbound.block_number]) == {
        outbound.block_number: outbound.block_hash
    }
    assert reported(own_chain) == [3]
    assert settled_events(own_chain) == [Task.objects.get().id.int]
