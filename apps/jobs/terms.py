"""What this deployment offers a job: its bounds, its chain, its prices and the gas price of now."""

import threading
import time
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

from apps.chains.client import ChainClient
from apps.chains.deploy import read_deployment
from apps.chains.errors import ChainFault, ChainUnreachable, DeploymentMissing
from apps.chains.networks import get_event_chain_ids
from apps.content import selectors as content
from apps.content.store import ContentStore
from apps.jobs.domain.cost import Prices
from apps.jobs.domain.scripts import ScriptLimits
from apps.jobs.domain.validation import Bounds

_PRICE_KEPT_SECONDS: Final = 10.0
_PRICE_TIMEOUT_SECONDS: Final = 2.0


def get_bounds() -> Bounds:
    """What a definition may ask for here. Without a deployment no chain is known."""
    jobs, proofs = settings.FOREKEEP.jobs, settings.FOREKEEP.proofs
    return Bounds(
        chain_ids=get_chain_ids(),
        script_max_bytes=jobs.script_max_bytes,
        script_limits=ScriptLimits(
            nodes=jobs.script_max_nodes, depth=jobs.script_max_depth, line=jobs.script_max_line
        ),
        params_max_bytes=jobs.params_max_bytes,
        deadline_seconds=settings.FOREKEEP.execution.default_deadline_seconds,
        gas_limit=settings.FOREKEEP.settlement.action_gas_limit,
        event_chain_ids=get_event_chain_ids(),
        confirmations_max=settings.FOREKEEP.triggers.confirmations_max,
        pause_after_failures=settings.FOREKEEP.triggers.pause_after_failures,
        read_max=proofs.read_max if proofs.is_required else None,
    )


def get_chain_ids() -> tuple[int, ...]:
    """The chains this deployment settles on."""
    try:
        return (read_deployment(Path(settings.FOREKEEP.chain.deployment_file)).chain_id,)
    except DeploymentMissing:
        return ()


def get_prices() -> Prices:
    """What a task costs here besides gas, and how much gas its settlement is reckoned at."""
    jobs, settlement = settings.FOREKEEP.jobs, settings.FOREKEEP.settlement
    return Prices(
        offchain_base_units=jobs.offchain_base_units,
        offchain_cpu_second_units=jobs.offchain_cpu_second_units,
        executions=1 + settings.FOREKEEP.attestation.committee_size,
        settlement_batch_gas=settlement.estimate_batch_gas,
        settlement_item_gas=settlement.estimate_item_gas,
        settlement_batch_items=settlement.estimate_batch_items,
        fee_multiplier_percent=settlement.fee_multiplier_percent,
    )


def get_store() -> ContentStore:
    """Where scripts and inputs are."""
    return content.get_store()


def get_gas_price_wei() -> int | None:
    """What the chain asks for gas now, asked at most every 10 s; None where it does not answer."""
    return _price_of(settings.FOREKEEP.chain.rpc_url).get()


class _GasPrice:
    """The last price of one node, known or unknown, for a while."""

    def __init__(self, url: str) -> None:
        self._client = ChainClient(url, timeout_seconds=_PRICE_TIMEOUT_SECONDS)
        self._lock = threading.Lock()
        self._price_wei: int | None = None
        self._until = 0.0

    def get(self) -> int | None:
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._price_wei = self._client.get_fees().max_fee_wei
                except (ChainUnreachable, ChainFault):
                    self._price_wei = None
                self._until = time.monotonic() + _PRICE_KEPT_SECONDS
            return self._price_wei


@cache
def _price_of(url: str) -> _GasPrice:
    return _GasPrice(url)
