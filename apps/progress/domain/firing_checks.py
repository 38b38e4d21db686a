"""Why a job does not fire: facts in, checks out, in the order in which they hold a firing up. Pure.

A check is ok, not ok, or unknown (None); the first that is not ok is the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apps.progress.domain.frames import to_rfc3339

#: why a status holds a job's firings back
_STATUS_WORDS: Final = {
    "active": "The job is active.",
    "paused": "The job is paused; resume it.",
    "completed": "The job has fired as often as it ever will.",
    "expired": "The job's life is over.",
    "deleted": "The job was deleted.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing a firing needs: what was seen, what it is measured against, and what that means."""

    check: str
    ok: bool | None
    observed: str
    limit: str
    explanation: str

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "check": self.check,
            "ok": self.ok,
            "observed": self.observed,
            "limit": self.limit,
            "explanation": self.explanation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringFacts:
    """What is known of a job now. Units and seconds; None is not known, or not asked."""

    now: datetime
    status: str
    trigger_kind: str
    status_reason: str = ""
    fires_left: int | None = None
    expires_at: datetime | None = None
    next_fire_at: datetime | None = None
    sweep_age_seconds: float | None = None
    sweep_limit_seconds: float
    estimated_cost_units: int | None = None
    balance_units: int
    last_refusal_reason: str = ""
    #: event jobs: whether somebody leads the chain's watch, and what keeps its logs from being read
    is_led: bool | None = None
    unheard: str = ""
    #: event jobs: firings and sightings so far
    waiting_sightings: int = 0
    fired_sightings: int = 0
    #: condition jobs: whether somebody asks their sources, what the condition says of the last observations,
    #: the comparison that decides it in words, and whether it has fired since it became met
    is_watched: bool | None = None
    is_met: bool | None = None
    deciding: str = ""
    has_fired_since_met: bool = False


def check_firing(facts: FiringFacts) -> list[Check]:
    """All checks of a job, the one that holds up first first."""
    checks = [_status(facts), _fires_left(facts), _expiry(facts), *_trigger(facts), _scheduler(facts)]
    return [*checks, _price(facts), _balance(facts), _refusal(facts)]


def find_answer(checks: Sequence[Check]) -> dict[str, str]:
    """The first check that is not ok, else the first unknown one, else that nothing holds it up."""
    failing = next((one for one in checks if one.ok is False), None)
    found = failing or next((one for one in checks if one.ok is None), None)
    if found is None:
        return {"code": "nothing_holds_it_up", "explanation": "Nothing keeps it from firing."}
    return {"code": found.check, "explanation": found.explanation}


def _status(facts: FiringFacts) -> Check:
    reason = f" Reason: {facts.status_reason}." if facts.status_reason else ""
    return Check(
        check="status",
        ok=facts.status == "active",
        observed=facts.status,
        limit="active",
        explanation=_STATUS_WORDS.get(facts.status, "The job is not active.") + reason,
    )


def _fires_left(facts: FiringFacts) -> Check:
    left = facts.fires_left
    return Check(
        check="fires_left",
        ok=left is None or left > 0,
        observed="any number" if left is None else str(left),
        limit="1 or more",
        explanation="All its fires are used up." if left == 0 else "It may still fire.",
    )


def _expiry(facts: FiringFacts) -> Check:
    is_over = facts.expires_at is not None and facts.expires_at <= facts.now
    return Check(
        check="expiry",
        ok=not is_over,
        observed="never" if facts.expires_at is None else to_rfc3339(facts.expires_at),
        limit=f"after {to_rfc3339(facts.now)}",
        explanation="It expired." if is_over else "It has not expired.",
    )


def _trigger(facts: FiringFacts) -> list[Check]:
    if facts.trigger_kind == "time":
        return [_next_fire(facts)]
    if facts.trigger_kind == "condition":
        return [_watched(facts), _met(facts), _edge(facts)]
    return [_led(facts), _heard(facts), _seen(facts)] if facts.trigger_kind == "event" else []


