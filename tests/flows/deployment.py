"""A real `make up` for flow tests: its processes, its API, its chain, and ways to hurt each of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import redis

from apps.chains.client import ChainClient
from apps.chains.deploy import read_deployment
from apps.chains.registry import get_settled
from apps.kernel.ids import from_wire
from project.embedded.home import API_KEY_FILE, read_home_env
from project.env import REPOSITORY
from tests.support.waiting import wait_until

_SERVERS = ("DATABASE_URL", "REDIS_URL", "AMQP_URL", "CHAIN_RPC_URL")


@dataclass
class Deployment:
    """A deployment in a folder of its own, started as a person starts it."""

    home: Path
    process: "subprocess.Popen[bytes]"

    @property
    def env(self) -> Mapping[str, str]:
        """What its `forekeep.env` says."""
        return read_home_env(self.home)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """One API request; a web process that is just being restarted is waited for."""
        key = (self.home / API_KEY_FILE).read_text().strip()

        def attempt() -> Any:
            try:
                return httpx2.request(
                    method,
                    self.env["WEB_URL"] + path,
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=10,
                    trust_env=False,
                    **options,
                )
            except httpx2.TransportError:
                return None

        response = wait_until(attempt, timeout_seconds=30)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text[:300]}"
        return response.json()

    def pids(self, *words: str) -> list[int]:
        """Processes of this deployment whose command line or name has all these words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() + " "
                text += (entry / "comm").read_text()
            except OSError:
                continue
            is_ours = f"FOREKEEP_HOME={self.home}".encode() in environ or f"{self.home}/" in text
            if is_ours and all(word in text for word in words):
                found.append(int(entry.name))
        return found

    def kill(self, *words: str) -> list[int]:
        """kill -9 every process with these words in its command line; at least one."""
        pids = self.pids(*words)
        assert pids, f"no process with {words}"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def redis(self) -> "redis.Redis":
        """The private Redis."""
        return redis.Redis.from_url(self.env["REDIS_URL"])

    def jobs(self) -> dict[str, str]:
        """Name → id."""
        return {job["name"]: job["id"] for job in self.request("GET", "/api/v1/jobs")["data"]}

    def run(self, name: str) -> str:
        """Run a job now; the run's id."""
        return str(self.request("POST", f"/api/v1/jobs/{self.jobs()[name]}/run-now", json={})["id"])

    def tasks(self, run_id: str) -> Sequence[Mapping[str, Any]]:
        """The tasks of a run."""
        tasks: Sequence[Mapping[str, Any]] = self.request("GET", f"/api/v1/runs/{run_id}")["tasks"]
        return tasks

    def wait_for_status(self, run_id: str, *statuses: str, timeout_seconds: float = 60) -> None:
        """Wait until a task of the run is in one of the states."""
        wait_until(lambda: any(task["status"] in statuses for task in self.tasks(run_id)), timeout_seconds)

    def require_confirmed_once(self, *run_ids: str, timeout_seconds: float = 120) -> None:
        """Every task of the runs ends confirmed, and the hub holds exactly its proof."""
        for run_id in run_ids:
            wait_until(
                lambda run_id=run_id: self.request("GET", f"/api/v1/runs/{run_id}")["status"] != "open",
                timeout_seconds,
                every_seconds=0.3,
            )
        tasks = [task for run_id in run_ids for task in self.tasks(run_id)]
        assert {task["status"] for task in tasks} == {"confirmed"}, [
            (task["step_key"], task["status"], task["error"]) for task in tasks
        ]
        client = ChainClient(self.env["CHAIN_RPC_URL"])
        deployment = read_deployment(self.home / "deployment.json")
        wanted = {from_wire("task", task["id"]).int: task["settlement"]["proof_of_task"] for task in tasks}
        settled = get_settled(client, deployment, list(wanted))
        client.close()
        assert {task: "0x" + proof.hex() for task, proof in settled.items()} == wanted
        assert len({task["settlement"]["tx_hash"] for task in tasks}) >= 1

    def require_invariants(self) -> None:
        """The operator's own check says that all is well."""
        done = subprocess.run(
            [sys.executable, "manage.py", "check_invariants"],
            cwd=REPOSITORY,
            env={**_environ(), "FOREKEEP_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr[-2000:]

    def stop(self) -> int:
        """Ctrl-C, and how it ended."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


def start_deployment(home: Path, log: Path) -> Deployment:
    """Start one as `make up` does and wait until its keepers are online."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "project.embedded.up"],
            cwd=REPOSITORY,
            env={**_environ(), "FOREKEEP_HOME": str(home), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deployment = Deployment(home=home, process=process)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        if not (home / API_KEY_FILE).exists() or not deployment.pids("uvicorn"):
            return False
        keepers = deployment.request("GET", "/api/v1/keepers")["data"]
        return sum(bool(keeper["online"]) for keeper in keepers) >= 5

    wait_until(is_up, timeout_seconds=120, every_seconds=0.3)
    return deployment


def _environ() -> dict[str, str]:
    """The environment of a person who has none of our servers and settings."""
    kept = {name: value for name, value in os.environ.items() if name not in _SERVERS}
    return {
        name: value
        for name, value in kept.items()
        if not name.startswith(("FOREKEEP_", "PROMETHEUS_", "DJANGO_"))
        and name not in ("SECRET_KEY", "WEB_URL", "ALLOWED_HOSTS", "LOG_LEVEL")
    }
