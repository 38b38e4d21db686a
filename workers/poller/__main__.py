"""`python -m workers.poller`: watches the sources of conditions, while no other process does.

It stands by until the lease is free, renews it while it watches, and stops watching at once where it has
lost it.
"""

import asyncio
import contextlib
import os
import signal
from typing import Final

import django
import structlog
from django.conf import settings
from django.db import DatabaseError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from apps.egress.client import EgressClient  # noqa: E402
from apps.egress.terms import limits_from_settings  # noqa: E402
from apps.watching.conditions import LEASE  # noqa: E402
from apps.watching.leases import Lease, lease_release, lease_renew, lease_take, make_holder  # noqa: E402
from workers.pokes import poke  # noqa: E402
from workers.poller.polling import Poller  # noqa: E402

_log = structlog.get_logger("forekeep.poller")
_STANDBY_SECONDS: Final = 1.0


def main() -> None:
    """Watch until SIGTERM or SIGINT."""
    asyncio.run(watch())


async def watch() -> None:
    """Take the lease whenever it is free, and watch while it is held."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    holder = make_holder()
    while not stopping.is_set():
        lease = await _taken(holder)
        if lease is not None:
            await _lead(lease, stopping)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _STANDBY_SECONDS)


async def _taken(holder: str) -> Lease | None:
    seconds = settings.FOREKEEP.triggers.lease_seconds
    try:
        return await asyncio.to_thread(lease_take, name=LEASE, holder=holder, seconds=seconds)
    except DatabaseError as exc:
        _log.warning("poller waits for the database", reason=type(exc).__name__)
        return None


async def _lead(lease: Lease, stopping: asyncio.Event) -> None:
    """Watch until told to stop or the lease is lost."""
    over = asyncio.Event()
    async with EgressClient(limits_from_settings()) as client:
        poller = Poller(client, lambda: poke(["fire"]))
        watching = asyncio.ensure_future(poller.run(over))
        try:
            while not (stopping.is_set() or watching.done()) and await _renewed(lease):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), settings.FOREKEEP.triggers.lease_seconds / 3)
        finally:
            over.set()
            await watching
    with contextlib.suppress(DatabaseError):
        await asyncio.to_thread(lease_release, lease)


async def _renewed(lease: Lease) -> bool:
    try:
        return await asyncio.to_thread(lease_renew, lease, seconds=settings.FOREKEEP.triggers.lease_seconds)
    except DatabaseError as exc:
        _log.warning("the lease of conditions could not be renewed", reason=type(exc).__name__)
        return False


if __name__ == "__main__":
    main()
