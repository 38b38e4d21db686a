"""The condition trigger from beat's side: a round over all sources where no poller lives, and cleaning up."""

import asyncio
from datetime import timedelta
from typing import Final

from django.conf import settings

from apps.egress.client import EgressClient
from apps.egress.terms import limits_from_settings
from apps.eventlog.selectors import get_database_now
from apps.watching.conditions import LEASE, get_condition_versions, sources_purge
from apps.watching.leases import lease_release, lease_take, make_holder
from project.celery import app
from workers.pokes import poke
from workers.poller.polling import Poller

_KEEP: Final = timedelta(days=7)


@app.task(name="scheduling.conditions.poll", soft_time_limit=25, time_limit=30)
def poll() -> None:
    """Ask every source once and fire what is met, unless somebody watches."""
    if not get_condition_versions(get_database_now()):
        return
    lease = lease_take(name=LEASE, holder=make_holder(), seconds=30)
    if lease is None:
        return
    try:
        asyncio.run(_round())
    finally:
        lease_release(lease)


@app.task(name="scheduling.conditions.sources_over", soft_time_limit=30, time_limit=60)
def sources_over() -> None:
    """Forget sources that nobody has asked for a week."""
    sources_purge(before=get_database_now() - _KEEP)


async def _round() -> None:
    async with EgressClient(limits_from_settings()) as client:
        await Poller(client, lambda: poke(["fire"])).run_once(settings.FOREKEEP.egress.timeout_seconds)
