"""The fire drill as a person sees it: whose proof was rejected, what fell with it, who paid, how it ended.

Everything is read through the API: the run, and what it says of the run's rollbacks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from project.embedded.comparison import moment
from project.embedded.following import Followed, job_id_of

#: the name of the example job (`examples/drill/job.json`)
DRILL_JOB: Final = "Fire drill"
_REASON: Final = "proof_rejected"


def build_drill(followed: Followed, *, is_expected: bool) -> dict[str, Any]:
    """The drill's part of the report; `problems` says what was not seen, where it is to be seen at all."""
    run = _run_of_drill(followed)
    tasks = {str(task["id"]): task for task in (run or {}).get("tasks", ())}
    found = [] if run is None else followed.rollbacks.get(str(run["id"]), [])
    rollbacks = [_rollback(rollback, tasks) for rollback in sorted(found, key=lambda each: str(each["id"]))]
    report: dict[str, Any] = {
        "run": run["id"] if run else None,
        "status": run["status"] if run else None,
        "seconds": _seconds(run),
        "rollbacks": rollbacks,
        "slashed_units": str(sum(int(each["slashed_units"]) for each in rollbacks)),
        "steps": [
            {"step": task["step_key"], "status": task["status"], "failures": task.get("failures", 0)}
            for task in tasks.values()
        ],
    }
    return {**report, "problems": _problems(report) if is_expected else []}


def format_drill(report: Mapping[str, Any]) -> str:
    """The drill in a few lines; empty where there was none."""
    drill = report["drill"]
    if drill["run"] is None:
        return ""
    lines = [f"The fire drill ({drill['run']}):"]
    for rollback in drill["rollbacks"]:
        fallen = ", ".join(f"{item['step']} {item['became']}".strip() for item in rollback["items"])
        slashed = f"{int(rollback['slashed_units']):,} units of {rollback['keeper'] or 'nobody'}"
        lines.append(f"  {rollback['root']}: {rollback['reason']}; {rollback['size']} tasks undone: {fallen}")
        lines.append(f"  slashed: {slashed}")
    if not drill["rollbacks"]:
        lines.append("  nothing was rolled back")
    retried = [step["step"] for step in drill["steps"] if step["failures"] and step["status"] == "confirmed"]
    confirmed = sum(step["status"] == "confirmed" for step in drill["steps"])
    after = "" if drill["seconds"] is None else f" {drill['seconds']:.1f} s after the run was opened"
    again = f", {', '.join(retried)} at another attempt" if retried else ""
    lines.append(f"  in the end: {confirmed} of {len(drill['steps'])} tasks confirmed{after}{again}")
    return "\n".join([*lines, *(f"  NOT SEEN: {problem}" for problem in drill["problems"])])


def _run_of_drill(followed: Followed) -> Mapping[str, Any] | None:
    names = {job_id: job.get("name") for job_id, job in followed.jobs.items()}
    runs = sorted(followed.runs.values(), key=lambda run: str(run["id"]))
    return next((run for run in runs if names.get(job_id_of(run)) == DRILL_JOB), None)


def _rollback(rollback: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    items = [_item(item, tasks) for item in rollback.get("items", ())]
    root = _step_of(rollback["root"], tasks)
    return {
        "id": rollback["id"],
        "reason": rollback["reason"],
        "root": root,
        "size": int(rollback["size"]),
        "slashed_units": str(rollback.get("slashed_units") or 0),
        "keeper": rollback.get("slashed_keeper")
        or next((item["keeper"] for item in items if item["step"] == root), None),
        # The root first, as it happened; the record has the leaves first.
        "items": sorted(items, key=lambda item: item["position"]),
    }


def _item(item: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One task of a cascade. Its document may name the task by its id or hold it as an object."""
    task = tasks.get(_id_of(item.get("task")), {})
    return {
        "task": _id_of(item.get("task")),
        "step": _step_of(item.get("task"), tasks),
        "position": task.get("position", 0),
        "became": str(item.get("target") or item.get("status") or ""),
        "keeper": item.get("keeper"),
    }


def _id_of(task: Any) -> str:
    return str(task.get("id") if isinstance(task, Mapping) else task)


def _step_of(task: Any, tasks: Mapping[str, Mapping[str, Any]]) -> str:
    known = tasks.get(_id_of(task))
    return str(known["step_key"]) if known else _id_of(task)


def _seconds(run: Mapping[str, Any] | None) -> float | None:
    if run is None or not run.get("finished_at"):
        return None
    return round((moment(run["finished_at"]) - moment(run["opened_at"])).total_seconds(), 2)


def _problems(drill: Mapping[str, Any]) -> list[str]:
    rejected: Sequence[Mapping[str, Any]] = [r for r in drill["rollbacks"] if r["reason"] == _REASON]
    seen = {
        "no run of the drill was found": drill["run"] is not None,
        "no proof was rejected": bool(rejected),
        "nothing ran ahead of the rejected proof, so nothing went down with it": any(
            rollback["size"] > 1 for rollback in rejected
        ),
        "nobody was slashed": any(int(rollback["slashed_units"]) > 0 for rollback in rejected),
        "the retry did not succeed": drill["status"] == "confirmed",
    }
    return [problem for problem, is_fine in seen.items() if not is_fine]
