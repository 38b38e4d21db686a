"""From the event store to the outbox: who is to be told of what is new.

One transaction reads the events after the cursor, inserts what is to be sent and moves the cursor, so a
crash repeats it as a whole and nothing is told twice or left out. Whoever finds the cursor locked leaves it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.eventlog.domain.forms import time_form
from apps.eventlog.locking import lock_rows
from apps.eventlog.models import Event
from apps.eventlog.selectors import events_query, get_horizon
from apps.keepers.data import OfflineKeeper
from apps.keepers.models import Keeper
from apps.kernel.ids import new_id
from apps.notices.data import EventFacts
from apps.notices.domain.event_types import ALERT_ONLY, PUBLIC, is_alerting, is_asked_for
from apps.notices.domain.payloads import alert_text, webhook_body
from apps.notices.domain.targets import is_chat, is_mail_address
from apps.notices.models import Alert, AlertTarget, Delivery, Endpoint, NoticeCursor
from apps.notices.writing import cursor_ensure

TELEGRAM: Final = "telegram"
MAIL: Final = "mail"
_KEEPER_OFFLINE: Final = "keeper.went_offline"
_TYPES: Final = sorted({*PUBLIC, *ALERT_ONLY})
_BATCH: Final = 500


def notices_collect(*, now: datetime, limit: int = 200) -> int:
    """Put what the next `limit` events tell into the outbox; returns how many events were read."""
    cursor_ensure()
    with transaction.atomic():
        cursors = lock_rows(NoticeCursor.objects.filter(pk=1))
        if not cursors:
            return 0
        (cursor,) = cursors
        events, read_to = _read(cursor.sequence_number, limit)
        if read_to == cursor.sequence_number:
            return 0
        _insert(Delivery, _deliveries(events, now))
        _insert(Alert, [*_alerts(events, now), *_keeper_alerts(_offline(events), now)])
        NoticeCursor.objects.filter(pk=1).update(sequence_number=read_to)
    return len(events)


def alerts_add_offline(*, keepers: Sequence[OfflineKeeper], now: datetime) -> None:
    """Have keepers told, by the contacts they registered, that they are offline; each silence once."""
    _insert(Alert, _keeper_alerts(keepers, now))


def _read(after: int, limit: int) -> tuple[list[Event], int]:
    """The next events anybody may be told of, and up to where the store has been read with them."""
    horizon = get_horizon()
    fresh = events_query().filter(
        event_type__in=_TYPES, sequence_number__gt=after, sequence_number__lte=horizon
    )
    events = list(fresh.order_by("sequence_number")[:limit])
    return events, events[-1].sequence_number if len(events) == limit else max(horizon, after)


def _deliveries(events: Sequence[Event], now: datetime) -> list[Delivery]:
    told = [event for event in events if event.event_type in PUBLIC]
    endpoints = _by_project(_of_projects(Endpoint.objects.filter(is_active=True), told))
    bodies = _bodies(told)
    return [
        Delivery(
            id=new_id(),
            endpoint_id=endpoint.id,
            event_id=event.event_id,
            event_type=PUBLIC[event.event_type],
            body=bodies(event.sequence_number),
            next_at=now,
            created_at=now,
            trace_id=event.trace_id,
        )
        for event in told
        for endpoint in endpoints.get(event.project_id, ())
        if event.sequence_number > endpoint.after_number
        and is_asked_for(PUBLIC[event.event_type], endpoint.event_types)
    ]


def _alerts(events: Sequence[Event], now: datetime) -> list[Alert]:
    told = [event for event in events if event.project_id is not None]
    targets = _by_project(_of_projects(AlertTarget.objects.filter(is_active=True), told))
    found = []
    for event in told:
        public = PUBLIC.get(event.event_type, event.event_type)
        for target in targets.get(event.project_id, ()):
            if event.sequence_number > target.after_number and is_alerting(
                public, event.payload, target.event_types
            ):
                title, body = alert_text(_facts_of(event), public)
                key = f"{event.event_id.hex}:{target.id.hex}"
                found.append(_alert(key, title, body, now, target_id=target.id))
    return found


def _offline(events: Sequence[Event]) -> list[OfflineKeeper]:
    """The keepers whose silence an alert was due for, with the contacts they have now."""
    since = {
        event.aggregate_id: event.payload.get("last_checkin_at")
        for event in events
        if event.event_type == _KEEPER_OFFLINE and event.payload.get("alerted")
    }
    if not since or not _channels():
        return []
    return [
        OfflineKeeper(
            address=keeper.address,
            name=keeper.name,
            last_checkin_at=datetime.fromisoformat(text) if (text := since[keeper.address]) else None,
            contact=keeper.contact,
        )
        for keeper in Keeper.objects.filter(address__in=since)
    ]


def _keeper_alerts(keepers: Iterable[OfflineKeeper], now: datetime) -> list[Alert]:
    """One alert per keeper, silence and way to reach it; the key is the silence's beginning."""
    channels = _channels()
    found = []
    for keeper in keepers:
        seen = "never" if keeper.last_checkin_at is None else time_form(keeper.last_checkin_at)
        body = f"keeper: {keeper.name}\naddress: {keeper.address}\nlast check-in: {seen}"
        for channel, (field, is_usable) in channels.items():
            receiver = str(keeper.contact.get(field, ""))
            if is_usable(receiver):
                found.append(
                    _alert(
                        f"offline:{keeper.address}:{seen}:{channel}",
                        "Forekeep: keeper offline",
                        body,
                        now,
                        keeper=keeper.address,
                        channel=channel,
                        receiver=receiver,
                    )
                )
    return found


def _channels() -> dict[str, tuple[str, Callable[[str], bool]]]:
    """The ways the operator has set up: channel → the contact's field, and what it must look like."""
    notices = settings.FOREKEEP.notices
    ways: dict[str, tuple[str, Callable[[str], bool]]] = {}
    if notices.telegram_token:
        ways[TELEGRAM] = ("chat_id", is_chat)
    if notices.mail_url:
        ways[MAIL] = ("email", is_mail_address)
    return ways


def _alert(key: str, title: str, body: str, now: datetime, **receiver: Any) -> Alert:
    return Alert(id=new_id(), key=key, title=title, body=body, next_at=now, created_at=now, **receiver)


def _of_projects(rows: Any, events: Sequence[Event]) -> list[Any]:
    """The rows that belong to the events' projects, and those of no project where an event has none."""
    if not events:
        return []
    projects = {event.project_id for event in events}
    mine = Q(project_id__in=projects - {None})
    return list(rows.filter(mine | Q(project_id=None) if None in projects else mine).order_by("pk"))


def _by_project(rows: Iterable[Any]) -> Mapping[UUID | None, list[Any]]:
    found: defaultdict[UUID | None, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.project_id].append(row)
    return found


def _bodies(events: Sequence[Event]) -> Callable[[int], str]:
    """An event's body by its number, written once however many are told, and not at all where nobody is."""
    by_number = {event.sequence_number: event for event in events}

    @cache
    def body(number: int) -> str:
        event = by_number[number]
        return webhook_body(_facts_of(event), PUBLIC[event.event_type])

    return body


def _facts_of(event: Event) -> EventFacts:
    return EventFacts(
        event_id=event.event_id,
        type=event.event_type,
        aggregate_type=event.aggregate_type,
        aggregate_id=event.aggregate_id,
        created_at=event.created_at,
        payload=event.payload,
        run_id=event.run_id,
        project_id=event.project_id,
    )


def _insert(model: Any, rows: Sequence[Any]) -> None:
    """Insert those whose unique key is not there yet."""
    if rows:
        model.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_BATCH)
