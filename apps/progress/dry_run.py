"""What a job would do if it fired now, without firing it: nothing is stored, nothing is sent."""

from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.db import transaction

from apps.chains.data import Call
from apps.chains.networks import get_networks, open_network_client
from apps.chains.selectors import get_deployment
from apps.content.domain.cid import cid_of
from apps.content.store import ContentStore
from apps.eventlog.selectors import get_database_now
from apps.execution.domain.action import derive_action
from apps.jobs.data import ArgumentsKind, CustomAction, JobDefinition, JobStatus, StepDefinition, estimate
from apps.jobs.errors import PriceUnknown
from apps.jobs.models import Job
from apps.jobs.selectors import get_definition, preview
from apps.jobs.services import job_create
from apps.jobs.terms import get_gas_price_wei, get_prices
from apps.kernel.errors import DomainError, Invalid
from apps.kernel.hashing import to_hex
from apps.ledger.selectors import get_project_balances
from apps.progress.domain.blast import compute_blast
from apps.progress.domain.frames import to_rfc3339
from apps.progress.why import comparison_document
from apps.speculation.terms import get_bond_terms, get_terms
from apps.triggers.data import (
    Condition,
    EventTrigger,
    PickFault,
    Verdict,
    matches,
)
from apps.watching.evaluations import evaluate_now

Document = dict[str, Any]

