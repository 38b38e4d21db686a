"""What the demo tells: one entry per task, as a file for programs and as a table for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from project.embedded.chain_reading import BoardValues, ChainAnswer, SettlementClaim
from project.embedded.comparison import build_comparison
from project.embedded.drill import build_drill
from project.embedded.following import Followed, job_id_of

#: The columns of the table: a stage is the time from the column before it to this state.
_STAGES: Final = ("scheduled", "executing", "executed", "attested", "proved", "submitted", "confirmed")


def build_claims(followed: Followed) -> list[SettlementClaim]:
    """What the API says about each task's settlement, in the report's order."""
    return [
        SettlementClaim(
            task_id=str(task["id"]),
            proof_of_task=str(_settlement(task).get("proof_of_task") or ""),
            tx_hash=str(_settlement(task).get("tx_hash") or ""),
        )
        for _, task in followed.get_tasks()
    ]


def build_report(
    followed: Followed,
    answers: Sequence[ChainAnswer],
    boards: BoardValues | None,
    seconds: Mapping[str, float],
    *,
    is_drill_expected: bool = False,
) -> dict[str, Any]:
    """The content of `report.json`; `seconds` are the demo's own times by name.

    The drill is expected where proofs are required and speculation is on.
    """
    by_id = {answer.task_id: answer for answer in answers}
    tasks = [
        _task_entry(followed, run, task, by_id.get(str(task["id"]))) for run, task in followed.get_tasks()
    ]
    confirmed = sum(entry["confirmed"] for entry in tasks)
    return {
        "totals": {
            "jobs": len(followed.jobs),
            "runs": len(followed.runs),
            "tasks": len(tasks),
            "confirmed": confirmed,
            "not_confirmed": len(tasks) - confirmed,
            "transactions": len({entry["tx_hash"] for entry in tasks if entry["tx_hash"]}),
            "is_complete": followed.is_finished(),
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
        },
        "comparison": build_comparison(followed),
        "drill": build_drill(followed, is_expected=is_drill_expected),
        "tasks": tasks,
        "price_board": dict(boards.prices) if boards else {},
        "alarm_board": dict(boards.alarms) if boards else {},
    }


def is_success(report: Mapping[str, Any]) -> bool:
    """Whether every job ran to its end, every task is confirmed by the chain, and the drill was seen."""
    totals = report["totals"]
    is_all_confirmed = totals["is_complete"] and totals["tasks"] and not totals["not_confirmed"]
    return bool(is_all_confirmed and not report["drill"]["problems"])


def format_table(report: Mapping[str, Any]) -> str:
    """Every task with the seconds each stage took, and where on the chain it is."""
    head = ["job", "step", *_STAGES, "total", "votes", "block", "chain"]
    rows = [head, *(_row(entry) for entry in report["tasks"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def format_boards(report: Mapping[str, Any]) -> str:
    """What the example contracts hold now; empty where nothing was written."""
    lines = [f"  {symbol:<8} {figure}" for symbol, figure in report["price_board"].items()]
    if lines:
        lines.insert(0, "Price board, as read from the chain:")
    alarms = [f"  {station:<8} {count}" for station, count in report["alarm_board"].items()]
    if alarms:
        lines += ["Alarm board, alarms per station:", *alarms]
    return "\n".join(lines)


def _task_entry(
    followed: Followed, run: Mapping[str, Any], task: Mapping[str, Any], answer: ChainAnswer | None
) -> dict[str, Any]:
    attestation = task.get("attestation") or {}
    timeline = sorted((task.get("timeline") or {}).items(), key=lambda item: _moment(item[1]))
    job_id = job_id_of(run)
    return {
        "id": task["id"],
        "job": job_id,
        "job_name": followed.jobs.get(job_id, {}).get("name", ""),
        "run": run["id"],
        "step": task["step_key"],
        "status": task["status"],
        "states": [{"state": state, "at": at} for state, at in timeline],
        "stage_seconds": _stage_seconds(timeline),
        "performer": task.get("performer"),
        "committee": attestation.get("committee", []),
        "votes": attestation.get("votes", []),
        "quorum": attestation.get("required"),
        "positive_votes": attestation.get("positive"),
        "verdict": attestation.get("verdict"),
        "cid": task.get("output_cid"),
        "package_cid": task.get("package_cid"),
        "tx_hash": _settlement(task).get("tx_hash"),
        "proof_of_task": _settlement(task).get("proof_of_task"),
        "block": answer.block_number if answer else None,
        "block_hash": answer.block_hash if answer else None,
        "depth": answer.depth if answer else 0,
        "confirmed": bool(answer and answer.is_confirmed and task["status"] == "confirmed"),
        "problems": list(answer.problems) if answer else ["not looked up on the chain"],
        "error": task.get("error"),
    }


def _stage_seconds(timeline: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Per state the seconds since the state before it, and `total` from first to last."""
    seconds: dict[str, float] = {}
    times = [(state, _moment(at)) for state, at in timeline]
    for (_, before), (state, at) in pairwise(times):
        seconds[state] = round((at - before).total_seconds(), 3)
    if times:
        seconds["total"] = round((times[-1][1] - times[0][1]).total_seconds(), 3)
    return seconds


def _moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text))


def _row(entry: Mapping[str, Any]) -> list[str]:
    columns = {**_columns(entry), "total": entry["stage_seconds"].get("total")}
    times = ["·" if columns[name] is None else f"{columns[name]:.2f}" for name in (*_STAGES, "total")]
    chain = "confirmed" if entry["confirmed"] else f"NOT CONFIRMED ({entry['status']})"
    return [
        str(entry["job_name"]),
        str(entry["step"]),
        *times,
        f"{entry['positive_votes'] or 0}/{len(entry['committee'])}",
        str(entry["block"] if entry["block"] is not None else "·"),
        chain,
    ]


def _columns(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """Seconds per column: a state without one of its own counts for the next that has one."""
    columns: dict[str, float | None] = dict.fromkeys(_STAGES)
    waited = 0.0
    for state in (each["state"] for each in entry["states"]):
        waited += entry["stage_seconds"].get(state, 0.0)
        if state in columns and state in entry["stage_seconds"]:
            columns[state], waited = waited, 0.0
    return columns


def _settlement(task: Mapping[str, Any]) -> Mapping[str, Any]:
    return task.get("settlement") or {}
