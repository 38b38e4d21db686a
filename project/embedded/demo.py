"""`make demo`: the whole deployment in a scratch folder, the example jobs to their end, a report.

Run as `python -m project.embedded.demo`. It exits 0 only if every task is confirmed as read back
from the chain and the invariants hold; at its deadline it says what is missing. Nothing is left running.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from apps.kernel.errors import DomainError
from project.embedded.chain_reading import BoardValues, ChainAnswer, ChainReader, JsonRpc
from project.embedded.comparison import format_comparison
from project.embedded.console import Console, show
from project.embedded.deployment import (
    DeploymentPlan,
    StartFailed,
    StartStopped,
    bring_up,
    plan_deployment,
)
from project.embedded.drill import format_drill
from project.embedded.following import Api, ApiRefused, Followed, read_rollbacks, run_examples
from project.embedded.home import API_KEY_FILE, HomeInUse, lock_home
from project.embedded.ports import PREFERRED_PORTS, find_free_ports
from project.embedded.report import build_claims, build_report, format_boards, format_table, is_success
from project.embedded.supervisor import ProcessSpec, Supervisor
from project.env import REPOSITORY, read_settings

_DEADLINE_SECONDS: Final = 120.0
_CHAIN_PATIENCE_SECONDS: Final = 6.0
_TAIL_LINES: Final = 12
_FOLDER: Final = REPOSITORY / "var" / "demo"
#: no example reads more than the smallest circuit takes, and the next one's keys cost 15 s of CPU
_SMALL: Final = {"FOREKEEP_PROOFS_SIZES": "16"}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the demo found out, filled by the thread that drives it."""

    followed: Followed = field(default_factory=Followed)
    answers: list[ChainAnswer] = field(default_factory=list)
    boards: BoardValues | None = None
    failure: str | None = None
    is_drill_expected: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Run the demo; 0 for full success, 1 for anything less, 130 when stopped."""
    began = time.monotonic()
    home = _FOLDER / "home"
    try:
        lock = lock_home(_FOLDER)
    except HomeInUse as exc:
        show(f"Another demo runs in {_FOLDER} (process {exc.pid}); wait for it or stop it.")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    (_FOLDER / "report.json").unlink(missing_ok=True)
    plan = plan_deployment(home, {**_SMALL, **os.environ}, find_free_ports(tuple(PREFERRED_PORTS)))

    show(f"Starting a scratch deployment in {home} (logs in {home / 'log'}) …")
    outcome = Outcome()
    console = Console(folder=home / "log", is_quiet=True)
    is_tied = bool(os.environ.get("FOREKEEP_STOPS_WITH_PARENT"))
    with Supervisor(output=console, kept_fd=lock, is_tied_to_parent=is_tied) as supervisor:
        are_invariants_kept = _run(supervisor, plan, outcome, began)
        was_stopped = supervisor.stop_reason is not None
    outcome.seconds["total"] = time.monotonic() - began
    console.close()
    if was_stopped:
        show("Stopped; nothing is left running.")
        return 130
    return _conclude(outcome, console, are_invariants_kept)


def _run(supervisor: Supervisor, plan: DeploymentPlan, outcome: Outcome, began: float) -> bool:
    """Bring the deployment up, drive it, stop the Procfile and check the invariants."""
    try:
        bring_up(supervisor, plan, patience_seconds=_DEADLINE_SECONDS - 10)
    except StartFailed as exc:
        outcome.failure = f"{exc.part}: {exc.reason}"
        return False
    except StartStopped:
        return False
    outcome.seconds["start"] = time.monotonic() - began
    show(f"Up after {outcome.seconds['start']:.1f} s at {plan.web_url}; running the example jobs …")

    is_stopped = threading.Event()
    driver = threading.Thread(
        target=_drive, args=(plan, outcome, began + _DEADLINE_SECONDS, is_stopped), daemon=True
    )
    driver.start()
    supervisor.run_until(lambda: not driver.is_alive())
    is_stopped.set()
    driver.join(timeout=0.2 if supervisor.stop_reason else 15)
    outcome.seconds["jobs"] = time.monotonic() - began - outcome.seconds["start"]
    if supervisor.stop_reason is not None:
        return False

    supervisor.stop(lowest_wave=1)
    return _check_invariants(supervisor, plan)


def _drive(plan: DeploymentPlan, outcome: Outcome, deadline: float, is_stopped: threading.Event) -> None:
    """Everything a client does, in a thread of its own; a failure is kept as one sentence."""
    api = Api(url=plan.web_url, key=(plan.home / API_KEY_FILE).read_text().strip())
    settings = read_settings(plan.environment)
    chain = settings.chain
    outcome.is_drill_expected = settings.proofs.is_required and settings.speculation.is_enabled
    rpc = JsonRpc(chain.rpc_url)
    try:
        deployment = json.loads(chain.deployment_file.read_text())
        reader = ChainReader(call_many=rpc, deployment=deployment, confirmations=chain.confirmations)
        run_examples(api, outcome.followed, deadline=deadline, is_stopped=is_stopped.is_set)
        read_rollbacks(api, outcome.followed)
        claims = build_claims(outcome.followed)
        give_up_at = min(deadline + 2.0, time.monotonic() + _CHAIN_PATIENCE_SECONDS)
        while not is_stopped.is_set():
            outcome.answers = reader.check(claims)
            if all(answer.is_confirmed for answer in outcome.answers) or time.monotonic() > give_up_at:
                break
            time.sleep(0.5)
        outcome.boards = reader.read_boards(claims)
    except ApiRefused as exc:
        outcome.failure = f"{exc.method} {exc.path} was answered {exc.status}: {exc.body}"
    except (httpx2.HTTPError, KeyError, TypeError, ValueError, OSError) as exc:
        outcome.failure = f"{type(exc).__name__}: {exc}"
    finally:
        api.close()
        rpc.close()


def _check_invariants(supervisor: Supervisor, plan: DeploymentPlan) -> bool:
    """The operator's own command over the finished deployment."""
    spec = ProcessSpec(
        name="invariants",
        command="python manage.py check_invariants",
        environment=plan.environment,
        folder=REPOSITORY,
        is_restarted=False,
    )
    return supervisor.run_to_end(spec) == 0


