"""Rounds: opened over executed tasks, answered by ballots, decided by quorum.

Lock order: tasks (by id) before rounds; a round is only decided with its tasks locked.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.attestation.calls import calls_of
from apps.attestation.data import (
    ROUND_TABLE,
    Ballot,
    ItemVerdict,
    RoundStatus,
    ballot_from_json,
    ballot_message,
)
from apps.attestation.domain.committee import Candidate, compute_required, compute_size, draw_committee
from apps.attestation.domain.gathering import compute_full, gather_sets, may_open
from apps.attestation.domain.quorum import BallotValue, RoundDecision, decide_round
from apps.attestation.errors import BallotMalformed, BallotRepeated, NotOnCommittee, RoundUnknown
from apps.attestation.models import ROUND_FIELDS, Round, RoundItem, Vote
from apps.attestation.models import Ballot as BallotRow
from apps.attestation.opening import round_new
from apps.attestation.selectors import (
    count_open_rounds,
    count_staked_keepers,
    count_waiting,
    get_tasks_in_rounds,
    is_attestation_due,
)
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_create, rows_write
from apps.eventlog.writing import rows_insert, rows_update
from apps.execution.attempts import attempt_failed
from apps.execution.claims import Refusal
from apps.execution.dispatcher import get_domain
from apps.execution.services import compute_pause
from apps.keepers.selectors import get_assignable_keepers, get_bls_public_keys
from apps.kernel.bls import verify
from apps.kernel.eip712 import SignatureInvalid
from apps.kernel.errors import DomainError
from apps.kernel.hashing import from_hex
from apps.kernel.outcome import Outcome
from apps.kernel.settlement_hash import settlement_message
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import tasks_lock_due

#: too few attesters online: asked again after this
_NO_COMMITTEE_SECONDS = 5
_ROUND_FIELDS = ("status", "closed_at", "wake_at", "resend_at")


def rounds_open(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Gather executed tasks by performer into rounds and call their committees.

    Under load the tasks of a performer wait for its round to end and share the next one, so rounds grow
    with the load. With too few attesters online they are asked again soon.
    """
    attestation = settings.FOREKEEP.attestation
    opened: list[Round] = []
    keepers = get_assignable_keepers()
    full = {one.address: compute_full(one.latency_ms, attestation.round_max_tasks) for one in keepers}
    busy = count_open_rounds()
    held_back = [
        performer
        for performer, waiting in count_waiting(now).items()
        if not may_open(waiting, busy[performer], full.get(performer, attestation.round_max_tasks))
    ]
    with transaction.atomic():
        due = Q(is_solo=True) | ~Q(performer__in=held_back) if held_back else None
        tasks = tasks_lock_due([TaskStatus.EXECUTED], now=now, limit=limit, ids=ids, only=due)
        if not tasks:
            return Outcome()
        changes = TaskChanges(tasks, now=now)
        candidates = [Candidate(address=one.address, stake_units=one.stake_units) for one in keepers]
        required = compute_required(compute_size(attestation.committee_size, count_staked_keepers()))
        under_way = get_tasks_in_rounds(tasks)
        items: list[RoundItem] = []
        until = now + timedelta(seconds=attestation.ballot_timeout_seconds)
        later = now + timedelta(seconds=_NO_COMMITTEE_SECONDS)
        free = [task for task in tasks if task.id not in under_way]
        for group in gather_sets(free, under_way=busy, full=full, most=attestation.round_max_tasks):
            performer = group[0].performer
            numbers = [task.rounds + 1 for task in group]
            round_row, own = round_new(
                group, numbers, now=now, until=until, trace_id=changes.trace_of(group[0])
            )
            committee = draw_committee(
                candidates,
                seed=from_hex(round_row.seed),
                size=attestation.committee_size,
                excluded=frozenset({performer}),
            )
            if len(committee) < max(attestation.committee_min, required):
                for task in group:
                    changes.touch(task, wake_at=later)
                continue
            round_row.committee, round_row.required = list(committee), required
            opened.append(round_row)
            items.extend(own)
            for task in group:
                changes.touch(task, rounds=task.rounds + 1, wake_at=until)
        rows_create(opened, [_opened_event(row, items) for row in opened], now=now)
        rows_insert(RoundItem, items, is_key_given=False)
        changes.write()
        messages = calls_of(opened)
    return Outcome(taken=len(tasks) if opened else 0, messages=messages)


