"""What time alone starts: keepers that fell silent, stakes that moved, jobs whose life is over."""

import structlog
from django.conf import settings

from apps.chains.deposits import deposits_credit
from apps.chains.errors import ChainUnreachable, DeploymentMissing
from apps.eventlog.selectors import get_database_now
from apps.gateway.services import idempotency_purge
from apps.jobs.services import jobs_expire, jobs_reprice
from apps.jobs.terms import get_gas_price_wei, get_prices
from apps.keepers.ports import get_ports
from apps.keepers.selectors import get_keeper_addresses
from apps.keepers.services import (
    keepers_decay_reputation,
    keepers_refresh_stakes,
    keepers_sweep_offline,
)
from apps.speculation.services import commitments_purge
from project.celery import app

_log = structlog.get_logger("forekeep.scheduling")


@app.task(name="scheduling.sweeps.deposits_paid_in", soft_time_limit=30, time_limit=60)
def deposits_paid_in() -> None:
    """Credit what projects were paid on the chain; with no chain to ask, next time."""
    try:
        credited = deposits_credit()
    except (ChainUnreachable, DeploymentMissing) as exc:
        _log.info("deposits wait for the chain", reason=exc.code)
        return
    if credited:
        _log.info("deposits credited", count=credited)


@app.task(name="scheduling.sweeps.keepers_offline", soft_time_limit=30, time_limit=60)
def keepers_offline() -> None:
    """Mark silent keepers offline."""
    keepers = settings.FOREKEEP.keepers
    keepers_sweep_offline(
        offline_after_seconds=keepers.offline_after_seconds,
        alert_cooldown_seconds=keepers.alert_cooldown_seconds,
        alerts=get_ports().alerts,
    )


@app.task(name="scheduling.sweeps.keepers_stakes", soft_time_limit=30, time_limit=60)
def keepers_stakes() -> None:
    """Take over the stakes the registry contract shows."""
    entries = get_ports().registry.get_entries(get_keeper_addresses())
    keepers_refresh_stakes({address: entry.stake_units for address, entry in entries.items()})


@app.task(name="scheduling.sweeps.keepers_reputation", soft_time_limit=30, time_limit=60)
def keepers_reputation() -> None:
    """Let reputations decay."""
    keepers_decay_reputation()


@app.task(name="scheduling.sweeps.jobs_expired", soft_time_limit=30, time_limit=60)
def jobs_expired() -> None:
    """End the jobs whose life is over."""
    jobs_expire(now=get_database_now())


@app.task(name="scheduling.sweeps.jobs_unpriced", soft_time_limit=30, time_limit=60)
def jobs_unpriced() -> None:
    """Price the jobs that were created while no gas price was to be had."""
    jobs_reprice(now=get_database_now(), prices=get_prices(), gas_price_wei=get_gas_price_wei())


@app.task(name="scheduling.sweeps.commitments_over", soft_time_limit=30, time_limit=60)
def commitments_over() -> None:
    """Forget commitments that ended long ago."""
    keep_seconds = settings.FOREKEEP.speculation.commitment_keep_seconds
    commitments_purge(now=get_database_now(), keep_seconds=keep_seconds)


@app.task(name="scheduling.sweeps.idempotency_over", soft_time_limit=30, time_limit=60)
def idempotency_over() -> None:
    """Forget stored answers whose time is over."""
    keep_seconds = settings.FOREKEEP.web.idempotency_keep_seconds
    idempotency_purge(now=get_database_now(), keep_seconds=keep_seconds)
