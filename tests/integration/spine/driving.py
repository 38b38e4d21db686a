"""Driving runs through the pipeline, with or without a real chain."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from apps.attestation.services import rounds_decide, rounds_open
from apps.chains.artifacts import get_abi
from apps.eventlog.selectors import get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.services import tasks_assign
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.kernel.errors import DomainError
from apps.ledger.domain.postings import deposit_keeper_stake
from apps.ledger.services import transactions_post
from apps.rollback.services import rollbacks_apply
from apps.settlement.models import Batch
from apps.settlement.services import batches_submit
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_now
from tests.support.chain import DeployedChain
from tests.support.failing import dissent
from tests.support.network import TO_ATTESTED, Network
from tests.support.overlap import at_once
from tests.support.waiting import wait_until
from workers.keeper.outbox import BALLOTS, RECEIPTS

MakeJob = Callable[..., Job]
#: what a keeper is given to put up
STAKE_UNITS = 10**9
SYMBOL = "0x" + "41" * 32
#: code that reverts whatever it is asked
REVERTING = "0x60006000fd"


def task_of(run: Run, step: str = "main") -> Task:
    """The task of a step."""
    return Task.objects.get(run=run, step_key=step)


def start(network: Network, job: Job) -> Run:
    """Open a run and offer its first tasks."""
    run = run_now(job_id=job.id, project_ids=None)
    network.stage(tasks_admit)
    network.stage(tasks_assign)
    return run


def execute(network: Network, job: Job) -> Run:
    """Open a run and have its first tasks executed."""
    run = start(network, job)
    network.deliver()
    network.record(RECEIPTS)
    return run


def attest(network: Network) -> None:
    """Have everything executed attested."""
    network.stage(rounds_open)
    network.deliver()
    network.record(BALLOTS)
    network.stage(rounds_decide)


def give_stake(network: Network, units: int = STAKE_UNITS) -> None:
    """Free stake for every keeper, to put up as bonds."""
    transactions_post([deposit_keeper_stake(address, units, f"test:{address}") for address in network.nodes])


def disagree(network: Network, task: Task) -> None:
    """Have every committee vote on what is executed, against what shares a round with this task."""
    network.stage(rounds_open)
    calls = [one for one in network.messages if one.task == "keeper.attest"]
    against = [
        one
        for one in calls
        if any(item["assignment"]["task"] == str(task) for item in one.body["call"]["items"])
    ]
    assert against
    network.messages = [one for one in network.messages if one not in against]
    network.deliver()
    ballots = [dissent(network.nodes[one.keeper], one.body["call"]) for one in against]
    network.record(BALLOTS, [*network.answers(BALLOTS), *ballots])


def reject(network: Network, task: Task) -> None:
    """Have everything executed attested but what shares a round with this task: nobody agrees with that."""
    disagree(network, task)
    network.stage(rounds_decide)


def roll_back(network: Network) -> None:
    """Have every signalled failure applied."""
    network.stage(rollbacks_apply)


def try_again(network: Network) -> None:
    """Have every signalled failure applied, and the next attempts offered that it opens."""
    for service in (rollbacks_apply, tasks_admit, tasks_assign):
        network.stage(service)


def report(chain: DeployedChain, figure: int) -> dict[str, Any]:
    """The fields of a step that reports a figure to the price board."""
    return {
        "action": {
            "chain_id": chain.deployment.chain_id,
            "target": chain.deployment.price_board,
            "function": "report(bytes32,uint256)",
        },
        "arguments": {"kind": "static", "values": [SYMBOL, figure]},
    }


def reported(chain: DeployedChain) -> list[int]:
    """Every figure the board was ever given, oldest first."""
    abi = get_abi("PriceBoard")
    logs = chain.client.get_logs(
        addresses=[chain.deployment.price_board], from_block=0, topics=[abi.topic("PriceReported")]
    )
    return [event.arguments["figure"] for event in map(abi.decode_log, logs) if event is not None]


def settled_events(chain: DeployedChain) -> list[int]:
    """Task ids of every TaskSettled the hub ever told."""
    abi = get_abi("Hub")
    logs = chain.client.get_logs(
        addresses=[chain.deployment.hub], from_block=0, topics=[abi.topic("TaskSettled")]
    )
    return [event.arguments["taskId"] for event in map(abi.decode_log, logs) if event is not None]


def open_run(job: Job) -> Run:
    return run_now(job_id=job.id, project_ids=None)


def turn_until(network: Network, condition: Callable[[], Any]) -> Any:
    """Let the network work until the condition holds."""

    def is_there() -> Any:
        network.turn()
        return condition()

    return wait_until(is_there, timeout_seconds=30, every_seconds=0.01)


def is_over(run: Run) -> bool:
    run.refresh_from_db()
    return run.status != RunStatus.OPEN


def has_any(run: Run, status: TaskStatus) -> bool:
    return Task.objects.filter(run=run, status=status).exists()


def has_only(run: Run, *statuses: TaskStatus) -> bool:
    return not Task.objects.filter(run=run).exclude(status__in=statuses).exists()


def submit(network: Network, run: Run) -> list[Batch]:
    """Have a run's tasks signed into batches, and nothing sent yet."""
    network.turn(TO_ATTESTED)
    network.stage(batches_submit)
    assert has_only(run, TaskStatus.SUBMITTED, TaskStatus.WAITING)
    return list(Batch.objects.select_related("outbound").order_by("id"))


def let_submit(chain: DeployedChain, address: str, *, is_allowed: bool) -> None:
    """Put an address on the hub's allow-list, or take it off."""
    data = get_abi("Hub").encode("set_submitter", address, is_allowed)
    chain.send(chain.deployer, chain.deployment.hub, data)


def set_board_code(chain: DeployedChain, code: str) -> None:
    """Give the price board other code from the next block on; what was simulated stays as it was."""
    chain.mine()
    chain.node.request("anvil_setCode", chain.deployment.price_board, code)


def use_only(network: Network, count: int) -> None:
    """Let only so many of the keepers perform; all of them attest."""
    Keeper.objects.filter(address__in=list(network.nodes)[count:]).update(capabilities=[])


def patient(settings: Any, **fields: Any) -> Any:
    """The settings with other chain fields."""
    chain = dataclasses.replace(settings.FOREKEEP.chain, **fields)
    return dataclasses.replace(settings.FOREKEEP, chain=chain)


def refused(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work, or the refusal it meets."""

    def attempt() -> Any:
        try:
            return work()
        except DomainError as exc:
            return exc

    return attempt


def ahead(network: Network, seconds: float) -> None:
    """Move the network's clock."""
    later = get_database_now() + timedelta(seconds=seconds)
    network.now = lambda: later


def side_by_side(network: Network, *services: Any, limit: int = 100, seed: int = 0) -> list[Any]:
    """Each stage in a worker of its own, all at once."""
    return at_once(
        *(lambda service=service: network.stage(service, limit=limit) for service in services), seed=seed
    )
