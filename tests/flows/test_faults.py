"""Parts of a real deployment are killed, flushed and restarted while jobs run; every task still ends
confirmed exactly once, as the chain tells it, and all invariants hold.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from project.embedded.home import remembered_ports
from tests.flows.deployment import Deployment, start_deployment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all faults, started as `make up` starts it and stopped by Ctrl-C."""
    folder = tmp_path_factory.mktemp("flow")
    deployment = start_deployment(folder / "home", folder / "up.log")
    try:
        yield deployment
        assert deployment.stop() == 0
        assert wait_until(lambda: not deployment.pids(), timeout_seconds=10)
    finally:
        if deployment.process.poll() is None:
            deployment.process.kill()


@pytest.fixture(autouse=True)
def _invariants(deployment: Deployment) -> Iterator[None]:
    yield
    deployment.require_invariants()


def start(deployment: Deployment) -> list[str]:
    """The pipeline and the price report, under way."""
    runs = [deployment.run("Pipeline"), deployment.run("Price report")]
    deployment.wait_for_status(runs[0], "executed", "attested", "submitted", "confirmed")
    return runs


def test_undisturbed_every_example_ends_confirmed(deployment: Deployment):
    deployment.require_confirmed_once(*start(deployment), deployment.run("Heat alarm"))


def test_flower_asks_for_a_login_and_shows_the_stage_and_keeper_queues(deployment: Deployment):
    url = f"http://127.0.0.1:{remembered_ports(deployment.env)['flower']}"
    user, _, password = deployment.env["FLOWER_BASIC_AUTH"].partition(":")
    keepers = [keeper["address"] for keeper in deployment.request("GET", "/api/v1/keepers")["data"]]
    names = ["stages", "intake", *(f"keeper.{address}" for address in keepers)]

    def page(**login: Any) -> httpx2.Response | None:
        try:
            return httpx2.get(f"{url}/broker", trust_env=False, **login)
        except httpx2.TransportError:
            return None

    refused = wait_until(lambda: page() is not None and page(), timeout_seconds=40)
    assert refused.status_code == 401

    def text() -> str:
        shown = page(auth=(user, password))
        return shown.text if shown else ""

    wait_until(lambda: all(name in text() for name in names), timeout_seconds=90, every_seconds=0.5)


def test_a_flushed_broker_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    for _ in range(3):
        with deployment.redis() as client:
            client.flushall()
    deployment.require_confirmed_once(*runs)


def test_a_killed_and_restarted_broker_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    with deployment.redis() as client:
        before = client.info("server")["run_id"]
        (pid,) = {client.info("server")["process_id"]}
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        try:
            with deployment.redis() as client:
                return client.info("server")["run_id"] != before
        except Exception:
            return False

    wait_until(is_back, timeout_seconds=30)
    deployment.require_confirmed_once(*runs)


def test_a_killed_keeper_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    for _ in range(2):
        performers = {task["performer"] for run in runs for task in deployment.tasks(run)} - {"", None}
        assert performers
        deployment.kill("keeper-1")
        deployment.kill("keeper-2")
        wait_until(lambda: deployment.pids("keeper-1") and deployment.pids("keeper-2"), 30)
    deployment.require_confirmed_once(*runs)


def test_a_killed_worker_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    killed = deployment.kill("project.celery", "worker", "stages")
    wait_until(lambda: set(deployment.pids("project.celery", "worker", "stages")) - set(killed), 30)
    deployment.require_confirmed_once(*runs)


def test_a_killed_beat_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    deployment.kill("project.celery", "beat")
    deployment.require_confirmed_once(*runs)


def test_a_killed_web_process_loses_nothing(deployment: Deployment):
    runs = start(deployment)
    deployment.kill("uvicorn")
    deployment.require_confirmed_once(*runs)


@pytest.mark.parametrize("words", [("--hardfork",), ("apps.chains.anvil",)], ids=["node", "its runner"])
def test_a_killed_and_restarted_chain_node_loses_nothing(deployment: Deployment, words):
    runs = start(deployment)
    deployment.wait_for_status(runs[1], "submitted", "confirmed")
    deployment.kill(*words)
    deployment.require_confirmed_once(*runs)


def test_everything_killed_at_once_and_started_again_goes_on(deployment: Deployment):
    runs = start(deployment)
    deployment.process.kill()
    deployment.process.wait(timeout=10)
    wait_until(lambda: not deployment.pids(), timeout_seconds=20)
    again = start_deployment(deployment.home, deployment.home.parent / "up.log")
    deployment.process = again.process
    deployment.require_confirmed_once(*runs)
