"""One level-triggered pass over a chain's logs: from where the cursor stands to the head.

What a subscription says is only a hint to come here. Everything is read with `eth_getLogs`, checked against
the canonical chain, and kept in the transaction that moves the cursor; doing it again, or twice at a time,
changes nothing. A replaced cursor block sends the cursor back by `reorg_watch_blocks`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from apps.chains.client import ChainClient
from apps.chains.data import Block
from apps.chains.errors import ChainUnreachable, WrongChain
from apps.eventlog.locking import lock_rows
from apps.kernel.errors import DomainError
from apps.triggers.data import union_filter
from apps.watching.data import CatchUp, SightingStatus, Watched
from apps.watching.models import ChainCursor, EventWatch, Sighting
from apps.watching.reading import RangeReader, find_first_block
from apps.watching.selectors import get_watched
from apps.watching.sightings import (
    Blocks,
    Found,
    find,
    sightings_fire,
    sightings_keep,
    sightings_tell_gone,
)

#: ranges one pass reads; what is left is the next one's
_RANGES: Final = 64
#: how often a pass starts over because the chain, or another pass, moved under it
_TRIES: Final = 5
#: a head where nothing was found is written down at most so often
_NOTED_FOR: Final = timedelta(seconds=1)
_WATCHED_ENDS: Final = (SightingStatus.SEEN, SightingStatus.FIRED)
_log = structlog.get_logger("forekeep.watching")


class _Moved(Exception):
    """The chain or the cursor is no longer where this pass has started from."""


class _Interrupted(Exception):
    """What a pass had done before it has to start over."""

    def __init__(self, done: CatchUp) -> None:
        self.done = done


def events_catch_up(chain_id: int, client: ChainClient, *, now: datetime) -> CatchUp:
    """Read a chain to its head and fire what is confirmed; nobody waiting, nothing is asked.

    Not at the head (`is_at_head`) after so many ranges, or where the chain kept moving: come again. Raises
    ChainUnreachable, ChainFault, WrongChain; the cursor keeps why and since when.
    """
    done = CatchUp()
    try:
        for _ in range(_TRIES):
            try:
                return done.plus(_pass(chain_id, client, now))
            except _Interrupted as exc:
                done = done.plus(exc.done)
    except DomainError as exc:
        _note_error(chain_id, exc, now)
        raise
    return done.plus(CatchUp(is_at_head=False))


def sightings_purge(*, now: datetime, keep_seconds: int, limit: int = 10_000) -> int:
    """Forget sightings that ended long ago; what fired is in the job's firings and runs. Returns how many."""
    old = Sighting.objects.filter(seen_at__lt=now - timedelta(seconds=keep_seconds)).exclude(
        status=SightingStatus.SEEN
    )
    deleted, _ = Sighting.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()
    return deleted


def _pass(chain_id: int, client: ChainClient, now: datetime) -> CatchUp:
    watched = get_watched(chain_id, now)
    cursor = ChainCursor.objects.filter(pk=chain_id).first()
    if not watched and (cursor is None or not _is_anything_open(cursor)):
        return CatchUp()
    if cursor is None:
        ChainCursor.objects.bulk_create([ChainCursor(chain_id=chain_id)], ignore_conflicts=True)
        cursor = ChainCursor.objects.get(pk=chain_id)

    head, is_canonical = _look(chain_id, client, cursor)
    done = CatchUp(head_number=head.number)
    try:
        if not is_canonical:
            _step_back(cursor, client, head, now)
        if cursor.is_doubted:
            done = done.plus(_recheck(cursor, client, head, now))
        new = _unknown(watched)
        if new:
            done = done.plus(_begin(cursor, client, head, new, watched, now))
        return done.plus(_go_on(cursor, client, head, watched, now))
    except _Moved:
        raise _Interrupted(done) from None


def _look(chain_id: int, client: ChainClient, cursor: ChainCursor) -> tuple[Block, bool]:
    """The head, and whether the cursor's block is still what it was."""
    numbers = [] if cursor.number is None or cursor.number < 0 else [cursor.number]
    seen = client.observe(tx_hashes=(), addresses=(), block_numbers=numbers)
    if seen.chain_id != chain_id:
        raise WrongChain(expected=chain_id, found=seen.chain_id)
    return seen.head, all(seen.block_hashes.get(number) == cursor.hash for number in numbers)


