"""From an attested task to its confirmation on a real chain: place, proof, action, money, children, trace."""

from apps.attestation.models import Round
from apps.chains.artifacts import get_abi
from apps.chains.data import Call
from apps.chains.models import Outbound
from apps.chains.registry import get_settled
from apps.eventlog.models import Event
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.kernel.trace import new_trace, set_current_trace
from apps.ledger.domain.postings import FEES, keeper_free, project_escrow, project_prepaid
from apps.ledger.models import Transaction
from apps.ledger.selectors import get_balances
from apps.settlement.data import BatchStatus, SettlementStatus
from apps.settlement.models import Batch, Settlement
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Task
from tests.integration.spine.conftest import COST_UNITS, DEPOSIT_UNITS
from tests.integration.spine.driving import (
    MakeJob,
    is_over,
    open_run,
    report,
    reported,
    turn_until,
    use_only,
)


def test_a_single_task_is_confirmed_with_its_place_on_the_chain_and_the_proof_the_hub_keeps(
    chain, chain_network, make_job: MakeJob
):
    run = open_run(make_job())
    turn_until(chain_network, lambda: is_over(run))

    assert run.status == RunStatus.CONFIRMED
    task = Task.objects.get()
    settlement = Settlement.objects.select_related("batch__outbound").get()
    receipt = chain.client.get_receipts([settlement.tx_hash])[settlement.tx_hash]
    assert receipt.is_success
    assert (settlement.block_number, settlement.block_hash) == (receipt.block_number, receipt.block_hash)
    assert chain.client.get_head().number >= receipt.block_number + 2
    proof = get_settled(chain.client, chain.deployment, [task.id.int])[task.id.int]
    assert settlement.proof_of_task == "0x" + proof.hex()
    assert (settlement.status, settlement.batch.status) == (SettlementStatus.SETTLED, BatchStatus.CONFIRMED)
    assert task.wake_at is None


def test_tasks_of_one_performer_are_confirmed_by_one_transaction(chain, chain_network, make_job: MakeJob):
    use_only(chain_network, 1)
    run = open_run(make_job(*((f"s{n}", []) for n in range(7))))
    turn_until(chain_network, lambda: is_over(run))

    batch = Batch.objects.get()
    assert (run.status, batch.size) == (RunStatus.CONFIRMED, 7)
    assert set(Settlement.objects.values_list("tx_hash", flat=True)) == {batch.outbound.tx_hash}
    on_hub = get_settled(chain.client, chain.deployment, [task.id.int for task in Task.objects.all()])
    assert {s.task_id.int: s.proof_of_task for s in Settlement.objects.all()} == {
        task: "0x" + proof.hex() for task, proof in on_hub.items()
    }


