"""Jails by a container engine (Docker, or Podman behind DOCKER_HOST), through the `docker` SDK.

A fresh container per run, without network, capabilities or a writable file; inside it the same runner
shuts the same seccomp filter. There is no pool: an engine takes a tenth of a second to start one.
CPU and memory are what the engine's own statistics last said, which for a short script may be nothing.
"""

import contextlib
import json
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import DockerException, ImageNotFound
from docker.types import LogConfig, Mount, Ulimit
from requests.exceptions import RequestException

from workers.keeper.sandbox.data import (
    PYTHON,
    STDERR_LIMIT_BYTES,
    STDERR_TAIL_BYTES,
    THREADS_MAX,
    AbortHandle,
    FailureCode,
    SandboxRequest,
    SandboxResult,
)
from workers.keeper.sandbox.errors import SandboxBroken, SandboxRequestInvalid, SandboxUnavailable
from workers.keeper.sandbox.following import Observed
from workers.keeper.sandbox.foundation import UNPRIVILEGED_UID
from workers.keeper.sandbox.interpreter import ENVIRONMENT, FLAGS
from workers.keeper.sandbox.judging import get_cpu_limit_seconds, judge
from workers.keeper.sandbox.launching import PROGRAMS
from workers.keeper.sandbox.scratch import Scratch, fill_inputs
from workers.keeper.sandbox.seccomp import compile_filter, get_architecture
from workers.keeper.sandbox.tasks import count_tasks_limit

NAME: Final = "docker"
DEFAULT_IMAGE: Final = "python:3.11-slim"
_RUN: Final = f'exec python3 {" ".join(FLAGS)} /job/runner.py "$0" < /job/payload'
_GONE_SECONDS: Final = 10
_ENGINE_ERRORS: Final = (DockerException, RequestException, OSError)


class DockerSandbox:
    """A Sandbox of containers. `client` is a docker.DockerClient."""

    name = NAME

    def __init__(self, *, client: Any, image: str, filter_hex: str) -> None:
        self._client = client
        self._image = image
        self._filter_hex = filter_hex
        self._scratch = Scratch(is_shared=True, group=UNPRIVILEGED_UID if os.geteuid() == 0 else None)
        self._scratch.add_file("runner.py", (PROGRAMS / "runner.py").read_bytes())

    @property
    def languages(self) -> tuple[str, ...]:
        """See Sandbox: what the image has."""
        return (PYTHON,)

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """See Sandbox."""
        if request.language != PYTHON:
            raise SandboxRequestInvalid(reason="only python runs here", language=request.language)
        handle = handle or AbortHandle()
        work = self._scratch.add_work()
        try:
            fill_inputs(work, request.inputs)
            payload = self._scratch.add_file(f"{work.name}.payload", _make_payload(request))
            container = self._client.containers.create(**self.make_options(request, work, payload))
        except _ENGINE_ERRORS as exc:
            raise SandboxBroken(reason=f"no container: {exc}"[:300]) from exc
        try:
            observed, was_out_of_memory = _follow(container, request, handle)
        except _ENGINE_ERRORS as exc:
            raise SandboxBroken(reason=f"the container engine failed: {exc}"[:300]) from exc
        finally:
            with contextlib.suppress(*_ENGINE_ERRORS):
                container.remove(force=True, v=True)
            payload.unlink(missing_ok=True)
        return judge(
            observed,
            request,
            is_aborted=handle.is_aborted,
            was_out_of_memory=was_out_of_memory,
            cpu_before=0.0,
        )

    def close(self) -> None:
        """See Sandbox."""
        self._client.close()
        self._scratch.close()

    def make_options(self, request: SandboxRequest, work: Path, payload: Path) -> dict[str, Any]:
        """Everything the engine is told about one container."""
        config = {
            "work": "/work",
            "filter": self._filter_hex,
            "control": None,
            "parent": None,
            "landlock": None,
        }
        mounts = {"/job/runner.py": self._scratch.root / "runner.py", "/job/payload": payload, "/work": work}
        return {
            "image": self._image,
            "entrypoint": ["sh", "-c", _RUN],
            "command": [json.dumps(config, separators=(",", ":"))],
            "environment": ENVIRONMENT,
            "working_dir": "/work",
            "hostname": "sandbox",
            "labels": {"forekeep.sandbox": str(os.getpid())},
            "user": f"{UNPRIVILEGED_UID}:{UNPRIVILEGED_UID}",
            "network_mode": "none",
            "ipc_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "privileged": False,
            "pids_limit": THREADS_MAX,
            "mem_limit": request.memory_bytes,
            "memswap_limit": request.memory_bytes,
            "nano_cpus": request.cpu_cores * 1_000_000_000,
            "ulimits": [Ulimit(name="core", soft=0, hard=0), Ulimit(name="fsize", soft=0, hard=0)],
            "log_config": LogConfig(type="none"),
            "mounts": [
                Mount(target=target, source=str(source), type="bind", read_only=True)
                for target, source in mounts.items()
            ],
        }


