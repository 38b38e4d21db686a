"""What can be wrong with webhooks and alert targets."""

from apps.kernel.errors import Conflict, Invalid, NotFound


class EndpointUnknown(NotFound):
    """No such webhook, or none the caller may see."""

    code = "webhook_not_found"
    title = "No such webhook"


class DeliveryUnknown(NotFound):
    """No such delivery, or none the caller may see."""

    code = "delivery_not_found"
    title = "No such delivery"


class TargetUnknown(NotFound):
    """No such alert target, or none the caller may see."""

    code = "alert_target_not_found"
    title = "No such alert target"


class EndpointInvalid(Invalid):
    """A webhook that cannot be. Fields: reason."""

    code = "webhook_invalid"
    title = "The webhook is not valid"


class EventTypeUnknown(Invalid):
    """An event type nobody is told of. Fields: given, known."""

    code = "event_type_unknown"
    title = "The event type is not known"


class TargetInvalid(Invalid):
    """An alert target that cannot be. Fields: reason. Never the target's URL: it holds tokens."""

    code = "alert_target_invalid"
    title = "The alert target is not valid"


class EndpointsTooMany(Conflict):
    """The project has as many as it may. Fields: most."""

    code = "notice_places_exhausted"
    title = "There are as many as a project may have"


class EndpointInactive(Conflict):
    """A webhook that is switched off sends nothing. Fields: reason."""

    code = "webhook_inactive"
    title = "The webhook is switched off"


class DeliveryOpen(Conflict):
    """It is still being sent. Fields: status."""

    code = "delivery_open"
    title = "The delivery has not ended yet"
