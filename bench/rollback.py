"""A cascade of 1,000 tasks (the most a job may have) and of 10,000 in one transaction, on SQLite and (with
DATABASE_URL) on PostgreSQL.

    python -m bench.rollback [--tasks 1000,10000] [--profile star]

Every task below the root runs ahead under a bond of its own; a quarter of them hold a lease. Measured from
the call of the stage to its commit: tasks, bonds, leases, slash, records, dead letter and events, once given
up and once with everything opened again. Each figure stands beside the limit, and beside Django's own bulk
methods writing the bare rows and as many bare events in one transaction of the same run.
"""

import argparse
import cProfile
import gc
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from typing import Any, Final

import django

_ENVIRONMENT = dict(os.environ)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from apps.eventlog.models import Event  # noqa: E402
from apps.eventlog.writing import rows_insert  # noqa: E402
from apps.execution.data import AssignmentStatus  # noqa: E402
from apps.execution.models import Assignment  # noqa: E402
from apps.keepers.models import Keeper  # noqa: E402
from apps.kernel.ids import new_id  # noqa: E402
from apps.ledger.data import TransactionDraft, TransactionKind  # noqa: E402
from apps.ledger.domain.postings import keeper_bonded, keeper_free  # noqa: E402
from apps.ledger.selectors import check as check_ledger  # noqa: E402
from apps.ledger.services import transactions_post  # noqa: E402
from apps.rollback.models import Rollback  # noqa: E402
from apps.rollback.selectors import check  # noqa: E402
from apps.rollback.services import rollbacks_apply  # noqa: E402
from apps.speculation.data import CommitmentStatus  # noqa: E402
from apps.speculation.models import Commitment  # noqa: E402
from apps.tasks.changes import TaskChanges  # noqa: E402
from apps.tasks.data import FailureReason, RunStatus, TaskStatus  # noqa: E402
from apps.tasks.models import Edge, Run, Task  # noqa: E402
from bench.errors import BenchFailed, run_bench  # noqa: E402
from bench.figures import Figure, tell  # noqa: E402
from tests.factories.jobs import make_job  # noqa: E402
from tests.factories.ledger import fund_keeper  # noqa: E402
from tests.factories.spine import make_keepers  # noqa: E402

LIMIT_SECONDS: Final = 1.0
BOND_UNITS: Final = 1_000_000
_ROUNDS: Final = 2
_PEER_ROWS: Final = 500
_NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
#: how far the tasks below the root have come, in turn
_STATUSES: Final = (
    TaskStatus.EXECUTING,
    TaskStatus.EXECUTED,
    TaskStatus.ATTESTED,
    TaskStatus.WAITING_ANCESTORS,
)
_RESULT: Final = {
    "status": "ok",
    "output_cid": "bafkrei" + "a" * 52,
    "output_hash": "0x" + "ab" * 32,
    "package_cid": "bafkrei" + "b" * 52,
    "action": None,
    "compute_units": 12,
    "cpu_ms": 412,
    "wall_ms": 570,
}
_SPEC: Final = {"limits": {"deadline_seconds": 30, "memory_mb": 512, "cpu_seconds": 30}, "params": "x" * 200}


