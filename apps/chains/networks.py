"""The chains this deployment hears: the one it settles on, and those `FOREKEEP_TRIGGERS_CHAIN_URLS` names.

An entry is `<chain id>=<url>`, http(s) or ws(s): a node serves both in the same place. URLs are the
operator's and may carry credentials, so they are never shown.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import structlog
from django.conf import settings

from apps.chains.client import ChainClient
from apps.chains.errors import DeploymentMissing
from apps.chains.selectors import get_deployment

_SECURE: Final = frozenset({"https", "wss"})
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_log = structlog.get_logger("forekeep.chains")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One chain and where its node answers."""

    chain_id: int
    rpc_url: str = field(repr=False)
    is_settlement: bool = False

    @property
    def socket_url(self) -> str:
        """The node's WebSocket address: the same place, as nodes have it."""
        return socket_url(self.rpc_url)


def get_networks() -> dict[int, Network]:
    """Every chain that can be heard, by id. Without a deployment only those that are named."""
    found = dict(networks_from_settings(settings.FOREKEEP.triggers.chain_urls))
    try:
        chain_id = get_deployment().chain_id
    except DeploymentMissing:
        return found
    rpc_url = found[chain_id].rpc_url if chain_id in found else settings.FOREKEEP.chain.rpc_url
    found[chain_id] = Network(chain_id=chain_id, rpc_url=rpc_url, is_settlement=True)
    return found


def get_event_chain_ids() -> tuple[int, ...]:
    """The chains whose logs may start a job."""
    return tuple(sorted(get_networks()))


def open_network_client(network: Network, *, timeout_seconds: float | None = None) -> ChainClient:
    """This process's client for a network's node."""
    timeout = settings.FOREKEEP.chain.request_timeout_seconds if timeout_seconds is None else timeout_seconds
    return _open_client(network.rpc_url, timeout, os.getpid())


@lru_cache(maxsize=8)
def networks_from_settings(entries: tuple[str, ...]) -> Mapping[int, Network]:
    """The named networks; an entry that names none is left out with a warning that does not repeat it."""
    found: dict[int, Network] = {}
    for at, entry in enumerate(entries):
        number, _, url = entry.strip().partition("=")
        parts = urlsplit(url)
        if not number.isdecimal() or parts.scheme not in _SCHEMES or not parts.hostname:
            _log.warning("a chain URL cannot be used", entry=at + 1, expected="<chain id>=<http or ws URL>")
            continue
        scheme = "https" if parts.scheme in _SECURE else "http"
        rpc_url = urlunsplit(parts._replace(scheme=scheme))
        found[int(number)] = Network(chain_id=int(number), rpc_url=rpc_url)
    return found


def socket_url(rpc_url: str) -> str:
    """The WebSocket address of a node from its HTTP one."""
    parts = urlsplit(rpc_url)
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme in _SECURE else "ws"))


@lru_cache(maxsize=32)
def _open_client(url: str, timeout_seconds: float, pid: int) -> ChainClient:
    """One per process: connections are not shared across a fork."""
    return ChainClient(url, timeout_seconds=timeout_seconds)
