"""An edit of a stored job: the changed fields laid over the stored form, to be read anew as a whole."""

from collections.abc import Mapping
from typing import Any

from apps.jobs.domain.validation import JOB_FIELDS, STEP_FIELDS
from apps.kernel.reading import FieldInvalid, FieldUnknown


def merge_changes(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The whole job after the edit, in the form `definition_from_json` reads.

    A field that is null goes back to its default. Fields of a step may stand at the top level only while
    the job has the one step `main`. Raise FieldUnknown or FieldInvalid.
    """
    for name in changes:
        if name not in JOB_FIELDS | STEP_FIELDS:
            raise FieldUnknown(
                pointer=f"/{name[:80]}", field=name[:80], known=sorted(JOB_FIELDS | STEP_FIELDS)
            )
    merged = {**stored, **{name: changes[name] for name in JOB_FIELDS & set(changes)}}
    if "trigger_kind" in changes:
        merged |= {name: None for name in ("schedule", "event", "condition") if name not in changes}

    step_changes = {name: changes[name] for name in sorted(STEP_FIELDS & set(changes))}
    if not step_changes:
        return merged
    steps = stored["steps"]
    if "steps" in changes or [step["key"] for step in steps] != ["main"]:
        raise FieldInvalid(
            pointer=f"/{next(iter(step_changes))}", reason="with steps given, this belongs in a step"
        )
    step = {**steps[0], **step_changes}
    if "script_source" in step_changes and "script" not in step_changes:
        step["script"] = None
    return {**{name: value for name, value in merged.items() if name != "steps"}, **_of_main(step)}


def _of_main(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name != "key"}
