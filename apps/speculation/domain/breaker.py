"""The breaker: speculation that is undone too often switches itself off for a while.

closed → open when more than the allowed share of the window's commitments was undone; open → half-open
after the cool-down; half-open lets a few commitments through, and closes when enough of them were
confirmed or opens again at the first that was undone. The state is two stored values; everything else
is counted from commitments.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class BreakerStatus(StrEnum):
    """Whether speculation is let through."""

    #: it is
    CLOSED = "closed"
    #: it is not, until the cool-down is over
    OPEN = "open"
    #: a few commitments are, to see how they fare
    HALF_OPEN = "half_open"


_B = BreakerStatus

BREAKER_TABLE: Final = TransitionTable(
    name="breaker",
    moves={
        _B.CLOSED: frozenset({_B.OPEN}),
        _B.OPEN: frozenset({_B.HALF_OPEN}),
        _B.HALF_OPEN: frozenset({_B.CLOSED, _B.OPEN}),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Where the breaker stands and since when."""

    status: BreakerStatus = BreakerStatus.CLOSED
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When it opens and how it closes again. Below `min_ended` a rate says nothing."""

    max_undone_percent: int = 20
    window_seconds: int = 600
    min_ended: int = 20
    cooldown_seconds: int = 300
    probes: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Commitments counted since `compute_window_start`: opened, ended, and of the ended those undone."""

    opened: int = 0
    ended: int = 0
    undone: int = 0


def compute_window_start(breaker: Breaker, *, now: datetime, terms: BreakerTerms) -> datetime:
    """Since when to count. What was counted before the breaker moved is never counted again.

    Half-open, only commitments *opened* since then are counted: those before them were part of the trouble.
    """
    if breaker.status is BreakerStatus.HALF_OPEN:
        return breaker.since
    return max(breaker.since, now - timedelta(seconds=terms.window_seconds))


def advance_breaker(breaker: Breaker, outcomes: Outcomes, *, now: datetime, terms: BreakerTerms) -> Breaker:
    """The breaker after what was counted and the time that passed; itself where nothing moves."""
    target = breaker.status
    match breaker.status:
        case BreakerStatus.CLOSED if is_rate_exceeded(outcomes, terms):
            target = BreakerStatus.OPEN
        case BreakerStatus.OPEN if now >= get_cooled_at(breaker, terms):
            target = BreakerStatus.HALF_OPEN
        case BreakerStatus.HALF_OPEN if outcomes.undone:
            target = BreakerStatus.OPEN
        case BreakerStatus.HALF_OPEN if outcomes.ended >= terms.probes:
            target = BreakerStatus.CLOSED
        case _:
            return breaker
    status = BREAKER_TABLE.move(id="speculation", current=breaker.status, target=target)
    return Breaker(status=status, since=now)


def is_letting(breaker: Breaker, outcomes: Outcomes, terms: BreakerTerms) -> bool:
    """Whether one more commitment may be opened."""
    if breaker.status is BreakerStatus.HALF_OPEN:
        return outcomes.opened < terms.probes
    return breaker.status is BreakerStatus.CLOSED and not is_rate_exceeded(outcomes, terms)


def is_rate_exceeded(outcomes: Outcomes, terms: BreakerTerms) -> bool:
    """Whether too many of the window's commitments were undone; exact, in integers."""
    is_telling = outcomes.ended >= terms.min_ended
    return is_telling and outcomes.undone * 100 > terms.max_undone_percent * outcomes.ended


def is_backed_up(was: bool, backlog: int, *, high: int, low: int) -> bool:
    """Whether running ahead is held back by what is under way: from the high mark on, down to the low one."""
    return backlog > low if was else backlog >= high


def get_cooled_at(breaker: Breaker, terms: BreakerTerms) -> datetime:
    """When an open breaker lets the first probe through."""
    return breaker.since + timedelta(seconds=terms.cooldown_seconds)