def main() -> None:
    """Measure SQLite in one process, then PostgreSQL in another where its URL is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="1000,10000", help="below the root, one size after the other")
    parser.add_argument("--profile", default="", help="chain, star or lattice: print where its time goes")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure([int(size) for size in options.tasks.split(",")], options.profile)
        return
    given = _ENVIRONMENT.get("DATABASE_URL", "")
    for url in ["", given] if given.startswith("postgres") else [""]:
        environment = {**_ENVIRONMENT, "DATABASE_URL": url}
        command = [sys.executable, "-m", "bench.rollback", "--here", *sys.argv[1:]]
        if subprocess.run(command, env=environment, check=False).returncode:
            raise BenchFailed(f"rollback on {'PostgreSQL' if url else 'SQLite'}")


def measure(sizes: Sequence[int], profiled: str) -> None:
    """Every shape in every size, on the database the settings name, in a test database of its own."""
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        keepers = make_keepers(20)
        for keeper in keepers:
            fund_keeper(keeper.address, 10**12)
        run = build(_PEER_ROWS, shapes(_PEER_ROWS)["star"], keepers, failures=0)
        peer = (_PEER_ROWS + 1) / timed(lambda: write_bare(run))[0]
        rollbacks_apply(now=datetime.now(UTC), limit=1)
        for tasks in sizes:
            for shape, edges in shapes(tasks).items():
                measure_shape(shape, tasks, edges, keepers, peer, is_profiled=shape == profiled)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def shapes(tasks: int) -> dict[str, list[tuple[int, int]]]:
    """Edges between task 0, which fails, and as many below it, by number."""
    width = 100
    lattice = [
        (parent, child)
        for child in range(1, tasks + 1)
        for parent in {max(0, child - width), max(0, child - width + 1), max(0, child - width - 1)}
    ]
    return {
        "chain": list(pairwise(range(tasks + 1))),
        "star": [(0, child) for child in range(1, tasks + 1)],
        "lattice": [(parent, child) for parent, child in lattice if parent < child],
    }


def measure_shape(
    shape: str,
    tasks: int,
    edges: list[tuple[int, int]],
    keepers: Sequence[Keeper],
    peer: float,
    *,
    is_profiled: bool,
) -> None:
    """One shape, given up and retried, the best of a few; `peer` is in rows a second."""
    bench = f"rollback, {connection.vendor}, {tasks} tasks below the root"
    for ending, failures in (("given up", 2), ("opened again", 0)):
        measured = []
        for _ in range(_ROUNDS):
            run = build(tasks, edges, keepers, failures=failures)
            measured.append(timed(lambda: rollbacks_apply(now=datetime.now(UTC), limit=1), is_profiled))
            check_result(run, tasks, ending)
        taken, cpu = min(measured)
        limit = f"the limit, {LIMIT_SECONDS:.0f} s"
        name, peers = f"{shape}, {ending}", "bare rows and events by bulk_update and bulk_create"
        tell(
            [
                Figure(
                    bench=bench, name=name, value=taken, unit="s", ratio=taken / LIMIT_SECONDS, beside=limit
                ),
                Figure(
                    bench=bench,
                    name=f"{name}: CPU of this process",
                    value=cpu,
                    unit="s",
                    ratio=cpu / LIMIT_SECONDS,
                    beside=limit,
                ),
                Figure(
                    bench=bench,
                    name=f"{name}: rows a second",
                    value=(tasks + 1) / taken,
                    unit="/s",
                    ratio=(tasks + 1) / taken / peer,
                    beside=peers,
                ),
            ]
        )
    run = build(tasks, edges, keepers, failures=2)
    with CaptureQueriesContext(connection) as queries:
        rollbacks_apply(now=datetime.now(UTC), limit=1)
    tell([Figure(bench=bench, name=f"{shape}: statements", value=len(queries), unit="")])


def build(tasks: int, edges: list[tuple[int, int]], keepers: Sequence[Keeper], *, failures: int) -> Run:
    """A run whose root's failure is signalled; everything below it runs ahead, under bond."""
    run = Run(
        id=new_id(),
        job=_job(),
        project_id=_job().project_id,
        tick_key=f"manual:{new_id().hex}",
        due_at=_NOW,
        status=RunStatus.OPEN,
        trace_id="ab" * 16,
        opened_at=_NOW,
        tasks_total=tasks + 1,
    )
    statuses = cycle(_STATUSES)
    rows = [
        _task(run, n, next(statuses) if n else TaskStatus.EXECUTED, keepers, failures)
        for n in range(tasks + 1)
    ]
    bonded: dict[str, int] = {}
    for row in rows:
        bonded[row.performer] = bonded.get(row.performer, 0) + BOND_UNITS
    with transaction.atomic():
        rows_insert(Run, [run])
        rows_insert(Task, rows)
        rows_insert(
            Edge,
            [Edge(run=run, parent=rows[parent], child=rows[child]) for parent, child in edges],
            is_key_given=False,
        )
        rows_insert(Commitment, [_commitment(run, row) for row in rows], is_key_given=False)
        rows_insert(Assignment, [_lease(row) for row in rows if row.status == TaskStatus.EXECUTING])
        transactions_post([_lock(run, bonded)])
        changes = TaskChanges(rows[:1], now=_NOW)
        changes.signal(rows[0], FailureReason.PROOF_REJECTED, "proof_rejected")
        changes.write()
    return run