def ballots_record(*, items: Sequence[Mapping[str, Any]], now: datetime) -> tuple[Outcome, list[Refusal]]:
    """Count what attesters signed; a ballot that does not hold changes nothing.

    One vote per attester, task and round; voters are drawn members; the signature is over the round's
    own root (agreeing with everything) or over the list of verdicts. A round is tallied from the ballot on
    that can decide it.
    """
    ballots: list[tuple[int, Ballot]] = []
    refusals: list[Refusal] = []
    for index, item in enumerate(items):
        try:
            ballots.append((index, ballot_from_json(item)))
        except DomainError as exc:
            refusals.append(Refusal(index=index, error=exc))
    with transaction.atomic():
        wanted = Round.objects.filter(pk__in={ballot.round_id for _, ballot in ballots})
        rounds = {row.id: row for row in lock_rows(wanted, skip_locked=False)}
        seen = set(BallotRow.objects.filter(round__in=rounds).values_list("round_id", "attester"))
        keys = get_bls_public_keys({ballot.attester for _, ballot in ballots})
        round_items: defaultdict[UUID, list[RoundItem]] = defaultdict(list)
        for member in RoundItem.objects.filter(round__in=rounds).order_by("position"):
            round_items[member.round_id].append(member)
        rows: list[BallotRow] = []
        votes: list[Vote] = []
        for index, ballot in ballots:
            try:
                row = _require_ballot(ballot, rounds.get(ballot.round_id), seen, keys)
            except DomainError as exc:
                refusals.append(Refusal(index=index, error=exc))
                continue
            seen.add((ballot.round_id, ballot.attester))
            rows.append(_ballot_row(ballot, now))
            votes.extend(_votes(ballot, round_items[row.id]))
        rows_insert(BallotRow, rows, is_key_given=False)
        rows_insert(Vote, votes, is_key_given=False)
        cast = Counter(round_id for round_id, _ in seen)
        ripe = {row.round_id for row in rows if cast[row.round_id] >= rounds[row.round_id].required}
        Round.objects.filter(pk__in=ripe, status=RoundStatus.OPEN).update(wake_at=now)
    return Outcome(taken=len(ballots), pokes=frozenset({"tally"}) if ripe else frozenset()), refusals


