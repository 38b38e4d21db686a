"""Asking one source once: an answer is a document, or a fault with its code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from apps.chains.client import ChainClient
from apps.chains.data import Call
from apps.egress.client import EgressClient
from apps.egress.data import Request
from apps.egress.errors import SourceStatus
from apps.kernel.errors import DomainError
from apps.triggers.data import (
    ChainSource,
    Header,
    HttpSource,
    PickFault,
    SecretReference,
    decode_returns,
    fault_of,
    load_json,
)
from apps.vault.selectors import get_secret_values

_REVERTED: Final = PickFault(code="call_reverted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a source said at a time: a document or a fault; `is_same` where it says that nothing changed."""

    at: datetime
    document: Any = None
    fault: PickFault | None = None
    is_same: bool = False
    etag: str | None = None
    last_modified: str | None = None
    retry_after_seconds: float | None = None


async def ask_http(
    client: EgressClient, source: HttpSource, headers: Mapping[str, str], before: Answer | None
) -> Answer:
    """One request, conditional where the last answer allows it. Never raises for what the source does."""
    body = None if source.body is None else json.dumps(source.body).encode()
    sent = dict(headers)
    if body is not None and "content-type" not in {name.lower() for name in sent}:
        sent["Content-Type"] = "application/json"
    request = Request(
        url=source.url,
        method=str(source.method),
        headers=sent,
        body=body,
        etag=before.etag if before else None,
        last_modified=before.last_modified if before else None,
    )
    try:
        response = await client.fetch(request)
        if response.is_not_modified and before is not None:
            return Answer(
                at=now(),
                document=before.document,
                is_same=True,
                etag=before.etag,
                last_modified=before.last_modified,
            )
        document = load_json(response.body)
    except SourceStatus as exc:
        return Answer(at=now(), fault=fault_of(exc), retry_after_seconds=exc.retry_after_seconds)
    except DomainError as exc:
        return Answer(at=now(), fault=fault_of(exc))
    return Answer(at=now(), document=document, etag=response.etag, last_modified=response.last_modified)


def ask_chain(client: ChainClient, sources: Sequence[ChainSource]) -> list[Answer]:
    """All reads of one chain, in one batch. Never raises for what the node or a contract does."""
    calls = [Call(to=source.address, data=source.call_data) for source in sources]
    try:
        results = client.simulate(calls)
    except DomainError as exc:
        return [Answer(at=now(), fault=fault_of(exc))] * len(sources)
    answers = []
    for source, result in zip(sources, results, strict=True):
        try:
            if not result.is_success:
                answers.append(Answer(at=now(), fault=_REVERTED))
            else:
                answers.append(Answer(at=now(), document=decode_returns(source, result.output)))
        except DomainError as exc:
            answers.append(Answer(at=now(), fault=fault_of(exc)))
    return answers


def read_message(text: str) -> Answer:
    """One message of a stream."""
    try:
        return Answer(at=now(), document=load_json(text.encode()))
    except DomainError as exc:
        return Answer(at=now(), fault=fault_of(exc))


def resolve_headers(headers: Sequence[Header], project_id: UUID) -> dict[str, str]:
    """The headers with their secrets put in; raise SecretUnknown, SecretUnreadable."""
    names = {header.value.name for header in headers if isinstance(header.value, SecretReference)}
    secrets = get_secret_values(project_id, names) if names else {}
    return {
        header.name: secrets[header.value.name] if isinstance(header.value, SecretReference) else header.value
        for header in headers
    }


def now() -> datetime:
    """The time of an observation."""
    return datetime.now(UTC)
