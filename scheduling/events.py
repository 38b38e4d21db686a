"""The event trigger without a listener: beat reads the chains nobody leads, and forgets old sightings."""

import structlog
from django.conf import settings

from apps.chains.networks import Network, get_networks, open_network_client
from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError
from apps.watching.chains import events_catch_up, sightings_purge
from apps.watching.leases import lease_release, lease_take, make_holder
from apps.watching.selectors import is_led, lease_name
from project.celery import app
from workers.pokes import poke

_log = structlog.get_logger("forekeep.scheduling")


@app.task(name="scheduling.events.catch_up", soft_time_limit=30, time_limit=60)
def catch_up() -> None:
    """One pass over each chain that no listener leads; a node that is away is asked next time."""
    for network in get_networks().values():
        try:
            _catch_up(network)
        except DomainError as exc:
            _log.info("logs wait for the chain", chain_id=network.chain_id, reason=exc.code)


@app.task(name="scheduling.events.sightings_over", soft_time_limit=30, time_limit=60)
def sightings_over() -> None:
    """Forget sightings that ended long ago."""
    keep_seconds = settings.FOREKEEP.jobs.firing_keep_seconds
    sightings_purge(now=get_database_now(), keep_seconds=keep_seconds)


def _catch_up(network: Network) -> None:
    name = lease_name(network.chain_id)
    if is_led(name, get_database_now()):
        return
    lease = lease_take(name=name, holder=make_holder(), seconds=settings.FOREKEEP.triggers.lease_seconds)
    if lease is None:
        return
    try:
        done = events_catch_up(network.chain_id, open_network_client(network), now=get_database_now())
    finally:
        lease_release(lease)
    if done.job_ids:
        poke(["fire"])
