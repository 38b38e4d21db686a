"""The check of the hash chains (invariant 25): streams the store once, names the first fault per aggregate.

Safe beside writers: an event never changes, and a row's head is compared with the event it names. Memory
is bounded by one chunk of aggregates.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Final, TypeVar

from django.apps import apps
from django.db import models

from apps.eventlog.data import ChainFault, ChainLink
from apps.eventlog.domain.chain import find_fault
from apps.eventlog.domain.forms import time_form
from apps.eventlog.models import Event, EventedModel

T = TypeVar("T")

_CHUNK: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The last event of one sound chain."""

    aggregate_id: str
    sequence: int
    hash: str


def chain_verify(aggregate_type: str | None = None, aggregate_id: str | None = None) -> list[ChainFault]:
    """Check every chain (or those of one type, or one aggregate) and the rows' heads; return the faults."""
    events = Event.objects.all()
    if aggregate_type is not None:
        events = events.filter(aggregate_type=aggregate_type)
    if aggregate_id is not None:
        events = events.filter(aggregate_id=aggregate_id)
    faults: list[ChainFault] = []
    evented = _evented_models()

    for kind, heads in _verified_chains(events, faults):
        if kind in evented:
            for chunk in _chunks(heads):
                faults.extend(_head_faults(evented[kind], chunk))
        else:
            for _ in heads:
                pass

    for kind, model in evented.items():
        if kind == aggregate_type or (aggregate_type is None and aggregate_id is None):
            faults.extend(_rows_without_events(model, aggregate_id))
    return faults


def _evented_models() -> dict[str, type[EventedModel]]:
    return {model.AGGREGATE: model for model in apps.get_models() if issubclass(model, EventedModel)}


def _verified_chains(
    events: "models.QuerySet[Event, Event]", faults: list[ChainFault]
) -> Iterator[tuple[str, Iterator[_Head]]]:
    """Per aggregate type, the heads of its sound chains; the faults of the others go into `faults`."""
    stream = events.order_by("aggregate_type", "aggregate_id", "aggregate_sequence").iterator(
        chunk_size=2_000
    )
    for kind, of_kind in groupby(stream, key=lambda event: event.aggregate_type):
        yield kind, _sound_heads(of_kind, faults)


def _sound_heads(events: Iterable[Event], faults: list[ChainFault]) -> Iterator[_Head]:
    for _, chain in groupby(events, key=lambda event: event.aggregate_id):
        before: ChainLink | None = None
        head, reason = "", None
        for event in chain:
            if reason is not None:
                continue
            link = _link_of(event)
            reason = find_fault(link, event.hash, before, head)
            if reason is not None:
                faults.append(_fault(link.aggregate_type, link.aggregate_id, link.aggregate_sequence, reason))
            before, head = link, event.hash
        if reason is None and before is not None:
            yield _Head(aggregate_id=before.aggregate_id, sequence=before.aggregate_sequence, hash=head)


def _link_of(event: Event) -> ChainLink:
    return ChainLink(
        aggregate_type=event.aggregate_type,
        aggregate_id=event.aggregate_id,
        aggregate_sequence=event.aggregate_sequence,
        event_type=event.event_type,
        payload=event.payload,
        trace_id=event.trace_id,
        created_at=time_form(event.created_at),
        previous_hash=event.previous_hash,
    )


def _head_faults(model: type[EventedModel], heads: Sequence[_Head]) -> Iterator[ChainFault]:
    """Rows that are missing, or whose head is not the event they name."""
    found: dict[str, EventedModel] = {
        row.aggregate_id: row
        for row in model._default_manager.filter(pk__in=[head.aggregate_id for head in heads]).only(
            "pk", "event_sequence", "event_head"
        )
    }
    for head in heads:
        row = found.get(head.aggregate_id)
        if row is None:
            yield _fault(model.AGGREGATE, head.aggregate_id, head.sequence, "row_missing")
        elif not _is_head_of(row, head):
            yield _fault(model.AGGREGATE, head.aggregate_id, row.event_sequence, "head_differs")


def _is_head_of(row: EventedModel, head: _Head) -> bool:
    if row.event_sequence == head.sequence:
        return row.event_head == head.hash
    return Event.objects.filter(
        aggregate_type=row.AGGREGATE,
        aggregate_id=head.aggregate_id,
        aggregate_sequence=row.event_sequence,
        hash=row.event_head,
    ).exists()


def _rows_without_events(model: type[EventedModel], aggregate_id: str | None) -> Iterator[ChainFault]:
    rows = model._default_manager.filter(event_sequence__gt=0)
    if aggregate_id is not None:
        rows = rows.filter(pk=aggregate_id)
    named = rows.order_by("pk").only("pk", "event_sequence").iterator(chunk_size=2_000)
    for chunk in _chunks(named):
        recorded = set(
            Event.objects.filter(
                aggregate_type=model.AGGREGATE, aggregate_id__in=[row.aggregate_id for row in chunk]
            ).values_list("aggregate_id", flat=True)
        )
        for row in chunk:
            if row.aggregate_id not in recorded:
                yield _fault(model.AGGREGATE, row.aggregate_id, row.event_sequence, "events_missing")


def _fault(kind: str, id: str, sequence: int, reason: str) -> ChainFault:
    return ChainFault(aggregate_type=kind, aggregate_id=id, aggregate_sequence=sequence, reason=reason)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator: Iterator[Any] = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