def check_result(run: Run, tasks: int, ending: str) -> None:
    """Raise BenchFailed unless the cascade did what it is measured for."""
    row = Rollback.objects.get(run=run)
    left = set(Task.objects.filter(run=run).values_list("status", flat=True))
    is_open = left == {TaskStatus.WAITING}
    bonds = Commitment.objects.filter(run=run, status__in=[CommitmentStatus.OPEN, CommitmentStatus.FULFILLED])
    if row.size != tasks + 1 or is_open != (ending == "opened again") or bonds.exists():
        raise BenchFailed(f"{row.size} tasks, {sorted(left)}, {bonds.count()} bonds left")
    if row.slashed_units != BOND_UNITS // 10 or check() or check_ledger():
        raise BenchFailed("an invariant is broken")


def write_bare(run: Run) -> None:
    """The peer: the same rows with a new status, and an event each, without chain, hash or lock."""
    with transaction.atomic():
        rows = list(Task.objects.filter(run=run))
        for row in rows:
            row.error_code = "ancestor_failed"
        Task.objects.bulk_update(rows, ["status", "error_code", "timeline", "wake_at"], batch_size=500)
        Event.objects.bulk_create(
            Event(
                aggregate_type="peer",
                aggregate_id=new_id().hex,
                aggregate_sequence=1,
                event_type="peer.noted",
                payload={"set": {"status": row.status, "timeline": row.timeline}},
                trace_id=run.trace_id,
                span_id="cd" * 8,
                created_at=_NOW,
                hash="ef" * 32,
            )
            for row in rows
        )


def timed(work: Callable[[], Any], is_profiled: bool = False) -> tuple[float, float]:
    """Seconds of one run: by the clock, and of this process's CPU."""
    gc.collect()
    profile = cProfile.Profile() if is_profiled else None
    started, busy = time.perf_counter(), time.process_time()
    if profile:
        profile.runcall(work)
    else:
        work()
    taken, cpu = time.perf_counter() - started, time.process_time() - busy
    if profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    return taken, cpu


_jobs: list[Any] = []


def _job() -> Any:
    if not _jobs:
        _jobs.append(make_job())
    return _jobs[0]


def _task(run: Run, number: int, status: TaskStatus, keepers: Sequence[Keeper], failures: int) -> Task:
    has_result = status != TaskStatus.EXECUTING
    times = ("discovered", "waiting", "scheduled", "executing", "executed")
    return Task(
        id=new_id(),
        run=run,
        project_id=run.project_id,
        step_key=f"s{number}",
        position=number,
        depth=1,
        status=status,
        epoch=1,
        failures=0 if number else failures,
        is_ahead=number > 0,
        wake_at=_NOW,
        spec=_SPEC,
        performer=keepers[number % len(keepers)].address,
        result=_RESULT if has_result else None,
        output_cid=_RESULT["output_cid"] if has_result else "",
        package_cid=_RESULT["package_cid"] if has_result else "",
        timeline=dict.fromkeys(times, "2026-03-01T00:00:00.000Z"),
    )


def _commitment(run: Run, row: Task) -> Commitment:
    is_open = row.status == TaskStatus.EXECUTING
    return Commitment(
        task=row,
        run=run,
        epoch=row.epoch,
        producer_id=row.performer,
        depth=1,
        bond_units=BOND_UNITS,
        ancestors=[[new_id().hex, 1] for _ in range(5)],
        status=CommitmentStatus.OPEN if is_open else CommitmentStatus.FULFILLED,
        opened_at=_NOW,
    )


def _lease(row: Task) -> Assignment:
    return Assignment(
        id=new_id(),
        task=row,
        epoch=row.epoch,
        keeper_id=row.performer,
        status=AssignmentStatus.ACKNOWLEDGED,
        offered_at=_NOW,
        acknowledge_by=_NOW,
        expires_at=_NOW + timedelta(seconds=60),
        resend_at=_NOW,
        acknowledged_at=_NOW,
        score_card={"score": 838_660},
    )


def _lock(run: Run, bonded: dict[str, int]) -> TransactionDraft:
    """All bonds of a run in one movement."""
    postings = [
        posting
        for keeper, units in bonded.items()
        for posting in ((keeper_free(keeper), -units), (keeper_bonded(keeper), units))
    ]
    return TransactionDraft(
        kind=TransactionKind.BOND_LOCK, reference=f"bench:{run.id.hex}", postings=tuple(postings)
    )


if __name__ == "__main__":
    run_bench(main)
