"""A whole scratch deployment for a bench: real Redis, real chain, real processes, nothing left behind."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import django

from apps.kernel.errors import DomainError
from bench.database import backend_pids
from bench.errors import BenchFailed, BenchStopped, ServiceMissing
from bench.processes import cpu_seconds
from project.embedded.console import Console
from project.embedded.deployment import DeploymentPlan, StartFailed, StartStopped, bring_up, plan_deployment
from project.embedded.ports import PREFERRED_PORTS, find_free_ports
from project.embedded.supervisor import Supervisor

T = TypeVar("T")

_NOT_TAKEN_OVER: Final = ("DATABASE_URL", "REDIS_URL", "AMQP_URL", "CHAIN_RPC_URL", "FOREKEEP_HOME")
_TAIL_LINES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """A deployment that is up. `is_over` is set when the bench is to end, finished or not."""

    plan: DeploymentPlan
    supervisor: Supervisor
    is_over: threading.Event = field(default_factory=threading.Event)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU so far by process of the Procfile and server.

        `postgres` is the server processes of this database's connections, where they are on this machine.
        """
        url = self.plan.values.get("DATABASE_URL", "")
        roots = {**self.supervisor.get_pids(), "bench": os.getpid()}
        found = cpu_seconds(roots, sets={"postgres": backend_pids(url)} if url else None)
        if found:
            found["bench"] -= sum(found[name] for name in roots if name != "bench")
        return found

    def measure_idle(self, seconds: float) -> dict[str, float]:
        """Each process's share of a core while nobody asks for anything; raise BenchStopped."""
        before, began = self.cpu_seconds(), time.monotonic()
        if self.is_over.wait(seconds):
            raise BenchStopped
        passed, after = time.monotonic() - began, self.cpu_seconds()
        return {name: (after[name] - used) / passed for name, used in before.items() if name in after}

    def wait_for(self, condition: Callable[[], object], seconds: float, *, what: str) -> None:
        """Wait until it is true; raise BenchFailed when the time is over, BenchStopped when all is."""
        turns = int(seconds / 0.1) + 1
        for _ in range(turns):
            if condition():
                return
            if self.is_over.wait(0.1):
                raise BenchStopped
        raise BenchFailed(f"{what}: not within {seconds:.0f} s")

    def set_up_django(self) -> None:
        """Make this process one of the deployment's: its settings, its database, its metrics."""
        os.environ.update({name: value for name, value in self.plan.environment.items() if name != "PATH"})
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        django.setup()


def run_in_deployment(
    overrides: Mapping[str, str], work: Callable[[Scratch], T], *, timeout_seconds: float
) -> T:
    """Bring a deployment up with these variables set, work in a thread, take it down; the work's result.

    Raises what the work raised, ServiceMissing where a part did not come up, BenchStopped after a stop
    signal. The home is removed unless BENCH_KEEP is set.
    """
    home = Path(tempfile.mkdtemp(prefix="forekeep-bench-"))
    try:
        environ = {name: value for name, value in os.environ.items() if name not in _NOT_TAKEN_OVER}
        plan = plan_deployment(home, {**environ, **overrides}, find_free_ports(tuple(PREFERRED_PORTS)))
        console = Console(folder=home / "log", is_quiet=True)
        try:
            return _run(plan, console, work, timeout_seconds)
        finally:
            console.close()
    except DomainError as exc:
        raise ServiceMissing(str(exc)) from exc
    finally:
        if os.environ.get("BENCH_KEEP"):
            print(f"kept {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _run(plan: DeploymentPlan, console: Console, work: Callable[[Scratch], T], timeout_seconds: float) -> T:
    with Supervisor(output=console) as supervisor, ThreadPoolExecutor(1) as thread:
        scratch = Scratch(plan=plan, supervisor=supervisor)
        try:
            bring_up(supervisor, plan)
            done = thread.submit(work, scratch)
            is_done = supervisor.run_until(done.done, timeout_seconds)
        except StartStopped:
            raise BenchStopped from None
        except StartFailed as exc:
            tail = "\n".join(console.get_tail(exc.part, _TAIL_LINES))
            raise ServiceMissing(f"{exc.part} did not come up: {exc.reason}\n{tail}") from None
        finally:
            scratch.is_over.set()
        if supervisor.stop_reason is not None:
            raise BenchStopped
        if not is_done:
            raise BenchFailed(f"not over within {timeout_seconds:.0f} s")
        return done.result()
