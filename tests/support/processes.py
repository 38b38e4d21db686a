"""Processes of ours that a test starts on its own database, and kills."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from apps.eventlog.selectors import get_database_now
from apps.watching.models import WatchLease

REPOSITORY = Path(__file__).resolve().parents[2]
Process = subprocess.Popen[bytes]


def database_url() -> str:
    """The test's database, as another process is told."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    login = f"{given['USER']}:{given['PASSWORD']}"
    return f"postgres://{login}@{given['HOST'] or 'localhost'}:{given['PORT'] or 5432}/{given['NAME']}"


@contextmanager
def starting(
    module: str, *, redis_url: str, home: Path, values: Mapping[str, str]
) -> Iterator[Callable[[], Process]]:
    """What starts one more process of a module; all are killed when the block ends."""
    started: list[Process] = []
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": database_url(),
        "REDIS_URL": redis_url,
        "FOREKEEP_HOME": str(home),
        **values,
    }

    def start() -> Process:
        command = [sys.executable, "-m", module]
        started.append(subprocess.Popen(command, cwd=REPOSITORY, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def is_led_by(process: Process) -> bool:
    """Whether this process holds a lease."""
    leases = WatchLease.objects.filter(expires_at__gt=get_database_now())
    return any(f":{process.pid}:" in lease.holder for lease in leases)


def kill(process: Process) -> None:
    """End it with -9."""
    process.send_signal(signal.SIGKILL)
    process.wait()
