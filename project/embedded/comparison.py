"""Running ahead, measured: the same job with speculation off and on, side by side.

All pairs start together, both runs of a pair in the same moment, so that no run has the machine to itself;
everything else waits until the runs that go ahead are done. How busy the machine was with others is
measured as well: outputs of other runs' tasks per second while a run was open. Where that is higher for the
run that went ahead, the comparison is to its disadvantage.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from project.embedded.following import Followed, find_pairs, job_id_of

_HEAD: Final = (
    ("", "output", "", "", "confirmed", "", "", "others/s", ""),
    ("job", "off", "on", "sooner", "off", "on", "sooner", "off", "on"),
)


def build_comparison(followed: Followed) -> list[dict[str, Any]]:
    """One entry per pair; a time is null until it has come.

    Both times begin with opening the run: `output_seconds` until its last task had its output,
    `confirmed_seconds` until its last task was confirmed. `others_per_second` are the outputs of all other
    runs' tasks in the latter time.
    """
    return [
        _entry(name, *(_measure(followed, job_id) for job_id in pair))
        for name, pair in find_pairs(followed.jobs).items()
    ]


def format_comparison(report: Mapping[str, Any]) -> str:
    """The pairs as a table; empty where there are none."""
    if not report["comparison"]:
        return ""
    rows = [*_HEAD, *(_row(entry) for entry in report["comparison"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(len(_HEAD), "  ".join("─" * width for width in widths))
    title = (
        "Speculation off and on: seconds from opening the run to its last output and last confirmation.",
        "All of them started together; others/s counts what the tasks of other runs put out meanwhile.",
    )
    return "\n".join((*title, *(line.rstrip() for line in lines)))


def moment(text: object) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(str(text))


def _entry(name: str, off: dict[str, Any], on: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "off": off,
        "on": on,
        "output_ratio": _ratio(off["output_seconds"], on["output_seconds"]),
        "confirmed_ratio": _ratio(off["confirmed_seconds"], on["confirmed_seconds"]),
    }


def _measure(followed: Followed, job_id: str) -> dict[str, Any]:
    run = next((run for run in followed.runs.values() if job_id_of(run) == job_id), None)
    tasks: Sequence[Mapping[str, Any]] = run["tasks"] if run else ()
    opened = moment(run["opened_at"]) if run else None
    output, confirmed = _last(tasks, "executed"), _last(tasks, "confirmed")
    others = [task for other, task in followed.get_tasks() if other is not run]
    return {
        "job": job_id,
        "run": run["id"] if run else None,
        "steps": len(tasks),
        "output_seconds": _seconds(opened, output),
        "confirmed_seconds": _seconds(opened, confirmed),
        "others_per_second": _outputs_per_second(others, opened, confirmed),
    }


def _last(tasks: Sequence[Mapping[str, Any]], state: str) -> datetime | None:
    """When the last task entered the state; None while one has not."""
    times = [_moment_of(task, state) for task in tasks]
    come = [at for at in times if at is not None]
    return max(come) if come and len(come) == len(times) else None


def _outputs_per_second(
    tasks: Sequence[Mapping[str, Any]], since: datetime | None, until: datetime | None
) -> float | None:
    if since is None or until is None or until <= since:
        return None
    outputs = [at for task in tasks if (at := _moment_of(task, "executed")) is not None]
    return round(sum(since <= at <= until for at in outputs) / (until - since).total_seconds(), 2)


def _moment_of(task: Mapping[str, Any], state: str) -> datetime | None:
    at = (task.get("timeline") or {}).get(state)
    return moment(at) if at else None


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return None if since is None or until is None else round((until - since).total_seconds(), 2)


def _ratio(off: float | None, on: float | None) -> float | None:
    return round(off / on, 2) if off and on else None


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    off, on = entry["off"], entry["on"]
    return (
        f"{entry['name']}, {on['steps']} steps",
        _shown(off["output_seconds"]),
        _shown(on["output_seconds"]),
        _shown(entry["output_ratio"], "×"),
        _shown(off["confirmed_seconds"]),
        _shown(on["confirmed_seconds"]),
        _shown(entry["confirmed_ratio"], "×"),
        _shown(off["others_per_second"]),
        _shown(on["others_per_second"]),
    )


def _shown(value: float | None, unit: str = "") -> str:
    return "·" if value is None else f"{value:.1f}{unit}"
