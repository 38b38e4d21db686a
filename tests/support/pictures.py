"""Whether the picture that a run's frames give is the one its rows give."""

from typing import Any, Final

from apps.progress.domain.frames import Frame, fold, frame_of
from apps.progress.selectors import get_run_document
from apps.progress.streams.tail import StreamScope, _read
from apps.tasks.models import Run

#: the fields of a task's wire form that its frames carry
TASK_FIELDS: Final = (
    "status",
    "performer",
    "output_cid",
    "package_cid",
    "timeline",
    "epoch",
    "error",
    "depth",
    "failures",
    "is_ahead",
    "is_failing",
)
ROLLBACK_FIELDS: Final = (
    "phase",
    "scope",
    "size",
    "depth",
    "recovery",
    "is_retried",
    "slashed_units",
    "treasury_units",
    "released_units",
    "wasted_units",
)


def get_frames(run: Run) -> list[Frame]:
    """Every frame of a run, in order."""
    frames: list[Frame] = []
    while events := _read(StreamScope(run_id=run.pk), frames[-1].sequence if frames else 0):
        frames += map(frame_of, events)
    return frames


def find_differences(run: Run) -> list[tuple[str, str, Any, Any]]:
    """(what, field, as folded, as shown) of everything that differs between the frames and the document."""
    shown = get_run_document(run.pk, None)
    picture = fold(get_frames(run))
    compared = [
        ("run", picture[shown["id"]], shown, ("status",)),
        *((task["step_key"], picture[task["id"]], task, TASK_FIELDS) for task in shown["tasks"]),
        *((one["id"], picture[one["id"]], one, ROLLBACK_FIELDS) for one in shown["rollbacks"]),
    ]
    return [
        (what, name, told.get(name), row[name])
        for what, told, row, names in compared
        for name in names
        if told.get(name) != row[name]
    ]
