"""`python -m workers.keeper.fleet`: one process per keystore under $FOREKEEP_HOME/keepers.

The fleet imports the node's code once and forks: each node starts in milliseconds and shares the code's
memory. A node that dies is started again with back-off; one that is set up wrongly ends the fleet. On
SIGTERM all stop within 5 s; a fleet that is killed takes its nodes with it (PR_SET_PDEATHSIG). What the nodes
are told comes from the environment, then from `forekeep.env`, `deployment.json` and `keys/dispatcher.json`.
"""

import ctypes
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from workers.keeper.app import EXIT_CONFIG, main
from workers.keeper.config import ConfigInvalid, read_config
from workers.keeper.logs import set_up_logging

STOP_SECONDS: Final = 4.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
_STEADY_SECONDS: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_log = logging.getLogger("forekeep.keeper.fleet")


@dataclass(slots=True, kw_only=True)
class Member:
    """One keystore's process."""

    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    pid: int | None = None
    started_at: float = 0.0
    failures: int = 0
    start_at: float = 0.0

    @property
    def pid_file(self) -> Path:
        """Where the pid is written for the operator."""
        return self.folder / "keeper.pid"


def run_fleet(environ: Mapping[str, str]) -> int:
    """Run every keeper of the home until SIGTERM or SIGINT; the exit code, 2 where none can start."""
    try:
        members = read_members(environ)
    except ConfigInvalid as exc:
        sys.stderr.write(f"the keepers cannot start. {exc}\n")
        return EXIT_CONFIG
    set_up_logging(keeper="fleet", level=environ.get("LOG_LEVEL", "INFO"))
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    gc.collect()
    gc.freeze()

    while True:
        _start_due(members)
        waits = [member.start_at - time.monotonic() for member in members if member.pid is None]
        seen = signal.sigtimedwait(signals, max(min(waits, default=3_600.0), 0.01))
        is_misconfigured = EXIT_CONFIG in _reap(members)
        if is_misconfigured or (seen is not None and seen.si_signo != signal.SIGCHLD):
            _stop(members)
            return EXIT_CONFIG if is_misconfigured else 0


def read_members(environ: Mapping[str, str]) -> list[Member]:
    """One member per keystore, each with its whole environment; raise ConfigInvalid."""
    home = Path(environ.get("FOREKEEP_HOME") or "var").expanduser().absolute()
    shared = _shared_environ(home, {**_read_env_file(home / "forekeep.env"), **environ})
    folders = sorted(
        (path.parent for path in home.glob("keepers/*/keystore.json")),
        key=lambda path: (len(path.name), path.name),
    )
    if not folders:
        raise ConfigInvalid(
            variable="FOREKEEP_HOME", given=f"{home} has no keepers", expected="keepers/<n>/keystore.json"
        )
    members = [
        Member(
            folder=folder,
            environ={
                **shared,
                "KEEPER_KEYSTORE": str(folder / "keystore.json"),
                "CACHE_DIR": str(folder / "cache"),
                "KEEPER_NAME": f"keeper-{folder.name}",
            },
        )
        for folder in folders
    ]
    for member in members:
        read_config(member.environ)
    return members


def _shared_environ(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What all nodes are told, from the control plane's own variables where a node's are not given."""
    shared = dict(given)
    deployment = _read_json(Path(given.get("CHAIN_DEPLOYMENT_FILE") or home / "deployment.json"))
    shared.setdefault("CHAIN_ID", str(deployment.get("chain_id", "")))
    shared.setdefault("HUB_ADDRESS", str(deployment.get("hub", "")))
    if not shared.get("DISPATCHER_ADDRESS"):
        key_file = Path(given.get("DISPATCHER_KEY_FILE") or home / "keys" / "dispatcher.json")
        shared["DISPATCHER_ADDRESS"] = str(_read_json(key_file).get("address", ""))
    shared.setdefault("BROKER_URL", given.get("AMQP_URL") or given.get("REDIS_URL", ""))
    shared.setdefault("CONTROL_URL", given.get("WEB_URL", ""))
    shared.setdefault("CONTENT_URL", f"file://{home}/content")
    shared.setdefault("CHECK_IN_SECONDS", given.get("FOREKEEP_KEEPERS_CHECK_IN_SECONDS", ""))
    return shared


def _start_due(members: list[Member]) -> None:
    for member in members:
        if member.pid is None and member.start_at <= time.monotonic():
            _start(member)


def _start(member: Member) -> None:
    fleet_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_node(member, fleet_pid)
    member.pid, member.started_at = pid, time.monotonic()
    member.pid_file.write_text(f"{pid}\n", encoding="ascii")
    _log.info("keeper process started", extra={"facts": {"folder": member.folder.name, "pid": pid}})


def _be_node(member: Member, fleet_pid: int) -> NoReturn:
    """The child: dies with the fleet, takes signals again, and is a node until its end."""
    code = 1
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, member.environ["KEEPER_NAME"].encode()[:15], 0, 0, 0)
        if os.getppid() == fleet_pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
            code = main(member.environ)
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException:
        _log.exception("keeper process failed")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _reap(members: list[Member]) -> list[int]:
    """Take note of every process that ended, and when it is to start again; their exit codes."""
    codes: list[int] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes
        if pid == 0:
            return codes
        for member in members:
            if member.pid == pid:
                codes.append(os.waitstatus_to_exitcode(status))
                _note_end(member, codes[-1])


def _note_end(member: Member, code: int) -> None:
    now = time.monotonic()
    member.failures = 1 if now - member.started_at > _STEADY_SECONDS else member.failures + 1
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(member.failures - 1, 10), _LONGEST_PAUSE_SECONDS)
    member.pid, member.start_at = None, now + pause
    member.pid_file.unlink(missing_ok=True)
    facts = {"folder": member.folder.name, "code": code, "again_in_seconds": pause}
    _log.warning("keeper process ended", extra={"facts": facts})


def _stop(members: list[Member]) -> None:
    """Ask all to end, kill what has not in time."""
    _signal(members, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(member.pid for member in members):
        left = deadline - time.monotonic()
        if left <= 0:
            _signal(members, signal.SIGKILL)
            deadline = time.monotonic() + 1.0
        signal.sigtimedwait({signal.SIGCHLD}, max(min(left, 0.2), 0.01))
        _reap(members)


def _signal(members: list[Member], number: signal.Signals) -> None:
    for member in members:
        if member.pid is not None:
            os.kill(member.pid, number)


def _read_env_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines; empty where there is no such file."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#") and "=" in line)
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    sys.exit(run_fleet(os.environ))
