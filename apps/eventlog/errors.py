"""What the event store refuses."""

from apps.kernel.errors import Conflict, Forbidden, Invalid


class EventsImmutable(Forbidden):
    """An attempt to change or delete an event. Fields: event_id."""

    code = "events_immutable"
    title = "Events are never changed or deleted"


class SecretInPayload(Invalid):
    """A payload that names or holds a secret (invariant 27). Fields: path, never the value."""

    code = "secret_in_payload"
    title = "The data names or holds a secret"


class PayloadNotJson(Invalid):
    """A payload value with no JSON form. Fields: path, type."""

    code = "payload_not_json"
    title = "The data has no JSON form"


class RowsMoved(Conflict):
    """Rows to write are gone, or moved on since they were read. Fields: aggregate, expected, written."""

    code = "rows_moved"
    title = "Rows have changed since they were read"


class RowRepeated(Invalid):
    """Two objects stand for the same row in one call, which would fork its chain. Fields: aggregate, id."""

    code = "row_repeated"
    title = "The same row was given twice"