def _go_on(
    cursor: ChainCursor, client: ChainClient, head: Block, watched: Sequence[Watched], now: datetime
) -> CatchUp:
    """Read from after the cursor to the head, range by range, each its own transaction."""
    reader = RangeReader(client, settings.FOREKEEP.triggers.block_range)
    wanted = union_filter(one.trigger for one in watched)
    done = CatchUp(head_number=head.number)
    for _ in range(_RANGES):
        first = head.number + 1 if cursor.number is None else cursor.number + 1
        if first > head.number:
            break
        last, logs = reader.read(wanted, first, head.number)
        found = find(logs, watched)
        blocks = _blocks(client, cursor.chain_id, head, found, [last, head.number])
        top = blocks.get(head.number)
        if top is None or top.hash != head.hash or last not in blocks:
            raise _Moved
        if last == head.number and _is_nothing_to_write(cursor, found, head, now):
            return done
        done = done.plus(_keep(cursor, head, blocks[last], found, blocks, watched, now))
    if cursor.number is not None and cursor.number >= head.number:
        done = done.plus(_fire_waiting(cursor, client, head, watched, now))
        if not _is_noted(cursor, now):
            _note_head(cursor, head, now)
        return done
    return done.plus(CatchUp(is_at_head=False))


def _is_nothing_to_write(cursor: ChainCursor, found: Sequence[Found], head: Block, now: datetime) -> bool:
    """Whether the blocks up to the head brought nothing: they are read again rather than noted one by one."""
    return not found and not _due_numbers(cursor.chain_id, head) and _is_noted(cursor, now)


def _is_noted(cursor: ChainCursor, now: datetime) -> bool:
    """Whether a pass came to the head a moment ago, without an error since."""
    is_recent = cursor.processed_at is not None and now - cursor.processed_at < _NOTED_FOR
    return is_recent and not cursor.error


def _fire_waiting(
    cursor: ChainCursor, client: ChainClient, head: Block, watched: Sequence[Watched], now: datetime
) -> CatchUp:
    """What became due without a new block's being read, as where a pass died in between."""
    if not _due_numbers(cursor.chain_id, head):
        return CatchUp()
    blocks = _blocks(client, cursor.chain_id, head, (), ())
    with transaction.atomic():
        _lock(cursor)
        by_id = {one.job_id: one for one in watched}
        return sightings_fire(cursor.chain_id, head.number, blocks, by_id, now)


def _begin(
    cursor: ChainCursor,
    client: ChainClient,
    head: Block,
    new: Sequence[Watched],
    watched: Sequence[Watched],
    now: datetime,
) -> CatchUp:
    """Bring jobs nobody has read for to where the cursor is; the first of all put it where they begin."""
    first_of = {since: find_first_block(client, head, since) for since in {one.since for one in new}}
    first = min(first_of.values())
    done = CatchUp()
    if cursor.number is None or len(new) == len(watched):
        _put(cursor, client, first - 1, now)
    reader = RangeReader(client, settings.FOREKEEP.triggers.block_range)
    wanted = union_filter(one.trigger for one in new)
    until = cursor.number if cursor.number is not None else first - 1
    while first <= until:
        last, logs = reader.read(wanted, first, until)
        found = find(logs, new)
        blocks = _blocks(client, cursor.chain_id, head, found, [])
        done = done.plus(_keep(cursor, head, None, found, blocks, watched, now))
        first = last + 1
    with transaction.atomic():
        _lock(cursor)
        EventWatch.objects.filter(job_id__in=[one.job_id for one in new]).delete()
        EventWatch.objects.bulk_create(
            [
                EventWatch(
                    job_id=one.job_id,
                    chain_id=cursor.chain_id,
                    armed_at=one.armed_at,
                    from_block=first_of[one.since],
                )
                for one in new
            ]
        )
    return done


def _keep(
    cursor: ChainCursor,
    head: Block,
    end: Block | None,
    found: Sequence[Found],
    blocks: Blocks,
    watched: Sequence[Watched],
    now: datetime,
) -> CatchUp:
    """Keep what was found, fire what is confirmed, and move the cursor to `end`: one transaction."""
    with transaction.atomic():
        _lock(cursor)
        seen = sightings_keep(found, blocks, now)
        by_id = {one.job_id: one for one in watched}
        fired = sightings_fire(cursor.chain_id, head.number, blocks, by_id, now)
        if end is not None:
            _move(cursor, end.number, end.hash)
            if end.number == head.number:
                _note_head(cursor, head, now)
    return CatchUp(seen=seen, head_number=head.number).plus(fired)


