"""From what a stage decided to messages on keeper queues, sent after commit; and how they are stopped.

A message goes to the queue that bears its keeper's address. What follows it travels inside it: one follower
makes a Celery chain, several a group at its end, and each keeper sends the next ones on with what it returns,
its receipt. Joins live in SQL, so there is no chord. Every message is stamped with the attempts it stands on;
one command revokes everything that stands on some of them. A message that is lost is offered again by the
sweep, one that arrives twice is answered with the same receipt, and a revocation that is lost costs compute:
the epoch in the database is what makes it true.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from celery.canvas import Signature, chain, group
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import RedisError

from apps.kernel.outcome import AbortReply, Dispatch, Message, Revocation
from apps.kernel.trace import trace_of
from apps.speculation.domain.lineage import STAMP
from project.celery import app, sending_together

#: a keeper's name as a node, before its address
_NODE: Final = "keeper@"
#: commands that no worker of the control plane is to keep in mind
_KEEPERS: Final = {"pattern": f"{_NODE}*", "matcher": "glob"}
_AWAY: Final = (OperationalError, RedisError, OSError)
#: Celery's annotations know no lists of stamps and no app with a task class of its own
_app: Any = app
_log = structlog.get_logger("forekeep.canvas")


def keeper_queue(address: str) -> str:
    """The queue a keeper listens on."""
    return f"keeper.{address}"


def send(messages: Sequence[Message]) -> None:
    """Send the messages together, each with what follows it; a broker that is away is for the sweep."""
    if not messages:
        return
    try:
        with sending_together() as producer:
            for message in messages:
                # a chain with this task at its head; Celery's own `chain` sends its head past the producer
                app.send_task(
                    message.task,
                    kwargs=dict(message.body),
                    chain=links_of(message.following)[::-1] or None,
                    producer=producer,
                    **_options(message),
                )
    except _AWAY as exc:
        _log.warning("messages not sent", count=len(messages), error=str(exc))


def dispatch(dispatches: Sequence[Dispatch]) -> None:
    """Send messages to queues of the control plane; a broker that is away is the sweep's business."""
    if not dispatches:
        return
    try:
        with sending_together() as producer:
            for message in dispatches:
                app.send_task(
                    message.task,
                    kwargs=dict(message.body),
                    queue=message.queue,
                    producer=producer,
                    headers={"traceparent": trace_of(message.trace_id).traceparent},
                )
    except _AWAY as exc:
        _log.warning("dispatches not sent", count=len(dispatches), error=str(exc))


def revoke(revocations: Sequence[Revocation]) -> tuple[AbortReply, ...]:
    """Tell the keepers what to drop and what to stop, one command each for all of it; what they answered.

    There is one answer for each keeper of each revocation that is told to stop attempts. It waits for them
    for `abort_reply_seconds`; a broker that is away means that nobody answered.
    """
    stamps = sorted({stamp for revocation in revocations for stamp in revocation.stamps})
    aborts = _aborts_of(revocations)
    if not stamps and not aborts:
        return ()
    replies: Mapping[str, _Reply] = {}
    try:
        # kombu would publish a command for ever to a broker that is away; this fails at once
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            if stamps:
                _app.control.revoke_by_stamped_headers({STAMP: stamps}, **_KEEPERS)
            replies = _abort(aborts, connection) if aborts else {}
    except _AWAY as exc:
        _log.warning("revocations not sent", count=len(revocations), error=str(exc))
    return tuple(
        _answer(revocation.rollback, keeper, attempts, replies.get(keeper))
        for revocation in revocations
        for keeper, attempts in sorted(revocation.aborts.items())
    )


def links_of(following: Sequence[Message]) -> list[Signature]:
    """The steps of the chain that goes on after a message: tasks, and at its end a group where it forks."""
    steps: list[Signature] = []
    while len(following) == 1:
        steps.append(_signature(following[0]))
        following = following[0].following
    if following:
        branches = [[_signature(one), *links_of(one.following)] for one in following]
        steps.append(group([chain(*branch, app=_app) for branch in branches], app=_app))
    return steps


def _signature(message: Message) -> Signature:
    return app.signature(message.task, kwargs=dict(message.body), options=_options(message))


def _options(message: Message) -> dict[str, Any]:
    """Where a message goes and what it bears; the keeper before it sends it with just these."""
    options: dict[str, Any] = {
        "queue": keeper_queue(message.keeper),
        "declare": [],
        "argsrepr": "()",
        "kwargsrepr": _shown(message.body),
        "headers": {"traceparent": trace_of(message.trace_id).traceparent},
    }
    if message.stamps:
        options |= {"stamped_headers": [STAMP], STAMP: list(message.stamps)}
    return options


@dataclass(frozen=True, slots=True)
class _Reply:
    """What one keeper said to an abort command."""

    milliseconds: int
    killed: frozenset[tuple[str, int]]


def _aborts_of(revocations: Sequence[Revocation]) -> Mapping[str, set[tuple[str, int]]]:
    """What each keeper is to stop."""
    aborts: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for revocation in revocations:
        for keeper, attempts in revocation.aborts.items():
            aborts[keeper].update(attempts)
    return aborts


def _abort(aborts: Mapping[str, set[tuple[str, int]]], connection: Connection) -> Mapping[str, _Reply]:
    """One command to all keepers concerned; the answers that came in time, by keeper."""
    seconds = settings.FOREKEEP.rollback.abort_reply_seconds
    started = time.monotonic()
    replies: dict[str, _Reply] = {}

    def note(answer: Any) -> None:
        passed = time.monotonic() - started
        if passed > seconds:
            raise _TooLate()
        for node, said in answer.items() if isinstance(answer, dict) else ():
            killed = _killed(said)
            if killed is not None:
                replies[str(node).removeprefix(_NODE)] = _Reply(round(passed * 1000), killed)

    with suppress(_TooLate):
        app.control.broadcast(
            "keeper.abort",
            arguments={"attempts": sorted(set().union(*aborts.values()))},
            destination=[f"{_NODE}{keeper}" for keeper in sorted(aborts)],
            connection=connection,
            reply=seconds > 0,
            timeout=seconds,
            callback=note,
        )
    return replies


class _TooLate(Exception):
    """An answer after the time: kombu waits anew after every one, and this is what ends it."""


def _killed(said: Any) -> frozenset[tuple[str, int]] | None:
    """The attempts a keeper says it stopped; None where it says something else."""
    try:
        return frozenset((str(task), int(epoch)) for task, epoch in said["killed"])
    except (KeyError, TypeError, ValueError):
        return None


def _answer(
    rollback: str, keeper: str, attempts: Sequence[tuple[str, int]], reply: _Reply | None
) -> AbortReply:
    return AbortReply(
        rollback=rollback,
        keeper=keeper,
        is_confirmed=reply is not None,
        milliseconds=None if reply is None else reply.milliseconds,
        killed=() if reply is None else tuple(one for one in attempts if one in reply.killed),
    )


def _shown(body: Mapping[str, Any]) -> str:
    """What Flower shows of a body: whose it is, never what is in it (and no time spent on its repr)."""
    named = ((name, part) for name, part in body.items() if isinstance(part, Mapping))
    return ", ".join(f"{name} {part.get('task') or part.get('round')}" for name, part in named)
