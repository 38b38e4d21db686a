"""The values of notices: where a delivery and an alert stand, what is sent, what came back, what follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from apps.kernel.transitions import TransitionTable

#: the purpose under which addresses and secrets of this app are sealed
SEALED_AS: Final = "notices"


class DeliveryStatus(StrEnum):
    """Where one delivery of an event to an endpoint stands."""

    #: to be sent at `next_at`
    PENDING = "pending"
    #: somebody is sending it; taken up again by another at `next_at`
    SENDING = "sending"
    #: the receiver answered 2xx
    DELIVERED = "delivered"
    #: nothing more is tried by itself
    FAILED = "failed"
    #: its endpoint was switched off or deleted first
    CANCELLED = "cancelled"


DELIVERY_TABLE: TransitionTable[DeliveryStatus] = TransitionTable(
    name="delivery",
    moves={
        DeliveryStatus.PENDING: frozenset({DeliveryStatus.SENDING, DeliveryStatus.CANCELLED}),
        DeliveryStatus.SENDING: frozenset(
            {
                DeliveryStatus.PENDING,
                DeliveryStatus.SENDING,
                DeliveryStatus.DELIVERED,
                DeliveryStatus.FAILED,
                DeliveryStatus.CANCELLED,
            }
        ),
    },
)

#: what still is to be sent, and what a person may have sent again
OPEN = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
REPLAYABLE = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED})


class AlertStatus(StrEnum):
    """Where one alert to one target stands."""

    #: to be sent at `next_at`
    PENDING = "pending"
    #: somebody is sending it; taken up again by another at `next_at`
    SENDING = "sending"
    #: the service took it
    SENT = "sent"
    #: nothing more is tried
    FAILED = "failed"
    #: its target was switched off or deleted first
    CANCELLED = "cancelled"


ALERT_TABLE: TransitionTable[AlertStatus] = TransitionTable(
    name="alert",
    moves={
        AlertStatus.PENDING: frozenset({AlertStatus.SENDING, AlertStatus.CANCELLED}),
        AlertStatus.SENDING: frozenset(
            {
                AlertStatus.PENDING,
                AlertStatus.SENDING,
                AlertStatus.SENT,
                AlertStatus.FAILED,
                AlertStatus.CANCELLED,
            }
        ),
    },
)

#: what still is to be sent
OPEN_ALERTS = (AlertStatus.PENDING, AlertStatus.SENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One request to a receiver. `attempt` is the claim it is sent under."""

    delivery: UUID
    attempt: int
    url: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request: a status, or the code of what went wrong; the text is its beginning."""

    status: int | None = None
    error: str = ""
    text: str = ""
    retry_after: str = ""
    took_ms: int = 0
    is_final: bool = False


class WebhookSender(Protocol):
    """Port: sends requests at once, each bounded in time, and gives the answers as they come."""

    def send(self, requests: Sequence[Outgoing]) -> Iterable[Sequence[tuple[Outgoing, Answer]]]:
        """Every request with its answer, in sets and any order; never raises for a receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from an answer: the delivery's status and when it is due again."""

    status: DeliveryStatus
    error: str = ""
    next_at: datetime | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingAlert:
    """One alert on its way. `url` is what apprise sends to and holds tokens."""

    alert: UUID
    attempt: int
    title: str
    body: str
    url: str = field(repr=False)


class AlertSender(Protocol):
    """Port: sends alerts, and says of each whether the service took it, and if not why, as a code."""

    def send(self, alerts: Sequence[OutgoingAlert]) -> Iterable[tuple[OutgoingAlert, str]]:
        """Every alert with the code of what went wrong, empty where nothing did; never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries of an endpoint are meant."""

    status: DeliveryStatus | None = None
    event_type: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a pass did, for whoever counts: how often which outcome."""

    taken: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """An event as the rules read it."""

    event_id: UUID
    type: str
    aggregate_type: str
    aggregate_id: str
    created_at: datetime
    payload: Mapping[str, Any]
    run_id: UUID | None = None
    project_id: UUID | None = None