def rounds_decide(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Decide the open rounds that have news or are past their time, with their tasks.

    A unanimous round makes its tasks `attested` together. Otherwise each item: valid ones are asked
    again alone, invalid ones are a failed attempt of the performer, undecided ones are drawn again
    once and then fail. Nobody is punished for a round without a quorum.
    """
    due = Round.objects.filter(status=RoundStatus.OPEN, wake_at__lte=now)
    if ids is not None:
        due = due.filter(pk__in=ids)
    keys = list(due.order_by("wake_at").values_list("id", flat=True)[:limit])
    if not keys:
        return Outcome()
    with transaction.atomic():
        members = RoundItem.objects.filter(round_id__in=keys, verdict=ItemVerdict.OPEN)
        tasks = {
            task.id: task
            for task in lock_rows(Task.objects.filter(pk__in=members.values("task_id")), skip_locked=False)
        }
        rounds = lock_rows(Round.objects.filter(pk__in=keys, status=RoundStatus.OPEN))
        changes = TaskChanges(list(tasks.values()), now=now)
        items = _items_of(rounds)
        ballots = _ballots_of(rounds, items)
        drafts: list[EventDraft] = []
        decided: list[RoundItem] = []
        for row in rounds:
            is_over = row.opened_at + timedelta(seconds=_timeout_seconds()) <= now
            decision = decide_round(
                size=row.size,
                committee_size=len(row.committee),
                required=row.required,
                ballots=ballots[row.id],
                is_over=is_over,
            )
            if decision.status is RoundStatus.OPEN:
                row.wake_at = row.opened_at + timedelta(seconds=_timeout_seconds())
                continue
            drafts.append(_decide(row, items[row.id], decision, tasks, changes))
            decided.extend(items[row.id])
        numbers = [item.number for item in decided]
        rows_update(RoundItem, decided, ("verdict",), numbers, guard_column="number")
        changes.write()
        rows_write(rounds, _ROUND_FIELDS, drafts, now=now)
        if drafts and is_attestation_due(now):
            changes.pokes.add("attest")
    return Outcome(taken=len(keys), pokes=frozenset(changes.pokes))


def rounds_resend(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Call again the members of open rounds that have not voted: their call may have been lost.

    Less and less often: a call that is merely waiting in a long queue must not make it longer.
    """
    due = Round.objects.filter(status=RoundStatus.OPEN, resend_at__lte=now)
    if ids is not None:
        due = due.filter(pk__in=ids)
    with transaction.atomic():
        rounds = lock_rows(due, limit=limit)
        for row in rounds:
            row.resend_at = now + compute_pause(row.opened_at, now)
        rows_update(Round, rounds, ("resend_at",), [row.event_sequence for row in rounds])
        voted: defaultdict[UUID, set[str]] = defaultdict(set)
        for round_id, attester in BallotRow.objects.filter(round__in=rounds).values_list(
            "round_id", "attester"
        ):
            voted[round_id].add(attester)
        messages = calls_of(rounds, voted)
    return Outcome(taken=len(rounds), messages=messages)


def _decide(
    row: Round,
    items: Sequence[RoundItem],
    decision: RoundDecision,
    tasks: Mapping[UUID, Task],
    changes: TaskChanges,
) -> EventDraft:
    """Apply a decision to one round; a task that moved on meanwhile is left out of it, the others go on."""
    live = [_is_live(tasks.get(item.task_id), item) for item in items]
    status, verdicts = decision.status, list(decision.verdicts)
    for item, verdict, is_live in zip(items, verdicts, live, strict=True):
        item.verdict = verdict if is_live else ItemVerdict.MOOT
        if not is_live:
            continue
        task = tasks[item.task_id]
        facts = {"round": str(row), "number": item.number, "verdict": str(verdict)}
        if status is RoundStatus.UNANIMOUS:
            changes.move(task, TaskStatus.ATTESTED, wake_at=changes.now, facts=facts)
            changes.pokes.add("prove" if task.spec.get("proof") else "submit")
        elif verdict is ItemVerdict.VALID:
            changes.touch(task, is_solo=True, wake_at=changes.now)
            changes.tell(task, "task.round_repeated", {**facts, "set": {"is_solo": True}})
            changes.pokes.add("attest")
        elif verdict is ItemVerdict.INVALID:
            reason = FailureReason.RESULT_REJECTED
            attempt_failed(changes, task, "attestation_invalid", f"round {row}", reason=reason)
        elif task.redraws < settings.FOREKEEP.attestation.redraws:
            redrawn = {"redraws": task.redraws + 1, "is_solo": True}
            changes.touch(task, **redrawn, wake_at=changes.now)
            changes.tell(task, "task.committee_redrawn", {**facts, "set": redrawn})
            changes.pokes.add("attest")
        else:
            changes.signal(task, FailureReason.NO_QUORUM, "no_quorum", f"round {row}")
    row.status = ROUND_TABLE.move(id=str(row), current=RoundStatus(row.status), target=status)
    row.closed_at = changes.now
    return EventDraft(
        row=row,
        type=f"round.{status}",
        payload={
            "set": {"status": str(status), "closed_at": changes.now},
            "signers": list(decision.signers),
            "verdicts": [str(item.verdict) for item in items],
        },
        trace_id=row.trace_id,
    )


def _is_live(task: Task | None, item: RoundItem) -> bool:
    if task is None or task.is_failing:
        return False
    return task.epoch == item.epoch and task.status == TaskStatus.EXECUTED


def _require_ballot(
    ballot: Ballot, row: Round | None, seen: set[tuple[UUID, str]], keys: Mapping[str, bytes]
) -> Round:
    if row is None or row.status != RoundStatus.OPEN:
        raise RoundUnknown(round=ballot.round_id.hex)
    if ballot.attester not in row.committee or ballot.attester not in keys:
        raise NotOnCommittee(attester=ballot.attester)
    if (row.id, ballot.attester) in seen:
        raise BallotRepeated(attester=ballot.attester)
    if len(ballot.verdicts) != row.size:
        raise BallotMalformed(message="ballot", reason="one verdict per item is expected")
    if ballot.is_unanimous and ballot.root != from_hex(row.root):
        raise BallotMalformed(message="ballot", reason="another root than the round's")
    domain = get_domain()
    message = (
        settlement_message(chain_id=domain.chain_id, hub=domain.contract, root=ballot.root)
        if ballot.is_unanimous
        else ballot_message(domain, ballot.round_id, ballot.root, ballot.verdicts)
    )
    if not verify(keys[ballot.attester], message, ballot.signature):
        raise SignatureInvalid(reason="not the attester's BLS signature")
    return row


def _ballot_row(ballot: Ballot, now: datetime) -> BallotRow:
    return BallotRow(
        round_id=ballot.round_id,
        attester=ballot.attester,
        root="0x" + ballot.root.hex(),
        is_unanimous=ballot.is_unanimous,
        signature="0x" + ballot.signature.hex(),
        received_at=now,
    )


def _votes(ballot: Ballot, items: Sequence[RoundItem]) -> list[Vote]:
    return [
        Vote(
            task_id=item.task_id,
            attester=ballot.attester,
            number=item.number,
            is_positive=verdict,
            reason=reason,
        )
        for item, verdict, reason in zip(items, ballot.verdicts, ballot.reasons, strict=True)
    ]


def _items_of(rounds: Sequence[Round]) -> Mapping[UUID, list[RoundItem]]:
    found: defaultdict[UUID, list[RoundItem]] = defaultdict(list)
    for item in RoundItem.objects.filter(round__in=rounds).order_by("round_id", "position"):
        found[item.round_id].append(item)
    return found


def _ballots_of(
    rounds: Sequence[Round], items: Mapping[UUID, Sequence[RoundItem]]
) -> Mapping[UUID, list[BallotValue]]:
    """Round → its ballots; verdicts of ballots that disagree are read from their votes."""
    rows = list(BallotRow.objects.filter(round__in=rounds))
    torn = [row for row in rows if not row.is_unanimous]
    task_ids = {item.task_id for row in torn for item in items[row.round_id]}
    votes = {
        (vote.task_id, vote.attester, vote.number): vote.is_positive
        for vote in Vote.objects.filter(task_id__in=task_ids)
    }
    found: defaultdict[UUID, list[BallotValue]] = defaultdict(list)
    for row in rows:
        own = items[row.round_id]
        verdicts = tuple(row.is_unanimous or votes[(item.task_id, row.attester, item.number)] for item in own)
        found[row.round_id].append(BallotValue(attester=row.attester, verdicts=verdicts))
    return found


def _timeout_seconds() -> int:
    return settings.FOREKEEP.attestation.ballot_timeout_seconds


def _opened_event(row: Round, items: Sequence[RoundItem]) -> EventDraft:
    return EventDraft(
        row=row,
        type="round.opened",
        payload={
            "set": row.get_json_fields(ROUND_FIELDS),
            "tasks": [item.task_id.hex for item in items if item.round_id == row.id],
        },
        trace_id=row.trace_id,
    )
