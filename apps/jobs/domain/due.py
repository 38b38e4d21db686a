"""What a job fires now. Pure: the same decision for the stage, the tests and a simulation.

A tick is *on time* while it is no older than the grace; on-time ticks all fire, each once. Older ones
were *missed* and follow the job's policy. Nothing fires before it is due, at or after the job's
expiry, or beyond its number of fires.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from apps.jobs.domain.instants import time_tick_key
from apps.jobs.domain.schedule import fires_between, last_fires_between, next_fire
from apps.jobs.domain.values import Fires, MissedPolicy, Schedule, Skipped, Tick

_ONE_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What the decision reads of a job. `fires_left` is None where there is no end."""

    schedule: Schedule | None
    next_fire_at: datetime | None
    missed_policy: MissedPolicy
    missed_limit: int
    fires_left: int | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How late a tick may be and still be on time, and how many ticks one pass may take of a job."""

    grace_seconds: int = 60
    burst: int = 100


def due(job: Due, now: datetime, patience: Patience = Patience(), until: datetime | None = None) -> Fires:
    """The ticks up to `until` (now, where it is left out) and where the job stands after them.

    What is later than `now` is a tick to come; what was missed before it follows the policy.
    """
    taken, until = job.next_fire_at, until or now
    if job.schedule is None or taken is None or taken > until:
        return Fires(ticks=(), taken=taken, next_fire_at=taken, completed=False)

    end = until + _ONE_MICROSECOND
    if job.expires_at is not None:
        end = min(end, job.expires_at)
    on_time_from = max(taken, now - timedelta(seconds=patience.grace_seconds))
    kept = _kept_of_missed(job, job.schedule, taken, min(on_time_from, end))
    fires = kept + fires_between(job.schedule, on_time_from, end)

    room = patience.burst if job.fires_left is None else min(patience.burst, job.fires_left)
    ticks, rest = fires[:room], fires[room:]
    completed = job.fires_left is not None and len(ticks) >= job.fires_left
    following = rest[0] if rest else next_fire(job.schedule, until)
    if following is None:
        completed = True
    if completed or (job.expires_at is not None and following is not None and following >= job.expires_at):
        following = None

    return Fires(
        ticks=tuple(Tick(key=time_tick_key(instant), due_at=instant) for instant in ticks),
        taken=taken,
        next_fire_at=following,
        completed=completed,
        skipped=_skipped(taken, min(on_time_from, end), kept),
    )


def is_over(job: Due, now: datetime) -> bool:
    """Whether a job that no firing waits for has none to come: its number is used up, or its schedule."""
    if job.fires_left == 0:
        return True
    return job.schedule is not None and job.next_fire_at is None and next_fire(job.schedule, now) is None


def next_after_refusal(job: Due, now: datetime) -> datetime | None:
    """The next fire of a job whose ticks could not be paid: they are lost, but use up none of its fires."""
    if job.next_fire_at is not None or job.schedule is None:
        return job.next_fire_at
    return before_expiry(job, next_fire(job.schedule, now))


def first_fire(job: Due, now: datetime) -> datetime | None:
    """The first fire at or after `now` of a job that starts or is re-scheduled, None where it has none."""
    if job.schedule is None or job.fires_left == 0:
        return None
    return before_expiry(job, next_fire(job.schedule, now - _ONE_MICROSECOND))


def fire_after_pause(job: Due, now: datetime) -> datetime | None:
    """The next fire of a job that is resumed: its policy decides what the pause made it miss.

    `skip` goes on with the first fire at or after `now`; the others keep the fire the pause held back,
    and `due` then collapses the missed ones.
    """
    if job.missed_policy is MissedPolicy.SKIP or job.next_fire_at is None:
        return first_fire(job, now)
    return before_expiry(job, job.next_fire_at)


def is_exhausted(job: Due, now: datetime) -> bool:
    """Whether the job's schedule has no fire from `now` on, however long it lives."""
    return job.schedule is not None and next_fire(job.schedule, now - _ONE_MICROSECOND) is None


def before_expiry(job: Due, instant: datetime | None) -> datetime | None:
    """The instant, or None where the job has expired by then."""
    if instant is None or (job.expires_at is not None and instant >= job.expires_at):
        return None
    return instant


def fires_left(*, recurring: bool, max_fires: int | None, fire_count: int) -> int | None:
    """How often a job may still fire; None where there is no end."""
    total = max_fires if recurring else 1
    return None if total is None else max(0, total - fire_count)


def _kept_of_missed(
    job: Due, schedule: Schedule, first: datetime, missed_end: datetime
) -> tuple[datetime, ...]:
    match job.missed_policy:
        case MissedPolicy.SKIP:
            return ()
        case MissedPolicy.ONE:
            return last_fires_between(schedule, first, missed_end, 1)
        case MissedPolicy.ALL:
            return last_fires_between(schedule, first, missed_end, job.missed_limit)


def _skipped(first: datetime, missed_end: datetime, kept: Sequence[datetime]) -> Skipped | None:
    if first >= missed_end or (kept and kept[0] == first):
        return None
    return Skipped(first=first, until=kept[0] if kept else missed_end)
