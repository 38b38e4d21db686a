"""Writing what was seen of logs: kept, fired once confirmed, dropped or reported once their block is gone.

All of it in the caller's transaction, which holds the chain's cursor.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from apps.chains.data import Block, Log
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import events_append
from apps.jobs.data import FiringKind
from apps.jobs.firings import FiringDraft, firings_add
from apps.jobs.models import Job
from apps.triggers.data import matches
from apps.watching.data import CatchUp, SightingStatus, Watched
from apps.watching.domain.states import SIGHTING_TABLE
from apps.watching.models import Sighting

BLOCK_GONE: Final = "block_gone"
NOT_WAITING: Final = "job_not_waiting"
_EVENT_OF: Final[Mapping[str, str]] = {
    SightingStatus.DROPPED: "job.trigger_dropped",
    SightingStatus.REORGED: "job.trigger_reorged",
}
_log = structlog.get_logger("forekeep.watching")

Blocks = Mapping[int, Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A log and a job it fires, and the log's arguments."""

    watched: Watched
    log: Log
    args: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The firing's key."""
        return f"event:{self.log.block_hash}:{self.log.index}"


def find(logs: Sequence[Log], watched: Collection[Watched]) -> list[Found]:
    """Every pair of a log and a job whose rule it fulfils."""
    by_place: dict[tuple[str, str], list[Watched]] = {}
    for one in watched:
        by_place.setdefault((one.trigger.address, one.trigger.topic0), []).append(one)
    found = []
    for log in logs:
        seen = _log_json(log)
        for one in by_place.get((log.address, log.topics[0].lower() if log.topics else ""), ()):
            match = matches(one.trigger, seen)
            if match:
                found.append(Found(watched=one, log=log, args=match.args))
            elif not match.args:
                _log.info("a log does not decode", job=one.job_id.hex, key=log.tx_hash, reason=match.reason)
    return found


def sightings_keep(found: Sequence[Found], blocks: Blocks, now: datetime) -> int:
    """Keep what counts: the block is canonical and not older than the job's arming. Returns how many are new.

    A sighting whose block had gone and is back is what it was before.
    """
    rows = [
        _row(one, blocks[one.log.block_number], now)
        for one in found
        if one.log.block_number in blocks
        and blocks[one.log.block_number].hash == one.log.block_hash
        and blocks[one.log.block_number].timestamp >= one.watched.since
    ]
    if not rows:
        return 0
    known = list(Sighting.objects.filter(key__in={row.key for row in rows}))
    known_keys = {(row.job_id, row.key) for row in known}
    wanted = {(row.job_id, row.key) for row in rows}
    back = [row for row in known if (row.job_id, row.key) in wanted and _is_gone(row)]
    for row in back:
        is_fired = row.status == SightingStatus.REORGED
        _move(row, SightingStatus.FIRED if is_fired else SightingStatus.SEEN, "")
    Sighting.objects.bulk_update(back, ("status", "reason"))
    new = [row for row in rows if (row.job_id, row.key) not in known_keys]
    Sighting.objects.bulk_create(new, ignore_conflicts=True, batch_size=500)
    return len(new)


def sightings_fire(
    chain_id: int, head_number: int, blocks: Blocks, watched: Mapping[UUID, Watched], now: datetime
) -> CatchUp:
    """Fire the confirmed sightings whose block is still there and whose job still waits for them.

    One whose block was not asked for stays for the next pass.
    """
    due = Sighting.objects.filter(chain_id=chain_id, status=SightingStatus.SEEN, due_block__lte=head_number)
    rows = [row for row in due.order_by("block_number", "log_index", "pk") if row.block_number in blocks]
    fired: list[Sighting] = []
    gone: list[Sighting] = []
    idle: list[Sighting] = []
    for row in rows:
        one = watched.get(row.job_id)
        if blocks[row.block_number].hash != row.block_hash:
            gone.append(row)
        elif (
            one is None or blocks[row.block_number].timestamp < one.since or not matches(one.trigger, row.log)
        ):
            idle.append(row)
        else:
            fired.append(row)

    drafts = [
        FiringDraft(job_id=row.job_id, key=row.key, kind=FiringKind.EVENT, due_at=now, evidence=row.log)
        for row in fired
    ]
    job_ids = firings_add(drafts, now=now) if drafts else []
    for row in fired:
        _move(row, SightingStatus.FIRED, "")
    for row in idle:
        _move(row, SightingStatus.DROPPED, NOT_WAITING)
    Sighting.objects.bulk_update([*fired, *idle], ("status", "reason"))
    told = sightings_tell_gone(gone, now)
    return CatchUp(
        fired=len(fired), dropped=len(idle) + told.dropped, job_ids=tuple(job_ids), head_number=head_number
    )


def sightings_tell_gone(rows: Sequence[Sighting], now: datetime) -> CatchUp:
    """Drop those that had not fired, mark those that had; each is an event of its job."""
    if not rows:
        return CatchUp()
    for row in rows:
        is_fired = row.status == SightingStatus.FIRED
        _move(row, SightingStatus.REORGED if is_fired else SightingStatus.DROPPED, BLOCK_GONE)
    Sighting.objects.bulk_update(rows, ("status", "reason"))
    jobs = {
        job.pk: job
        for job in lock_rows(Job.objects.filter(pk__in={row.job_id for row in rows}), skip_locked=False)
    }
    events_append([_draft(jobs[row.job_id], row) for row in rows], now=now)
    for row in rows:
        facts = {"job": row.job_id.hex, "block_number": row.block_number, "block_hash": row.block_hash}
        if row.status == SightingStatus.REORGED:
            _log.warning("job.trigger_reorged", **facts)
        else:
            _log.info("job.trigger_dropped", **facts)
    reorged = sum(row.status == SightingStatus.REORGED for row in rows)
    return CatchUp(dropped=len(rows) - reorged, reorged=reorged)


def _draft(job: Job, row: Sighting) -> EventDraft:
    facts = {
        "key": row.key,
        "reason": row.reason,
        "chain_id": row.chain_id,
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "log_index": row.log_index,
        "tx_hash": row.log["tx_hash"],
    }
    return EventDraft(row=job, type=_EVENT_OF[row.status], payload=facts, project_id=job.project_id)


def _row(one: Found, block: Block, now: datetime) -> Sighting:
    log = one.log
    evidence = {
        "kind": "event",
        "chain_id": one.watched.trigger.chain_id,
        **_log_json(log),
        "block_number": log.block_number,
        "block_hash": log.block_hash,
        "log_index": log.index,
        "tx_hash": log.tx_hash,
        "args": dict(one.args),
    }
    return Sighting(
        job_id=one.watched.job_id,
        key=one.key,
        chain_id=one.watched.trigger.chain_id,
        block_number=log.block_number,
        block_hash=log.block_hash,
        block_at=datetime.fromtimestamp(block.timestamp, UTC),
        log_index=log.index,
        log=evidence,
        due_block=log.block_number + one.watched.trigger.confirmations,
        seen_at=now,
    )


def _log_json(log: Log) -> dict[str, Any]:
    return {"address": log.address, "topics": list(log.topics), "data": log.data}


def _is_gone(row: Sighting) -> bool:
    return row.status == SightingStatus.REORGED or (
        row.status == SightingStatus.DROPPED and row.reason == BLOCK_GONE
    )


def _move(row: Sighting, target: SightingStatus, reason: str) -> None:
    current = SightingStatus(row.status)
    row.status = str(SIGHTING_TABLE.move(id=f"{row.job_id.hex}/{row.key}", current=current, target=target))
    row.reason = reason
