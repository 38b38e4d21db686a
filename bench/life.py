"""The whole life of a set of tasks in one process, each step counted and timed by itself.

`python -m bench.life <sizes> <rounds> [<step to profile>]`, started by `bench/statements.py`. The real stages
and the real keeper nodes over a test database and a local chain; messages are handed over by hand and
scripts are no-ops. So this is what the steps themselves cost: no Celery, no broker, no waiting. Statements
are what Django sends, with a COPY counted as one.
"""

import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import django

from project.embedded.ports import find_free_ports

_PORT: Final = find_free_ports(("chain",))["chain"]
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["CHAIN_RPC_URL"] = f"http://127.0.0.1:{_PORT}"
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection  # noqa: E402

from apps.accounts.models import Project  # noqa: E402
from apps.accounts.services import project_create  # noqa: E402
from apps.attestation.services import rounds_decide, rounds_open  # noqa: E402
from apps.chains.anvil import AnvilMissing, AnvilProcess  # noqa: E402
from apps.content.store import open_store  # noqa: E402
from apps.eventlog import writing  # noqa: E402
from apps.execution.admission import tasks_admit  # noqa: E402
from apps.execution.services import tasks_assign  # noqa: E402
from apps.jobs.data import Bounds, definition_from_json  # noqa: E402
from apps.jobs.models import Job  # noqa: E402
from apps.jobs.services import job_create  # noqa: E402
from apps.kernel.outcome import Outcome  # noqa: E402
from apps.ledger.domain.postings import deposit_project  # noqa: E402
from apps.ledger.services import transactions_post  # noqa: E402
from apps.rollback.services import rollbacks_apply  # noqa: E402
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit  # noqa: E402
from apps.tasks.data import RunStatus, TaskStatus  # noqa: E402
from apps.tasks.models import Run, Task  # noqa: E402
from apps.tasks.services import run_now  # noqa: E402
from bench.errors import BenchFailed, ServiceMissing, run_bench  # noqa: E402
from bench.figures import Figure, tell  # noqa: E402
from bench.noop import NoOpExecutor  # noqa: E402
from tests.support.chain import DeployedChain, deploy_on  # noqa: E402
from tests.support.network import Network, identity_of, make_network  # noqa: E402
from workers.keeper.outbox import BALLOTS, RECEIPTS  # noqa: E402

_SECONDS: Final = 120.0
_COST_UNITS: Final = 1_000_000
_BLOCK_SECONDS: Final = 0.05
#: more statements a task than this, in a set of a hundred or more, and something loops over rows
_LIMIT: Final = 1.0