def open_docker(*, pool_size: int = 0, image: str = DEFAULT_IMAGE) -> DockerSandbox:
    """Open the engine DOCKER_HOST names, or the local one; raises SandboxUnavailable."""
    architecture = get_architecture()
    if architecture is None:
        raise SandboxUnavailable(reasons={NAME: f"no seccomp filter for {os.uname().machine}"})
    if not is_engine_there():
        raise SandboxUnavailable(reasons={NAME: f"there is no socket at {_get_host()}"})
    try:
        client = docker.from_env()
        client.ping()
        client.images.get(image)
    except ImageNotFound as exc:
        raise SandboxUnavailable(reasons={NAME: f"the engine has no image {image}; pull it first"}) from exc
    except _ENGINE_ERRORS as exc:
        raise SandboxUnavailable(reasons={NAME: f"no container engine answers ({exc})"[:300]}) from exc
    return DockerSandbox(client=client, image=image, filter_hex=compile_filter(architecture).hex())


def is_engine_there() -> bool:
    """Whether there is a socket to ask; a remote engine is asked without looking first."""
    scheme, _, path = _get_host().partition("://")
    return scheme != "unix" or Path(path).is_socket()


def _get_host() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def _make_payload(request: SandboxRequest) -> bytes:
    """What the runner reads: memory and cores are the container's business, the rest its own."""
    header = {
        "memory_bytes": 0,
        "cpu_seconds": get_cpu_limit_seconds(request),
        "tasks": count_tasks_limit(),
        "cpus": [],
        "script_bytes": len(request.script),
    }
    head = json.dumps(header).encode()
    return struct.pack("<I", len(head)) + head + request.script + request.stdin


def _follow(container: Any, request: SandboxRequest, handle: AbortHandle) -> tuple[Observed, bool]:
    """Run a created container to its end; what was seen, and whether it ran out of memory."""
    stopped: list[FailureCode] = []
    usage: dict[str, float] = {}

    def stop(code: FailureCode) -> None:
        stopped.append(code)
        kill()

    def kill() -> None:
        with contextlib.suppress(*_ENGINE_ERRORS):
            container.kill()

    stream = container.attach(stdout=True, stderr=True, stream=True, logs=False, demux=True)
    container.start()
    started_at = time.monotonic()
    deadline = threading.Timer(request.deadline_seconds, stop, [FailureCode.SCRIPT_TIMEOUT])
    sampler = threading.Thread(target=_sample, args=(container, usage), daemon=True)
    handle.attach(kill)
    try:
        deadline.start()
        sampler.start()
        stdout, stderr_tail = _read(stream, request.stdout_limit_bytes, stop)
        ended = container.wait(timeout=request.deadline_seconds + _GONE_SECONDS)
    finally:
        deadline.cancel()
        handle.detach()
    wall_seconds = time.monotonic() - started_at
    sampler.join(1)
    container.reload()
    observed = Observed(
        stdout=stdout,
        stderr_tail=stderr_tail,
        control=b"",
        stopped_for=stopped[0] if stopped else None,
        wait_status=int(ended["StatusCode"]) << 8,
        cpu_seconds=usage.get("cpu_seconds", 0.0),
        max_resident_kibibytes=int(usage.get("memory_bytes", 0.0)) // 1024,
        wall_seconds=wall_seconds,
    )
    return observed, bool(container.attrs["State"].get("OOMKilled"))


def _read(stream: Iterator[tuple[bytes | None, bytes | None]], limit: int, stop: Any) -> tuple[bytes, bytes]:
    """Both streams to their end, or to their limits."""
    stdout, stderr, stderr_bytes = bytearray(), bytearray(), 0
    for out, err in stream:
        stdout += out or b""
        stderr += err or b""
        stderr_bytes += len(err or b"")
        del stderr[:-STDERR_TAIL_BYTES]
        if len(stdout) > limit or stderr_bytes > STDERR_LIMIT_BYTES:
            del stdout[limit:]
            stop(FailureCode.SCRIPT_OUTPUT_TOO_LARGE)
            break
    return bytes(stdout), bytes(stderr)


def _sample(container: Any, usage: dict[str, float]) -> None:
    """Keep the engine's latest statistics until the container is gone."""
    with contextlib.suppress(*_ENGINE_ERRORS):
        for sample in container.stats(stream=True, decode=True):
            _keep(sample, usage)


def _keep(sample: Mapping[str, Any], usage: dict[str, float]) -> None:
    cpu = sample.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9
    memory = sample.get("memory_stats", {})
    usage["cpu_seconds"] = max(usage.get("cpu_seconds", 0.0), cpu)
    usage["memory_bytes"] = max(
        usage.get("memory_bytes", 0.0), memory.get("max_usage", memory.get("usage", 0))
    )