_FIRES: Final = 5
#: so many blocks back a dry run looks for logs
_BLOCKS: Final = 1_000
_TIMEOUT_SECONDS: Final = 2.0
_NOT_FETCHED: Final = PickFault(code="not_fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionCheck:
    """What a condition says now; `verdict.is_met` is None where a value it hangs on is not known."""

    verdict: Verdict
    code: str
    explanation: str


class _Unwritten:
    """A content store that takes what is put and keeps nothing."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    def put(self, data: bytes) -> str:
        return cid_of(data)

    def get(self, cid: str) -> bytes:
        return self._store.get(cid)

    def has(self, cid: str) -> bool:
        return self._store.has(cid)


def dry_run_body(*, project_id: UUID, definition: JobDefinition, store: ContentStore) -> Document:
    """Dry-run a job that does not exist, checked as its creation would check it and then taken back.

    Raises what `job_create` raises.
    """
    with transaction.atomic():
        job = job_create(
            project_id=project_id, definition=definition, store=cast(ContentStore, _Unwritten(store))
        )
        transaction.set_rollback(True)
    return {**dry_run_job(job), "job": None}


def dry_run_job(job: Job) -> Document:
    """What a job would do if it fired now."""
    definition = get_definition(job)
    now = get_database_now()
    fires = [to_rfc3339(fire) for fire in preview(job, _FIRES, now)]
    trigger = _check_trigger(definition, job.project_id)
    cost = _cost(definition, job.project_id)
    would_fire, code, explanation = _decide(job, definition, fires, trigger, cost)
    return {
        "job": job.wire_id,
        "at": to_rfc3339(now),
        "would_fire": would_fire,
        "why": {"code": code, "explanation": explanation},
        "next_fires": fires,
        "trigger": trigger,
        "calls": _calls(definition),
        "cost": cost,
        **_risk(job, definition),
    }


def check_condition(condition: Condition, project_id: UUID) -> ConditionCheck:
    """Evaluate a condition once, now: every source is asked, as the poller would."""
    verdict = evaluate_now(condition, project_id)
    if verdict.is_met is None:
        fault = next((leaf.fault for leaf in verdict.leaves if leaf.fault), _NOT_FETCHED)
        return ConditionCheck(
            verdict=verdict,
            code=fault.code,
            explanation=f"A value is not known: {fault.detail or fault.code}.",
        )
    if verdict.is_met:
        return ConditionCheck(verdict=verdict, code="condition_met", explanation="The condition is met now.")
    return ConditionCheck(
        verdict=verdict, code="condition_not_met", explanation="The condition is not met now."
    )


def _check_trigger(definition: JobDefinition, project_id: UUID) -> Document | None:
    if definition.event is not None:
        return _check_event(definition.event)
    if definition.condition is not None:
        found = check_condition(definition.condition, project_id)
        leaves = [comparison_document(leaf) for leaf in found.verdict.leaves]
        return {
            "kind": "condition",
            "met": found.verdict.is_met,
            "code": found.code,
            "explanation": found.explanation,
            "leaves": leaves,
        }
    return None


def _check_event(trigger: EventTrigger) -> Document:
    """How many logs of the last blocks would have fired; null where the chain does not say."""
    shown: Document = {
        "kind": "event",
        "chain_id": trigger.chain_id,
        "matched": None,
        "from_block": None,
        "to_block": None,
    }
    network = get_networks().get(trigger.chain_id)
    if network is None:
        return {**shown, "code": "chain_unknown", "explanation": "No URL is set for its chain."}
    try:
        client = open_network_client(network, timeout_seconds=_TIMEOUT_SECONDS)
        client.require_chain(trigger.chain_id)
        head = client.get_head().number
        first = max(0, head - _BLOCKS + 1)
        logs = client.get_logs(
            addresses=[trigger.address], from_block=first, to_block=head, topics=trigger.topics_filter()
        )
    except DomainError as exc:
        return {**shown, "code": exc.code, "explanation": "Its chain did not answer."}
    found = sum(
        bool(matches(trigger, {"address": log.address, "topics": log.topics, "data": log.data}))
        for log in logs
    )
    return {
        **shown,
        "matched": found,
        "from_block": first,
        "to_block": head,
        "code": "logs_matched" if found else "no_log_matched",
        "explanation": f"{found} logs of the blocks {first} to {head} would have fired it.",
    }


def _decide(
    job: Job, definition: JobDefinition, fires: list[str], trigger: Document | None, cost: Document
) -> tuple[bool | None, str, str]:
    """Whether it would fire, and the first thing that says so."""
    if job.status != JobStatus.ACTIVE:
        return False, f"job_{job.status}", f"The job is {job.status}."
    if job.due.fires_left == 0:
        return False, "fires_used_up", "All its fires are used up."
    if cost["is_affordable"] is False:
        return False, "insufficient_funds", "The project's balance is smaller than a run costs."
    if trigger is not None:
        found = trigger["matched"] if trigger["kind"] == "event" else trigger["met"]
        return None if found is None else bool(found), trigger["code"], trigger["explanation"]
    if definition.schedule is None:
        return False, "by_hand_only", "It fires by name only."
    if not fires:
        return False, "never_fires", "Its schedule has no fire left."
    if cost["is_affordable"] is None:
        return None, "price_unknown", f"It is due at {fires[0]}, but no gas price is known."
    return True, "scheduled", f"It fires at {fires[0]}."


def _cost(definition: JobDefinition, project_id: UUID) -> Document:
    balance_units, _ = get_project_balances(project_id)
    shown: Document = {"balance_units": str(balance_units)}
    try:
        found = estimate(definition, get_gas_price_wei(), get_prices())
    except PriceUnknown:
        return {**shown, "total_units": None, "per_task": [], "is_affordable": None}
    return {
        **shown,
        "total_units": str(found.total_units),
        "per_task": [{"step": one.step, "fee_units": str(one.fee_units)} for one in found.per_task],
        "is_affordable": balance_units >= found.total_units,
    }


def _risk(job: Job, definition: JobDefinition) -> Document:
    limits = get_terms([job])[job].limits
    blast = compute_blast(definition.steps, get_bond_terms(), limits.max_depth if limits.is_enabled else 0)
    worst = max(blast, key=lambda one: (one.descendants, one.at_risk_units))
    return {
        "bond": [{"step": one.step, "depth": one.depth, "bond_units": str(one.bond_units)} for one in blast],
        "blast_radius": {
            "per_step": [
                {"step": one.step, "descendants": one.descendants, "at_risk_units": str(one.at_risk_units)}
                for one in blast
            ],
            "largest": {"step": worst.step, "descendants": worst.descendants},
            "at_risk_units": str(max(one.at_risk_units for one in blast)),
        },
    }


def _calls(definition: JobDefinition) -> list[Document]:
    """What each step would call; those that are known now are tried out from the hub, in one batch."""
    shown = [_call(step) for step in definition.steps if step.action is not None]
    known = [one for one in shown if one["call_data"] is not None]
    for one, outcome in zip(known, _simulate(known), strict=True):
        one["simulation"] = outcome
    return shown


def _call(step: StepDefinition) -> Document:
    action = step.action
    if action is None:
        raise ValueError(f"step {step.key} calls nothing")
    is_custom = isinstance(action, CustomAction)
    data = None
    if not is_custom and step.arguments.kind is not ArgumentsKind.DYNAMIC:
        try:
            derived = derive_action(step.to_json(), {})
            data = None if derived is None else to_hex(derived.call_data)
        except Invalid:
            data = None
    return {
        "step": step.key,
        "chain_id": action.chain_id,
        "targets": list(action.targets) if isinstance(action, CustomAction) else [action.target],
        "function": None if isinstance(action, CustomAction) else action.function,
        "call_data": data,
        "gas_limit": action.gas_limit,
        "decided_by": "definition" if data is not None and step.script is None else "script",
        "simulation": None,
    }


def _simulate(calls: list[Document]) -> list[Document | None]:
    """What each call would do now; all null where the chain does not answer."""
    if not calls:
        return []
    try:
        deployment = get_deployment()
        network = get_networks()[deployment.chain_id]
        client = open_network_client(network, timeout_seconds=_TIMEOUT_SECONDS)
        found = client.simulate(
            [
                Call(
                    to=one["targets"][0],
                    data=bytes.fromhex(one["call_data"][2:]),
                    sender=deployment.hub,
                    gas_limit=one["gas_limit"],
                )
                for one in calls
            ]
        )
    except (DomainError, KeyError):
        return [None] * len(calls)
    return [{"ok": one.is_success, "reason": one.reason or None} for one in found]
