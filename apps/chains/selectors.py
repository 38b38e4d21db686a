"""Reading: the deployment, the clients of this process, and where our transactions stand."""

import os
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from apps.chains.client import ChainClient
from apps.chains.data import Deployment, OutboundStatus
from apps.chains.deploy import read_deployment
from apps.chains.models import ChainState, Outbound, Sender
from apps.chains.registry import ChainRegistry

LIVE = (OutboundStatus.SIGNED, OutboundStatus.BROADCAST, OutboundStatus.MINED)


def get_deployment() -> Deployment:
    """Where the contracts are; raise DeploymentMissing. Read again when the file changes."""
    path = settings.FOREKEEP.chain.deployment_file
    try:
        changed_at = path.stat().st_mtime_ns
    except OSError:
        changed_at = 0
    return _read_deployment(path, changed_at)


def open_client() -> ChainClient:
    """The client of this process for the configured node."""
    chain = settings.FOREKEEP.chain
    return _open_client(chain.rpc_url, chain.request_timeout_seconds, os.getpid())


def open_registry() -> ChainRegistry:
    """The keeper registry of the deployment; raise DeploymentMissing."""
    return ChainRegistry(open_client(), get_deployment())


def get_chain_state(chain_id: int) -> ChainState | None:
    """What the chain showed last."""
    return ChainState.objects.filter(pk=chain_id).first()


def get_outbound_count() -> dict[str, int]:
    """How many transactions are at each status short of an end."""
    return {str(status): Outbound.objects.filter(status=status).count() for status in LIVE}


def is_poll_due(now: datetime) -> bool:
    """Whether `outbound_poll` has work: a row is due, or the senders are due for their audit.

    The audit also finds confirmed transactions a restored node has lost, when nothing else is going on.
    """
    followed = Outbound.objects.filter(
        status__in=(OutboundStatus.BROADCAST, OutboundStatus.MINED), wake_at__lte=now
    )
    return followed.exists() or is_audit_due(now)


def is_audit_due(now: datetime) -> bool:
    """Whether the chain has not been looked at for `audit_seconds` though we have senders on it."""
    since = now - timedelta(seconds=settings.FOREKEEP.chain.audit_seconds)
    if ChainState.objects.filter(observed_at__gt=since).exists():
        return False
    return Sender.objects.exists()


@lru_cache(maxsize=8)
def _read_deployment(path: Path, changed_at: int) -> Deployment:
    return read_deployment(path)


@lru_cache(maxsize=8)
def _open_client(url: str, timeout_seconds: float, pid: int) -> ChainClient:
    """One per process: connections are not shared across a fork."""
    return ChainClient(url, timeout_seconds=timeout_seconds)
