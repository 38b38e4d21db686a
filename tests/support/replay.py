"""The replay test every projection has: its events alone give the row."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from apps.attestation.models import ROUND_FIELDS, Round
from apps.eventlog.data import ChainFault
from apps.eventlog.domain.replay import replay, replay_differences
from apps.eventlog.models import Event, EventedModel
from apps.eventlog.selectors import chain_verify, events_query
from apps.rollback.models import LETTER_FIELDS, ROLLBACK_FIELDS, DeadLetter, Rollback
from apps.settlement.models import BATCH_FIELDS, Batch
from apps.tasks.models import RUN_FIELDS, TASK_FIELDS, Run, Task

SPINE: Final[Sequence[tuple[type[EventedModel], tuple[str, ...]]]] = (
    (Run, RUN_FIELDS),
    (Task, TASK_FIELDS),
    (Round, ROUND_FIELDS),
    (Batch, BATCH_FIELDS),
    (Rollback, ROLLBACK_FIELDS),
    (DeadLetter, LETTER_FIELDS),
)


def assert_replay_equals_row(row: EventedModel, fields: Iterable[str]) -> None:
    """Fail unless the row's stored fields equal the fold of its events, and its chain verifies."""
    row.refresh_from_db()
    events = events_query(aggregate=(row.AGGREGATE, row.aggregate_id)).order_by("aggregate_sequence")
    stored = row.get_json_fields(tuple(fields))
    differences = replay_differences(replay(events), stored)
    assert not differences, f"{row.AGGREGATE} {row.aggregate_id}: (replayed, stored) differ: {differences}"
    assert row.event_sequence == len(events)
    faults: list[ChainFault] = chain_verify(row.AGGREGATE, row.aggregate_id)
    assert not faults, faults


def assert_spine_replays() -> None:
    """The same for every row of these kinds there is, in two queries a kind."""
    for model, fields in SPINE:
        told: defaultdict[str, list[Any]] = defaultdict(list)
        for event in Event.objects.filter(aggregate_type=model.AGGREGATE).order_by("aggregate_sequence"):
            told[event.aggregate_id].append(event)
        for row in model._default_manager.all():
            events = told[row.aggregate_id]
            differences = replay_differences(replay(events), row.get_json_fields(fields))
            assert not differences, f"{row}: (replayed, stored) differ: {differences}"
            assert row.event_sequence == len(events)
