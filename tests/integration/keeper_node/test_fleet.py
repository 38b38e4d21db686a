"""Many nodes under one fleet: all come up, a dead one comes back, none outlives the fleet."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.env import REPOSITORY
from tests.factories.nodes import make_assignment, make_identity, signed
from tests.integration.keeper_node.surroundings import Surroundings, write_keystore
from tests.support.waiting import wait_until


class Fleet:
    """`python -m workers.keeper.fleet` over a home with some keystores."""

    def __init__(self, around: Surroundings, size: int, **changes: str) -> None:
        self.around = around
        self.home = around.folder / "home"
        self.identities = [make_identity() for _ in range(size)]
        for number, identity in enumerate(self.identities, start=1):
            folder = self.home / "keepers" / str(number)
            folder.mkdir(parents=True)
            write_keystore(folder / "keystore.json", identity)
        environ = around.environ(FOREKEEP_HOME=str(self.home), **changes)
        self._log = self.home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.keeper.fleet"],
                env=environ,
                cwd=REPOSITORY,
                stderr=log,
                stdout=log,
            )

    def wait_until_up(self) -> None:
        """Every node has checked in."""
        plane = self.around.plane
        wait_until(lambda: all(plane.check_ins(one.address) for one in self.identities), 60)

    def pids(self) -> list[int]:
        """The processes of the nodes that run."""
        files = sorted(self.home.glob("keepers/*/keeper.pid"))
        return [int(text) for file in files if (text := file.read_text().strip())]

    def log(self) -> str:
        """What the fleet and its nodes have logged."""
        return self._log.read_text(errors="replace")


@pytest.fixture
def fleet(around: Surroundings) -> Iterator[Fleet]:
    """Two nodes."""
    fleet = Fleet(around, 2)
    try:
        fleet.wait_until_up()
        yield fleet
    finally:
        fleet.process.kill()
        fleet.process.wait()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_keystore_has_a_node_that_works(around: Surroundings, fleet: Fleet) -> None:
    script = {"cid": around.store.put(b"print('{}')"), "language": "python"}
    for identity in fleet.identities:
        assignment = signed(make_assignment(identity.address, {"script": script}))
        around.sender.send_task(
            "keeper.execute", kwargs={"assignment": assignment}, queue=f"keeper.{identity.address}"
        )

    receipts = around.take("receipts", 2)

    assert {receipt["keeper"] for receipt in receipts} == {one.address for one in fleet.identities}
    assert {receipt["result"]["status"] for receipt in receipts} == {"ok"}


def test_a_node_that_is_killed_comes_back_and_the_others_go_on(around: Surroundings, fleet: Fleet) -> None:
    first, second = fleet.pids()
    before = around.plane.check_ins(fleet.identities[0].address)

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: around.plane.check_ins(fleet.identities[0].address) > before + 1, 30)
    again = fleet.pids()
    assert again[0] != first
    assert again[1] == second
    assert not _is_alive(first)


def test_the_whole_fleet_stops_within_five_seconds(fleet: Fleet) -> None:
    pids = fleet.pids()
    started = time.monotonic()

    fleet.process.send_signal(signal.SIGTERM)

    assert fleet.process.wait(8) == 0
    assert time.monotonic() - started < 6
    assert not any(_is_alive(pid) for pid in pids)
    assert fleet.pids() == []


def test_nodes_do_not_outlive_a_fleet_that_is_killed(fleet: Fleet) -> None:
    pids = fleet.pids()
    assert len(pids) == 2

    fleet.process.kill()

    wait_until(lambda: not any(_is_alive(pid) for pid in pids), 10)


def test_a_fleet_whose_nodes_cannot_start_ends_with_their_reason(around: Surroundings) -> None:
    fleet = Fleet(around, 1, SANDBOX_ENGINE="docker", DOCKER_HOST="unix:///nowhere")

    assert fleet.process.wait(60) == 2
    assert "the keeper cannot start" in fleet.log()


def test_a_fleet_without_a_setting_names_it(around: Surroundings) -> None:
    fleet = Fleet(around, 1, CHAIN_RPC_URL="")

    assert fleet.process.wait(60) == 2
    assert "CHAIN_RPC_URL" in fleet.log()
