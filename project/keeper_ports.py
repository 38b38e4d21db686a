"""Wires the keepers app to the chain: `settings.KEEPER_PORTS` names `ChainKeeperPorts`."""

from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import DatabaseError

from apps.chains.client import ChainClient
from apps.chains.data import Deployment
from apps.chains.deploy import read_deployment
from apps.chains.errors import ChainFault, ChainUnreachable, DeploymentMissing
from apps.chains.registry import get_standings
from apps.eventlog.selectors import get_database_now
from apps.keepers.alerts import LogAlerts
from apps.keepers.data import OfflineAlerts, OfflineKeeper, RegistryEntry
from apps.keepers.errors import RegistryUnreachable
from apps.kernel.amounts import WEI_PER_UNIT
from apps.kernel.eip712 import TypedDomain
from apps.notices.services import alerts_add_offline

_log = structlog.get_logger("forekeep.keepers")


class NoticeAlerts(LogAlerts):
    """A line in the log, and alerts to the keepers' own contacts: rows, which the notices' worker sends."""

    def send(self, keepers: Sequence[OfflineKeeper]) -> None:
        """Write them; where that fails, reading the event store makes up for it."""
        super().send(keepers)
        try:
            alerts_add_offline(keepers=keepers, now=get_database_now())
        except DatabaseError as exc:
            _log.warning("alerts are written later", error=type(exc).__name__)


class ChainKeeperPorts:
    """The registry contract of the deployment, read over the configured RPC."""

    def __init__(self) -> None:
        chain = settings.FOREKEEP.chain
        self._client = ChainClient(chain.rpc_url, timeout_seconds=chain.request_timeout_seconds)
        self._known: Deployment | None = None
        self.alerts: OfflineAlerts = NoticeAlerts()

    @property
    def domain(self) -> TypedDomain:
        """The EIP-712 domain of the deployment."""
        return self._deployment().typed_domain

    @property
    def registry(self) -> "ChainKeeperPorts":
        """This object: it reads the registry itself."""
        return self

    def get_entry(self, address: str) -> RegistryEntry | None:
        """The keeper's standing on chain; raise RegistryUnreachable."""
        return self.get_entries([address]).get(address)

    def get_entries(self, addresses: list[str]) -> dict[str, RegistryEntry]:
        """The standings of those addresses the registry knows, in one batch; raise RegistryUnreachable."""
        try:
            standings = get_standings(self._client, self._deployment(), addresses)
        except (ChainUnreachable, ChainFault) as exc:
            raise RegistryUnreachable(reason=exc.code) from None
        return {
            address: RegistryEntry(
                stake_units=standing.stake_wei // WEI_PER_UNIT,
                bls_public_key=standing.public_key,
                is_active=standing.is_active,
            )
            for address, standing in standings.items()
            if standing.public_key
        }

    def _deployment(self) -> Deployment:
        """Read once it is there; a deployment file never changes under a running process."""
        if self._known is None:
            try:
                self._known = read_deployment(settings.FOREKEEP.chain.deployment_file)
            except DeploymentMissing as exc:
                raise RegistryUnreachable(reason=exc.code) from None
        return self._known
