"""The only way an evented row is written: row and events in one transaction, in a handful of statements.

Invariant 24 (row and event commit together) and 25 (gapless sequence, one hash chain per aggregate). The
locked row carries its own last sequence and hash, so appending reads nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.eventlog.data import ChainLink, EventDraft
from apps.eventlog.domain.actor import current_actor
from apps.eventlog.domain.chain import compute_hash
from apps.eventlog.domain.forms import json_form, time_form
from apps.eventlog.errors import RowRepeated, RowsMoved
from apps.eventlog.models import Event, EventedModel
from apps.eventlog.ordering import append_announce
from apps.eventlog.writing import rows_insert, rows_update
from apps.kernel.ids import new_id
from apps.kernel.trace import Trace, current_trace, trace_of


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
        rows_insert(Event, events, is_key_given=False)


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
    if not rows and not drafts:
        return
    with _chained(rows, drafts, now) as (events, guards):
        for model, group in _by_model(rows).items():
            _update(model, group, [*fields, "event_sequence", "event_head"], guards)
        _heads_write(rows, drafts, guards)
        rows_insert(Event, events, is_key_given=False)


def events_append(drafts: Sequence[EventDraft], *, now: datetime | None = None) -> None:
    """Append events to locked rows of any models; the rows' heads are the only columns written."""
    rows_write((), (), drafts, now=now)


@contextmanager
def _chained(
    rows: Sequence[EventedModel], drafts: Sequence[EventDraft], now: datetime | None
) -> Iterator[tuple[list[Event], dict[int, int]]]:
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


def _link(drafts: Sequence[EventDraft], payloads: list[Any], now: datetime | None) -> list[Event]:
    if not drafts:
        return []
    at = append_announce(now)
    stamp, trace, actor = time_form(at), current_trace(), current_actor()
    return [
        _event_of(draft, payload, at, stamp, trace, actor)
        for draft, payload in zip(drafts, payloads, strict=True)
    ]


def _event_of(draft: EventDraft, payload: Any, at: datetime, stamp: str, current: Trace, actor: Any) -> Event:
    row = draft.row
    same_trace = draft.trace_id is None or draft.trace_id == current.trace_id
    trace = current if same_trace else trace_of(str(draft.trace_id))
    link = ChainLink(
        aggregate_type=row.AGGREGATE,
        aggregate_id=row.aggregate_id,
        aggregate_sequence=row.event_sequence + 1,
        event_type=draft.type,
        payload=payload,
        trace_id=trace.trace_id,
        created_at=stamp,
        previous_hash=row.event_head,
    )
    row.event_sequence, row.event_head = link.aggregate_sequence, compute_hash(link)
    return Event(
        event_id=new_id(),
        aggregate_type=link.aggregate_type,
        aggregate_id=link.aggregate_id,
        aggregate_sequence=link.aggregate_sequence,
        event_type=link.event_type,
        payload=link.payload,
        metadata=json_form({**actor, **draft.metadata}),
        trace_id=link.trace_id,
        span_id=trace.span_id,
        created_at=at,
        previous_hash=link.previous_hash,
        hash=row.event_head,
        run_id=draft.run_id,
        project_id=draft.project_id,
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