class Life:
    """One set of tasks from its run's opening to its last confirmation; CPU and statements by step."""

    def __init__(self, network: Network, size: int, profiled: str) -> None:
        self.network = network
        self.size = size
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.statements: Counter[str] = Counter()
        self._profiled = profiled
        self._profile = cProfile.Profile()

    def live(self) -> "Life":
        """Open the run and let every step act until the last task is confirmed; raise BenchFailed."""
        job = _make_job(self.size)
        run: Run = self._step("open", lambda: run_now(job_id=job.id, project_ids=None))
        until = time.monotonic() + _SECONDS
        while Run.objects.get(pk=run.pk).status == RunStatus.OPEN:
            if time.monotonic() > until:
                raise BenchFailed(f"{self.size} tasks: not over within {_SECONDS:.0f} s")
            self._turn()
        statuses = set(Task.objects.filter(run=run).values_list("status", flat=True))
        if statuses != {TaskStatus.CONFIRMED}:
            raise BenchFailed(f"not all confirmed: {statuses}")
        if self._profiled:
            pstats.Stats(self._profile).sort_stats("cumulative").print_stats(45)
        return self

    def figures(self) -> list[Figure]:
        """Statements and CPU per task: in all, and by step."""
        bench = f"statements, {connection.vendor}, {self.size} tasks"
        stages = {name: count for name, count in self.statements.items() if count}
        total = sum(stages.values()) / self.size
        limit = (total / _LIMIT, f"the limit, {_LIMIT:.0f}") if self.size >= 100 else (0.0, "")
        all_cpu = sum(self.cpu.values())
        parts = [
            Figure(
                bench=bench,
                name=f"{name}: {stages.get(name, 0)} statements, CPU per task",
                value=seconds * 1e3 / self.size,
                unit="ms",
                ratio=seconds / all_cpu,
                beside="all steps'",
            )
            for name, seconds in self.cpu.items()
        ]
        return [
            Figure(
                bench=bench,
                name="statements per task",
                value=total,
                unit="",
                ratio=limit[0],
                beside=limit[1],
            ),
            Figure(bench=bench, name="CPU per task", value=all_cpu * 1e3 / self.size, unit="ms"),
            *parts,
        ]

    def _turn(self) -> None:
        network = self.network
        self._stage("admit", tasks_admit)
        self._stage("assign", tasks_assign)
        self._step("execute (keepers)", network.deliver)
        self._record("record", RECEIPTS)
        self._stage("attest", rounds_open)
        self._step("re-execute (attesters)", network.deliver)
        self._record("ballots", BALLOTS)
        self._stage("tally", rounds_decide)
        self._stage("submit", batches_submit)
        self._stage("broadcast", batches_broadcast)
        self._stage("confirm", batches_confirm)
        self._stage("rollback", rollbacks_apply)

    def _stage(self, name: str, service: Callable[..., Outcome]) -> None:
        """One pass; a pass that found nothing to do is not counted: it waited for a block."""
        self._step(name, lambda: self.network.stage(service, limit=500), is_counted=_has_taken)

    def _record(self, name: str, kind: str) -> None:
        answers = self.network.answers(kind)
        if answers:
            self._step(name, lambda: self.network.record(kind, answers), is_counted=lambda refusals: True)

    def _step(self, name: str, work: Callable[[], Any], is_counted: Callable[[Any], bool] = bool) -> Any:
        is_profiled = self._profiled in (name.split()[0], "all")
        with _counted() as queries:
            began = time.process_time()
            if is_profiled:
                self._profile.enable()
            result = work()
            self._profile.disable()
            seconds = time.process_time() - began
        if is_counted(result):
            self.cpu[name] += seconds
            self.statements[name] += len(queries)
        return result


def main() -> None:
    """Measure every size."""
    sizes, rounds, profiled = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or [""])[0]
    with tempfile.TemporaryDirectory(prefix="forekeep-bench-") as folder:
        try:
            with AnvilProcess(Path(folder) / "chain", _PORT, _BLOCK_SECONDS) as node, _test_database():
                network = _network(node, Path(folder))
                for size in map(int, sizes.split(",")):
                    lives = [Life(network, size, profiled).live() for _ in range(rounds)]
                    best = min(lives, key=lambda life: sum(life.cpu.values()))
                    print(f"{connection.vendor}, {size} tasks (the cheapest of {rounds} lives)")
                    tell(best.figures())
                network.close()
        except AnvilMissing as exc:
            raise ServiceMissing(str(exc)) from None


@contextmanager
def _test_database() -> Iterator[None]:
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def _network(node: AnvilProcess, folder: Path) -> Network:
    """Five keepers registered on the chain, and a project with money."""
    chain: DeployedChain = deploy_on(node, settings.FOREKEEP.home)
    chain.prepare_senders()
    owner = get_user_model().objects.create_user("bench")
    project = project_create(name="Bench", slug="bench", owner=owner)
    transactions_post([deposit_project(project.id, 10**15, "bench:0")])
    return make_network(
        [identity_of(keys) for keys in chain.keepers],
        store=open_store(settings.FOREKEEP.content.url),
        folder=folder,
        rpc_url=node.url,
        executor=NoOpExecutor(),
    )


def _make_job(steps: int) -> Job:
    body = {
        "name": f"bench {steps}",
        "trigger_kind": "manual",
        "steps": [{"key": f"s{n}", "script_source": "print('{}')"} for n in range(steps)],
    }
    store = open_store(settings.FOREKEEP.content.url)
    project = Project.objects.get(slug="bench")
    job = job_create(project_id=project.id, definition=definition_from_json(body, Bounds()), store=store)
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=_COST_UNITS * steps)
    return job


def _has_taken(outcome: Outcome) -> bool:
    return bool(outcome.taken or outcome.messages or outcome.pokes)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Every statement that Django or the bulk writer sends inside."""
    sent: list[str] = []
    copy = writing._copy

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    def note_copy(*arguments: Any) -> None:
        sent.append("COPY")
        copy(*arguments)

    writing._copy = note_copy  # type: ignore[assignment]
    try:
        with connection.execute_wrapper(note):
            yield sent
    finally:
        writing._copy = copy


if __name__ == "__main__":
    run_bench(main)