def _next_fire(facts: FiringFacts) -> Check:
    at = facts.next_fire_at
    return Check(
        check="next_fire",
        ok=at is not None,
        observed="none" if at is None else to_rfc3339(at),
        limit="a time",
        explanation="No fire is laid out." if at is None else f"It fires next at {to_rfc3339(at)}.",
    )


def _led(facts: FiringFacts) -> Check:
    return Check(
        check="chain_led",
        ok=facts.is_led,
        observed={True: "watched", False: "nobody", None: "not known"}[facts.is_led],
        limit="watched",
        explanation="A watcher follows the chain." if facts.is_led else "No watcher follows its chain now.",
    )


def _heard(facts: FiringFacts) -> Check:
    return Check(
        check="chain_heard",
        ok=not facts.unheard,
        observed=facts.unheard or "read",
        limit="read",
        explanation="Its chain cannot be read now." if facts.unheard else "Its chain is read.",
    )


def _seen(facts: FiringFacts) -> Check:
    waiting, fired = facts.waiting_sightings, facts.fired_sightings
    if waiting:
        words = f"{waiting} seen, waiting for confirmations."
    else:
        words = (
            f"{fired} of the last logs fired." if fired else "No matching log that counts was seen lately."
        )
    return Check(
        check="log_seen",
        ok=True if fired and not waiting else None if waiting else False,
        observed=f"{waiting} waiting, {fired} fired",
        limit="1 confirmed log",
        explanation=words,
    )


def _watched(facts: FiringFacts) -> Check:
    return Check(
        check="condition_watched",
        ok=facts.is_watched,
        observed={True: "watched", False: "nobody", None: "not known"}[facts.is_watched],
        limit="watched",
        explanation="A poller asks its sources." if facts.is_watched else "No poller asks its sources now.",
    )


def _met(facts: FiringFacts) -> Check:
    words = {
        True: "The condition is met.",
        False: "The condition is not met.",
        None: "A value that decides is not known.",
    }
    return Check(
        check="condition_met",
        ok=facts.is_met,
        observed={True: "met", False: "not met", None: "unknown"}[facts.is_met],
        limit="met",
        explanation=f"{words[facts.is_met]} {facts.deciding}".strip(),
    )


def _edge(facts: FiringFacts) -> Check:
    return Check(
        check="edge",
        ok=not facts.has_fired_since_met,
        observed="fired" if facts.has_fired_since_met else "not yet",
        limit="not yet",
        explanation="It has fired since it became met; it fires again once it has not been met in between."
        if facts.has_fired_since_met
        else "It has not fired since it became met.",
    )


def _scheduler(facts: FiringFacts) -> Check:
    age, limit = facts.sweep_age_seconds, facts.sweep_limit_seconds
    is_late = age is not None and age > limit
    return Check(
        check="scheduler",
        ok=None if age is None else not is_late,
        observed="no sweep is known" if age is None else f"{age:.0f} s ago",
        limit=f"at most {limit:.0f} s ago",
        explanation="The scheduler does not sweep."
        if is_late
        else "No sweep of the scheduler is known."
        if age is None
        else "The scheduler sweeps.",
    )


def _price(facts: FiringFacts) -> Check:
    cost = facts.estimated_cost_units
    return Check(
        check="price",
        ok=cost is not None,
        observed="not known" if cost is None else f"{cost} units",
        limit="known",
        explanation="No gas price was known, so a run has no price."
        if cost is None
        else "The price of a run is known.",
    )


def _balance(facts: FiringFacts) -> Check:
    cost = facts.estimated_cost_units
    is_enough = None if cost is None else facts.balance_units >= cost
    words = {
        True: "The project can pay for a run.",
        False: "The project's balance is smaller than a run costs.",
        None: "What a run costs is not known.",
    }
    return Check(
        check="balance",
        ok=is_enough,
        observed=f"{facts.balance_units} units",
        limit="not known" if cost is None else f"{cost} units",
        explanation=words[is_enough],
    )


def _refusal(facts: FiringFacts) -> Check:
    reason = facts.last_refusal_reason
    return Check(
        check="last_refusal",
        ok=not reason,
        observed=reason or "none",
        limit="none",
        explanation=f"Its last fire was refused: {reason}." if reason else "Its last fire was not refused.",
    )