def _conclude(outcome: Outcome, console: Console, are_invariants_kept: bool) -> int:
    """Write the report, print the table, say whether all is well."""
    report = build_report(
        outcome.followed,
        outcome.answers,
        outcome.boards,
        outcome.seconds,
        is_drill_expected=outcome.is_drill_expected,
    )
    report["invariants_hold"] = are_invariants_kept
    report["failure"] = outcome.failure
    path = _FOLDER / "report.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    is_good = is_success(report) and are_invariants_kept and outcome.failure is None

    if report["tasks"]:
        show("\n" + format_table(report))
        show("\n" + format_boards(report))
        show("\n" + format_comparison(report))
        show("\n" + format_drill(report))
    totals = report["totals"]
    invariants = "hold" if are_invariants_kept else "DO NOT HOLD"
    show(
        f"\n{totals['confirmed']} of {totals['tasks']} tasks confirmed on the chain in "
        f"{totals['transactions']} transactions; invariants {invariants}; "
        f"{outcome.seconds['total']:.1f} s in all. Report: {path}"
    )
    if not is_good:
        _show_failure(outcome, report, console)
    return 0 if is_good else 1


def _show_failure(outcome: Outcome, report: Mapping[str, Any], console: Console) -> None:
    show("\nThe demo FAILED.")
    if outcome.failure:
        show(f"  {outcome.failure}")
    for problem in report["drill"]["problems"]:
        show(f"  The drill: {problem}")
    for entry in report["tasks"]:
        if not entry["confirmed"]:
            last = entry["states"][-1]["at"] if entry["states"] else "never"
            problems = "; ".join(entry["problems"])
            show(f"  {entry['id']} {entry['step']}: {entry['status']} since {last}: {problems}")
    for job_id, job in outcome.followed.jobs.items():
        if job_id not in {entry["job"] for entry in report["tasks"]}:
            show(f"  {job_id} {job.get('name', '')}: has not run")
    for name in console.get_names():
        show(f"\n  Last lines of {name}:")
        for line in console.get_tail(name, _TAIL_LINES):
            show(f"    {line[:300]}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DomainError as refusal:
        show(f"The demo cannot start: {refusal}")
        sys.exit(1)
