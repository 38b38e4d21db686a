"""A condition evaluated outside of the poller: over what its sources were last seen to say, or asked now."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db import connections

from apps.chains.networks import get_networks, open_network_client
from apps.egress.client import EgressClient
from apps.egress.terms import limits_from_settings
from apps.jobs.models import Job
from apps.kernel.errors import DomainError
from apps.triggers.data import (
    ChainSource,
    Condition,
    HttpSource,
    PickFault,
    Source,
    StaticSource,
    Verdict,
    WebsocketSource,
    condition_from_json,
    decimal_of,
    evaluate,
    fault_of,
    pick_number,
    source_key,
)
from apps.watching.asking import Answer, ask_chain, ask_http, now, resolve_headers
from apps.watching.conditions import get_source_states
from apps.watching.models import ConditionState, SourceState

Result = TypeVar("Result")
Picks = dict[str, dict[str, Decimal | PickFault]]
_NOT_SEEN: Final = PickFault(code="not_seen", detail="nobody has asked this source yet")
_NO_NODE: Final = PickFault(code="chain_unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a condition says of values seen at a time; None where a source was never heard."""

    at: datetime | None
    verdict: Verdict


def get_evaluations(job: Job, count: int = 5) -> list[Evaluation]:
    """What the job's condition says of the last observations of its sources, newest first.

    Comparisons with hysteresis are judged as they are latched now.
    """
    condition = condition_from_json(job.condition)
    state = ConditionState.objects.filter(pk=job.pk).first()
    latched = state.latched if state and state.armed_at == job.armed_at else 0
    keys = {name: source_key(source, job.project_id) for name, source in condition.sources}
    states = get_source_states(keys.values())
    depth = max((len(each.recent) for each in states.values()), default=0)
    found = []
    for back in range(min(count, depth)):
        picks = {name: _recorded(condition, name, states.get(key), back) for name, key in keys.items()}
        times = [_time_of(states.get(key), back) for key in keys.values()]
        seen = [at for at in times if at is not None]
        found.append(Evaluation(at=max(seen, default=None), verdict=evaluate(condition, picks, latched)))
    return found


def evaluate_now(condition: Condition, project_id: UUID) -> Verdict:
    """The condition over what its sources say at this moment, each asked once; nothing is kept.

    A stream is not listened to: its last message counts, where a poller has heard one.
    """
    return evaluate(condition, asyncio.run(_ask_all(condition, project_id)))


async def _ask_all(condition: Condition, project_id: UUID) -> Picks:
    routes = condition.picks
    async with EgressClient(limits_from_settings()) as client:
        asked = [_ask(client, condition, name, source, project_id) for name, source in condition.sources]
        answers = await asyncio.gather(*asked)
    return {
        name: answer
        if isinstance(answer, dict)
        else {
            route: answer.fault if answer.fault is not None else pick_number(route, answer.document)
            for route in routes[name]
        }
        for (name, _), answer in zip(condition.sources, answers, strict=True)
    }


async def _ask(
    client: EgressClient, condition: Condition, name: str, source: Source, project_id: UUID
) -> Answer | dict[str, Decimal | PickFault]:
    try:
        match source:
            case HttpSource():
                headers = await _in_thread(resolve_headers, source.headers, project_id)
                return await ask_http(client, source, headers, None)
            case ChainSource():
                return await _in_thread(_ask_chain, source)
            case StaticSource():
                return Answer(at=now(), document=source.value)
            case WebsocketSource():
                key = source_key(source, project_id)
                states = await _in_thread(get_source_states, [key])
                return _recorded(condition, name, states.get(key), 0)
    except DomainError as exc:
        return Answer(at=now(), fault=fault_of(exc))


async def _in_thread(act: Callable[..., Result], *arguments: Any) -> Result:
    """Database and node are asked on a thread of their own, whose connection does not outlive it."""

    def run() -> Result:
        try:
            return act(*arguments)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


def _ask_chain(source: ChainSource) -> Answer:
    network = get_networks().get(source.chain_id)
    if network is None:
        return Answer(at=now(), fault=_NO_NODE)
    return ask_chain(open_network_client(network, timeout_seconds=2.0), [source])[0]


def _recorded(
    condition: Condition, name: str, state: SourceState | None, back: int
) -> dict[str, Decimal | PickFault]:
    routes: Sequence[str] = condition.picks[name]
    if state is None or not state.recent:
        return dict.fromkeys(routes, _NOT_SEEN)
    seen: Mapping[str, Mapping[str, str]] = state.recent[min(back, len(state.recent) - 1)]
    fault = seen.get("fault")
    return {
        route: decimal_of(seen["values"][route])
        if route in seen["values"]
        else PickFault(code=str(fault or seen["faults"].get(route) or _NOT_SEEN.code))
        for route in routes
    }


def _time_of(state: SourceState | None, back: int) -> datetime | None:
    if state is None or not state.recent:
        return None
    return datetime.fromisoformat(state.recent[min(back, len(state.recent) - 1)]["at"])
