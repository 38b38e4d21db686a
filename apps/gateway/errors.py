"""What the shared REST doors refuse."""

from apps.kernel.errors import Conflict, DomainError, Forbidden, Invalid


class ScopeMissing(Forbidden):
    """The caller is known and its key or role lacks the scope. Fields: needed."""

    code = "scope_missing"
    title = "The key lacks the scope this needs"


class SessionRefused(Forbidden):
    """A page's request without a valid CSRF token."""

    code = "csrf_failed"
    title = "The form's token is missing or wrong"


class TooManyRequests(DomainError):
    """The caller's rate limit is used up. Fields: limit_per_minute, retry_after_seconds."""

    code = "rate_limited"
    title = "Too many requests"


class ProjectNeeded(Invalid):
    """The caller has several projects (or all of them) and named none."""

    code = "project_needed"
    title = "Name the project"


class CursorInvalid(Invalid):
    """A page cursor that was not given out by this list."""

    code = "cursor_invalid"
    title = "The cursor is not one of this list"


class LimitInvalid(Invalid):
    """A page size outside its bounds. Fields: minimum, maximum."""

    code = "limit_invalid"
    title = "The limit is out of bounds"


class FilterInvalid(Invalid):
    """A query parameter of a list that cannot be read. Fields: parameter, reason."""

    code = "filter_invalid"
    title = "The filter is not valid"


class EtagInvalid(Invalid):
    """An `If-Match` that is no ETag of ours."""

    code = "etag_invalid"
    title = "If-Match holds no ETag of this resource"


class IdempotencyKeyInvalid(Invalid):
    """An `Idempotency-Key` that is empty, too long or not visible ASCII."""

    code = "idempotency_key_invalid"
    title = "The Idempotency-Key cannot be used"


class IdempotencyInFlight(Conflict):
    """The same request is being worked on right now. Fields: retry_after_seconds."""

    code = "idempotency_in_flight"
    title = "A request with this Idempotency-Key is in flight"


class IdempotencyMismatch(Invalid):
    """The same key came with another request."""

    code = "idempotency_mismatch"
    title = "This Idempotency-Key belongs to another request"