def _step_back(cursor: ChainCursor, client: ChainClient, head: Block, now: datetime) -> None:
    """The cursor's block was replaced: read again from before it, and look again for what was seen there."""
    was = -1 if cursor.number is None else cursor.number
    back = max(-1, min(was, head.number) - settings.FOREKEEP.triggers.reorg_watch_blocks)
    _log.warning("chain.reorganised", chain_id=cursor.chain_id, at=was, head=head.number, back_to=back)
    _put(cursor, client, back, now)


def _put(cursor: ChainCursor, client: ChainClient, number: int, now: datetime) -> None:
    """Let the cursor stand after another block."""
    block = None if number < 0 else client.get_blocks([number]).get(number)
    if number >= 0 and block is None:
        raise ChainUnreachable(reason=f"block {number} is not there")
    with transaction.atomic():
        _lock(cursor)
        _move(cursor, number, "" if block is None else block.hash)
        ChainCursor.objects.filter(pk=cursor.pk).update(is_doubted=True)
    cursor.is_doubted = True


def _recheck(cursor: ChainCursor, client: ChainClient, head: Block, now: datetime) -> CatchUp:
    """Look for the blocks of what was seen near the head; those beyond it are looked for again later."""
    near = Sighting.objects.filter(
        chain_id=cursor.chain_id,
        status__in=_WATCHED_ENDS,
        block_number__gt=head.number - settings.FOREKEEP.triggers.reorg_watch_blocks,
    )
    numbers = set(near.values_list("block_number", flat=True))
    blocks = client.get_blocks(number for number in numbers if number <= head.number)
    with transaction.atomic():
        _lock(cursor)
        rows = [
            row
            for row in near.order_by("pk")
            if row.block_number in blocks and blocks[row.block_number].hash != row.block_hash
        ]
        told = sightings_tell_gone(rows, now)
        cursor.is_doubted = any(number > head.number for number in numbers)
        ChainCursor.objects.filter(pk=cursor.pk).update(is_doubted=cursor.is_doubted)
    return told


def _blocks(
    client: ChainClient,
    chain_id: int,
    head: Block,
    found: Sequence[Found],
    others: Collection[int],
) -> Blocks:
    """The canonical blocks of the logs, of what is due, and some others, in one batch."""
    wanted = {one.log.block_number for one in found} | _due_numbers(chain_id, head)
    return client.get_blocks([*wanted, *others])


def _due_numbers(chain_id: int, head: Block) -> set[int]:
    due = Sighting.objects.filter(chain_id=chain_id, status=SightingStatus.SEEN, due_block__lte=head.number)
    return set(due.values_list("block_number", flat=True))


def _unknown(watched: Sequence[Watched]) -> list[Watched]:
    """Those that are armed anew since their chain was read for them."""
    ids = [one.job_id for one in watched]
    known = dict(EventWatch.objects.filter(job_id__in=ids).values_list("job_id", "armed_at"))
    return [one for one in watched if known.get(one.job_id) != one.armed_at]


def _is_anything_open(cursor: ChainCursor) -> bool:
    """Whether something was seen whose end still depends on the chain."""
    sightings = Sighting.objects.filter(chain_id=cursor.chain_id)
    since = (cursor.head_number or 0) - settings.FOREKEEP.triggers.reorg_watch_blocks
    return (
        sightings.filter(status=SightingStatus.SEEN).exists()
        or sightings.filter(status=SightingStatus.FIRED, block_number__gt=since).exists()
    )


def _lock(cursor: ChainCursor) -> None:
    """Hold the cursor's row; raise _Moved where it is no longer where this pass has it."""
    rows = lock_rows(ChainCursor.objects.filter(pk=cursor.pk), skip_locked=False)
    if not rows or (rows[0].number, rows[0].hash) != (cursor.number, cursor.hash):
        raise _Moved


def _move(cursor: ChainCursor, number: int, block_hash: str) -> None:
    ChainCursor.objects.filter(pk=cursor.pk).update(number=number, hash=block_hash)
    cursor.number, cursor.hash = number, block_hash


def _note_head(cursor: ChainCursor, head: Block, now: datetime) -> None:
    ChainCursor.objects.filter(pk=cursor.pk).update(
        head_number=head.number, head_seen_at=now, processed_at=now, error="", error_since=None
    )
    cursor.processed_at, cursor.error = now, ""


def _note_error(chain_id: int, error: DomainError, now: datetime) -> None:
    """Keep why the chain cannot be read, and since when; codes only, a node's words may name its URL."""
    ChainCursor.objects.bulk_create([ChainCursor(chain_id=chain_id)], ignore_conflicts=True)
    ChainCursor.objects.filter(pk=chain_id).update(error=error.code)
    ChainCursor.objects.filter(pk=chain_id, error_since=None).update(error_since=now)
