"""`make up`: everything on this machine in the foreground, until Ctrl-C.

Run as `python -m project.embedded.up`. The data lives in FOREKEEP_HOME (default `var/`).
"""

import os
import sys
from pathlib import Path
from typing import Final

from apps.kernel.errors import DomainError
from project.embedded.console import Console, readable, show
from project.embedded.deployment import (
    DeploymentPlan,
    StartFailed,
    StartStopped,
    bring_up,
    plan_deployment,
)
from project.embedded.home import API_KEY_FILE, ENV_FILE, HomeInUse, lock_home
from project.embedded.ports import NoFreePort
from project.embedded.supervisor import Supervisor
from project.env import REPOSITORY
from project.variables import SettingInvalid

_TAIL_LINES: Final = 20
#: after this long the addresses are shown even where a worker or a keeper is not up yet
_AT_WORK_SECONDS: Final = 20.0


def main() -> int:
    """Start, run until a stop is asked for, stop; 0 after an ordinary stop."""
    home = Path(os.environ.get("FOREKEEP_HOME") or REPOSITORY / "var").expanduser().absolute()
    try:
        lock = lock_home(home)
        plan = plan_deployment(home, os.environ)
    except (HomeInUse, NoFreePort, SettingInvalid, OSError) as exc:
        show(_refusal(exc, home))
        return 1
    for note in plan.notes:
        show(note)
    show("Preparing … (the first start takes a few seconds more)")

    console = Console(folder=home / "log", is_plain="NO_COLOR" in os.environ, hidden=("redis",))
    code = 0
    is_tied = bool(os.environ.get("FOREKEEP_STOPS_WITH_PARENT"))
    with Supervisor(output=console, kept_fd=lock, is_tied_to_parent=is_tied) as supervisor:
        try:
            bring_up(supervisor, plan)
            supervisor.run_until(lambda: is_at_work(console, home), timeout_seconds=_AT_WORK_SECONDS)
            if supervisor.stop_reason is None:
                show(welcome(plan))
            supervisor.run_until(lambda: False)
        except StartFailed as exc:
            show(f"\nForekeep could not start: {exc.part}: {exc.reason}")
            for line in console.get_tail(exc.part, _TAIL_LINES):
                show(f"  {readable(line)}")
            code = 1
        except StartStopped:
            pass
        show("\nStopping …")
        console.hush()
    console.close()
    show("Stopped; nothing is left running.")
    return code


def is_at_work(console: Console, home: Path) -> bool:
    """Whether the worker and every local keeper have said that they are up."""
    keepers = len(list(home.glob("keepers/*/keystore.json")))
    return (
        console.count_heard("worker", "ready") > 0
        and console.count_heard("keepers", "keeper starts") >= keepers
    )


def welcome(plan: DeploymentPlan) -> str:
    """What a person needs to know now; the admin password is shown at the first start only."""
    env_file, key_file = plan.home / ENV_FILE, plan.home / API_KEY_FILE
    password = f"password: {plan.values['ADMIN_PASSWORD']}" if plan.is_first_start else "password"
    rows = [
        ("Pages", f"{plan.web_url}/"),
        ("Admin", f"{plan.web_url}/admin/  user: admin  {password} (kept in {env_file} as ADMIN_PASSWORD)"),
        ("API", f"{plan.web_url}/api/v1/  docs: {plan.web_url}/api/docs  key: in {key_file}"),
        ("Flower", f"http://127.0.0.1:{plan.ports['flower']}/  login: FLOWER_BASIC_AUTH in {env_file}"),
        ("Chain", f"{plan.chain_url}  (JSON-RPC)"),
        ("Logs", f"{plan.home / 'log'}/"),
    ]
    lines = [f"  {name:<8}{text}" for name, text in rows]
    return "\n".join(["", "Forekeep runs. Ctrl-C stops it.", "", *lines, ""])


def _refusal(exc: Exception, home: Path) -> str:
    match exc:
        case HomeInUse():
            return (
                f"Forekeep already runs in {home} (process {exc.pid}). Stop it first (Ctrl-C in its "
                "terminal), or start another one with FOREKEEP_HOME=/another/folder make up."
            )
        case DomainError():
            return f"Forekeep cannot start: {exc}"
        case _:
            return f"Forekeep cannot use {home}: {exc}"


if __name__ == "__main__":
    sys.exit(main())
