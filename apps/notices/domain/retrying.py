"""What follows from an answer: delivered, once more later, or over.

Waits grow over a day and have full jitter: a random part of the step, so that receivers that come back are
not met by everybody at once.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from apps.notices.data import Answer, DeliveryStatus, Verdict

#: the longest wait before the second, third, … try, in seconds; the last one for all that follow
STEPS: Final = (5, 30, 120, 600, 3_600, 14_400, 43_200, 86_400)
#: the shortest wait, and the longest one a receiver may ask for
LEAST_SECONDS: Final = 1
RETRY_AFTER_MAX_SECONDS: Final = 86_400
#: an endpoint that has only failed for this long is switched off
FAILING_MAX: Final = timedelta(days=3)
#: both signatures are sent for so long after a change of the secret
OLD_SECRET_LIVES: Final = timedelta(hours=24)
#: what a claim adds to the time a request may take before another takes it up
LEASE_SLACK_SECONDS: Final = 20


def compute_wait(tries: int, fraction: float) -> timedelta:
    """The wait after so many tries; `fraction` is a random number of [0, 1)."""
    step = STEPS[min(tries, len(STEPS)) - 1]
    return timedelta(seconds=max(LEAST_SECONDS, step * fraction))


def read_retry_after(text: str, now: datetime) -> timedelta | None:
    """A Retry-After header, seconds or a date, bounded; None for what is neither."""
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return timedelta(seconds=min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS))


def judge(answer: Answer, *, tries: int, most: int, fraction: float, now: datetime) -> Verdict:
    """What follows from the answer to the `tries`-th of at most `most` tries."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Verdict(status=DeliveryStatus.DELIVERED)
    if answer.status == 410:
        return Verdict(status=DeliveryStatus.FAILED, error="gone", is_gone=True)
    error = answer.error or _error_of(answer.status)
    if answer.is_final or tries >= most:
        return Verdict(status=DeliveryStatus.FAILED, error=error)
    wait = compute_wait(tries, fraction)
    asked = read_retry_after(answer.retry_after, now) if answer.status in (429, 503) else None
    return Verdict(status=DeliveryStatus.PENDING, error=error, next_at=now + max(wait, asked or wait))


def is_failing_too_long(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint is given up."""
    return failing_since is not None and now - failing_since >= FAILING_MAX


def _error_of(status: int | None) -> str:
    if status is not None and 300 <= status < 400:
        return "redirect_refused"
    return f"http_{status}" if status is not None else "no_answer"
