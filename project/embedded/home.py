"""The folder one embedded deployment lives in: its lock, its secrets, its remembered ports.

`forekeep.env` (0600) is what `project/env.py` reads, so that every `manage.py` command works on the
same deployment. Only one supervisor at a time holds the lock; its wardens hold it too, until the
last of their descendants is gone, so a next start never meets the rest of a killed one.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from apps.kernel.errors import Conflict
from project.variables import read_env_file

ENV_FILE: Final = "forekeep.env"
API_KEY_FILE: Final = "api-key"
_LOCK_FILE: Final = "up.lock"
_POLL_SECONDS: Final = 0.1


class HomeInUse(Conflict):
    """Another `make up` runs in this folder: home, pid."""

    code = "home_in_use"
    title = "This home is in use"


def lock_home(home: Path, *, patience_seconds: float = 12.0) -> int:
    """Take the home's lock and return its descriptor; raise HomeInUse while another start holds it.

    Where the holder is dead and only its wardens are still ending, wait for them.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    fd = os.open(home / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = _holder_of(fd)
            if _is_alive(holder) or time.monotonic() > give_up_at:
                os.close(fd)
                raise HomeInUse(home=str(home), pid=holder) from None
        time.sleep(_POLL_SECONDS)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def read_home_env(home: Path) -> dict[str, str]:
    """What the home's `forekeep.env` says; empty before the first start."""
    return read_env_file(home / ENV_FILE)


def write_home_env(home: Path, values: Mapping[str, str]) -> None:
    """Replace `forekeep.env`, readable by its owner alone."""
    lines = ["# Written by Forekeep. Keep it secret: it holds this deployment's keys."]
    lines += [f"{name}={value}" for name, value in values.items()]
    write_secret(home / ENV_FILE, "\n".join(lines) + "\n")


def write_secret(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, 0600 from its first moment on."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def with_secrets(values: Mapping[str, str]) -> dict[str, str]:
    """The same values with every secret of a deployment present; those that exist stay."""
    complete = dict(values)
    complete.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    complete.setdefault("ADMIN_PASSWORD", secrets.token_urlsafe(15))
    complete.setdefault("FLOWER_BASIC_AUTH", f"admin:{secrets.token_urlsafe(15)}")
    return complete


def remembered_ports(values: Mapping[str, str]) -> dict[str, int]:
    """The ports of the last start (`EMBEDDED_PORTS=web:8000,…`)."""
    ports: dict[str, int] = {}
    for part in values.get("EMBEDDED_PORTS", "").split(","):
        name, _, number = part.partition(":")
        if number.isdecimal():
            ports[name] = int(number)
    return ports


def ports_text(ports: Mapping[str, int]) -> str:
    """The form `remembered_ports` reads."""
    return ",".join(f"{name}:{port}" for name, port in ports.items())


def _holder_of(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
