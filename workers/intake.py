"""Where keepers' answers come in: receipts, acknowledgements, ballots, in sets.

What does not hold is refused with its code, counted and logged; nothing else of its set is touched.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from apps.attestation.errors import BallotRepeated, RoundUnknown
from apps.attestation.services import ballots_record
from apps.eventlog.selectors import get_database_now
from apps.execution.claims import Refusal
from apps.execution.errors import EpochStale, LeaseClosed
from apps.execution.services import acknowledgements_record, receipts_record
from apps.kernel.outcome import Outcome
from project.celery import app
from project.metrics import INTAKE_MESSAGES
from workers.canvas import send
from workers.isolation import PASSING
from workers.pokes import announce, poke

_log = structlog.get_logger("forekeep.intake")
_MOST = 1_000
#: answers that are late or come twice; anything else that is refused is worth a warning
_EVERYDAY = (RoundUnknown, BallotRepeated, EpochStale, LeaseClosed)


@app.task(name="workers.intake.receipts", soft_time_limit=60, time_limit=90)
def receipts(*, items: list[dict[str, Any]]) -> None:
    """Signed receipts (`apps/execution/data.py`)."""
    _take("receipt", receipts_record, items)


@app.task(name="workers.intake.acknowledgements", soft_time_limit=60, time_limit=90)
def acknowledgements(*, items: list[dict[str, Any]]) -> None:
    """Signed acknowledgements."""
    _take("acknowledgement", acknowledgements_record, items)


@app.task(name="workers.intake.ballots", soft_time_limit=60, time_limit=90)
def ballots(*, items: list[dict[str, Any]]) -> None:
    """Signed ballots (`apps/attestation/data.py`)."""
    _take("ballot", ballots_record, items)


def _take(
    kind: str,
    record: Callable[..., tuple[Outcome, list[Refusal]]],
    items: Sequence[dict[str, Any]],
) -> None:
    """Record a set; should that fail, each alone. A message that is lost here comes again by the sweep."""
    sets = [items[start : start + _MOST] for start in range(0, len(items), _MOST)]
    for some in sets:
        try:
            _record(kind, record, some)
        except PASSING as exc:
            _log.warning("intake gave way; the keepers answer again", kind=kind, error=str(exc))
        except Exception:
            _log.exception("set refused; taking its messages one by one", kind=kind)
            for item in some:
                try:
                    _record(kind, record, [item])
                except Exception:
                    INTAKE_MESSAGES.labels(kind=kind, outcome="error").inc()
                    _log.exception("message set aside", kind=kind)


def _record(
    kind: str,
    record: Callable[..., tuple[Outcome, list[Refusal]]],
    items: Sequence[dict[str, Any]],
) -> None:
    outcome, refusals = record(items=items, now=get_database_now())
    for refusal in refusals:
        named = _names(items[refusal.index])
        if isinstance(refusal.error, _EVERYDAY):
            _log.info("answer came late", kind=kind, code=refusal.error.code, **named)
        else:
            reason = str(refusal.error)
            _log.warning("message refused", kind=kind, code=refusal.error.code, reason=reason, **named)
        INTAKE_MESSAGES.labels(kind=kind, outcome=refusal.error.code).inc()
    INTAKE_MESSAGES.labels(kind=kind, outcome="recorded").inc(len(items) - len(refusals))
    send(outcome.messages)
    poke(outcome.pokes)
    announce()


def _names(item: Any) -> dict[str, str]:
    """What a refused message calls itself, for the log: anything may have come in."""
    named = item if isinstance(item, dict) else {}
    return {name: str(named.get(name))[:80] for name in ("task", "round", "keeper", "attester", "epoch")}
