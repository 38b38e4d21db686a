"""The only way an evented row is written: row and events in one transaction, in a handful of statements.

Invariant 24 (row and event commit together) and 25 (gapless sequence, one hash chain per aggregate). The
locked row carries its own last sequence and hash, so appending reads nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from apps.eventlog.data import ChainLink, EventDraft
from apps.eventlog.domain.actor import current_actor
from apps.eventlog.domain.chain import compute_hash
from apps.eventlog.domain.forms import json_form, time_form
from apps.eventlog.errors import RowRepeated, RowsMoved
from apps.eventlog.models import Event, EventedModel
from apps.eventlog.ordering import append_announce
from apps.eventlog.writing import rows_insert, rows_update, values_insert
from apps.kernel.ids import new_id
from apps.kernel.trace import Trace, current_trace, trace_of

#: an event on its way: its columns but for the number, which the database gives
_EVENT_COLUMNS: Final = (
    "event_id",
    "aggregate_type",
    "aggregate_id",
    "aggregate_sequence",
    "event_type",
    "payload",
    "metadata",
    "trace_id",
    "span_id",
    "created_at",
    "previous_hash",
    "hash",
    "run_id",
    "project_id",
)
_EventValues = tuple[Any, ...]


def rows_create(
    rows: Sequence[EventedModel], drafts: Sequence[EventDraft], *, now: datetime | None = None
) -> None:
    """Insert new rows (of several models: parents first) and their events.

    Keys are set beforehand. A draft may also belong to an existing locked row that is not in `rows`.
    `now` saves asking the database's clock. Raises RowRepeated, RowsMoved, SecretInPayload.
    """
    with _chained(rows, drafts, now) as (events, guards):
        for model, group in _by_model(rows).items():
            rows_insert(model, group)
        _heads_write(rows, drafts, guards)
        values_insert(Event, _EVENT_COLUMNS, events)


def rows_write(
    rows: Sequence[EventedModel],
    fields: Sequence[str],
    drafts: Sequence[EventDraft],
    *,
    now: datetime | None = None,
) -> None:
    """Write the named fields of locked rows of one model, and append the drafts' events.

    A row that is gone, or whose event sequence moved on since it was read, fails the whole call with
    RowsMoved. A draft may also belong to a locked row that is not in `rows`. Raises RowRepeated,
    SecretInPayload.
    """
    rows_write_each([(rows, fields)], drafts, now=now)


def rows_write_each(
    sets: Sequence[tuple[Sequence[EventedModel], Sequence[str]]],
    drafts: Sequence[EventDraft],
    *,
    now: datetime | None = None,
) -> None:
    """The same for several sets of locked rows, each with the fields that are written of it."""
    rows = [row for some, _ in sets for row in some]
    if not rows and not drafts:
        return
    with _chained(rows, drafts, now) as (events, guards):
        for some, fields in sets:
            for model, group in _by_model(some).items():
                _update(model, group, [*fields, "event_sequence", "event_head"], guards)
        _heads_write(rows, drafts, guards)
        values_insert(Event, _EVENT_COLUMNS, events)


def events_append(drafts: Sequence[EventDraft], *, now: datetime | None = None) -> None:
    """Append events to locked rows of any models; the rows' heads are the only columns written."""
    rows_write((), (), drafts, now=now)


@contextmanager
def _chained(
    rows: Sequence[EventedModel], drafts: Sequence[EventDraft], now: datetime | None
) -> Iterator[tuple[list[_EventValues], dict[int, int]]]:
    """Link the drafts onto their rows; on any failure the rows in memory get their old heads back."""
    touched = {id(row): row for row in (*rows, *(draft.row for draft in drafts))}
    _refuse_repeated(list(touched.values()))
    payloads = [json_form(draft.payload) for draft in drafts]
    before = {key: (row.event_sequence, row.event_head) for key, row in touched.items()}
    try:
        with transaction.atomic(savepoint=False):
            yield _link(drafts, payloads, now), {key: sequence for key, (sequence, _) in before.items()}
    except BaseException:
        for key, row in touched.items():
            row.event_sequence, row.event_head = before[key]
        raise


def _refuse_repeated(rows: Sequence[EventedModel]) -> None:
    seen: set[tuple[type[EventedModel], Any]] = set()
    for row in rows:
        key = (type(row), row.pk)
        if key in seen:
            raise RowRepeated(aggregate=row.AGGREGATE, id=row.aggregate_id)
        seen.add(key)


def _link(drafts: Sequence[EventDraft], payloads: list[Any], now: datetime | None) -> list[_EventValues]:
    """The events as values, linked onto their rows; those of one trace share a span of it."""
    if not drafts:
        return []
    at = append_announce(now)
    stamp, current, actor = time_form(at), current_trace(), json_form(current_actor())
    traces: dict[str | None, Trace] = {None: current, current.trace_id: current}
    for trace_id in {draft.trace_id for draft in drafts} - traces.keys():
        traces[trace_id] = trace_of(str(trace_id))
    return [
        _event_of(draft, payload, at, stamp, traces[draft.trace_id], actor)
        for draft, payload in zip(drafts, payloads, strict=True)
    ]


def _event_of(
    draft: EventDraft, payload: Any, at: datetime, stamp: str, trace: Trace, actor: Any
) -> _EventValues:
    row, previous = draft.row, draft.row.event_head
    link = ChainLink(
        aggregate_type=row.AGGREGATE,
        aggregate_id=row.aggregate_id,
        aggregate_sequence=row.event_sequence + 1,
        event_type=draft.type,
        payload=payload,
        trace_id=trace.trace_id,
        created_at=stamp,
        previous_hash=previous,
    )
    row.event_sequence, row.event_head = link.aggregate_sequence, compute_hash(link)
    return (
        new_id(),
        link.aggregate_type,
        link.aggregate_id,
        link.aggregate_sequence,
        link.event_type,
        payload,
        {**actor, **json_form(draft.metadata)} if draft.metadata else actor,
        link.trace_id,
        trace.span_id,
        at,
        previous,
        row.event_head,
        draft.run_id,
        draft.project_id,
    )


def _heads_write(rows: Sequence[EventedModel], drafts: Sequence[EventDraft], guards: dict[int, int]) -> None:
    """Write the heads of rows that only got events."""
    written = {id(row) for row in rows}
    others = {id(draft.row): draft.row for draft in drafts if id(draft.row) not in written}
    for model, group in _by_model(list(others.values())).items():
        _update(model, group, ["event_sequence", "event_head"], guards)


def _update(
    model: type[EventedModel], rows: Sequence[EventedModel], fields: Sequence[str], guards: dict[int, int]
) -> None:
    written = rows_update(model, rows, fields, [guards[id(row)] for row in rows])
    if written != len(rows):
        raise RowsMoved(aggregate=model.AGGREGATE, expected=len(rows), written=written)


def _by_model(rows: Sequence[EventedModel]) -> dict[type[EventedModel], list[EventedModel]]:
    groups: dict[type[EventedModel], list[EventedModel]] = {}
    for row in rows:
        groups.setdefault(type(row), []).append(row)
    return groups
