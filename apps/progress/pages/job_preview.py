"""What a job that is being written would do: its fires, its price, its calls, or what is wrong with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpRequest

from apps.accounts.models import Project
from apps.eventlog.selectors import get_database_now
from apps.jobs.data import JobDefinition, definition_from_json, estimate
from apps.jobs.errors import PriceUnknown
from apps.jobs.selectors import preview_schedule
from apps.jobs.terms import get_bounds, get_gas_price_wei, get_prices
from apps.kernel.errors import DomainError
from apps.ledger.selectors import get_project_balances
from apps.progress.domain.frames import to_rfc3339
from apps.progress.domain.job_form import body_of, field_of
from apps.progress.domain.trigger_words import describe_trigger
from apps.progress.domain.zones import localize

FIRES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one field: a sentence, the reason, the stable code, where in the body."""

    field: str
    title: str
    reason: str
    code: str
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A form as it was read. `definition` is None where there are faults."""

    body: dict[str, Any]
    definition: JobDefinition | None
    faults: tuple[Fault, ...]


def read_draft(form: Mapping[str, str], *, is_begun: bool = False) -> Draft:
    """The form's body and definition, or what is wrong with it. One just begun may lack its name."""
    if is_begun and not form.get("name", "").strip():
        form = {**form, "name": "unnamed"}
    built = body_of(form)
    if built.unread:
        faults = tuple(
            Fault(field=field, title="This is not JSON", reason=reason, code="body_malformed", pointer="")
            for field, reason in built.unread.items()
        )
        return Draft(body=built.body, definition=None, faults=faults)
    try:
        definition = definition_from_json(built.body, get_bounds())
    except DomainError as exc:
        return Draft(body=built.body, definition=None, faults=(fault_of(exc, form),))
    return Draft(body=built.body, definition=definition, faults=())


def fault_of(error: DomainError, form: Mapping[str, str]) -> Fault:
    """The refusal, at the field it is about."""
    fields = {name: value for name, value in error.fields.items() if name != "reason"}
    facts = [f"{name} {_said(value)}" for name, value in fields.items()]
    reason = "; ".join([*([str(error.fields["reason"])] if "reason" in error.fields else []), *facts])
    return Fault(
        field=field_of(error.pointer, form),
        title=error.title,
        reason=reason,
        code=error.code,
        pointer=error.pointer or "",
    )


def preview_context(request: HttpRequest, project: Project | None, draft: Draft) -> dict[str, Any]:
    """All that the fragment shows."""
    context: dict[str, Any] = {
        "draft": draft,
        "balance_units": get_project_balances(project.id)[0] if project else None,
        "curl": curl_of(request, draft.body, project),
        "python": python_of(request, draft.body, project),
    }
    if draft.definition is None:
        return context
    definition = draft.definition.to_json()
    zone = (definition["schedule"] or {}).get("zone") or "UTC"
    context |= {"trigger": describe_trigger(definition), "zone": zone, "calls": _calls(definition)}
    context["fires"] = _fires(draft.definition, zone, get_database_now())
    try:
        context["cost"] = estimate(draft.definition, get_gas_price_wei(), get_prices())
    except PriceUnknown:
        context["cost"] = None
    return context


def curl_of(request: HttpRequest, body: Mapping[str, Any], project: Project | None) -> str:
    """The same job as a command."""
    text = json.dumps(_addressed(body, project), indent=2, ensure_ascii=False).replace("'", "'\\''")
    return "\n".join(
        (
            f"curl -X POST {request.build_absolute_uri('/api/v1/jobs')} \\",
            '  -H "Authorization: Bearer $FOREKEEP_API_KEY" \\',
            '  -H "Content-Type: application/json" \\',
            f"  -d '{text}'",
        )
    )


def python_of(request: HttpRequest, body: Mapping[str, Any], project: Project | None) -> str:
    """The same job as a program that needs nothing but Python."""
    text = json.dumps(_addressed(body, project), indent=2)
    return "\n".join(
        (
            "import json",
            "import os",
            "import urllib.request",
            "",
            f"job = json.loads({text!r})",
            "request = urllib.request.Request(",
            f"    {request.build_absolute_uri('/api/v1/jobs')!r},",
            "    data=json.dumps(job).encode(),",
            "    headers={",
            '        "Authorization": "Bearer " + os.environ["FOREKEEP_API_KEY"],',
            '        "Content-Type": "application/json",',
            "    },",
            ")",
            "with urllib.request.urlopen(request) as response:",
            '    print(json.load(response)["id"])',
        )
    )


def _addressed(body: Mapping[str, Any], project: Project | None) -> dict[str, Any]:
    return {**({"project": project.slug} if project else {}), **body}


def _fires(definition: JobDefinition, zone: str, now: datetime) -> Sequence[dict[str, str]]:
    if definition.schedule is None:
        return ()
    count = 1 if not definition.recurring else min(FIRES, definition.max_fires or FIRES)
    found = preview_schedule(definition.schedule, count, now)
    end = definition.expires_at or datetime.max.replace(tzinfo=UTC)
    return [{"utc": to_rfc3339(each), "local": localize(each, zone)} for each in found if each < end]


def _calls(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of the steps, in their order."""
    return [
        {"step": step["key"], "arguments": step["arguments"], **step["action"]}
        for step in definition["steps"]
        if step["action"]
    ]


def _said(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return str(value)
