"""One embedded deployment: what it is started with, and the order in which its parts come up.

`make up` and `make demo` both start this. Servers the environment names (DATABASE_URL, REDIS_URL,
CHAIN_RPC_URL) are used as given; the others are private ones on loopback, their data in the home.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx2
import redis

from apps.kernel.errors import DomainError
from project.embedded.home import (
    ports_text,
    read_home_env,
    remembered_ports,
    with_secrets,
    write_home_env,
)
from project.embedded.ports import HOST, PREFERRED_PORTS, choose_ports
from project.embedded.procfile import read_procfile
from project.embedded.redis import redis_command
from project.embedded.supervisor import ProcessSpec, Supervisor
from project.env import REPOSITORY

_GIVEN: Final = ("DATABASE_URL", "REDIS_URL", "AMQP_URL", "CHAIN_RPC_URL")
_OWN_SERVERS: Final[Mapping[str, str]] = {"REDIS_URL": "redis", "CHAIN_RPC_URL": "chain"}


class StartFailed(DomainError):
    """A part that did not come up: part, reason."""

    code = "start_failed"
    title = "A part of the deployment did not come up"


class StartStopped(DomainError):
    """A stop was asked for while the deployment was still coming up."""

    code = "start_stopped"
    title = "The start was stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlan:
    """Everything a deployment is started with; `notes` are sentences for the person who waits."""

    home: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str]
    values: Mapping[str, str]
    notes: tuple[str, ...]
    is_first_start: bool

    @property
    def web_url(self) -> str:
        """Where the pages and the API are, without a slash at the end."""
        return f"http://{HOST}:{self.ports['web']}"

    @property
    def chain_url(self) -> str:
        """The chain's JSON-RPC address."""
        return self.environment["CHAIN_RPC_URL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnServer:
    """A private server: how it is run, and whether it answers."""

    spec: ProcessSpec
    is_up: Callable[[], bool]


def plan_deployment(
    home: Path, environ: Mapping[str, str], ports: Mapping[str, int] | None = None
) -> DeploymentPlan:
    """Read or make the home's secrets, choose the ports, write `forekeep.env` and return the plan.

    Without `ports` the preferred or remembered ones are taken; raises NoFreePort.
    """
    known = read_home_env(home)
    notes: tuple[str, ...] = ()
    if ports is None:
        wanted = {name: port for name, port in PREFERRED_PORTS.items() if not _is_given(name, environ)}
        choice = choose_ports(wanted, remembered_ports(known))
        ports, notes = choice.ports, choice.notes

    addresses = {
        "REDIS_URL": environ.get("REDIS_URL") or f"redis://{HOST}:{ports.get('redis')}/0",
        "CHAIN_RPC_URL": environ.get("CHAIN_RPC_URL") or f"http://{HOST}:{ports.get('chain')}",
        "WEB_URL": environ.get("WEB_URL") or f"http://{HOST}:{ports['web']}",
    }
    submitters = ",".join(str(home / "keys" / f"submitter-{number}.json") for number in (1, 2))
    values = {
        **with_secrets(known),
        **addresses,
        "SUBMITTER_KEY_FILES": environ.get("SUBMITTER_KEY_FILES") or submitters,
        "EMBEDDED_PORTS": ports_text(ports),
    }
    for name in set(_GIVEN) - addresses.keys():
        values.pop(name, None)
        if environ.get(name):
            values[name] = environ[name]
    write_home_env(home, values)
    environment = {
        **{name: value for name, value in environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")},
        **addresses,
        "FOREKEEP_HOME": str(home),
        "WEB_PORT": str(ports["web"]),
        "FLOWER_PORT": str(ports["flower"]),
        "FLOWER_URL": environ.get("FLOWER_URL") or f"http://{HOST}:{ports['flower']}/",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{environ.get('PATH', os.defpath)}",
    }
    return DeploymentPlan(
        home=home,
        ports=ports,
        environment=environment,
        values=values,
        notes=notes,
        is_first_start=not known,
    )


def bring_up(supervisor: Supervisor, plan: DeploymentPlan, *, patience_seconds: float = 120.0) -> None:
    """Start the private servers, prepare the data, then start the Procfile; returns once web answers.

    Raises StartFailed for a part that does not come up, StartStopped where a stop was asked first.
    """
    deadline = time.monotonic() + patience_seconds
    servers = own_servers(plan)
    for server in servers:
        supervisor.start(server.spec)
    for server in servers:
        if not supervisor.run_until(server.is_up, timeout_seconds=deadline - time.monotonic()):
            raise _failure(supervisor, server.spec.name, "it does not answer")
    prepare = ProcessSpec(
        name="setup",
        command="python -m project.embedded.prepare",
        environment=plan.environment,
        folder=REPOSITORY,
        is_restarted=False,
    )
    code = supervisor.run_to_end(prepare, timeout_seconds=deadline - time.monotonic())
    if code != 0:
        end = "it took too long" if code is None else f"it ended with code {code}"
        raise _failure(supervisor, "setup", f"{end}")
    for spec in read_procfile(REPOSITORY / "Procfile", plan.environment):
        supervisor.start(spec)
    is_up = partial(is_healthy, plan.web_url)
    if not supervisor.run_until(is_up, timeout_seconds=deadline - time.monotonic()):
        raise _failure(supervisor, "web", "no answer on /healthz")


def own_servers(plan: DeploymentPlan) -> list[OwnServer]:
    """The private Redis and chain that are to run here, in the order they are started."""
    servers: list[OwnServer] = []
    if "redis" in plan.ports:
        folder = plan.home / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        port = plan.ports["redis"]
        servers.append(
            OwnServer(
                spec=_server_spec(plan, "redis", redis_command(folder, port)),
                is_up=partial(is_redis_up, port),
            )
        )
    if "chain" in plan.ports:
        port = plan.ports["chain"]
        command = [sys.executable, "-m", "apps.chains.anvil", "--port", str(port)]
        command += ["--state-dir", str(plan.home / "chain")]
        servers.append(
            OwnServer(spec=_server_spec(plan, "chain", command), is_up=partial(is_chain_up, plan.chain_url))
        )
    return servers


def is_redis_up(port: int) -> bool:
    """Whether a Redis answers PING on this loopback port."""
    try:
        with closing(redis.Redis(host=HOST, port=port, socket_timeout=1.0)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def is_chain_up(rpc_url: str) -> bool:
    """Whether a node answers JSON-RPC."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    try:
        return "result" in httpx2.post(rpc_url, json=body, timeout=1.0, trust_env=False).json()
    except (httpx2.HTTPError, ValueError):
        return False


def is_healthy(web_url: str) -> bool:
    """Whether the web process answers /healthz."""
    try:
        return httpx2.get(f"{web_url}/healthz", timeout=1.0, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def _is_given(server: str, environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name, own in _OWN_SERVERS.items() if own == server)


def _server_spec(plan: DeploymentPlan, name: str, command: list[str]) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=shlex.join(command),
        environment=plan.environment,
        folder=REPOSITORY,
        wave=0,
        grace_seconds=2.5,
    )


def _failure(supervisor: Supervisor, part: str, reason: str) -> DomainError:
    if supervisor.stop_reason is not None:
        return StartStopped(reason=supervisor.stop_reason)
    return StartFailed(part=part, reason=reason)