def test_a_fee_and_its_shares_and_the_rest_of_the_escrow_are_right_to_the_unit(
    chain_network, make_job: MakeJob, funded, settings
):
    run = open_run(make_job())
    prepaid, escrow = project_prepaid(funded.id), project_escrow(funded.id)
    assert get_balances([prepaid, escrow]) == {prepaid: DEPOSIT_UNITS - COST_UNITS, escrow: COST_UNITS}
    turn_until(chain_network, lambda: is_over(run))

    task, settlement = Task.objects.get(), Settlement.objects.get()
    outbound, attesters = settlement.batch.outbound, settlement.batch.attesters
    gas = -(-outbound.gas_used * outbound.effective_gas_price // 10**9)
    jobs = settings.FOREKEEP.jobs
    cpu = -(-task.result["cpu_ms"] * (1 + len(attesters)) * jobs.offchain_cpu_second_units // 1000)
    fee = -(-(jobs.offchain_base_units + cpu + gas) * 120 // 100)
    each = fee * 20 // 100 // len(attesters)
    assert 0 < fee < COST_UNITS
    assert (settlement.gas_units, settlement.fee_units, run.spent_units) == (gas, fee, fee)
    shares = {
        prepaid: DEPOSIT_UNITS - fee,
        escrow: 0,
        keeper_free(task.performer): fee * 60 // 100,
        **{keeper_free(address): each for address in attesters},
        FEES: fee - fee * 60 // 100 - each * len(attesters),
    }
    assert get_balances(list(shares)) == shares
    performer = Keeper.objects.get(address=task.performer)
    assert (performer.points, performer.reputation, performer.tasks_confirmed) == (10, 5_100, 1)
    assert performer.latency_ms_ewma == task.result["wall_ms"]
    others = Keeper.objects.filter(address__in=attesters)
    assert set(others.values_list("points", "reputation", "tasks_confirmed")) == {(2, 5_000, 0)}


def test_a_fee_is_never_more_than_the_run_still_holds(chain_network, make_job: MakeJob, funded):
    use_only(chain_network, 1)
    job = make_job(("a", []), ("b", []), ("c", []))
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=30_000)
    run = open_run(job)
    turn_until(chain_network, lambda: is_over(run))

    assert (run.status, run.spent_units) == (RunStatus.CONFIRMED, 30_000)
    assert sum(Settlement.objects.values_list("fee_units", flat=True)) == 30_000
    prepaid, escrow = project_prepaid(funded.id), project_escrow(funded.id)
    assert get_balances([prepaid, escrow]) == {prepaid: DEPOSIT_UNITS - 30_000, escrow: 0}


def test_an_action_is_carried_out_once(chain, chain_network, make_job: MakeJob):
    run = open_run(make_job(("main", [], report(chain, 4711))))
    turn_until(chain_network, lambda: is_over(run))
    assert run.status == RunStatus.CONFIRMED
    assert reported(chain) == [4711]
    output = chain.client.call(
        Call(to=chain.deployment.price_board, data=get_abi("PriceBoard").encode("latest", b"\x41" * 32))
    )
    ((figure, _),) = get_abi("PriceBoard").decode("latest", output)
    assert figure == 4711


def test_children_wake_when_their_parents_are_confirmed_and_read_the_confirmed_output(
    chain, chain_network, make_job: MakeJob, store
):
    run = open_run(make_job(("load", []), ("clean", ["load"]), ("join", ["load", "clean"])))
    confirmed_first: list[str] = []

    def is_done() -> bool:
        started = Task.objects.filter(run=run).exclude(status__in=["discovered", "waiting"])
        for task in started:
            parents = Task.objects.filter(child_edges__child=task)
            assert all(parent.status == TaskStatus.CONFIRMED for parent in parents)
            confirmed_first.append(task.step_key)
        return is_over(run)

    turn_until(chain_network, is_done)
    assert run.status == RunStatus.CONFIRMED
    assert list(dict.fromkeys(confirmed_first)) == ["load", "clean", "join"]
    tasks = {task.step_key: task for task in Task.objects.filter(run=run)}
    load, clean, join = tasks["load"], tasks["clean"], tasks["join"]
    assert join.spec["parents"] == {"load": load.output_cid, "clean": clean.output_cid}
    assert store.get(clean.output_cid) == b'{"echo":"clean","parents":{"load":{"echo":"load","parents":{}}}}'
    settled = [settlement.block_number for settlement in Settlement.objects.order_by("id")]
    assert settled == sorted(settled)


def test_everything_about_a_run_bears_its_one_trace(chain_network, make_job: MakeJob):
    run = open_run(make_job(("load", []), ("clean", ["load"])))
    set_current_trace(new_trace())
    turn_until(chain_network, lambda: is_over(run))
    assert set(Event.objects.filter(run_id=run.id).values_list("trace_id", flat=True)) == {run.trace_id}
    for model in (Round, Batch, Outbound):
        assert set(model.objects.values_list("trace_id", flat=True)) == {run.trace_id}
    of_rounds = Event.objects.filter(aggregate_type__in=["round", "batch"])
    assert set(of_rounds.values_list("trace_id", flat=True)) == {run.trace_id}
    paid = Transaction.objects.exclude(kind="project_deposit")
    assert set(paid.values_list("kind", flat=True)) == {"escrow_hold", "escrow_settle", "escrow_release"}
    assert set(paid.values_list("trace_id", flat=True)) == {run.trace_id}
