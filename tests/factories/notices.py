"""Webhooks, events to tell of, and senders that stand in for the network."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.accounts.models import Project
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import events_append
from apps.notices.data import Answer, Outgoing, OutgoingAlert
from apps.notices.models import Delivery, NoticeCursor
from apps.notices.services import IssuedSecret, endpoint_create, notices_collect


class FakeSender:
    """Answers as it is told and remembers what it was to send."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [Answer(status=204)]
        self.sent: list[Outgoing] = []

    def send(self, requests: Sequence[Outgoing]) -> Iterable[Sequence[tuple[Outgoing, Answer]]]:
        """See WebhookSender."""
        for request in requests:
            self.sent.append(request)
            yield [(request, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])]


class FakeAlerts:
    """Takes alerts, or says why it does not."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.sent: list[OutgoingAlert] = []

    def send(self, alerts: Sequence[OutgoingAlert]) -> Iterable[tuple[OutgoingAlert, str]]:
        """See AlertSender."""
        for alert in alerts:
            self.sent.append(alert)
            yield alert, self.error


def make_webhook(
    project: Project | None, url: str = "https://hooks.example.com/x", **fields: Any
) -> IssuedSecret:
    """A webhook of a project."""
    return endpoint_create(project_id=project.id if project else None, url=url, **fields)


def happen(project: Project, *types: str, **facts: Any) -> None:
    """Events of a project: the row they are about is the project's own."""
    with transaction.atomic():
        (row,) = lock_rows(Project.objects.filter(pk=project.pk), skip_locked=False)
        for event_type in types:
            events_append(
                [EventDraft(row=row, type=event_type, payload={"set": {}, **facts}, project_id=project.id)]
            )


def collect() -> int:
    """Collect what is new now."""
    return notices_collect(now=get_database_now())


def make_due(*ids: UUID) -> datetime:
    """Let the open deliveries be due: time passes in the rows. Returns a time at which they are."""
    now = get_database_now()
    rows = Delivery.objects.filter(next_at__isnull=False)
    (rows.filter(pk__in=ids) if ids else rows).update(next_at=now - timedelta(seconds=1))
    return now


def with_notices(fixture: Any, **changed: Any) -> None:
    """Other settings of the section notices, through pytest-django's `settings`."""
    known = settings.FOREKEEP
    fixture.FOREKEEP = replace(known, notices=replace(known.notices, **changed))


def with_loopback(fixture: Any, *allow: str) -> None:
    """Let the guarded client ask machines of this list: loopback where none is named."""
    known = settings.FOREKEEP
    fixture.FOREKEEP = replace(known, egress=replace(known.egress, allow=allow or ("127.0.0.1",)))


def cursor() -> int:
    """How far the store was read."""
    return NoticeCursor.objects.get().sequence_number
