"""The Procfile's prover and its worker, over a real broker and the test's database."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from apps.eventlog.selectors import get_database_now
from apps.kernel.hashing import from_hex
from apps.proofs.data import proof_from_bytes
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.errors import ProverUnavailable
from apps.proofs.groth16 import verify
from apps.proofs.keys import read_verifying_key
from apps.proofs.models import Proof
from apps.proofs.services import proofs_cancel
from apps.tasks.data import TaskStatus
from project.celery import app
from project.embedded.procfile import read_procfile
from project.env import REPOSITORY
from tests.integration.prover.conftest import children_of, keys, process
from tests.support.waiting import wait_until
from workers.prover.client import ProverClient
from workers.proving import proofs_kill

__all__ = ["keys", "process"]

pytestmark = pytest.mark.django_db(transaction=True)

S = ProofStatus
START_SECONDS = 60


def database_url() -> str:
    """The test's database, as another process is told."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    login = f"{given['USER']}:{given['PASSWORD']}"
    return f"postgres://{login}@{given['HOST'] or 'localhost'}:{given['PORT'] or 5432}/{given['NAME']}"


class Processes:
    """Lines of the Procfile, started with an environment of their own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.client = ProverClient(Path(environment["FOREKEEP_PROOFS_SOCKET"]))
        self._specs = {spec.name: spec for spec in read_procfile(REPOSITORY / "Procfile", environment)}
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start one line as the supervisor does."""
        spec = self._specs[name]
        self.started[name] = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {spec.command}"], cwd=spec.folder, env=dict(spec.environment)
        )
        return self.started[name]

    def start_all(self, *names: str) -> None:
        """Start these and wait until the prover has its key and the worker listens."""
        for name in names:
            self.start(name)
        wait_until(lambda: self.sizes() == [16], timeout_seconds=START_SECONDS)
        wait_until(lambda: app.control.ping(timeout=0.5), timeout_seconds=START_SECONDS)

    def sizes(self) -> list[int] | None:
        """The keys the prover has; None while it is away."""
        try:
            found: list[int] = self.client.get_status()["sizes"]
        except ProverUnavailable:
            return None
        return found

    def stop(self) -> None:
        """End what runs."""
        for started in self.started.values():
            started.send_signal(signal.SIGTERM)
        for started in self.started.values():
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@pytest.fixture
def make_processes(keys: Path, redis_url: str) -> Iterator[Callable[..., Processes]]:
    """Processes with some settings, over a prover at this socket; ended after the test."""
    made: list[Processes] = []

    def make(socket: Path, **environment: str) -> Processes:
        given = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": database_url(),
            "REDIS_URL": redis_url,
            "FOREKEEP_PROOFS_SOCKET": str(socket),
            "FOREKEEP_PROOFS_KEYS_FOLDER": str(keys),
            "FOREKEEP_PROOFS_SIZES": "16",
            "PATH": f"{REPOSITORY / '.venv/bin'}:{os.environ['PATH']}",
            **environment,
        }
        made.append(Processes(given))
        return made[-1]

    yield make
    for processes in made:
        processes.stop()


def send(world: Any) -> None:
    """Send what the passes wanted sent, as the stage's door does."""
    for one in world.sent:
        app.send_task(one.task, kwargs=dict(one.body), queue=one.queue)
    world.sent.clear()


def test_a_real_proof_of_a_tasks_real_result_is_made_recorded_and_verifies(
    make_world, make_processes, process, keys
):
    make_processes(process.client.path).start_all("prove")
    world = make_world({"a": [], "b": ["a"]}, now=get_database_now())
    world.plan()
    send(world)
    wait_until(lambda: Proof.objects.filter(status=S.GENERATED).count() == 2, timeout_seconds=30)
    world.now = get_database_now()
    world.plan()
    assert world.statuses("a", "b") == [
        (TaskStatus.PROVED, S.SUBMITTING),
        (TaskStatus.WAITING_ANCESTORS, S.AWAITING_ANCESTORS),
    ]
    key = read_verifying_key(keys, 16)
    for step in "ab":
        row = world.proof(step)
        proof = proof_from_bytes(from_hex(row.proof))
        statement = int(world.task(step).result["statement"], 16)
        assert verify(key, [statement], proof)
        assert not verify(key, [statement + 1], proof)
        assert row.cpu_seconds > 0
        assert row.delay_seconds == 0
        print(f"proof of {step}: {row.cpu_seconds:.2f} s of CPU, {row.wall_seconds:.2f} s")


def test_cancelling_reaches_a_worker_whose_threads_are_all_busy(make_world, make_processes, process):
    busy = {"PROVE_CONCURRENCY": "2", "FOREKEEP_PROOFS_DELAY_SECONDS": "50"}
    processes = make_processes(process.client.path, **busy)
    processes.start_all("prove")
    world = make_world(["a", "b", "c"], now=get_database_now())
    world.plan()
    send(world)
    wait_until(lambda: len(children_of(process.pid)) == 2, timeout_seconds=30)

    under_way = set(children_of(process.pid))
    ids = [task.pk for task in world.spine.tasks.values()]
    handles = proofs_cancel(ids, reason="rolled_back", now=get_database_now())
    assert len(handles) == 3
    proofs_kill(handles)

    wait_until(lambda: not under_way & set(children_of(process.pid)))
    wait_until(lambda: processes.client.get_status()["running"] == 0)
    assert set(Proof.objects.values_list("status", "reason")) == {(S.CANCELLED, "rolled_back")}
    for step in "abc":
        world.move(step, TaskStatus.ROLLED_BACK)


def test_a_prover_that_is_killed_costs_an_attempt_nothing_but_time(make_world, make_processes, tmp_path):
    processes = make_processes(tmp_path / "p.sock", FOREKEEP_PROOFS_DELAY_SECONDS="5")
    processes.start_all("prover", "prove")
    world = make_world(["a"], now=get_database_now())
    world.plan()
    send(world)
    pid = processes.started["prover"].pid
    wait_until(lambda: children_of(pid), timeout_seconds=30)
    processes.started["prover"].kill()
    processes.started["prover"].wait()
    wait_until(lambda: world.proof().reason == "prover_unavailable", timeout_seconds=30)
    assert world.proof().status == S.GENERATING

    processes.start("prover")

    def is_made() -> bool:
        world.now = get_database_now()
        world.plan()
        send(world)
        return bool(world.proof().generated_at)

    wait_until(is_made, timeout_seconds=55, every_seconds=0.2)
    assert world.proof().generation_attempts == 1
    assert world.proof().delay_seconds == 5
