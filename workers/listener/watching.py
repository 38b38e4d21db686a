"""One chain in a listener: who leads hears its node and reads its logs, the others stand by.

Three threads. One takes and renews the lease, and ends the others' work where it is lost; one hears the node;
one reads: on every hint, on every change of the jobs that wait, and every few seconds in any case.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from apps.chains.networks import Network, open_network_client
from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError
from apps.watching.chains import events_catch_up
from apps.watching.leases import Lease, lease_release, lease_renew, lease_take
from apps.watching.selectors import Revision, get_filter, get_watch_revision, lease_name
from workers.listener.hearing import Ear, compute_pause

#: so often one asks whether other jobs wait now
_REVISION_SECONDS: Final = 0.3
_STAND_BY_SECONDS: Final = 1.0
_log = structlog.get_logger("forekeep.listener")

Poke = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainWatch:
    """A chain this process may lead. `poke` tells stages that they have work."""

    network: Network
    holder: str
    poke: Poke

    def run(self, stopping: threading.Event) -> None:
        """Lead whenever nobody else does, until told to stop."""
        while not stopping.is_set():
            try:
                lease = lease_take(
                    name=lease_name(self.network.chain_id),
                    holder=self.holder,
                    seconds=settings.FOREKEEP.triggers.lease_seconds,
                )
                if lease is not None:
                    self._lead(lease, stopping)
            except DatabaseError as exc:
                _log.warning("the database does not answer", reason=type(exc).__name__)
                close_old_connections()
            stopping.wait(_STAND_BY_SECONDS)
        connection.close()

    def _lead(self, lease: Lease, stopping: threading.Event) -> None:
        chain_id = self.network.chain_id
        _log.info("chain is led", chain_id=chain_id, epoch=lease.epoch)
        over, hint = threading.Event(), threading.Event()
        ear = Ear(self.network.socket_url, on_block=lambda: self._on_block(hint), on_log=hint.set)
        threads = [
            threading.Thread(target=ear.listen, args=(over,), name=f"hear-{chain_id}", daemon=True),
            threading.Thread(target=self._read, args=(ear, hint, over), name=f"read-{chain_id}", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            self._hold(lease, stopping)
        finally:
            over.set()
            hint.set()
            for thread in threads:
                thread.join(timeout=15)
        if stopping.is_set():
            lease_release(lease)
        else:
            _log.warning("chain is no longer led", chain_id=chain_id)

    def _on_block(self, hint: threading.Event) -> None:
        hint.set()
        if self.network.is_settlement:
            self.poke(["confirm"])

    def _hold(self, lease: Lease, stopping: threading.Event) -> None:
        """Renew until it is lost or one is told to stop; a database that is away costs the lease in time."""
        seconds = settings.FOREKEEP.triggers.lease_seconds
        until = time.monotonic() + seconds
        while not stopping.wait(seconds / 3):
            try:
                asked_at = time.monotonic()
                if not lease_renew(lease, seconds=seconds):
                    return
                until = asked_at + seconds
            except DatabaseError:
                close_old_connections()
                if time.monotonic() >= until:
                    return

    def _read(self, ear: Ear, hint: threading.Event, over: threading.Event) -> None:
        """Catch up on hints, coalesced; keep the ear's filter that of the jobs that wait now."""
        revision: Revision | None = None
        failures, next_pass_at = 0, 0.0
        while not over.is_set():
            try:
                found = get_watch_revision(get_database_now())
                if found != revision:
                    ear.want(get_filter(self.network.chain_id, get_database_now()))
                    revision = found
                    hint.set()
                is_hinted = hint.is_set() and not failures
                if is_hinted or time.monotonic() >= next_pass_at:
                    hint.clear()
                    self._catch_up(over)
                    failures = 0
                    next_pass_at = time.monotonic() + settings.FOREKEEP.triggers.catch_up_seconds
            except (DomainError, DatabaseError) as exc:
                failures += 1
                if failures == 1:
                    reason = exc.code if isinstance(exc, DomainError) else type(exc).__name__
                    _log.warning("logs cannot be read", chain_id=self.network.chain_id, reason=reason)
                close_old_connections()
                next_pass_at = time.monotonic() + compute_pause(failures, 0.5)
            if failures:
                over.wait(_REVISION_SECONDS)
            else:
                hint.wait(_REVISION_SECONDS)
        connection.close()

    def _catch_up(self, over: threading.Event) -> None:
        client = open_network_client(self.network)
        is_at_head = False
        while not is_at_head and not over.is_set():
            done = events_catch_up(self.network.chain_id, client, now=get_database_now())
            if done.job_ids:
                self.poke(["fire"])
            is_at_head = done.is_at_head
